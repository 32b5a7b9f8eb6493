using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Telemetry;

namespace LabPortal.Operations.Pools;

/// <summary>
/// Turns share one observation per pool and interval; a change invalidates it. At most one read of the pool is in flight: who asks
/// meanwhile is joined in the next one.
/// </summary>
public sealed class Observations(IProvider provider, TimeProvider time)
{
    /// <summary>How old an answer may be.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(250);

    /// <summary>How long the first asker waits for others, on the wall clock: a machine's clock that stands still must not stop reads.</summary>
    private static readonly TimeSpan s_joining = TimeSpan.FromMilliseconds(4);

    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(30);

    private readonly Lock _gate = new();
    private readonly Dictionary<ResourceRef, (Observation Seen, long At)> _seen = [];
    private List<Asker> _asking = [];
    private HashSet<Owner>? _outdatedInFlight;
    private bool _reading;

    /// <summary>
    /// What the machine looked like at most one interval ago, joined with whoever asks at the same time. A pool that does not answer is
    /// a <see cref="ProviderFault"/> to all who were joined.
    /// </summary>
    public async Task<Observation> ObserveAsync(ResourceRef reference, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        Asker asker;
        lock (_gate)
        {
            if (_seen.TryGetValue(reference, out var last) && time.GetElapsedTime(last.At) < Interval) return last.Seen;
            asker = new Asker(reference, cancellation);
            _asking.Add(asker);
            if (!_reading)
            {
                _reading = true;
                _ = ReadWhileAskedAsync();
            }
        }

        return await PortalTrace.CallAsync("observe", null, () => asker.Answer.Task.WaitAsync(cancellation));
    }

    /// <summary>What was seen of this machine before now no longer counts, not even what a read in flight is about to say.</summary>
    public void Invalidate(ResourceRef reference)
    {
        lock (_gate)
        {
            foreach (var known in _seen.Keys.Where(known => known.Owner == reference.Owner).ToList()) _seen.Remove(known);
            _outdatedInFlight?.Add(reference.Owner);
        }
    }

    private async Task ReadWhileAskedAsync()
    {
        while (true)
        {
            await Task.Delay(s_joining);
            List<Asker> askers;
            long at;
            lock (_gate)
            {
                askers = [.. _asking.Where(asker => !asker.Cancellation.IsCancellationRequested)];
                _asking = [];
                foreach (var old in _seen.Where(pair => time.GetElapsedTime(pair.Value.At) >= Interval).Select(pair => pair.Key).ToList()) _seen.Remove(old);
                if (askers.Count == 0)
                {
                    _reading = false;
                    return;
                }

                _outdatedInFlight = [];
                at = time.GetTimestamp();
            }

            try
            {
                Answer(askers, await ReadAsync([.. askers.Select(asker => asker.Reference).Distinct()], askers), at);
            }
            catch (Exception fault)
            {
                // Nothing is lost here: everybody who waits gets the fault; who gave up, and so ended the read, does not.
                lock (_gate) _outdatedInFlight = null;
                foreach (var asker in askers)
                {
                    if (asker.Cancellation.IsCancellationRequested) asker.Answer.TrySetCanceled(asker.Cancellation);
                    else asker.Answer.TrySetException(fault);
                }
            }
        }
    }

    private async Task<Dictionary<ResourceRef, Observation>> ReadAsync(List<ResourceRef> references, List<Asker> askers)
    {
        // The read ends when nobody waits for it any more, and at its own deadline in any case.
        using var ending = new CancellationTokenSource(s_deadline, time);
        var waiting = askers.Count;
        var leaving = askers.Select(asker => asker.Cancellation.Register(() =>
        {
            if (Interlocked.Decrement(ref waiting) == 0) ending.Cancel();
        })).ToList();
        try
        {
            var observations = await provider.ObserveAsync(references, ending.Token).WaitAsync(ending.Token);
            return observations.DistinctBy(observation => observation.Reference).ToDictionary(observation => observation.Reference);
        }
        catch (OperationCanceledException cause) when (ending.IsCancellationRequested)
        {
            throw new ProviderFault(FaultKind.Transient, $"The pool did not answer within {s_deadline.TotalSeconds} s.", cause);
        }
        finally
        {
            foreach (var registration in leaving) await registration.DisposeAsync();
        }
    }

    private void Answer(List<Asker> askers, Dictionary<ResourceRef, Observation> observations, long at)
    {
        var answered = new List<(Asker Asker, Observation Seen)>();
        lock (_gate)
        {
            foreach (var asker in askers)
            {
                if (_outdatedInFlight!.Contains(asker.Reference.Owner))
                {
                    _asking.Add(asker);
                    continue;
                }

                var seen = observations.GetValueOrDefault(asker.Reference) ?? new Observation.Unknown(asker.Reference, "The pool said nothing about it.");
                _seen[asker.Reference] = (seen, at);
                answered.Add((asker, seen));
            }

            _outdatedInFlight = null;
        }

        foreach (var (asker, seen) in answered) asker.Answer.TrySetResult(seen);
    }

    private sealed record Asker(ResourceRef Reference, CancellationToken Cancellation)
    {
        public TaskCompletionSource<Observation> Answer { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
