using System.Buffers.Binary;
using System.IO.Pipelines;
using System.Text;
using System.Threading.Channels;

namespace LabPortal.Providers.Simulated;

/// <summary>
/// A simulated guest's screen: lines of text that all who look at it see, and a shell behind them as at its serial port. Each viewer has a
/// <see cref="SimulatedView"/>.
/// </summary>
internal sealed class SimulatedScreen
{
    public const int Columns = 66;
    public const int Rows = 24;

    private readonly Lock _changing = new();
    private readonly SimulatedShell _shell;
    private readonly List<string> _lines = [];
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public SimulatedScreen(string hostName)
    {
        _shell = new SimulatedShell(hostName);
        Write($"Simulated screen of {hostName}\r\n{hostName}# ");
    }

    /// <summary>Completes with the next change.</summary>
    public Task Changed
    {
        get
        {
            lock (_changing) return _changed.Task;
        }
    }

    public IReadOnlyList<string> Lines()
    {
        lock (_changing) return [.. _lines];
    }

    public void Type(byte letter) => Write(_shell.Answer([letter]));

    private void Write(string text)
    {
        TaskCompletionSource changed;
        lock (_changing)
        {
            foreach (var letter in text)
            {
                if (_lines.Count == 0 || letter == '\n' || (letter is >= ' ' and <= '~' && _lines[^1].Length == Columns)) _lines.Add("");
                if (letter == '\b' && _lines[^1].Length > 0) _lines[^1] = _lines[^1][..^1];
                else if (letter is >= ' ' and <= '~') _lines[^1] += letter;
            }

            while (_lines.Count > Rows) _lines.RemoveAt(0);
            (changed, _changed) = (_changed, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        }

        changed.SetResult();
    }
}

/// <summary>
/// One viewer's line to a simulated screen: the server's side of RFB 3.8 (RFC 6143) with raw pictures alone. What it is asked that it does not
/// know ends it.
/// </summary>
internal sealed class SimulatedView : Stream
{
    private const int CellWidth = 6;
    private const int CellHeight = 10;
    private const int Width = SimulatedScreen.Columns * CellWidth;
    private const int Height = SimulatedScreen.Rows * CellHeight;

    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(250);

    // 32 bits, 24 of them used, little endian, true colour: red at 16, green at 8, blue at 0.
    private static readonly byte[] s_pixelFormat = [32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0];

    private readonly SimulatedScreen _screen;
    private readonly Pipe _shown = new();
    private readonly Pipe _said = new();
    private readonly CancellationTokenSource _over = new();
    private readonly Channel<bool> _asked = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private byte[] _format = s_pixelFormat;
    private bool _all;

    public SimulatedView(SimulatedScreen screen, string hostName, Func<CancellationToken, Task<bool>> runs, TimeProvider time)
    {
        _screen = screen;
        _ = ServeAsync(hostName, runs, time);
    }

    public override bool CanRead => true;

    public override bool CanWrite => true;

    public override bool CanSeek => false;

    public override long Length => throw new NotSupportedException();

    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => _shown.Reader.AsStream(leaveOpen: true).ReadAsync(buffer, cancellationToken);

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => await _said.Writer.WriteAsync(buffer, cancellationToken);

    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing) _over.Cancel();
        base.Dispose(disposing);
    }

    private async Task WatchAsync(Func<CancellationToken, Task<bool>> runs, TimeProvider time)
    {
        while (await runs(_over.Token)) await Task.Delay(s_look, time, _over.Token);
    }

    private async Task ServeAsync(string hostName, Func<CancellationToken, Task<bool>> runs, TimeProvider time)
    {
        try
        {
            using var said = _said.Reader.AsStream();
            var ends = WatchAsync(runs, time);
            await SayAsync("RFB 003.008\n"u8.ToArray());
            await HearAsync(said, 12);
            // One way to sign in: none. It went well.
            await SayAsync([1, 1]);
            await HearAsync(said, 1);
            await SayAsync([0, 0, 0, 0]);
            await HearAsync(said, 1);
            var name = Encoding.UTF8.GetBytes(hostName);
            await SayAsync([.. Short(Width), .. Short(Height), .. s_pixelFormat, 0, 0, .. Short(name.Length), .. name]);
            await (await Task.WhenAny(HearAsync(said), DrawAsync(), ends));
        }
        catch (Exception fault) when (fault is OperationCanceledException or EndOfStreamException or InvalidDataException)
        {
            // Whoever looked has gone, or the machine has.
        }
        finally
        {
            await _over.CancelAsync();
            await _shown.Writer.CompleteAsync();
            await _said.Writer.CompleteAsync();
        }
    }

    private async Task HearAsync(Stream said)
    {
        while (true)
        {
            switch ((await HearAsync(said, 1))[0])
            {
                case 0:
                    _format = (await HearAsync(said, 19))[3..];
                    if (_format[0] != 32 || _format[3] == 0) throw new InvalidDataException("A simulated screen shows 32 bits of true colour only.");
                    break;
                case 2:
                    await HearAsync(said, 4 * BinaryPrimitives.ReadUInt16BigEndian((await HearAsync(said, 3)).AsSpan(1)));
                    break;
                case 3:
                    if ((await HearAsync(said, 9))[0] == 0) Volatile.Write(ref _all, true);
                    _asked.Writer.TryWrite(true);
                    break;
                case 4:
                    var key = await HearAsync(said, 7);
                    if (key[0] == 1 && Letter(BinaryPrimitives.ReadUInt32BigEndian(key.AsSpan(3))) is { } letter) _screen.Type(letter);
                    break;
                case 5:
                    await HearAsync(said, 5);
                    break;
                case var other:
                    throw new InvalidDataException($"A simulated screen knows no message {other}.");
            }
        }
    }

    /// <summary>Whoever asks is answered as soon as there is something that they have not been shown.</summary>
    private async Task DrawAsync()
    {
        var drawn = new string?[SimulatedScreen.Rows];
        while (true)
        {
            await _asked.Reader.ReadAsync(_over.Token);
            while (true)
            {
                var changed = _screen.Changed;
                if (Interlocked.Exchange(ref _all, false)) Array.Clear(drawn);
                var lines = _screen.Lines();
                var news = Enumerable.Range(0, drawn.Length).Where(row => drawn[row] != (row < lines.Count ? lines[row] : "")).ToList();
                if (news.Count > 0)
                {
                    foreach (var row in news) drawn[row] = (row < lines.Count ? lines[row] : "");
                    await SayAsync([0, 0, .. Short(news.Count), .. news.SelectMany(row => Picture(row, drawn[row]!))]);
                    break;
                }

                await Task.WhenAny(changed, _asked.Reader.WaitToReadAsync(_over.Token).AsTask());
                _asked.Reader.TryRead(out _);
                _over.Token.ThrowIfCancellationRequested();
            }
        }
    }

    /// <summary>One line of text as a raw rectangle.</summary>
    private byte[] Picture(int row, string text)
    {
        var pixels = new byte[Width * CellHeight * 4];
        var (paper, ink) = (Pixel(16, 23, 22), Pixel(230, 236, 233));
        for (var at = 0; at < pixels.Length; at += 4)
        {
            var (x, y) = (at / 4 % Width, at / 4 / Width);
            (SimulatedFont.Has(text, x / CellWidth, x % CellWidth, y - 1) ? ink : paper).CopyTo(pixels, at);
        }

        return [0, 0, .. Short(row * CellHeight), .. Short(Width), .. Short(CellHeight), 0, 0, 0, 0, .. pixels];
    }

    /// <summary>As the viewer wants it (RFC 6143, 7.4).</summary>
    private byte[] Pixel(params ReadOnlySpan<byte> colour)
    {
        var value = 0u;
        for (var i = 0; i < 3; i++) value |= (uint)(colour[i] * BinaryPrimitives.ReadUInt16BigEndian(_format.AsSpan(4 + (2 * i))) / 255) << _format[10 + i];
        var bytes = new byte[4];
        if (_format[2] == 0) BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
        else BinaryPrimitives.WriteUInt32BigEndian(bytes, value);
        return bytes;
    }

    private async Task SayAsync(byte[] bytes) => await _shown.Writer.WriteAsync(bytes, _over.Token);

    private async Task<byte[]> HearAsync(Stream said, int count)
    {
        var bytes = new byte[count];
        await said.ReadExactlyAsync(bytes, _over.Token);
        return bytes;
    }

    /// <summary>X's keysyms: Latin-1 as it is, and those keys that a shell reads.</summary>
    private static byte? Letter(uint keysym) => keysym switch
    {
        >= 0x20 and < 0x7f => (byte)keysym,
        0xff0d => (byte)'\r',
        0xff08 => 0x7f,
        _ => null,
    };

    private static byte[] Short(int number) => [(byte)(number >> 8), (byte)number];
}
