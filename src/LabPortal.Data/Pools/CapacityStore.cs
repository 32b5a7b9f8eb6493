using LabPortal.Domain;
using NodaTime;

namespace LabPortal.Data.Pools;

/// <summary>So much of a host is promised: to machines, and of its disk to their snapshots and to warm states. <paramref name="Host"/> is empty in a pool that has no hosts to choose from.</summary>
public sealed record Held(PoolId Pool, string Host, long Cpu, long MemoryMiB, long DiskGiB, int Machines);

/// <summary>Where a generation of a machine was placed, and why.</summary>
public sealed record StoredPlacement(PoolId Pool, string? Host, string Why);

/// <summary>Placements and the capacity that they hold.</summary>
public static class CapacityStore
{
    /// <summary>Takes the capacity and writes the explanation. The caller has the pool's row locked.</summary>
    public static async Task HoldAsync(Session session, MachineId machine, int generation, StoredPlacement placement, int cpu, int memoryMiB, int diskGiB, Instant now)
    {
        await session.ExecuteAsync(
            "INSERT INTO placements (machine_id, generation, pool_id, host, why, at) VALUES (@machine, @generation, @Pool, @Host, @Why, @now)",
            new { machine, generation, placement.Pool, placement.Host, placement.Why, now });
        await session.ExecuteAsync("""
            INSERT INTO capacity_holds (machine_id, generation, pool_id, host, cpu, memory_mib, disk_gib, from_at)
            VALUES (@machine, @generation, @Pool, @Host, @cpu, @memoryMiB, @diskGiB, @now)
            """,
            new { machine, generation, placement.Pool, Host = placement.Host ?? "", cpu, memoryMiB, diskGiB, now });
        session.Raise(Signal.Operations, "");
    }

    public static async Task ReleaseAsync(Session session, MachineId machine, int generation, Instant now)
    {
        var released = await session.ExecuteAsync(
            "UPDATE capacity_holds SET to_at = @now WHERE machine_id = @machine AND generation = @generation AND to_at IS NULL", new { machine, generation, now });
        if (released > 0) session.Raise(Signal.Operations, "");
    }

    public static async Task<StoredPlacement?> FindPlacementAsync(Session session, MachineId machine, int generation)
        => await session.FindAsync<PlacementRow>(
            "SELECT pool_id AS pool, host, why FROM placements WHERE machine_id = @machine AND generation = @generation", new { machine, generation }) is { } row
            ? new StoredPlacement(row.Pool, row.Host, row.Why)
            : null;

    /// <summary>What is held now, for each host of each pool.</summary>
    public static async Task<IReadOnlyList<Held>> ListHeldAsync(Session session)
        => [.. (await session.QueryAsync<HeldRow>("""
            SELECT pool_id AS pool, host, CAST(sum(cpu) AS bigint) AS cpu, CAST(sum(memory_mib) AS bigint) AS memory_mib, CAST(sum(disk_gib) AS bigint) AS disk_gib,
                CAST(sum(machines) AS bigint) AS machines
            FROM (
                SELECT pool_id, host, cpu, memory_mib, disk_gib, 1 AS machines FROM capacity_holds WHERE to_at IS NULL
                UNION ALL
                SELECT holds.pool_id, holds.host, 0, 0, items.room_gib, 0 FROM snapshot_items items
                    JOIN capacity_holds holds ON holds.machine_id = items.machine_id AND holds.generation = items.generation
                    WHERE holds.to_at IS NULL AND items.state <> 'gone'
                UNION ALL
                SELECT pool_id, host, 0, 0, disk_gib, 0 FROM warm_holds
            ) held GROUP BY pool_id, host
            """)).Select(row => new Held(row.Pool, row.Host, row.Cpu, row.MemoryMib, row.DiskGib, (int)row.Machines))];

    /// <summary>Locks these pools' rows in one order that is the same for everybody, so that two who place never wait for each other in a circle.</summary>
    public static async Task LockPoolsAsync(Session session, IEnumerable<PoolId> pools)
    {
        foreach (var id in pools.Distinct().OrderBy(pool => pool.ToString(), StringComparer.Ordinal))
            await session.FindAsync<string>($"SELECT id FROM pools WHERE id = @id {session.Dialect.ForUpdate}", new { id });
    }

    /// <summary>The pool in which the lab's other machines are or are being built, if they are in one.</summary>
    public static async Task<PoolId?> PoolOfLabAsync(Session session, LabId lab, MachineId except)
    {
        var pools = await session.QueryAsync<PoolId>("""
            SELECT DISTINCT holds.pool_id FROM capacity_holds holds JOIN machines ON machines.id = holds.machine_id
            WHERE machines.lab_id = @lab AND machines.id <> @except AND holds.to_at IS NULL
            """, new { lab, except });
        return pools is [var only] ? only : null;
    }

    /// <summary>Where a lab was placed whose networks keep its machines on one host; empty where it was not yet.</summary>
    public static async Task<StoredPlacement?> PlaceOfLabAsync(Session session, LabId lab)
        => await session.FindAsync<PlacementRow>("""
            SELECT placements.pool_id AS pool, placements.host, placements.why FROM placements JOIN machines ON machines.id = placements.machine_id
            WHERE machines.lab_id = @lab ORDER BY placements.at, machines.position LIMIT 1
            """, new { lab }) is { } row
            ? new StoredPlacement(row.Pool, row.Host, row.Why)
            : null;

    private sealed class PlacementRow
    {
        public PoolId Pool { get; init; }
        public string? Host { get; init; }
        public string Why { get; init; } = "";
    }

    private sealed class HeldRow
    {
        public PoolId Pool { get; init; }
        public string Host { get; init; } = "";
        public long Cpu { get; init; }
        public long MemoryMib { get; init; }
        public long DiskGib { get; init; }
        public long Machines { get; init; }
    }
}
