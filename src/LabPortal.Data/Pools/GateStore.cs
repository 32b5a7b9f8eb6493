using LabPortal.Domain;
using LabPortal.Domain.Pools;
using NodaTime;

namespace LabPortal.Data.Pools;

/// <summary>Why no operation may begin on a pool now, and when it is worth asking again.</summary>
public enum GateReason
{
    /// <summary>The pool failed to answer too often in a row.</summary>
    Breaker,

    /// <summary>The provider asked the account to come back later.</summary>
    Throttled,

    /// <summary>As many were begun as the account may in this time.</summary>
    Rate,
}

public sealed record GateClosed(GateReason Reason, Instant Until, string Why);

/// <summary>
/// May an operation begin on a pool, over all nodes? Its circuit breaker, and its account's rate and pauses. What holds an operation back here is never a
/// failure of it: it is asked again later.
/// </summary>
public static class GateStore
{
    /// <summary>
    /// Lets one operation through, and counts it; empty where it may begin. Under the pool's lock. Of many that ask when an open breaker's time is over, one is
    /// let through to try. The rate is the generic cell rate algorithm (ITU-T I.371): the account is busy until a moment that each operation moves on.
    /// </summary>
    public static async Task<GateClosed?> TryPassAsync(Session session, Pool pool, Instant now)
    {
        var breaker = await session.FindAsync<BreakerRow>("SELECT faults, open_until, why FROM pool_breakers WHERE pool_id = @Id AND open_until IS NOT NULL", new { pool.Id });
        if (breaker?.OpenUntil is { } open && open > now) return new GateClosed(GateReason.Breaker, open, breaker.Why);

        var (account, cost) = (AccountOf(pool), pool.Limits.TimeOfOperation);
        var known = await session.FindAsync<AccountRow>("SELECT busy_until, closed_until FROM pool_accounts WHERE account = @account", new { account });
        if (known?.ClosedUntil > now) return new GateClosed(GateReason.Throttled, known.ClosedUntil, "");
        if (cost > Duration.Zero)
        {
            // Only as long as others have not moved it on meanwhile: then it is looked at again.
            if (await session.ExecuteAsync("""
                INSERT INTO pool_accounts (account, busy_until, closed_until) VALUES (@account, @First, @now)
                ON CONFLICT (account) DO UPDATE SET busy_until = CASE WHEN pool_accounts.busy_until > @now THEN pool_accounts.busy_until + @Cost ELSE @First END
                    WHERE pool_accounts.busy_until <= @Latest
                """, new { account, now, First = now + cost, Cost = cost, Latest = now + PoolLimits.Burst }) == 0)
            {
                var busy = await session.FindAsync<AccountRow>("SELECT busy_until, closed_until FROM pool_accounts WHERE account = @account", new { account });
                return new GateClosed(GateReason.Rate, Instant.Max(busy!.BusyUntil - PoolLimits.Burst, now + Duration.FromMilliseconds(1)), "");
            }
        }

        if (breaker is not null)
        {
            // It counts as failed until it is answered: should its worker die, the next one tries later.
            await session.ExecuteAsync("UPDATE pool_breakers SET faults = @Faults, open_until = @Until WHERE pool_id = @Id",
                new { pool.Id, Faults = breaker.Faults + 1, Until = now + PoolBreaker.PauseAfter(breaker.Faults + 1) });
        }

        return null;
    }

    /// <summary>
    /// The pool failed to answer. While its breaker is open no more is counted: what was under way before it opened says nothing new. Gives until when it is
    /// open, where this fault opened it.
    /// </summary>
    public static async Task<Instant?> FaultedAsync(Session session, PoolId pool, string why, Instant now)
    {
        var faults = await session.FindAsync<int?>("""
            INSERT INTO pool_breakers (pool_id, faults, why) SELECT id, 1, @why FROM pools WHERE id = @pool
            ON CONFLICT (pool_id) DO UPDATE SET faults = CASE WHEN pool_breakers.open_until IS NULL THEN pool_breakers.faults + 1 ELSE pool_breakers.faults END, why = excluded.why
            RETURNING faults
            """, new { pool, why });
        if (faults is not >= PoolBreaker.MostFaults) return null;
        var until = now + PoolBreaker.PauseAfter(faults.Value);
        if (await session.ExecuteAsync("UPDATE pool_breakers SET open_until = @until WHERE pool_id = @pool AND open_until IS NULL", new { pool, until }) == 0) return null;
        session.Raise(Signal.Operations, "");
        return until;
    }

    /// <summary>Until when the pool's breaker is open; empty where it is not.</summary>
    public static Task<Instant?> OpenUntilAsync(Session session, PoolId pool)
        => session.FindAsync<Instant?>("SELECT open_until FROM pool_breakers WHERE pool_id = @pool AND open_until IS NOT NULL", new { pool });

    /// <summary>The pool answered: its breaker is closed, and its faults are forgotten. True where it was open.</summary>
    public static async Task<bool> AnsweredAsync(Session session, PoolId pool)
    {
        var open = (await session.QueryAsync<BreakerRow>("DELETE FROM pool_breakers WHERE pool_id = @pool RETURNING faults, open_until, why", new { pool })).Any(row => row.OpenUntil is not null);
        if (open) session.Raise(Signal.Operations, "");
        return open;
    }

    /// <summary>The provider asks to be left alone until then: nothing begins on any pool of the account.</summary>
    public static Task CloseAccountAsync(Session session, PoolId pool, Instant until) => session.ExecuteAsync("""
        INSERT INTO pool_accounts (account, busy_until, closed_until) SELECT COALESCE(account, id), 0, @until FROM pools WHERE id = @pool
        ON CONFLICT (account) DO UPDATE SET closed_until = CASE WHEN pool_accounts.closed_until > excluded.closed_until THEN pool_accounts.closed_until ELSE excluded.closed_until END
        """, new { pool, until });

    private static string AccountOf(Pool pool) => pool.Account ?? pool.Id.ToString();

    private sealed class BreakerRow
    {
        public int Faults { get; init; }
        public Instant? OpenUntil { get; init; }
        public string Why { get; init; } = "";
    }

    private sealed class AccountRow
    {
        public Instant BusyUntil { get; init; }
        public Instant ClosedUntil { get; init; }
    }
}
