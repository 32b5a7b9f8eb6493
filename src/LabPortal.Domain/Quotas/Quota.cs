using System.Globalization;
using LabPortal.Domain.Machines;
using NodaTime;

namespace LabPortal.Domain.Quotas;

/// <summary>What is counted. The words of API and YAML are these in camelCase.</summary>
public enum Dimension
{
    Labs,
    Machines,
    Cpu,
    MemoryMiB,
    DiskGiB,

    /// <summary>Snapshots that a lab keeps, each counted once however many machines it has.</summary>
    Snapshots,
}

public static class Dimensions
{
    /// <summary>The dimension's name in API, YAML and the database.</summary>
    public static string Name(this Dimension dimension) => dimension switch
    {
        Dimension.Labs => "labs",
        Dimension.Machines => "machines",
        Dimension.Cpu => "cpu",
        Dimension.MemoryMiB => "memoryMiB",
        Dimension.Snapshots => "snapshots",
        _ => "diskGiB",
    };

    public static Dimension? Find(string name) => Enum.GetValues<Dimension>().Where(dimension => dimension.Name() == name).Select(dimension => (Dimension?)dimension).FirstOrDefault();

    /// <summary>What a lab with these machines holds, from its request until its end is confirmed.</summary>
    public static IReadOnlyDictionary<Dimension, long> Of(IReadOnlyCollection<(int Cpu, int MemoryMiB, int DiskGiB)> machines, int snapshots = 0)
    {
        var amounts = new Dictionary<Dimension, long>
        {
            [Dimension.Labs] = 1,
            [Dimension.Machines] = machines.Count,
            [Dimension.Cpu] = machines.Sum(machine => (long)machine.Cpu),
            [Dimension.MemoryMiB] = machines.Sum(machine => (long)machine.MemoryMiB),
            [Dimension.DiskGiB] = machines.Sum(machine => (long)machine.DiskGiB),
        };
        if (snapshots > 0) amounts[Dimension.Snapshots] = snapshots;
        return amounts;
    }
}

/// <summary>So much of a dimension, in its unit.</summary>
public readonly record struct Amount(Dimension Dimension, double Value) : IFormattable
{
    public override string ToString() => ToString(null, CultureInfo.InvariantCulture);

    /// <summary>
    /// As people read it: <c>3</c>, <c>512 MiB</c>, <c>8 GiB</c>. The format is the number's; without one it keeps enough digits that two amounts which
    /// differ look different, so that no refusal says "8 asked for, 8 left".
    /// </summary>
    public string ToString(string? format, IFormatProvider? formatProvider)
    {
        var (value, unit) = Dimension switch
        {
            Dimension.MemoryMiB when Value >= 1024 => (Value / 1024, " GiB"),
            Dimension.MemoryMiB => (Value, " MiB"),
            Dimension.DiskGiB when Value >= 1024 => (Value / 1024, " TiB"),
            Dimension.DiskGiB => (Value, " GiB"),
            _ => (Value, ""),
        };
        return value.ToString(format ?? "0.####", formatProvider) + unit;
    }
}

/// <summary>One ledger line: so much, from (inclusive) to (exclusive; open while the end is unconfirmed).</summary>
public readonly record struct Hold(long Amount, Instant From, Instant? To);

public static class Peak
{
    /// <summary>
    /// The most that these holds add up to at any moment of [<paramref name="from"/>, <paramref name="to"/>), and the first such moment.
    /// Half-open: a hold that ends where another begins does not clash with it.
    /// </summary>
    public static (long Amount, Instant At) Of(IEnumerable<Hold> holds, Instant from, Instant? to)
    {
        var changes = new List<(Instant At, long Change)>();
        foreach (var hold in holds)
        {
            if (to is { } end && hold.From >= end) continue;
            if (hold.To is { } over && over <= from) continue;
            if (hold.To is { } empty && empty <= hold.From) continue;
            changes.Add((Instant.Max(hold.From, from), hold.Amount));
            if (hold.To is { } until) changes.Add((until, -hold.Amount));
        }

        // At the same instant what ends goes first.
        changes.Sort((a, b) => a.At != b.At ? a.At.CompareTo(b.At) : a.Change.CompareTo(b.Change));
        long sum = 0, most = 0;
        var at = from;
        foreach (var (when, change) in changes)
        {
            sum += change;
            if (sum > most) (most, at) = (sum, when);
        }

        return (most, at);
    }
}
