using System.Text.Json.Nodes;
using LabPortal.Domain;
using LabPortal.Domain.Costs;
using LabPortal.Domain.Pools;
using NodaTime;

namespace LabPortal.Data.Pools;

/// <summary>Pools, and what their hosts were last seen to have.</summary>
public static class PoolStore
{
    /// <summary>Adds the pool, or changes the one of this id; its version rises with each change, so that open providers notice.</summary>
    public static async Task SaveAsync(Session session, Pool pool)
    {
        await session.ExecuteAsync("""
            INSERT INTO pools (id, name, provider, labels, settings, limits, overcommit, prices, mode, declared, account, version)
            VALUES (@Id, @Name, @Provider, @Labels, @Settings, @Limits, @Overcommit, @Prices, @Mode, @Declared, @Account, 1)
            ON CONFLICT (id) DO UPDATE SET name = excluded.name, provider = excluded.provider, labels = excluded.labels, settings = excluded.settings,
                limits = excluded.limits, overcommit = excluded.overcommit, prices = excluded.prices, mode = excluded.mode, declared = excluded.declared, account = excluded.account,
                version = pools.version + 1
            """,
            new
            {
                pool.Id,
                pool.Name,
                pool.Provider,
                Labels = StoredJson.Write(pool.Labels),
                Settings = pool.Settings.ToJsonString(),
                Limits = StoredJson.Write(pool.Limits),
                Overcommit = StoredJson.Write(pool.Overcommit),
                Prices = pool.Prices is null ? null : StoredJson.Write(pool.Prices),
                Mode = pool.Mode.Word(),
                pool.Declared,
                pool.Account,
            });
        await PoolSweepStore.SetAllDueAsync(session, pool.Id);
        session.Raise(Signal.Operations, "");
    }

    /// <summary>What an admin decided about taking machines. The version stays: the settings are the same.</summary>
    public static async Task SetModeAsync(Session session, PoolId id, PoolMode mode)
    {
        await session.ExecuteAsync("UPDATE pools SET mode = @Mode WHERE id = @id", new { id, Mode = mode.Word() });
        session.Raise(Signal.Operations, "");
    }

    public static async Task<Pool?> FindAsync(Session session, PoolId id) => (await ReadAsync(session, "WHERE id = @id", new { id })).SingleOrDefault();

    public static async Task<Pool?> FindAsync(Session session, string name) => (await ReadAsync(session, "WHERE name = @name", new { name })).SingleOrDefault();

    /// <summary>The pool with its row locked: capacity and slots of a pool are decided under this lock.</summary>
    public static async Task<Pool?> LockAsync(Session session, PoolId id)
        => (await ReadAsync(session, $"WHERE id = @id {session.Dialect.ForUpdate}", new { id })).SingleOrDefault();

    /// <summary>The same, or nothing where another transaction has it locked (or there is no such pool).</summary>
    public static async Task<Pool?> TryLockAsync(Session session, PoolId id)
        => (await ReadAsync(session, $"WHERE id = @id {session.Dialect.ForUpdateSkipLocked}", new { id })).SingleOrDefault();

    public static Task<IReadOnlyList<Pool>> ListAsync(Session session) => ReadAsync(session, "ORDER BY name", new { });

    /// <summary>What a check found. Not an edit: the version stays.</summary>
    public static async Task SetProblemsAsync(Session session, PoolId id, IReadOnlyList<PoolProblem> problems, Instant at)
    {
        await session.ExecuteAsync("UPDATE pools SET problems = @Problems, checked_at = @at WHERE id = @id", new { id, at, Problems = StoredJson.Write(problems) });
        session.Raise(Signal.Operations, "");
    }

    public static async Task SaveHostsAsync(Session session, PoolId id, IReadOnlyList<HostCapacity> hosts, Instant at)
    {
        var largest = await ListLargestDisksAsync(session);
        await session.ExecuteAsync("DELETE FROM pool_hosts WHERE pool_id = @id", new { id });
        await session.ExecuteAsync("""
            INSERT INTO pool_hosts (pool_id, host, cpu, memory_mib, disk_gib, disk_free_gib, largest_disk_gib, acceleration, problem, seen_at)
            VALUES (@id, @Host, @Cpu, @MemoryMiB, @DiskGiB, @DiskFreeGiB, @LargestDiskGiB, @Acceleration, @Problem, @at)
            """,
            hosts.Select(host => new
            {
                id,
                host.Host,
                host.Cpu,
                host.MemoryMiB,
                host.DiskGiB,
                host.DiskFreeGiB,
                LargestDiskGiB = Math.Max(host.DiskGiB, largest.GetValueOrDefault((id, host.Host))),
                host.Acceleration,
                host.Problem,
                at,
            }).ToList());
        session.Raise(Signal.Operations, "");
    }

    public static async Task<ILookup<PoolId, HostCapacity>> ListHostsAsync(Session session)
        => (await session.QueryAsync<HostRow>("SELECT pool_id AS pool, host, cpu, memory_mib, disk_gib, disk_free_gib, acceleration, problem FROM pool_hosts ORDER BY host"))
            .ToLookup(row => row.Pool, row => new HostCapacity(row.Host, row.Cpu, row.MemoryMiB, row.DiskGiB, row.DiskFreeGiB, row.Acceleration, row.Problem));

    /// <summary>The largest disk that each host has shown since the pool has it.</summary>
    public static async Task<IReadOnlyDictionary<(PoolId Pool, string Host), long>> ListLargestDisksAsync(Session session)
        => (await session.QueryAsync<HostRow>("SELECT pool_id AS pool, host, largest_disk_gib FROM pool_hosts")).ToDictionary(row => (row.Pool, row.Host), row => row.LargestDiskGiB);

    /// <summary>How many slots of each kind (<c>operation</c>, <c>boot</c>) are taken now, over all nodes.</summary>
    public static async Task<IReadOnlyDictionary<(PoolId Pool, string Kind), int>> ListBusyAsync(Session session)
        => (await session.QueryAsync<BusyRow>("SELECT pool_id AS pool, kind, count(*) AS taken FROM pool_slots GROUP BY pool_id, kind"))
            .ToDictionary(row => (row.Pool, row.Kind), row => (int)row.Taken);

    /// <summary>The machines that live on the pool, by lab.</summary>
    public static Task<IReadOnlyList<MachineOn>> MachinesOnAsync(Session session, PoolId pool) => session.QueryAsync<MachineOn>("""
        SELECT labs.id AS lab, labs.name AS lab_name, labs.state AS lab_state, labs.lease_end, teams.name AS team, people.name AS owner, machines.name AS machine, machines.state, machines.host
        FROM machines JOIN labs ON labs.id = machines.lab_id JOIN teams ON teams.id = labs.team_id JOIN people ON people.id = labs.owner_id
        WHERE machines.pool_id = @pool AND machines.state <> 'gone' AND labs.state NOT IN ('ended', 'failed') ORDER BY labs.id, machines.position
        """, new { pool });

    private static async Task<IReadOnlyList<Pool>> ReadAsync(Session session, string tail, object parameters)
        => [.. (await session.QueryAsync<Row>(
            $"""
            SELECT id, name, provider, labels, settings, limits, overcommit, prices, mode, problems, checked_at, declared, account, version,
                (SELECT faults FROM pool_breakers WHERE pool_id = id AND open_until IS NOT NULL) AS breaker_faults,
                (SELECT open_until FROM pool_breakers WHERE pool_id = id) AS breaker_until, (SELECT why FROM pool_breakers WHERE pool_id = id) AS breaker_why
            FROM pools {tail}
            """, parameters))
            .Select(row => new Pool
            {
                Id = row.Id,
                Name = row.Name,
                Provider = row.Provider,
                Labels = StoredJson.Read<string[]>(row.Labels),
                Settings = JsonNode.Parse(row.Settings)!.AsObject(),
                Limits = StoredJson.Read<PoolLimits>(row.Limits),
                Overcommit = StoredJson.Read<Overcommit>(row.Overcommit),
                Prices = StoredJson.ReadOrDefault<PriceList>(row.Prices),
                Mode = Words.Read<PoolMode>(row.Mode),
                Problems = row.BreakerFaults is { } faults
                    ? [.. StoredJson.Read<PoolProblem[]>(row.Problems), new PoolBreaker(faults, row.BreakerUntil!.Value, row.BreakerWhy ?? "").Problem]
                    : StoredJson.Read<PoolProblem[]>(row.Problems),
                CheckedAt = row.CheckedAt,
                Declared = row.Declared,
                Account = row.Account,
                Version = row.Version,
            })];

    private sealed class BusyRow
    {
        public PoolId Pool { get; init; }
        public string Kind { get; init; } = "";
        public long Taken { get; init; }
    }

    private sealed class HostRow
    {
        public PoolId Pool { get; init; }
        public string Host { get; init; } = "";
        public int Cpu { get; init; }
        public long MemoryMiB { get; init; }
        public long DiskGiB { get; init; }
        public long DiskFreeGiB { get; init; }
        public long LargestDiskGiB { get; init; }
        public string? Acceleration { get; init; }
        public string? Problem { get; init; }
    }

    private sealed class Row
    {
        public PoolId Id { get; init; }
        public string Name { get; init; } = "";
        public string Provider { get; init; } = "";
        public string Labels { get; init; } = "";
        public string Settings { get; init; } = "";
        public string Limits { get; init; } = "";
        public string Overcommit { get; init; } = "";
        public string? Prices { get; init; }
        public string Mode { get; init; } = "";
        public string Problems { get; init; } = "";
        public Instant? CheckedAt { get; init; }
        public bool Declared { get; init; }
        public string? Account { get; init; }
        public int Version { get; init; }
        public int? BreakerFaults { get; init; }
        public Instant? BreakerUntil { get; init; }
        public string? BreakerWhy { get; init; }
    }
}

/// <summary>A machine that lives on a pool, and whose it is.</summary>
public sealed class MachineOn
{
    public LabId Lab { get; init; }
    public string LabName { get; init; } = "";
    public string LabState { get; init; } = "";
    public Instant? LeaseEnd { get; init; }
    public string Team { get; init; } = "";
    public string Owner { get; init; } = "";
    public string Machine { get; init; } = "";
    public string State { get; init; } = "";
    public string? Host { get; init; }
}
