namespace LabPortal.Web.Features.Shell;

/// <summary>One clock for everything on a page that counts; runs only while something listens.</summary>
internal sealed class Ticker(TimeProvider time) : IDisposable
{
    private readonly List<Action> _listeners = [];
    private ITimer? _timer;

    public IDisposable Listen(Action tick)
    {
        lock (_listeners)
        {
            _listeners.Add(tick);
            _timer ??= time.CreateTimer(_ => Tick(), null, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1));
        }

        return new Listener(this, tick);
    }

    public void Dispose() => _timer?.Dispose();

    private void Tick()
    {
        Action[] listeners;
        lock (_listeners) listeners = [.. _listeners];
        foreach (var listener in listeners) listener();
    }

    private sealed class Listener(Ticker ticker, Action tick) : IDisposable
    {
        public void Dispose()
        {
            lock (ticker._listeners)
            {
                ticker._listeners.Remove(tick);
                if (ticker._listeners.Count > 0) return;
                ticker._timer?.Dispose();
                ticker._timer = null;
            }
        }
    }
}
