using System.Threading.Channels;
using LabPortal.Domain;

namespace LabPortal.Operations.Consoles;

/// <summary>
/// One console of a machine with all who look at it: who is there, and who of them types. Where they share one line (a serial port, a shell)
/// what it printed last too; at a screen each has a line of their own, and only the keyboard is shared. Everything in it is bounded, whatever
/// the guest prints and however slow somebody reads.
/// </summary>
internal sealed class ConsoleRoom : IDisposable
{
    /// <summary>How much of what was printed before is shown to who comes.</summary>
    public const int Scrolled = 64 * 1024;

    private const int MostCells = 500;

    /// <summary>Who types and does not answer gives the keyboard away after so long.</summary>
    public static readonly TimeSpan Answer = TimeSpan.FromSeconds(10);

    private readonly Stream? _line;
    private readonly TimeProvider _time;
    private readonly Action<Exception> _broke;
    private readonly Lock _changing = new();
    private readonly SemaphoreSlim _typing = new(1, 1);
    private readonly Scroll _scroll = new(Scrolled);
    private readonly List<ConsoleSeat> _seats = [];
    private readonly CancellationTokenSource _closing = new();
    private ITimer? _answer;
    private ConsoleSeat? _types;
    private ConsoleSeat? _asks;
    private int _numbers;
    private bool _closed;

    public ConsoleRoom(Stream? line, TimeProvider time, Action<Exception> broke)
    {
        (_line, _time, _broke) = (line, time, broke);
        Closed = PumpAsync();
    }

    /// <summary>Nobody is in it any more, or its line has ended.</summary>
    public Task Closed { get; }

    /// <summary>What was printed before the line was opened, without what the line has brought since.</summary>
    public void Recall(byte[] log)
    {
        lock (_changing) _scroll.Recall(log);
    }

    /// <summary>Empty where the room is closed already.</summary>
    public ConsoleSeat? Join(PersonId? person, string name, bool mayType = true)
    {
        lock (_changing)
        {
            if (_closed) return null;
            var seat = new ConsoleSeat(this, ++_numbers, person, name, mayType, _scroll.ToArray());
            _seats.Add(seat);
            if (mayType) _types ??= seat;
            Changed();
            return seat;
        }
    }

    public void Leave(ConsoleSeat seat)
    {
        lock (_changing)
        {
            if (!_seats.Remove(seat)) return;
            if (_asks == seat) Settle(_types);
            if (_types == seat) Settle(_asks);
            if (_seats.Count == 0) Close();
            else Changed();
        }
    }

    public bool Types(ConsoleSeat seat)
    {
        lock (_changing) return _types == seat && !_closed;
    }

    /// <summary>Bytes of who may not type are dropped: their page says so.</summary>
    public async Task TypeAsync(ConsoleSeat seat, ReadOnlyMemory<byte> bytes, CancellationToken cancellation)
    {
        if (_line is null || !Types(seat)) return;

        await _typing.WaitAsync(cancellation);
        try
        {
            await _line.WriteAsync(bytes, cancellation);
            await _line.FlushAsync(cancellation);
        }
        finally
        {
            _typing.Release();
        }
    }

    public void Take(ConsoleSeat seat, ConsoleNote note)
    {
        lock (_changing)
        {
            if (!_seats.Contains(seat)) return;
            switch (note.Do)
            {
                case "type" when !seat.MayType: return;
                // Who types on another page of theirs need not be asked.
                case "type" when _types is null || (_types.Person is not null && _types.Person == seat.Person): Settle(seat); break;
                case "type" when _types != seat && _asks is null: Ask(seat); break;
                case "give" when _types == seat && _asks is not null: Settle(_asks); break;
                case "keep" when _types == seat && _asks is not null:
                    _asks.WasRefused = true;
                    Settle(seat);
                    break;
                // The window of who types is what all see.
                case "size" when _types == seat && _line is ISizedLine sized && note is { Columns: >= 2 and <= MostCells, Rows: >= 2 and <= MostCells }:
                    sized.Size = (note.Columns.Value, note.Rows.Value);
                    break;
                default: return;
            }

            Changed();
        }
    }

    public RoomNote Tell(ConsoleSeat seat)
    {
        lock (_changing) return new RoomNote(seat.Number, seat.MayType, _types?.Number, _asks?.Number, seat.WasRefused, [.. _seats.Select(one => new SeatedNote(one.Number, one.Name))])
        {
            Columns = (_line as ISizedLine)?.Size.Columns,
            Rows = (_line as ISizedLine)?.Size.Rows,
        };
    }

    private void Ask(ConsoleSeat seat)
    {
        _asks = seat;
        seat.WasRefused = false;
        _answer = _time.CreateTimer(
            _ =>
            {
                lock (_changing)
                {
                    if (_asks != seat) return;
                    Settle(seat);
                    Changed();
                }
            },
            null, Answer, Timeout.InfiniteTimeSpan);
    }

    private void Settle(ConsoleSeat? types)
    {
        (_types, _asks) = (types, null);
        _answer?.Dispose();
        _answer = null;
    }

    private void Changed()
    {
        foreach (var seat in _seats) seat.Touch();
    }

    private async Task PumpAsync()
    {
        try
        {
            if (_line is null) await Task.Delay(Timeout.InfiniteTimeSpan, _time, _closing.Token);
            var portion = new byte[4096];
            for (int read; _line is not null && (read = await _line.ReadAsync(portion, _closing.Token)) > 0;)
            {
                var printed = portion[..read];
                lock (_changing)
                {
                    _scroll.Add(printed);
                    foreach (var seat in _seats) seat.Offer(printed);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Everybody has left.
        }
        catch (Exception fault)
        {
            _broke(fault);
        }
        finally
        {
            lock (_changing)
            {
                Close();
                foreach (var seat in _seats) seat.End(ConsoleEnd.Ended);
            }

            if (_line is not null) await _line.DisposeAsync();
            Dispose();
        }
    }

    /// <summary>Called where the line has ended; a seat that is still in it finds out.</summary>
    public void Dispose()
    {
        _answer?.Dispose();
        _closing.Dispose();
        _typing.Dispose();
    }

    private void Close()
    {
        if (_closed) return;
        _closed = true;
        _answer?.Dispose();
        _closing.Cancel();
    }
}

/// <summary>Somebody's place in a room: what they have not been shown yet, at most <see cref="MostWaiting"/> of it.</summary>
internal sealed class ConsoleSeat(ConsoleRoom room, int number, PersonId? person, string name, bool mayType, byte[] before) : IDisposable
{
    /// <summary>With what is sent at once this makes some 2 MB a second.</summary>
    public static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(15);

    private const int MostWaiting = 256 * 1024;
    private const int MostAtOnce = 32 * 1024;

    private readonly Lock _changing = new();
    private readonly Channel<bool> _bell = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private readonly Queue<byte[]> _printed = new(before.Length == 0 ? [] : [before]);
    private long _waiting = before.Length;
    private bool _touched = true;
    private bool _skipped;
    private bool _isLive;
    private string? _ended;

    public int Number { get; } = number;

    public PersonId? Person { get; } = person;

    public string Name { get; } = name;

    /// <summary>Others only watch.</summary>
    public bool MayType { get; } = mayType;

    /// <summary>It is they who type now.</summary>
    public bool Types => room.Types(this);

    /// <summary>They asked for the keyboard, and whoever has it keeps it.</summary>
    public bool WasRefused { get; set; }

    public Task TypeAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellation) => room.TypeAsync(this, bytes, cancellation);

    public void Take(ConsoleNote note) => room.Take(this, note);

    public void Offer(byte[] printed)
    {
        lock (_changing)
        {
            _printed.Enqueue(printed);
            _waiting += printed.Length;
            // The newest is what they want to see.
            while (_waiting > MostWaiting)
            {
                _waiting -= _printed.Dequeue().Length;
                _skipped = true;
            }
        }

        _bell.Writer.TryWrite(true);
    }

    public void Touch()
    {
        lock (_changing) _touched = true;
        _bell.Writer.TryWrite(true);
    }

    public void End(string why)
    {
        lock (_changing) _ended = why;
        _bell.Writer.TryWrite(true);
    }

    /// <summary>Waits until there is some. At the end all that was printed comes first.</summary>
    public async Task<SeatNews> NewsAsync(CancellationToken cancellation)
    {
        while (true)
        {
            if (Next() is { } news) return news;
            await _bell.Reader.ReadAsync(cancellation);
        }
    }

    public void Dispose() => room.Leave(this);

    private SeatNews? Next()
    {
        var tell = false;
        var (printed, skipped, live) = (new List<byte[]>(), false, false);
        string? ended;
        lock (_changing)
        {
            (tell, _touched) = (_touched, false);
            (skipped, _skipped) = (_skipped, false);
            for (var size = 0; size < MostAtOnce && _printed.TryDequeue(out var bytes); size += bytes.Length)
            {
                printed.Add(bytes);
                _waiting -= bytes.Length;
            }

            // What was printed before is one piece: after the first round they see what happens now.
            (live, _isLive) = (!_isLive, true);
            ended = _printed.Count == 0 ? _ended : null;
        }

        if (!tell && !skipped && !live && printed.Count == 0 && ended is null) return null;
        return new SeatNews(tell || skipped ? room.Tell(this) with { Skipped = skipped } : null, printed, live, ended);
    }
}

/// <summary>What there is to tell to one seat, in this order.</summary>
internal sealed record SeatNews(RoomNote? Room, IReadOnlyList<byte[]> Printed, bool IsLive, string? Ended);

/// <summary>
/// Who is there: <paramref name="You"/>, who types and who asks to, by their numbers; <paramref name="MayType"/> where you may ever;
/// <paramref name="Kept"/> where your wish was refused.
/// </summary>
internal sealed record RoomNote(int You, bool MayType, int? Types, int? Asks, bool Kept, IReadOnlyList<SeatedNote> People)
{
    /// <summary>More was printed than could be shown; the oldest of it is left out.</summary>
    public bool Skipped { get; init; }

    /// <summary>How large the terminal is, where it has a size.</summary>
    public int? Columns { get; init; }

    public int? Rows { get; init; }
}

internal sealed record SeatedNote(int Number, string Name);

/// <summary>The last bytes of something endless.</summary>
internal sealed class Scroll(int most)
{
    private readonly Queue<byte[]> _pieces = new();
    private int _size;

    public void Add(byte[] piece)
    {
        _pieces.Enqueue(piece);
        _size += piece.Length;
        while (_size - _pieces.Peek().Length >= most) _size -= _pieces.Dequeue().Length;
    }

    /// <summary>What came before the first piece. Its end may be the beginning of the pieces: that is not said twice.</summary>
    public void Recall(byte[] before)
    {
        var since = ToArray();
        var same = Math.Min(before.Length, since.Length);
        while (same > 0 && !before.AsSpan(before.Length - same).SequenceEqual(since.AsSpan(0, same))) same--;
        _pieces.Clear();
        _size = 0;
        Add([.. before, .. since.AsSpan(same)]);
    }

    public byte[] ToArray()
    {
        var all = _pieces.SelectMany(piece => piece).ToArray();
        return all.Length <= most ? all : all[^most..];
    }
}
