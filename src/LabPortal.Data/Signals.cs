using System.Collections.Concurrent;
using System.Threading.Channels;

namespace LabPortal.Data;

/// <summary>Something changed; a hint only. Whoever hears it looks at the database, and looks anyway now and then.</summary>
public sealed record Signal(string Topic, string Payload)
{
    /// <summary>Topic: runs became due now. Payload: empty.</summary>
    public const string Runs = "runs";

    /// <summary>Topic: a lab's version rose. Payload: the lab's id.</summary>
    public const string Labs = "labs";

    /// <summary>Topic: somebody has a new notice. Payload: the person's id.</summary>
    public const string Notices = "notices";

    /// <summary>Topic: pools, hosts, images or runs in trouble changed. Payload: empty.</summary>
    public const string Operations = "operations";

    /// <summary>Topic: after listening was interrupted, anything may have changed. Payload: empty.</summary>
    public const string Gap = "gap";
}

/// <summary>
/// Signals of this process and, on PostgreSQL, of all others (LISTEN/NOTIFY). Listening runs while somebody subscribes through
/// <see cref="RunAsync"/>; every new LISTEN is followed by a <see cref="Signal.Gap"/>, because what was sent before is lost.
/// </summary>
public sealed class Signals : IAsyncDisposable
{
    private readonly SqlDialect _dialect;
    private readonly ConcurrentDictionary<Subscription, bool> _subscriptions = new();

    internal Signals(SqlDialect dialect) => _dialect = dialect;

    public Subscription Subscribe(params string[] topics)
    {
        var subscription = new Subscription(this, [.. topics, Signal.Gap]);
        _subscriptions[subscription] = true;
        return subscription;
    }

    /// <summary>Hears other processes until cancelled; reconnects by itself. One such loop for each process.</summary>
    public async Task RunAsync(Action<Exception> failed, CancellationToken cancellation)
    {
        while (!cancellation.IsCancellationRequested)
        {
            try
            {
                await _dialect.ListenAsync(() => Deliver(new Signal(Signal.Gap, "")), Deliver, cancellation);
            }
            catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
            {
                return;
            }
            catch (Exception fault)
            {
                failed(fault);
                await Task.Delay(TimeSpan.FromSeconds(1), cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    internal void Raise(IReadOnlyList<Signal> signals)
    {
        // On a shared database the notification comes back to this process too; delivering here as well only makes it sooner.
        foreach (var signal in signals) Deliver(signal);
    }

    private void Deliver(Signal signal)
    {
        foreach (var subscription in _subscriptions.Keys) subscription.Offer(signal);
    }

    public ValueTask DisposeAsync()
    {
        foreach (var subscription in _subscriptions.Keys) subscription.Dispose();
        return ValueTask.CompletedTask;
    }

    /// <summary>One listener's queue. Bounded: where it overflows, a <see cref="Signal.Gap"/> stands for what was dropped.</summary>
    public sealed class Subscription : IDisposable
    {
        private readonly Signals _owner;
        private readonly HashSet<string> _topics;
        private readonly Channel<Signal> _queue;

        internal Subscription(Signals owner, HashSet<string> topics)
        {
            _owner = owner;
            _topics = topics;
            _queue = Channel.CreateBounded<Signal>(1024);
        }

        public ChannelReader<Signal> Signals => _queue.Reader;

        private int _overflowed;

        internal void Offer(Signal signal)
        {
            if (!_topics.Contains(signal.Topic)) return;
            if (!_queue.Writer.TryWrite(signal)) Interlocked.Exchange(ref _overflowed, 1);
        }

        /// <summary>Waits until something was heard or the time is over; takes all that is there. True when anything was heard.</summary>
        public async Task<IReadOnlyList<Signal>> WaitAsync(TimeSpan atMost, CancellationToken cancellation)
        {
            var heard = new List<Signal>();
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            limit.CancelAfter(atMost);
            try
            {
                await _queue.Reader.WaitToReadAsync(limit.Token);
            }
            catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
            {
                return heard;
            }

            while (_queue.Reader.TryRead(out var signal)) heard.Add(signal);
            if (Interlocked.Exchange(ref _overflowed, 0) == 1) heard.Add(new Signal(Signal.Gap, ""));
            return heard;
        }

        public void Dispose()
        {
            _owner._subscriptions.TryRemove(this, out _);
            _queue.Writer.TryComplete();
        }
    }
}
