using LabPortal.Domain;
using NodaTime;

namespace LabPortal.Data.Pools;

/// <summary>
/// When each sweep looks at each pool next. Taking a pool moves that moment in one statement, so that of several nodes only one has it;
/// a pass ends before the moment comes again.
/// </summary>
public static class PoolSweepStore
{
    /// <summary>The pools that are due, without taking them.</summary>
    public static Task<IReadOnlyList<PoolId>> DueAsync(Session session, string sweep, Instant now) => session.QueryAsync<PoolId>("""
        SELECT pools.id FROM pools LEFT JOIN pool_sweeps sweeps ON sweeps.pool_id = pools.id AND sweeps.sweep = @sweep
        WHERE sweeps.due_at IS NULL OR sweeps.due_at <= @now ORDER BY pools.id
        """, new { sweep, now });

    /// <summary>True where the caller has the pool until <paramref name="next"/>.</summary>
    public static async Task<bool> TakeAsync(Session session, string sweep, PoolId pool, Instant now, Instant next) => await session.ExecuteAsync("""
        INSERT INTO pool_sweeps (pool_id, sweep, due_at) VALUES (@pool, @sweep, @next)
        ON CONFLICT (pool_id, sweep) DO UPDATE SET due_at = excluded.due_at WHERE pool_sweeps.due_at <= @now
        """, new { sweep, pool, now, next }) == 1;

    /// <summary>Sooner or later than usual.</summary>
    public static Task SetDueAsync(Session session, string sweep, PoolId pool, Instant due)
        => session.ExecuteAsync("UPDATE pool_sweeps SET due_at = @due WHERE pool_id = @pool AND sweep = @sweep", new { sweep, pool, due });

    /// <summary>All sweeps look at this pool at once.</summary>
    public static Task SetAllDueAsync(Session session, PoolId pool)
        => session.ExecuteAsync("DELETE FROM pool_sweeps WHERE pool_id = @pool", new { pool });
}
