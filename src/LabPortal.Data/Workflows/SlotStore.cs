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

public enum Taken
{
    All,

    /// <summary>Others have what there is.</summary>
    None,

    /// <summary>Another transaction decides about this pool right now.</summary>
    Busy,
}

/// <summary>How much of a pool is busy, over all nodes: rows that are counted under the pool row's lock.</summary>
public static class SlotStore
{
    private static readonly RowStatement s_release = new("DELETE FROM pool_slots WHERE (run_id, kind, target) IN (VALUES {rows})", "(@Run, @Kind, @Target)", adds: true);
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
        if (lacking.Exists(kind => taken.Count(slot => slot.Kind == kind.Word()) >= (kind == SlotKind.Operation ? locked.Limits.OperationsAtOnce : locked.Limits.BootsAtOnce))) return Taken.None;
        await session.ExecuteAsync(
            "INSERT INTO pool_slots (pool_id, kind, run_id, target, taken_at) VALUES (@pool, @Kind, @run, @target, @now)",
            lacking.Select(kind => new { pool, Kind = kind.Word(), run, target, now }).ToList());
        return Taken.All;
    }

    public static void Release(Session session, SlotKind kind, RunId run, string target) => session.Defer(s_release, run.ToString(), new { Run = run, Kind = kind.Word(), Target = target });

    public static void Clear(Session session, RunId run) => session.Defer(s_clear, run.ToString(), new { Run = run });

    public static Task<int> CountAsync(Session session, PoolId pool, SlotKind kind)
        => session.FindAsync<int>("SELECT count(*) FROM pool_slots WHERE pool_id = @pool AND kind = @Kind", new { pool, Kind = kind.Word() });

    private sealed class Row
    {
        public string Kind { get; init; } = "";
        public RunId Run { get; init; }
        public string Target { get; init; } = "";
    }
}
