using System.Globalization;
using LabPortal.Domain.Costs;
using LabPortal.Domain.Quotas;
using LabPortal.Web.Texts;
using NodaTime;

namespace LabPortal.Web.Features.Shell;

/// <summary>How amounts and times are written on pages.</summary>
internal static class Shown
{
    public static string Short(Instant at, DateTimeZone zone) => at.InZone(zone).ToString("d MMM, HH:mm", CultureInfo.CurrentCulture);

    public static string Full(Instant at, DateTimeZone zone) => at.InZone(zone).ToString("dddd, d MMMM uuuu, HH:mm:ss x", CultureInfo.CurrentCulture);

    public static string Day(Instant at, DateTimeZone zone) => at.InZone(zone).ToString("dddd, d MMMM uuuu", CultureInfo.CurrentCulture);

    /// <summary>With seconds, where the order counts.</summary>
    public static string Clock(Instant at, DateTimeZone zone) => at.InZone(zone).ToString("HH:mm:ss", CultureInfo.CurrentCulture);

    public static string Span(Duration time) => time switch
    {
        { TotalSeconds: < 100 } => Say.Seconds.With(("n", (int)time.TotalSeconds)),
        { TotalMinutes: < 60 } => Say.Minutes.With(("n", (int)Math.Round(time.TotalMinutes))),
        { TotalHours: < 48, Minutes: 0 } => Say.Hours.With(("h", (int)time.TotalHours)),
        { TotalHours: < 48 } => Say.HoursMinutes.With(("h", (int)time.TotalHours), ("m", time.Minutes)),
        { Hours: 0 } => Say.Days.With(("d", time.Days)),
        _ => Say.DaysHours.With(("d", time.Days), ("h", time.Hours)),
    };

    public static string Memory(double mib) => Of(new Amount(Domain.Quotas.Dimension.MemoryMiB, mib));

    public static string Disk(double gib) => Of(new Amount(Domain.Quotas.Dimension.DiskGiB, gib));

    public static string Bytes(long bytes) => bytes < 1L << 20
        ? string.Create(CultureInfo.CurrentCulture, $"{bytes / (double)(1L << 10):0.#} KiB")
        : bytes >= 1L << 30
        ? string.Create(CultureInfo.CurrentCulture, $"{bytes / (double)(1L << 30):0.#} GiB")
        : string.Create(CultureInfo.CurrentCulture, $"{bytes / (double)(1L << 20):0.#} MiB");

    /// <summary>Small prices keep the digits that matter.</summary>
    public static string Price(Money money)
    {
        var digits = Math.Abs(money.Amount) is > 0 and < 0.1m ? "0.00##" : "0.00";
        return $"{money.Amount.ToString(digits, CultureInfo.CurrentCulture)} {money.Currency}";
    }

    public static string Amount(string dimension, double amount) => Of(new Amount(Dimensions.Find(dimension) ?? Domain.Quotas.Dimension.Labs, amount));

    public static string Dimension(string dimension) => dimension switch
    {
        "labs" => Say.DimensionLabs,
        "machines" => Say.DimensionMachines,
        "cpu" => Say.DimensionCpu,
        "memoryMiB" => Say.DimensionMemory,
        "diskGiB" => Say.DimensionDisk,
        "snapshots" => Say.DimensionSnapshots,
        _ => dimension,
    };

    private static string Of(Amount amount) => amount.ToString("0.#", CultureInfo.CurrentCulture);
}
