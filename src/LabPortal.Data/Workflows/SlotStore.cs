using LabPortal.Data.Pools;
using LabPortal.Domain;
using LabPortal.Domain.Pools;
using NodaTime;

namespace LabPortal.Data.Workflows;

public enum SlotKind
{
    /// <summary>Something is being made or removed.</summary>
    Operation,

    /// <summary>A guest was started, or is made by a provider that starts it, and has no address yet.</summary>
    Boot,
}

/// <summary>
/// One kind of slots of one pool, or of one host of it: what a run can wait for, alone or <paramref name="WithMore"/>: a slot of another kind at the same time.
/// </summary>
public readonly record struct PoolSlot(PoolId Pool, SlotKind Kind, bool WithMore = false, string? Host = null)
{
    public override string ToString() => $"{Pool}/{Kind.Word()}{(WithMore ? "+" : "")}{(Host is null ? "" : $"@{Host}")}";
}

/// <summary>
/// What came of taking slots; <see cref="Lacks"/> where others have all that there are, or it <see cref="Yields"/> what is free to a team with fewer, or
/// nothing begins on the pool now (<see cref="Closed"/>).
/// </summary>
public readonly record struct Taken(bool Given, PoolSlot? Lacks, bool Yields = false, GateClosed? Closed = null)
{
    public static readonly Taken All = new(true, null);

    /// <summary>Another transaction decides about this pool right now.</summary>
    public static readonly Taken Busy;
}

/// <summary>A slot that a run has: for which machine, on which host, since when.</summary>
public sealed class SlotTaken
{
    public string Kind { get; init; } = "";
    public RunId Run { get; init; }
    public string Workflow { get; init; } = "";
    public LabId Lab { get; init; }
    public string LabName { get; init; } = "";
    public string Team { get; init; } = "";
    public string? Machine { get; init; }
    public string? Host { get; init; }
    public Instant TakenAt { get; init; }
}

/// <summary>How much of a pool is busy, over all nodes: rows that are counted under the pool row's lock.</summary>
public static class SlotStore
{
    /// <summary>So long a run that was woken, and that nobody claims, is still thought to come.</summary>
    private static readonly Duration s_comes = Duration.FromSeconds(2);

    /// <summary>
    /// The target has all these slots, now or already; otherwise it was given none of those that it lacked. Waits for nobody: whoever takes slots
    /// holds other locks. What is free is left to waiting runs of teams that have fewer slots of the pool: else who frees a slot would always be the first
    /// to take it again.
    /// </summary>
    public static async Task<Taken> TryTakeAsync(Session session, PoolId pool, IReadOnlyList<SlotKind> kinds, RunId run, string target, Instant now, string? host = null)
    {
        if (kinds.Count == 0) return Taken.All;
        if (await PoolStore.TryLockAsync(session, pool) is not { } locked) return await PoolStore.FindAsync(session, pool) is null ? Taken.All : Taken.Busy;
        var (taken, waiting, team) = await session.QueryManyAsync(
            $"""
            SELECT kind, run_id AS run, target, team_id AS team, machines.host FROM pool_slots LEFT JOIN runs ON runs.id = run_id LEFT JOIN machines ON machines.id = target WHERE pool_slots.pool_id = @pool;
            SELECT waits_for AS slot, team_id AS team, count(*) AS number, sum(CASE WHEN due_at <= @now THEN 1 ELSE 0 END) AS awake FROM runs
            WHERE {session.Dialect.AnyOf("waits_for", "slots")} AND worker IS NULL AND state IN ('running', 'undoing') AND due_at > @lately GROUP BY waits_for, team_id;
            SELECT team_id FROM runs WHERE id = @run
            """,
            new { pool, run, now, lately = now - s_comes, slots = Many.Of(kinds.SelectMany(kind => Names(pool, kind, host))) },
            async rows => ((await rows.ReadAsync<Row>()).ToList(), (await rows.ReadAsync<Waiting>()).ToList(), await rows.ReadSingleOrDefaultAsync<string>()));
        var lacking = kinds.Where(kind => !taken.Any(slot => slot.Kind == kind.Word() && slot.Run == run && slot.Target == target)).ToList();
        var full = lacking.FindAll(kind => FreeOf(kind) <= 0);
        // It waits for one of them; boots are held the longest.
        if (full is [.., var last])
        {
            foreach (var left in lacking.Except(full).Select(kind => new PoolSlot(pool, kind)))
            {
                if (waiting.Any(row => row.Slot == left.ToString() && row.Number > row.Awake)) Wakes(session, now).Leave(left);
            }

            return new Taken(false, new PoolSlot(pool, last, lacking.Count > 1, FreeInPool(last) > 0 ? host : null));
        }

        var yields = lacking.FindAll(kind => WaitingFor(kind).Where(row => SlotsOf(row.Team) < SlotsOf(team)).Sum(row => row.Number) >= FreeOf(kind));
        if (yields is [.., var yielded])
        {
            foreach (var kind in yields) Wakes(session, now).AtLeast(new PoolSlot(pool, kind), FreeOf(kind) - (int)WaitingFor(kind).Sum(row => row.Awake));
            return new Taken(false, new PoolSlot(pool, yielded, lacking.Count > 1), Yields: true);
        }

        // What it has already it goes on with.
        if (lacking.Count == kinds.Count && await GateStore.TryPassAsync(session, locked, now) is { } closed) return new Taken(false, new PoolSlot(pool, lacking[^1], lacking.Count > 1), Closed: closed);
        await session.ExecuteAsync(
            "INSERT INTO pool_slots (pool_id, kind, run_id, target, taken_at) VALUES (@pool, @Kind, @run, @target, @now)",
            lacking.Select(kind => new { pool, Kind = kind.Word(), run, target, now }).ToList());
        foreach (var kind in lacking) Wakes(session, now).Took(new PoolSlot(pool, kind));
        return Taken.All;

        int FreeInPool(SlotKind kind) => Most(locked.Limits, kind) - taken.Count(slot => slot.Kind == kind.Word());

        int FreeOf(SlotKind kind) => kind != SlotKind.Operation || host is null || locked.Limits.OperationsPerHost <= 0 ? FreeInPool(kind)
            : Math.Min(FreeInPool(kind), locked.Limits.OperationsPerHost - taken.Count(slot => slot.Kind == kind.Word() && slot.Host == host));

        int SlotsOf(string? team) => taken.Count(slot => slot.Team == team);

        IEnumerable<Waiting> WaitingFor(SlotKind kind) => waiting.Where(row => Names(pool, kind, host).Contains(row.Slot));
    }

    /// <summary>Whoever waits for one of these is helped by a free slot on this host.</summary>
    private static IEnumerable<string> Names(PoolId pool, SlotKind kind, string? host)
    {
        foreach (var more in new[] { false, true })
        {
            yield return new PoolSlot(pool, kind, more).ToString();
            if (host is not null && kind == SlotKind.Operation) yield return new PoolSlot(pool, kind, more, host).ToString();
        }
    }

    /// <summary>Gives back those of these slots that the target has; who waits for one is woken when the transaction is done.</summary>
    public static Task ReleaseAsync(Session session, IReadOnlyList<SlotKind> kinds, RunId run, string target, Instant now)
        => FreeAsync(session, $"run_id = @run AND target = @target AND {session.Dialect.AnyOf("kind", "kinds")}", new { run, target, kinds = Many.Of(kinds.Select(kind => kind.Word())) }, now);

    /// <summary>The same for all slots of the run.</summary>
    public static Task FreeAsync(Session session, RunId run, Instant now) => FreeAsync(session, "run_id = @run", new { run }, now);

    /// <summary>The pool may do more at once than before: who waits for that is woken when the transaction is done.</summary>
    public static void Widen(Session session, PoolId pool, PoolLimits before, PoolLimits after, Instant now)
    {
        foreach (var kind in Enum.GetValues<SlotKind>()) Wakes(session, now).AtLeast(new PoolSlot(pool, kind), Most(after, kind) - Most(before, kind));
    }

    /// <summary>The pool takes operations again: as many as it may do at once are woken.</summary>
    public static async Task ReopenAsync(Session session, PoolId id, Instant now)
    {
        if (await PoolStore.FindAsync(session, id) is { } pool) Widen(session, id, new PoolLimits(0, 0), pool.Limits, now);
    }

    private static int Most(PoolLimits limits, SlotKind kind) => kind == SlotKind.Operation ? limits.OperationsAtOnce : limits.BootsAtOnce;

    private static async Task FreeAsync(Session session, string which, object parameters, Instant now)
    {
        foreach (var row in await session.QueryAsync<Freed>($"DELETE FROM pool_slots WHERE {which} RETURNING pool_id AS pool, kind, (SELECT host FROM machines WHERE machines.id = target) AS host", parameters))
            Wakes(session, now).Free(new PoolSlot(row.Pool, Words.Read<SlotKind>(row.Kind)), row.Host);
    }

    private static Waking Wakes(Session session, Instant now)
    {
        var waking = session.AtLast(typeof(Waking), () => new Waking());
        waking.Now = now;
        return waking;
    }

    /// <summary>
    /// For each slot that the transaction leaves free, a run that was given back until there is one is due at once: of the team that has the fewest slots of
    /// the pool, the oldest. It waits on until it is claimed, so that nobody of a team with more takes the slot before. Waits for nobody, and so passes over
    /// one that is being claimed or given back right now: runs look again by themselves. They are runs of other labs, whose locks the transaction has not:
    /// therefore at its end.
    /// </summary>
    private sealed class Waking : ILast
    {
        private readonly Dictionary<PoolSlot, int> _free = [];
        private readonly HashSet<PoolSlot> _left = [];
        private readonly Dictionary<PoolSlot, HashSet<string>> _hosts = [];

        public Instant Now { get; set; }

        public void Free(PoolSlot slot, string? host)
        {
            _free[slot] = _free.GetValueOrDefault(slot) + 1;
            if (host is null) return;
            if (!_hosts.TryGetValue(slot, out var hosts)) _hosts[slot] = hosts = [];
            hosts.Add(host);
        }

        public void Took(PoolSlot slot) => _free[slot] = Math.Max(0, _free.GetValueOrDefault(slot) - 1);

        public void AtLeast(PoolSlot slot, int free) => _free[slot] = Math.Max(free, _free.GetValueOrDefault(slot));

        /// <summary>It is free, and who left it lacks a slot of another kind: so would all who need both.</summary>
        public void Leave(PoolSlot slot) => _left.Add(slot);

        public async Task DoAsync(Session session)
        {
            var woken = 0;
            foreach (var (slot, slots) in _free.Where(one => one.Value > 0)) woken += await WakeAsync(session, slot, [.. Names(slot.Pool, slot.Kind, null), .. HostsOf(slot).SelectMany(host => Names(slot.Pool, slot.Kind, host))], slots);
            foreach (var slot in _left) woken += await WakeAsync(session, slot, [slot.ToString()], 1);
            if (woken > 0) session.Raise(Signal.Runs, "");
        }

        private IEnumerable<string> HostsOf(PoolSlot slot) => _hosts.GetValueOrDefault(slot) ?? [];

        private Task<int> WakeAsync(Session session, PoolSlot slot, IEnumerable<string> names, int slots) => session.ExecuteAsync($"""
            WITH waiting AS MATERIALIZED (
                SELECT id AS waiting_id FROM runs WHERE {session.Dialect.AnyOf("waits_for", "names")} AND worker IS NULL AND state IN ('running', 'undoing') AND due_at > @Now
                ORDER BY (SELECT count(*) FROM pool_slots JOIN runs AS holder ON holder.id = pool_slots.run_id WHERE pool_slots.pool_id = @Pool AND holder.team_id = runs.team_id), id
                LIMIT @slots {session.Dialect.ForUpdateSkipLocked})
            UPDATE runs SET due_at = @Now FROM waiting WHERE id = waiting_id
            """, new { names = Many.Of(names.Distinct()), slot.Pool, slots, Now });
    }

    public static Task<int> CountAsync(Session session, PoolId pool, SlotKind kind)
        => session.FindAsync<int>("SELECT count(*) FROM pool_slots WHERE pool_id = @pool AND kind = @Kind", new { pool, Kind = kind.Word() });

    /// <summary>The slots of a pool that are taken now, the longest taken first.</summary>
    public static Task<IReadOnlyList<SlotTaken>> ListAsync(Session session, PoolId pool) => session.QueryAsync<SlotTaken>("""
        SELECT pool_slots.kind, pool_slots.run_id AS run, runs.workflow, runs.lab_id AS lab, labs.name AS lab_name, teams.name AS team, machines.name AS machine, machines.host, pool_slots.taken_at
        FROM pool_slots JOIN runs ON runs.id = pool_slots.run_id JOIN labs ON labs.id = runs.lab_id JOIN teams ON teams.id = runs.team_id
            LEFT JOIN machines ON machines.id = pool_slots.target
        WHERE pool_slots.pool_id = @pool ORDER BY pool_slots.taken_at, pool_slots.kind
        """, new { pool });

    private sealed class Freed
    {
        public PoolId Pool { get; init; }
        public string Kind { get; init; } = "";
        public string? Host { get; init; }
    }

    private sealed class Row
    {
        public string Kind { get; init; } = "";
        public RunId Run { get; init; }
        public string Target { get; init; } = "";
        public string? Team { get; init; }
        public string? Host { get; init; }
    }

    private sealed class Waiting
    {
        public string Slot { get; init; } = "";
        public string? Team { get; init; }
        public long Number { get; init; }
        public long Awake { get; init; }
    }
}
