using NodaTime;

namespace LabPortal.Domain.Costs;

/// <summary>Money in millionths of a currency's unit (ISO 4217), as it is stored.</summary>
public readonly record struct Money(long Millionths, string Currency)
{
    public decimal Amount => Millionths / 1_000_000m;
}

/// <summary>
/// What a pool's machines cost: while running by processor and memory, and by disk as long as they exist. All per hour, in
/// <paramref name="Currency"/> (ISO 4217).
/// </summary>
public sealed record PriceList(string Currency, decimal CpuHour, decimal MemoryGiBHour, decimal DiskGiBHour)
{
    /// <summary>
    /// What machines of a size cost, as clouds bill them: the first that is large enough for a machine counts, in the place of processor and memory. One that none is
    /// large enough for is reckoned by processor and memory.
    /// </summary>
    public IReadOnlyList<SizePrice> Sizes { get; init; } = [];

    /// <summary>One hour of one machine, rounded half away from zero to a millionth.</summary>
    public Money Hour(int cpu, int memoryMiB, int diskGiB, bool running) => For(Duration.FromHours(1), cpu, memoryMiB, diskGiB, running);

    public Money For(Duration time, int cpu, int memoryMiB, int diskGiB, bool running)
    {
        var size = Sizes.FirstOrDefault(size => size.Cpu >= cpu && size.MemoryMiB >= memoryMiB);
        var machine = size is null ? running ? (cpu * CpuHour) + (memoryMiB / 1024m * MemoryGiBHour) : 0 : running ? size.RunningHour : size.StoppedHour;
        return new Money((long)Math.Round((machine + (diskGiB * DiskGiBHour)) * (decimal)time.TotalHours * 1_000_000m, MidpointRounding.AwayFromZero), Currency);
    }

    /// <summary>The same prices, however the lists are held.</summary>
    public bool Equals(PriceList? other)
        => other is not null && (Currency, CpuHour, MemoryGiBHour, DiskGiBHour) == (other.Currency, other.CpuHour, other.MemoryGiBHour, other.DiskGiBHour) && Sizes.SequenceEqual(other.Sizes);

    public override int GetHashCode() => HashCode.Combine(Currency, CpuHour, MemoryGiBHour, DiskGiBHour, Sizes.Count);
}

/// <summary>What a machine of this size costs for an hour while it runs, and while it is stopped; its disk comes on top of both. <paramref name="Size"/> is what the provider calls it.</summary>
public sealed record SizePrice(string Size, int Cpu, int MemoryMiB, decimal RunningHour, decimal StoppedHour);

/// <summary>From <paramref name="At"/> on this generation is in this state, of this size, in this pool. Append-only; intervals are derived.</summary>
public sealed record MeterEvent(MachineId Machine, int Generation, LabId Lab, TeamId Team, PoolId Pool, string State, int Cpu, int MemoryMiB, int DiskGiB, Instant At, Instant RecordedAt);
