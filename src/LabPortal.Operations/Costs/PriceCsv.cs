using System.Globalization;
using CsvHelper;
using CsvHelper.Configuration;
using LabPortal.Domain;
using LabPortal.Domain.Costs;

namespace LabPortal.Operations.Costs;

/// <summary>Prices of sizes as CSV (RFC 4180) with a line of headers: <c>size,cpu,memoryMiB,runningHour,stoppedHour</c>, in any order; the last may be left out for nothing.</summary>
public static class PriceCsv
{
    public const string Header = "size,cpu,memoryMiB,runningHour,stoppedHour";

    /// <summary>As long as a table of a cloud's sizes may be.</summary>
    public const int MostSizes = 1000;

    public static string Write(IReadOnlyList<SizePrice> sizes)
    {
        if (sizes.Count == 0) return "";
        using var text = new StringWriter { NewLine = "\n" };
        using var csv = new CsvWriter(text, new CsvConfiguration(CultureInfo.InvariantCulture) { NewLine = "\n" });
        foreach (var header in Header.Split(',')) csv.WriteField(header);
        csv.NextRecord();
        foreach (var size in sizes)
        {
            csv.WriteField(size.Size);
            csv.WriteField(size.Cpu);
            csv.WriteField(size.MemoryMiB);
            csv.WriteField(size.RunningHour);
            csv.WriteField(size.StoppedHour);
            csv.NextRecord();
        }

        csv.Flush();
        return text.ToString();
    }

    /// <summary>The prices, or all that is wrong, by line.</summary>
    public static IReadOnlyList<SizePrice> Read(string text, string field, ICollection<FieldError> errors)
    {
        if (string.IsNullOrWhiteSpace(text)) return [];
        var before = errors.Count;
        var sizes = new List<SizePrice>();
        try
        {
            using var csv = new CsvReader(new StringReader(text.TrimStart('\ufeff')), new CsvConfiguration(CultureInfo.InvariantCulture)
            {
                DetectDelimiter = true, DetectDelimiterValues = [",", ";", "\t"], TrimOptions = TrimOptions.Trim, PrepareHeaderForMatch = header => header.Header.Trim().ToUpperInvariant(), MissingFieldFound = null,
            });
            csv.Read();
            csv.ReadHeader();
            var missing = Header.Split(',')[..4].Where(name => !(csv.HeaderRecord ?? []).Any(header => header.Trim().Equals(name, StringComparison.OrdinalIgnoreCase))).ToList();
            if (missing.Count > 0)
            {
                errors.Add(new FieldError(field, "csv.headers", [("missing", string.Join(", ", missing)), ("headers", Header)]));
                return [];
            }

            while (csv.Read())
            {
                var line = csv.Parser.RawRow;
                if (sizes.Count >= MostSizes)
                {
                    errors.Add(new FieldError(field, "csv.too-many", [("most", MostSizes)]));
                    break;
                }

                var name = csv.GetField("SIZE") ?? "";
                if (name.Length == 0) Wrong(line, "size", name);
                sizes.Add(new SizePrice(name, Whole(csv, line, "cpu"), Whole(csv, line, "memoryMiB"), Number(csv, line, "runningHour"), Number(csv, line, "stoppedHour", 0)));
            }
        }
        catch (CsvHelperException broken)
        {
            errors.Add(new FieldError(field, "csv.line", [("line", broken.Context?.Parser?.RawRow ?? 1), ("column", "csv"), ("text", "")]));
        }

        return errors.Count == before ? sizes : [];

        int Whole(CsvReader csv, int line, string column)
        {
            var said = csv.GetField(column.ToUpperInvariant()) ?? "";
            if (int.TryParse(said, NumberStyles.None, CultureInfo.InvariantCulture, out var whole) && whole > 0) return whole;
            Wrong(line, column, said);
            return 1;
        }

        decimal Number(CsvReader csv, int line, string column, decimal? unsaid = null)
        {
            var said = csv.TryGetField<string>(column.ToUpperInvariant(), out var there) ? there ?? "" : "";
            if (said.Length == 0 && unsaid is { } normal) return normal;
            if (decimal.TryParse(said, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number)) return number;
            Wrong(line, column, said);
            return 0;
        }

        void Wrong(int line, string column, string said) => errors.Add(new FieldError(field, "csv.line", [("line", line), ("column", column), ("text", said)]));
    }
}
