using System.Collections.Concurrent;
using LabPortal.Data;
using LabPortal.Data.Pools;
using LabPortal.Domain;
using Microsoft.Extensions.Logging;
using NodaTime;

namespace LabPortal.Operations.Sweeps;

/// <summary>
/// A sweep over all pools, side by side: each pool that is due is taken (of several nodes by one), looked at within a deadline of its own, and
/// due again after the interval. A pass waits for the quick ones; a pool that hangs goes on behind it and delays no other.
/// </summary>
internal sealed class PoolByPool(string sweep, Database database, TimeProvider time, ILogger log, Duration interval, Func<PoolId, CancellationToken, Task> look)
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(2);

    private readonly ConcurrentDictionary<PoolId, Task> _looking = new();

    public async Task RunAsync(CancellationToken cancellation)
    {
        var now = time.Now();
        var begun = new List<Task>();
        foreach (var pool in await database.ReadAsync(session => PoolSweepStore.DueAsync(session, sweep, now), cancellation))
        {
            if (_looking.ContainsKey(pool) || !await database.WriteAsync(session => PoolSweepStore.TakeAsync(session, sweep, pool, now, now + interval), cancellation)) continue;
            var looking = LookAsync(pool, cancellation);
            _looking[pool] = looking;
            begun.Add(looking);
            _ = looking.ContinueWith(_ => _looking.TryRemove(pool, out var _), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        }

        await Task.WhenAny(Task.WhenAll(begun), Task.Delay(s_patience, cancellation));
        cancellation.ThrowIfCancellationRequested();
    }

    private async Task LookAsync(PoolId pool, CancellationToken cancellation)
    {
        // Off the pass's own path: a provider that blocks before its first await blocks nobody else.
        await Task.Yield();
        try
        {
            await look(pool, cancellation);
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
