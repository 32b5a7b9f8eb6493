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
    /// <summary>One hour of one machine, rounded half away from zero to a millionth.</summary>
    public Money Hour(int cpu, int memoryMiB, int diskGiB, bool running)
    {
        var price = (diskGiB * DiskGiBHour) + (running ? (cpu * CpuHour) + (memoryMiB / 1024m * MemoryGiBHour) : 0);
        return new Money((long)Math.Round(price * 1_000_000m, MidpointRounding.AwayFromZero), Currency);
    }

    public Money For(Duration time, int cpu, int memoryMiB, int diskGiB, bool running)
    {
        var hour = (diskGiB * DiskGiBHour) + (running ? (cpu * CpuHour) + (memoryMiB / 1024m * MemoryGiBHour) : 0);
        return new Money((long)Math.Round(hour * (decimal)time.TotalHours * 1_000_000m, MidpointRounding.AwayFromZero), Currency);
    }
}

/// <summary>From <paramref name="At"/> on this generation is in this state, of this size, in this pool. Append-only; intervals are derived.</summary>
public sealed record MeterEvent(MachineId Machine, int Generation, LabId Lab, TeamId Team, PoolId Pool, string State, int Cpu, int MemoryMiB, int DiskGiB, Instant At, Instant RecordedAt);
