using LabPortal.Data.Pools;
using LabPortal.Domain;
using NodaTime;

namespace LabPortal.Data.Workflows;

public enum SlotKind
{
    /// <summary>Something is being made or removed.</summary>
    Operation,

    /// <summary>A guest was started, or is made by a provider that starts it, and has no address yet.</summary>
    Boot,
}

/// <summary>One kind of slots of one pool: what a run can wait for.</summary>
public readonly record struct PoolSlot(PoolId Pool, SlotKind Kind)
{
    public override string ToString() => $"{Pool}/{Kind.Word()}";
}

/// <summary>What came of taking slots; <see cref="Lacks"/> where others have all that there are.</summary>
public readonly record struct Taken(bool Given, PoolSlot? Lacks)
{
    public static readonly Taken All = new(true, null);

    /// <summary>Another transaction decides about this pool right now.</summary>
    public static readonly Taken Busy;
}

/// <summary>How much of a pool is busy, over all nodes: rows that are counted under the pool row's lock.</summary>
public static class SlotStore
{
    private static readonly RowStatement s_clear = new("DELETE FROM pool_slots WHERE run_id IN (VALUES {rows})", "(@Run)", adds: true);

    /// <summary>
    /// The target has all these slots, now or already; otherwise it was given none of those that it lacked. Waits for nobody: whoever takes slots
    /// holds other locks.
    /// </summary>
    public static async Task<Taken> TryTakeAsync(Session session, PoolId pool, IReadOnlyList<SlotKind> kinds, RunId run, string target, Instant now)
    {
        if (kinds.Count == 0) return Taken.All;
        if (await PoolStore.TryLockAsync(session, pool) is not { } locked) return await PoolStore.FindAsync(session, pool) is null ? Taken.All : Taken.Busy;
        var taken = await session.QueryAsync<Row>("SELECT kind, run_id AS run, target FROM pool_slots WHERE pool_id = @pool", new { pool });
        var lacking = kinds.Where(kind => !taken.Any(slot => slot.Kind == kind.Word() && slot.Run == run && slot.Target == target)).ToList();
        var full = lacking.FindAll(kind => taken.Count(slot => slot.Kind == kind.Word()) >= (kind == SlotKind.Operation ? locked.Limits.OperationsAtOnce : locked.Limits.BootsAtOnce));
        // It waits for one of them; boots are held the longest.
        if (full is [.., var last]) return new Taken(false, new PoolSlot(pool, last));
        await session.ExecuteAsync(
            "INSERT INTO pool_slots (pool_id, kind, run_id, target, taken_at) VALUES (@pool, @Kind, @run, @target, @now)",
            lacking.Select(kind => new { pool, Kind = kind.Word(), run, target, now }).ToList());
        return Taken.All;
    }

    /// <summary>Gives back those of these slots that the target has; who waits for one is woken when the transaction is done.</summary>
    public static Task ReleaseAsync(Session session, IReadOnlyList<SlotKind> kinds, RunId run, string target, Instant now)
        => FreeAsync(session, $"run_id = @run AND target = @target AND {session.Dialect.AnyOf("kind", "kinds")}", new { run, target, kinds = Many.Of(kinds.Select(kind => kind.Word())) }, now);

    /// <summary>The same for all slots of the run.</summary>
    public static Task FreeAsync(Session session, RunId run, Instant now) => FreeAsync(session, "run_id = @run", new { run }, now);

    /// <summary>The same for the last of a run, that hardly ever has one left: nobody is woken.</summary>
    public static void Clear(Session session, RunId run) => session.Defer(s_clear, run.ToString(), new { Run = run });

    private static async Task FreeAsync(Session session, string which, object parameters, Instant now)
    {
        foreach (var row in await session.QueryAsync<Freed>($"DELETE FROM pool_slots WHERE {which} RETURNING pool_id AS pool, kind", parameters))
            session.AtLast(typeof(Waking), () => new Waking()).Add(new PoolSlot(row.Pool, Words.Read<SlotKind>(row.Kind)), now);
    }

    /// <summary>
    /// For each slot that became free, a run that was given back until there is one is due at once: of the team that has the fewest slots of
    /// the pool, the oldest. Waits for nobody, and so passes over one that is being claimed or given back right now: runs look again by themselves.
    /// They are runs of other labs, whose locks the transaction has not: therefore at its end.
    /// </summary>
    private sealed class Waking : ILast
    {
        private readonly Dictionary<PoolSlot, int> _slots = [];
        private Instant _now;

        public void Add(PoolSlot slot, Instant now)
        {
            _slots[slot] = _slots.GetValueOrDefault(slot) + 1;
            _now = now;
        }

        public async Task DoAsync(Session session)
        {
            var woken = 0;
            foreach (var (slot, slots) in _slots)
            {
                woken += await session.ExecuteAsync($"""
                    WITH waiting AS MATERIALIZED (
                        SELECT id AS waiting_id FROM runs WHERE waits_for = @For AND worker IS NULL AND state IN ('running', 'undoing')
                        ORDER BY (SELECT count(*) FROM pool_slots JOIN runs AS holder ON holder.id = pool_slots.run_id WHERE pool_slots.pool_id = @Pool AND holder.team_id = runs.team_id), id
                        LIMIT @slots {session.Dialect.ForUpdateSkipLocked})
                    UPDATE runs SET due_at = @now, waits_for = NULL FROM waiting WHERE id = waiting_id
                    """, new { For = slot.ToString(), slot.Pool, slots, now = _now });
            }

            if (woken > 0) session.Raise(Signal.Runs, "");
        }
    }

    public static Task<int> CountAsync(Session session, PoolId pool, SlotKind kind)
        => session.FindAsync<int>("SELECT count(*) FROM pool_slots WHERE pool_id = @pool AND kind = @Kind", new { pool, Kind = kind.Word() });

    private sealed class Freed
    {
        public PoolId Pool { get; init; }
        public string Kind { get; init; } = "";
    }

    private sealed class Row
    {
        public string Kind { get; init; } = "";
        public RunId Run { get; init; }
        public string Target { get; init; } = "";
    }
}
