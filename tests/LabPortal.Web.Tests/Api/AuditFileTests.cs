using System.Text;
using System.Text.Json;
using LabPortal.Operations.Audit;
using LabPortal.Testing;
using LabPortal.Web.Api;
using Microsoft.AspNetCore.Http;
using NodaTime;
using Xunit;

namespace LabPortal.Web.Tests.Api;

public sealed class AuditFileTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("=cmd|' /C calc'!A0", "\"'=cmd|' /C calc'!A0\"")]
    [InlineData("+1", "\"'+1\"")]
    [InlineData("-1", "\"'-1\"")]
    [InlineData("@SUM(1)", "\"'@SUM(1)\"")]
    [InlineData("  =1", "\"'  =1\"")]
    [InlineData("\t=1", "\"'\t=1\"")]
    [InlineData("\r1", "\"'\r1\"")]
    [InlineData("＝1", "\"'＝1\"")]
    [InlineData("a,b", "\"a,b\"")]
    [InlineData("a\",=1", "\"a\"\",=1\"")]
    [InlineData("a\n=1", "\"a\n=1\"")]
    [InlineData("end-lab", "end-lab")]
    [InlineData("", "")]
    [InlineData(null, "")]
    public void No_cell_is_a_formula_and_none_breaks_out_of_its_place(string? value, string cell) => Assert.Equal(cell, AuditFile.Cell(value));

    [Theory]
    [InlineData(null, null)]
    [InlineData("application/json", null)]
    [InlineData("*/*", null)]
    [InlineData("text/csv", "text/csv")]
    [InlineData("application/x-ndjson", "application/x-ndjson")]
    [InlineData("text/csv;q=0.5, application/json", null)]
    [InlineData("application/json;q=0.5, text/csv", "text/csv")]
    public void The_caller_says_by_content_type_whether_it_wants_a_page_or_a_file(string? accept, string? type)
    {
        var context = new DefaultHttpContext();
        if (accept is not null) context.Request.Headers.Accept = accept;

        Assert.Equal(type, AuditFile.Wanted(context));
    }

    [Fact]
    public void Whatever_is_in_a_cell_a_reader_finds_as_many_cells_and_no_formula()
    {
        TestContext.Current.TestOutputHelper?.WriteLine($"Seed {HostileStrings.Seed}");
        Assert.All(HostileStrings.Some(3_000), text =>
        {
            var cells = Read($"{AuditFile.Cell(text)},{AuditFile.Cell(text)},end");
            Assert.Equal(3, cells.Count);
            Assert.Equal((cells[0], "end"), (cells[1], cells[2]));
            Assert.True(cells[0] == text || cells[0] == "'" + text);
            Assert.DoesNotMatch(@"^(\s*[=+\-@＝＋－＠]|[\t\r\n])", cells[0]);
        });
    }

    /// <summary>One row as RFC 4180 has it.</summary>
    private static List<string> Read(string row)
    {
        var (cells, cell, quoted) = (new List<string>(), new StringBuilder(), false);
        for (var i = 0; i < row.Length; i++)
        {
            if (quoted && row[i] == '"' && i + 1 < row.Length && row[i + 1] == '"') cell.Append(row[i++]);
            else if (row[i] == '"') quoted = !quoted;
            else if (row[i] is ',' or '\r' or '\n' && !quoted) Add();
            else cell.Append(row[i]);
        }

        Add();
        return cells;

        void Add()
        {
            cells.Add(cell.ToString());
            cell.Clear();
        }
    }

    [Fact]
    public async Task Each_line_is_one_object_or_one_row_whatever_is_in_it()
    {
        var line = new AuditLine(
            Guid.Empty, Instant.FromUtc(2026, 7, 1, 8, 0), null, "=Eve\r\n\"x\"", "session", null, "192.0.2.7", "r1", "end-lab", "lab", "1", "-lab", "done",
            new Dictionary<string, string> { ["why"] = "a\nb" });

        using var rows = new MemoryStream();
        await AuditFile.WriteAsync(rows, AuditFile.CsvType, Lines(), JsonSerializerOptions.Web, Cancellation);
        using var objects = new MemoryStream();
        await AuditFile.WriteAsync(objects, AuditFile.LinesType, Lines(), JsonSerializerOptions.Web, Cancellation);

        var csv = Encoding.UTF8.GetString(rows.ToArray());
        Assert.EndsWith("\r\n2026-07-01T08:00:00Z,\"'=Eve\r\n\"\"x\"\"\",,session,,192.0.2.7,r1,end-lab,lab,1,\"'-lab\",done,\"{\"\"why\"\":\"\"a\\nb\"\"}\"\r\n", csv, StringComparison.Ordinal);
        var told = Assert.Single(Encoding.UTF8.GetString(objects.ToArray()).Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Equal("=Eve\r\n\"x\"", JsonDocument.Parse(told).RootElement.GetProperty("actor").GetString());

        async IAsyncEnumerable<AuditLine> Lines()
        {
            await Task.Yield();
            yield return line;
        }
    }
}
