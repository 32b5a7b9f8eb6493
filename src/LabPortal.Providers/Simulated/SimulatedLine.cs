using System.IO.Pipelines;
using System.Text;

namespace LabPortal.Providers.Simulated;

/// <summary>A simulated guest's serial port: a prompt, and a shell that says everything back and knows a few words. Ends when its machine does not run any more.</summary>
internal sealed class SimulatedLine : Stream
{
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(250);

    private readonly SimulatedShell _shell;
    private readonly TimeProvider _time;
    private readonly Action<SimulatedLine> _ended;
    private readonly Pipe _printed = new();
    private readonly CancellationTokenSource _over = new();

    public SimulatedLine(string hostName, Func<CancellationToken, Task<bool>> runs, TimeProvider time, Action<SimulatedLine> ended)
    {
        (_shell, _time, _ended) = (new SimulatedShell(hostName), time, ended);
        _ = WatchAsync(runs);
    }

    public override bool CanRead => true;

    public override bool CanWrite => true;

    public override bool CanSeek => false;

    public override long Length => throw new NotSupportedException();

    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => _printed.Reader.AsStream(leaveOpen: true).ReadAsync(buffer, cancellationToken);

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (!_over.IsCancellationRequested) await _printed.Writer.WriteAsync(Encoding.UTF8.GetBytes(_shell.Answer(buffer.Span)), cancellationToken);
    }

    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    /// <summary>The machine is gone, or another has the port now: whoever reads sees the end.</summary>
    public void End()
    {
        if (_over.IsCancellationRequested) return;
        _over.Cancel();
        _printed.Writer.Complete();
        _ended(this);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing) End();
        base.Dispose(disposing);
    }

    private async Task WatchAsync(Func<CancellationToken, Task<bool>> runs)
    {
        try
        {
            while (await runs(_over.Token)) await Task.Delay(s_look, _time, _over.Token);
        }
        catch (OperationCanceledException)
        {
            // Whoever had it has let go.
        }
        finally
        {
            End();
        }
    }
}
