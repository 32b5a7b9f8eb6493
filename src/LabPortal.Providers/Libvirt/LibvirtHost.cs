using System.Collections.Concurrent;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

/// <summary>
/// One libvirtd, over one connection and a bounded set of threads, because every call of the C library blocks and may hang.
/// <list type="bullet">
/// <item>A call that overruns its deadline, or whose caller cancels, is <i>abandoned</i>: its caller goes on at once, and the call makes
/// no further wire call when its thread comes back. All of them may be repeated, so nothing is doubled.</item>
/// <item>Keep-alive ends the calls that hang in an open connection within two thirds of the deadline, and with them the connection;
/// the next call opens another. An attempt to open one has no such limit, so there is never more than one: it holds the lock.</item>
/// <item>A hung host thus costs at the most <see cref="Threads"/> threads, and no thread of the pool that serves everybody.</item>
/// </list>
/// </summary>
internal sealed class LibvirtHost : IAsyncDisposable
{
    /// <summary>libvirtd serves five calls of one client at a time by default; one is left for the keep-alive of a stock daemon.</summary>
    public const int Threads = 4;

    private const int KeepAliveCount = 3;

    private readonly TimeSpan _deadline;
    private readonly TimeProvider _time;
    private readonly BlockingCollection<ICall> _calls = [];
    private readonly Lock _connecting = new();
    private readonly Lock _starting = new();
    private readonly TaskCompletionSource _idle = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ConnectHandle? _connection;
    private bool _started;
    private int _running;

    public LibvirtHost(LibvirtHostSettings settings, TimeSpan deadline, TimeProvider time)
    {
        Settings = settings;
        _deadline = deadline;
        _time = time;
    }

    private interface ICall
    {
        void Run(LibvirtHost host);
    }

    public LibvirtHostSettings Settings { get; }

    public string Name => Settings.Name;

    public Task RunAsync(string doing, Action<LibvirtWire> body, CancellationToken cancellation) =>
        RunAsync(doing, wire => { body(wire); return true; }, _deadline, cancellation);

    public Task<T> RunAsync<T>(string doing, Func<LibvirtWire, T> body, CancellationToken cancellation) =>
        RunAsync(doing, body, _deadline, cancellation);

    /// <param name="doing">What is being done, after "could not": <c>list its machines</c>.</param>
    /// <param name="body">Runs on a thread of this host, and may be abandoned at any of its wire calls.</param>
    /// <param name="deadline">For transfers, which keep-alive alone guards: <see cref="Timeout.InfiniteTimeSpan"/>.</param>
    public async Task<T> RunAsync<T>(string doing, Func<LibvirtWire, T> body, TimeSpan deadline, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        var call = new Call<T>(body, doing);
        StartThreads();
        try
        {
            _calls.Add(call, CancellationToken.None);
        }
        catch (InvalidOperationException cause) when (_calls.IsAddingCompleted)
        {
            throw new ObjectDisposedException("The pool was closed.", cause);
        }

        try
        {
            return await call.Outcome.Task.WaitAsync(deadline, _time, cancellation);
        }
        catch (TimeoutException cause)
        {
            throw new ProviderFault(FaultKind.Transient, $"Host \"{Name}\" did not answer within {deadline.TotalSeconds:0.#} s; it was asked to {doing}.", cause);
        }
        finally
        {
            call.Abandonment.Set();
        }
    }

    /// <summary>Waits shortly for the threads; one that hangs in a call ends by itself when the host answers or its keep-alive is over.</summary>
    public async ValueTask DisposeAsync()
    {
        _calls.CompleteAdding();
        if (!_started) return;
        try
        {
            await _idle.Task.WaitAsync(TimeSpan.FromSeconds(2), _time);
        }
        catch (TimeoutException)
        {
            // The last thread closes the connection.
        }
    }

    private void StartThreads()
    {
        lock (_starting)
        {
            if (_started) return;
            _started = true;
            _running = Threads;
            for (var i = 1; i <= Threads; i++)
                new Thread(Serve, maxStackSize: 512 * 1024) { IsBackground = true, Name = $"libvirt {Name} {i}" }.Start();
        }
    }

    private void Serve()
    {
        foreach (var call in _calls.GetConsumingEnumerable()) call.Run(this);
        if (Interlocked.Decrement(ref _running) > 0) return;
        _connection?.Dispose();
        _idle.SetResult();
    }

    private ConnectHandle Connect()
    {
        lock (_connecting)
        {
            if (_connection is { } open && Native.virConnectIsAlive(open) == 1) return open;
            _connection?.Dispose();
            _connection = null;
            LibvirtEventLoop.Start();
            var connection = Native.virConnectOpen(LibvirtUri.WithoutPrompts(Settings.Uri));
            if (connection.IsInvalid) throw LibvirtWire.LastFault($"be reached at {LibvirtUri.Shown(Settings.Uri)}", Name, alive: false);
            var interval = Math.Max(1, (int)(_deadline.TotalSeconds * 2 / 3 / (KeepAliveCount + 1)));
            // A daemon too old for keep-alive answers 1: it works, and only its hangs last longer.
            if (Native.virConnectSetKeepAlive(connection, interval, KeepAliveCount) < 0)
            {
                var fault = LibvirtWire.LastFault("take keep-alive", Name, alive: false);
                connection.Dispose();
                throw fault;
            }

            return _connection = connection;
        }
    }

    private sealed class Call<T>(Func<LibvirtWire, T> body, string doing) : ICall
    {
        public Abandonment Abandonment { get; } = new();

        public TaskCompletionSource<T> Outcome { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void Run(LibvirtHost host)
        {
            if (Abandonment.IsSet) return;
            try
            {
                Outcome.TrySetResult(body(new LibvirtWire(host.Connect(), host.Settings, Abandonment)));
            }
            catch (OperationCanceledException cause)
            {
                Outcome.TrySetCanceled(cause.CancellationToken);
            }
            catch (ObjectDisposedException cause)
            {
                // Another call found the connection dead and replaced it.
                Outcome.TrySetException(new ProviderFault(FaultKind.Transient, $"Host \"{host.Name}\" lost the connection; it was asked to {doing}.", cause));
            }
            catch (DllNotFoundException cause)
            {
                Outcome.TrySetException(new ProviderFault(FaultKind.Broken, "libvirt's library is not on the portal's machine: install libvirt0 (libvirt-libs) there.", cause));
            }
            catch (Exception cause)
            {
                Outcome.TrySetException(cause);
            }

            // A fault that nobody waits for any more is no unobserved one.
            _ = Outcome.Task.Exception;
        }
    }
}

/// <summary>Whether anybody still waits for a call.</summary>
internal sealed class Abandonment
{
    private readonly object _changed = new();
    private volatile bool _set;

    public bool IsSet => _set;

    public void Set()
    {
        lock (_changed)
        {
            _set = true;
            Monitor.PulseAll(_changed);
        }
    }

    public void Check()
    {
        if (_set) throw new OperationCanceledException("Nobody waits for this call any more.");
    }

    /// <summary>Blocks the host's own thread for a moment, or until nobody waits for it.</summary>
    public void Pause(TimeSpan moment)
    {
        lock (_changed)
        {
            if (!_set) Monitor.Wait(_changed, moment);
        }
    }
}

internal static class LibvirtUri
{
    /// <summary>The URI such that ssh never asks anybody for a password: there is nobody to ask.</summary>
    public static string WithoutPrompts(string uri) =>
        uri.Contains("+ssh:", StringComparison.Ordinal) && !uri.Contains("no_tty=", StringComparison.Ordinal)
            ? uri + (uri.Contains('?', StringComparison.Ordinal) ? "&no_tty=1" : "?no_tty=1")
            : uri;

    /// <summary>For sentences: without its parameters, which name key files.</summary>
    public static string Shown(string uri) => uri.Split('?')[0];
}
