using LabPortal.Data.Pools;
using LabPortal.Domain.Pools;
using NodaTime;

namespace LabPortal.Data.Telemetry;

/// <summary>What the whole installation looks like at one moment, in numbers.</summary>
public sealed record Reading
{
    /// <summary>Live runs by workflow and state.</summary>
    public required IReadOnlyDictionary<(string Workflow, string State), long> Runs { get; init; }
    public required long DueRuns { get; init; }

    /// <summary>Since when the longest due run is due that nobody turns.</summary>
    public required Instant? OldestDue { get; init; }

    /// <summary>Labs that are not over, by state.</summary>
    public required IReadOnlyDictionary<string, long> Labs { get; init; }

    /// <summary>Since when the clock should have looked at a lab.</summary>
    public required Instant? OldestLook { get; init; }
    public required IReadOnlyList<Pool> Pools { get; init; }
    public required ILookup<string, HostCapacity> Hosts { get; init; }
    public required IReadOnlyDictionary<(string Pool, string Kind), int> Slots { get; init; }

    /// <summary>Orphans that are still there, by pool.</summary>
    public required IReadOnlyDictionary<string, long> Orphans { get; init; }
}

/// <summary>A few small statements, each over an index: rows of what is over are not counted.</summary>
public static class ReadingStore
{
    public static async Task<Reading> ReadAsync(Session session, Instant now)
    {
        var due = (await session.QueryAsync<DueRow>(
            "SELECT count(*) AS amount, min(due_at) AS oldest FROM runs WHERE state IN ('running', 'undoing') AND worker IS NULL AND due_at <= @now", new { now }))[0];
        var pools = await PoolStore.ListAsync(session);
        var names = pools.ToDictionary(pool => pool.Id, pool => pool.Name);
        return new Reading
        {
            Runs = (await session.QueryAsync<CountRow>("SELECT workflow AS word, state AS more, count(*) AS amount FROM runs WHERE state IN ('running', 'undoing', 'stuck') GROUP BY workflow, state"))
                .ToDictionary(row => (row.Word, row.More), row => row.Amount),
            DueRuns = due.Amount,
            OldestDue = due.Oldest,
            Labs = (await session.QueryAsync<CountRow>("""
                SELECT state AS word, count(*) AS amount FROM labs
                WHERE state IN ('requested', 'awaiting-approval', 'scheduled', 'provisioning', 'ready', 'stopped', 'grace', 'ending') GROUP BY state
                """)).ToDictionary(row => row.Word, row => row.Amount),
            OldestLook = await session.FindAsync<Instant?>("SELECT min(next_at) FROM labs WHERE next_at <= @now", new { now }),
            Pools = pools,
            Hosts = (await PoolStore.ListHostsAsync(session)).Where(hosts => names.ContainsKey(hosts.Key))
                .SelectMany(hosts => hosts.Select(host => (Pool: names[hosts.Key], Host: host))).ToLookup(one => one.Pool, one => one.Host),
            Slots = (await PoolStore.ListBusyAsync(session)).Where(slots => names.ContainsKey(slots.Key.Pool)).ToDictionary(slots => (names[slots.Key.Pool], slots.Key.Kind), slots => slots.Value),
            Orphans = (await session.QueryAsync<CountRow>("""
                SELECT pools.name AS word, count(*) AS amount FROM orphans JOIN pools ON pools.id = orphans.pool_id WHERE orphans.state IN ('listed', 'deleting') GROUP BY pools.name
                """)).ToDictionary(row => row.Word, row => row.Amount),
        };
    }

    private sealed class CountRow
    {
        public string Word { get; init; } = "";
        public string More { get; init; } = "";
        public long Amount { get; init; }
    }

    private sealed class DueRow
    {
        public long Amount { get; init; }
        public Instant? Oldest { get; init; }
    }
}
