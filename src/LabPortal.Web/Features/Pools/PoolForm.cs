using System.Globalization;
using LabPortal.Domain;
using LabPortal.Domain.Costs;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Costs;
using LabPortal.Operations.Pools;

namespace LabPortal.Web.Features.Pools;

/// <summary>A pool while somebody types it.</summary>
public sealed class PoolForm
{
    private readonly string _provider;

    public PoolForm(PoolKindView kind, string name, PoolDraft? draft)
    {
        (_provider, Name) = (kind.Name, name);
        var (limits, overcommit, prices) = (draft?.Limits ?? new PoolLimits(), draft?.Overcommit ?? new Overcommit(), draft?.Prices);
        Settings = SettingDraft.Of(kind.Settings, draft?.Settings ?? []);
        Labels = string.Join(", ", draft?.Labels ?? []);
        (Operations, Boots, Orphans) = (Text(limits.OperationsAtOnce), Text(limits.BootsAtOnce), Text(limits.OrphanDeletionsPerPass));
        (PerHost, PerMinute) = (Text(limits.OperationsPerHost), Text(limits.OperationsPerMinute));
        (OvercommitCpu, OvercommitMemory) = (Text((decimal)overcommit.Cpu), Text((decimal)overcommit.Memory));
        (Currency, CpuHour, MemoryHour, DiskHour) = prices is null ? ("", "", "", "") : (prices.Currency, Text(prices.CpuHour), Text(prices.MemoryGiBHour), Text(prices.DiskGiBHour));
        Sizes = PriceCsv.Write(prices?.Sizes ?? []);
    }

    public string Name { get; set; }
    public IReadOnlyList<SettingDraft> Settings { get; }
    public string Labels { get; set; }
    public string Operations { get; set; }
    public string Boots { get; set; }
    public string Orphans { get; set; }
    public string PerHost { get; set; }
    public string PerMinute { get; set; }
    public string OvercommitCpu { get; set; }
    public string OvercommitMemory { get; set; }

    /// <summary>Without a currency there are no prices.</summary>
    public string Currency { get; set; }
    public string CpuHour { get; set; }
    public string MemoryHour { get; set; }
    public string DiskHour { get; set; }

    /// <summary>Prices of sizes, as CSV.</summary>
    public string Sizes { get; set; }

    public IReadOnlyList<string> ReadLabels() => Labels.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    /// <summary>The pool as it is sent, and every text that is no number.</summary>
    public PoolDraft Read(out IReadOnlyList<FieldError> mistakes)
    {
        var errors = new List<FieldError>();
        var draft = new PoolDraft(
            _provider,
            ReadLabels(),
            SettingDraft.Read(Settings),
            new PoolLimits(Whole("limits.operationsAtOnce", Operations), Whole("limits.bootsAtOnce", Boots), Whole("limits.orphanDeletionsPerPass", Orphans),
                Whole("limits.operationsPerHost", PerHost), Whole("limits.operationsPerMinute", PerMinute)),
            new Overcommit((double)Number("overcommit.cpu", OvercommitCpu), (double)Number("overcommit.memory", OvercommitMemory)),
            new[] { Currency, CpuHour, MemoryHour, DiskHour, Sizes }.All(string.IsNullOrWhiteSpace) ? null : new PriceList(
                Currency.Trim(), Number("prices.running.cpuHour", CpuHour), Number("prices.running.memoryGiBHour", MemoryHour), Number("prices.diskGiBHour", DiskHour)) { Sizes = PriceCsv.Read(Sizes, "prices.sizes", errors) });
        mistakes = errors;
        return draft;

        int Whole(string field, string text)
        {
            if (int.TryParse(text.Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var whole)) return whole;
            errors.Add(new FieldError(field, "field.not-whole"));
            return 1;
        }

        decimal Number(string field, string text)
        {
            if (text.Trim().Length == 0) return 0;
            if (decimal.TryParse(text.Trim(), NumberStyles.Float, CultureInfo.InvariantCulture, out var number)) return number;
            errors.Add(new FieldError(field, "field.not-a-number"));
            return 1;
        }
    }

    private static string Text(decimal number) => number.ToString(CultureInfo.InvariantCulture);
}
