using LabPortal.Domain;
using NodaTime;

namespace LabPortal.Data.Machines;

/// <summary>One generation of a machine, where it was placed; held until it is confirmed gone.</summary>
public sealed record PlacedGeneration(int Generation, PoolId Pool, string? Host, Instant At, bool Held);

/// <summary>Where a machine's generations were placed: as long as a capacity hold is open, something of that generation may exist.</summary>
public static class GenerationStore
{
    public static async Task<IReadOnlyList<PlacedGeneration>> ListAsync(Session session, MachineId machine)
        => [.. (await session.QueryAsync<Row>("""
            SELECT generation, pool_id AS pool, host, from_at AS at, CASE WHEN to_at IS NULL THEN 1 ELSE 0 END AS held FROM capacity_holds WHERE machine_id = @machine ORDER BY generation
            """, new { machine })).Select(row => new PlacedGeneration(row.Generation, row.Pool, row.Host.Length == 0 ? null : row.Host, row.At, row.Held == 1))];

    private sealed class Row
    {
        public int Generation { get; init; }
        public PoolId Pool { get; init; }
        public string Host { get; init; } = "";
        public Instant At { get; init; }
        public int Held { get; init; }
    }
}
