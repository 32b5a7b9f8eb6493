using LabPortal.Domain;
using NodaTime;

namespace LabPortal.Operations.Workflows;

/// <summary>Between the pump of this process and its batches: when a run that was given back is due, and who is there to turn it.</summary>
public sealed class TurnBell(TimeProvider time)
{
    private readonly Lock _gate = new();
    private readonly List<Batch> _working = [];
    private TaskCompletionSource _sooner = New();
    private TaskCompletionSource _more = New();
    private Instant? _next;
    private bool _ordered;
    private long _orderedAt;
    private long _lookedAt = time.GetTimestamp();

    /// <summary>Since the pump of this process last looked for work and could have it done (before its first time: since there is this bell). It does each second or two.</summary>
    public TimeSpan SinceLooked
    {
        get
        {
            lock (_gate) return time.GetElapsedTime(_lookedAt);
        }
    }

    /// <summary>A run is due then; wakes the pump where that is sooner than anything that it was told.</summary>
    public void RingAt(Instant due)
    {
        lock (_gate)
        {
            if (_next is { } next && next <= due) return;
            _next = due;
            _sooner.TrySetResult();
        }
    }

    /// <summary>The next due time that was told, once; and what completes when a sooner one is told.</summary>
    internal (Instant? Next, Task Sooner) Listen()
    {
        lock (_gate)
        {
            var next = _next;
            if (next is { } at && at <= time.Now()) _next = null;
            if (_sooner.Task.IsCompleted) _sooner = New();
            return (next, _sooner.Task);
        }
    }

    internal void Looked()
    {
        lock (_gate) _lookedAt = time.GetTimestamp();
    }

    /// <summary>Completes when something may be due.</summary>
    internal Task More
    {
        get
        {
            lock (_gate) return _more.Task;
        }
    }

    /// <summary>
    /// Something may be due: wakes the batches at work. True where one more batch has to be ordered, because none of them has room. A job that was
    /// ordered and never began (lost, or fetched by another node) counts for a few seconds only.
    /// </summary>
    internal bool Ring(int most)
    {
        lock (_gate)
        {
            _more.TrySetResult();
            _more = New();
            if (_ordered && time.GetElapsedTime(_orderedAt) > TimeSpan.FromSeconds(5)) _ordered = false;
            if (_ordered || _working.Count >= most || _working.Exists(batch => batch.HasRoom)) return false;
            (_ordered, _orderedAt) = (true, time.GetTimestamp());
            return true;
        }
    }

    /// <summary>The batch that was asked for could not be ordered: the next ring asks again.</summary>
    internal void NotOrdered()
    {
        lock (_gate) _ordered = false;
    }

    internal Batch BatchBegins()
    {
        var batch = new Batch(this);
        lock (_gate)
        {
            _ordered = false;
            _working.Add(batch);
        }

        return batch;
    }

    private static TaskCompletionSource New() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    internal sealed class Batch(TurnBell bell) : IDisposable
    {
        /// <summary>It claims what is due when it is woken.</summary>
        public bool HasRoom { get; set; } = true;

        /// <summary>Leaves, unless it was rung since it last looked: who rings later orders another.</summary>
        public bool TryEnd(Task rung)
        {
            lock (bell._gate)
            {
                if (rung.IsCompleted) return false;
                bell._working.Remove(this);
                return true;
            }
        }

        public void Dispose()
        {
            lock (bell._gate) bell._working.Remove(this);
        }
    }
}
