namespace LabPortal.Providers.Tests;

/// <summary>Calls of one kind that take their time at a peer, and how many there were at once.</summary>
internal sealed class Busy
{
    private readonly Lock _gate = new();
    private int _now;

    public TimeSpan Takes { get; set; }

    public int All { get; private set; }

    public int MostAtOnce { get; private set; }

    /// <summary>When the first began and the last ended (<see cref="System.Diagnostics.Stopwatch"/>).</summary>
    public long First { get; private set; }

    public long Last { get; private set; }

    /// <summary>Ends when what it gives is disposed.</summary>
    public async Task<IDisposable> BeginAsync(CancellationToken cancellation)
    {
        lock (_gate)
        {
            All++;
            if (All == 1) First = System.Diagnostics.Stopwatch.GetTimestamp();
            MostAtOnce = Math.Max(MostAtOnce, ++_now);
        }

        var call = new Call(this);
        if (Takes > TimeSpan.Zero) await Task.Delay(Takes, cancellation);
        return call;
    }

    private sealed class Call(Busy busy) : IDisposable
    {
        public void Dispose()
        {
            lock (busy._gate)
            {
                busy._now--;
                busy.Last = System.Diagnostics.Stopwatch.GetTimestamp();
            }
        }
    }
}
