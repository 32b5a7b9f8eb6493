using System.Collections.Concurrent;
using LabPortal.Data;
using LabPortal.Data.Workflows;
using LabPortal.Domain;

namespace LabPortal.Operations.Workflows;

/// <summary>
/// This process as a worker: its beat, which it raises every few seconds, and what it sees of the beats of others. All on its own
/// monotonic clock. A worker counts its term from before it sent its last successful beat, a taker from when it first saw that beat:
/// so a worker always gives up before anybody takes over.
/// </summary>
public sealed class WorkerLease(Database database, TimeProvider time, EngineSettings settings) : IDisposable
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, (long Beat, long SeenAt)> _others = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<RunId, bool> _turning = new();
    private long? _beatAt;
    private CancellationTokenSource _alive = new(Timeout.InfiniteTimeSpan, time);

    public string Id { get; } = Ids.Canonical(Ids.New(time));

    /// <summary>The runs that are being turned here. One that this worker has but does not turn (its turn broke off) is free for it to claim.</summary>
    internal ConcurrentDictionary<RunId, bool> Turning => _turning;

    /// <summary>Held while claiming: two batches of one process must not take the same run.</summary>
    internal SemaphoreSlim Claiming { get; } = new(1, 1);

    /// <summary>How long this worker may still act, by its last beat.</summary>
    public TimeSpan Left => _beatAt is { } at ? settings.Term - time.GetElapsedTime(at) : TimeSpan.Zero;

    /// <summary>May a provider call begin?</summary>
    public bool MayAct => Left > settings.Reserve;

    /// <summary>Cancelled before the term is over, unless another beat came through by then.</summary>
    public CancellationToken Alive
    {
        get
        {
            lock (_gate) return _alive.Token;
        }
    }

    /// <summary>Raises the own beat and looks at the others'. Called every <see cref="EngineSettings.BeatEvery"/>.</summary>
    public async Task BeatAsync(CancellationToken cancellation)
    {
        var sent = time.GetTimestamp();
        var beats = await database.WriteAsync(
            async session =>
            {
                await WorkerStore.BeatAsync(session, Id, Environment.MachineName, time.Now());
                return await WorkerStore.BeatsAsync(session);
            },
            cancellation);
        lock (_gate)
        {
            _beatAt = sent;
            var left = Left - (settings.Reserve / 2);
            if (_alive.IsCancellationRequested) Renew();
            _alive.CancelAfter(left > TimeSpan.Zero ? left : TimeSpan.Zero);
            foreach (var gone in _others.Keys.Where(id => !beats.ContainsKey(id)).ToList()) _others.Remove(gone);
            var now = time.GetTimestamp();
            foreach (var (id, beat) in beats)
            {
                if (id != Id && (!_others.TryGetValue(id, out var seen) || seen.Beat != beat)) _others[id] = (beat, now);
            }
        }
    }

    /// <summary>The workers whose beat stood still for the whole term while this one watched.</summary>
    public IReadOnlyList<string> Lapsed()
    {
        lock (_gate) return [.. _others.Where(other => time.GetElapsedTime(other.Value.SeenAt) > settings.Term).Select(other => other.Key)];
    }

    /// <summary>Was this worker's beat seen to rise within the last two beats of this one?</summary>
    public bool IsFresh(string worker)
    {
        lock (_gate) return _others.TryGetValue(worker, out var seen) && time.GetElapsedTime(seen.SeenAt) < settings.BeatEvery * 2;
    }

    private void Renew()
    {
        _alive.Dispose();
        _alive = new CancellationTokenSource(Timeout.InfiniteTimeSpan, time);
    }

    public void Dispose()
    {
        _alive.Dispose();
        Claiming.Dispose();
    }
}

/// <summary>Somebody else has the run, or may have: this worker writes nothing more to it.</summary>
public sealed class LeaseLost(string why) : Exception(why);
