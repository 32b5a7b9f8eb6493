using System.Collections.Concurrent;
using LabPortal.Data;
using LabPortal.Data.Pools;
using LabPortal.Domain;
using LabPortal.Operations.Pools;
using Microsoft.Extensions.Logging;
using NodaTime;

namespace LabPortal.Operations.Sweeps;

/// <summary>
/// A sweep over all pools, side by side: each pool that is due is taken (of several nodes by one), looked at within a deadline of its own, and
/// due again after the interval. A pass waits for the quick ones; a pool that hangs goes on behind it and delays no other.
/// </summary>
public abstract class PoolByPool(string sweep, Database database, OpenPools pools, TimeProvider time, ILogger log)
{
    private static readonly Duration s_interval = Duration.FromMinutes(1);
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(2);

    private readonly ConcurrentDictionary<PoolId, Task> _looking = new();

    protected Database Database => database;
    protected OpenPools Pools => pools;
    protected TimeProvider Time => time;
    protected ILogger Log => log;

    /// <summary>One pass over the pools that are due.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        var now = time.Now();
        var begun = new List<Task>();
        foreach (var pool in await database.ReadAsync(session => PoolSweepStore.DueAsync(session, sweep, now), cancellation))
        {
            if (_looking.ContainsKey(pool) || !await database.WriteAsync(session => PoolSweepStore.TakeAsync(session, sweep, pool, now, now + s_interval), cancellation)) continue;
            var looking = TryLookAsync(pool, cancellation);
            _looking[pool] = looking;
            begun.Add(looking);
            _ = looking.ContinueWith(_ => _looking.TryRemove(pool, out var _), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        }

        await Task.WhenAny(Task.WhenAll(begun), Task.Delay(s_patience, cancellation));
        cancellation.ThrowIfCancellationRequested();
    }

    /// <summary>Looks at this pool now. Whatever it throws is logged, and the pool is due again after the interval.</summary>
    public abstract Task LookAsync(PoolId id, CancellationToken cancellation);

    private async Task TryLookAsync(PoolId pool, CancellationToken cancellation)
    {
        // Off the pass's own path: a provider that blocks before its first await blocks nobody else.
        await Task.Yield();
        try
        {
            await LookAsync(pool, cancellation);
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            // The portal stops; the pool is due again when the next one looks.
        }
        catch (Exception fault)
        {
            log.LogWarning(fault, "The sweep {Sweep} could not finish with pool {Pool}.", sweep, pool);
        }
    }
}
