using LabPortal.Domain;
using NodaTime;

namespace LabPortal.Operations.Workflows;

/// <summary>Tells the pump of this process when a run that it gave back is due, and how many batches are at work.</summary>
public sealed class TurnBell(TimeProvider time)
{
    private readonly TimeProvider _time = time;
    private readonly Lock _gate = new();
    private TaskCompletionSource _sooner = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private TaskCompletionSource _more = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Instant? _next;
    private int _working;
    private int _ordered;
    private long _orderedAt;
    private long? _fruitlessAt;

    /// <summary>A run is due then; rings at once where that is sooner than anything known.</summary>
    public void RingAt(Instant due)
    {
        lock (_gate)
        {
            _fruitlessAt = null;
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
            if (next is { } at && at <= _time.Now()) _next = null;
            if (_sooner.Task.IsCompleted) _sooner = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return (next, _sooner.Task);
        }
    }

    /// <summary>Completes when runs are due that no further batch may be ordered for: those at work take them as they have room.</summary>
    internal Task More
    {
        get
        {
            lock (_gate) return _more.Task;
        }
    }

    internal void RingForMore()
    {
        lock (_gate)
        {
            _more.TrySetResult();
            _more = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }

    /// <summary>Something new is due: an earlier batch that advanced nothing says nothing about it.</summary>
    internal void Freshen()
    {
        lock (_gate) _fruitlessAt = null;
    }

    internal Batch BatchBegins()
    {
        lock (_gate)
        {
            _ordered = Math.Max(0, _ordered - 1);
            _working++;
        }

        return new Batch(this);
    }

    /// <summary>
    /// May one more batch be ordered? Jobs that were ordered and never began (lost, or done by another node) count for a few seconds only. Where the
    /// last batch advanced nothing although something looked due (others have it, or look and claim disagree), not before the rest is over.
    /// </summary>
    internal bool TryOrder(int most, TimeSpan rest)
    {
        lock (_gate)
        {
            if (_fruitlessAt is { } at && _time.GetElapsedTime(at) < rest) return false;
            if (_ordered > 0 && _time.GetElapsedTime(_orderedAt) > TimeSpan.FromSeconds(5)) _ordered = 0;
            if (_ordered > 0 || _working >= most) return false;
            _ordered++;
            _orderedAt = _time.GetTimestamp();
            return true;
        }
    }

    internal sealed class Batch(TurnBell bell) : IDisposable
    {
        public int Advanced { get; set; }

        public void Dispose()
        {
            lock (bell._gate)
            {
                bell._working--;
                bell._fruitlessAt = Advanced > 0 ? null : bell._time.GetTimestamp();
                if (Advanced > 0) bell._sooner.TrySetResult();
            }
        }
    }
}
