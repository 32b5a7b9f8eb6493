using System.Net.WebSockets;
using System.Text.Json;

namespace LabPortal.Operations.Consoles;

/// <summary>
/// A person's end of a console: bytes of the machine in binary messages, notes about the console as JSON in text messages. One reader, any
/// number of writers. What it counts is seen from the person.
/// </summary>
internal sealed class ConsoleSocket(WebSocket socket, TimeProvider time) : IDisposable
{
    /// <summary>As much as a machine is given at once, and as a browser is.</summary>
    public const int Portion = 16 * 1024;

    private const int LongestNote = 1024;
    private static readonly TimeSpan s_farewell = TimeSpan.FromSeconds(2);

    private readonly SemaphoreSlim _sending = new(1, 1);
    private readonly byte[] _received = new byte[Portion];
    private long _typed;
    private long _shown;
    private long _lastTyped = time.GetTimestamp();

    public long Typed => Interlocked.Read(ref _typed);

    public long Shown => Interlocked.Read(ref _shown);

    /// <summary>Since the person did something.</summary>
    public TimeSpan Idle => time.GetElapsedTime(Interlocked.Read(ref _lastTyped));

    /// <summary>
    /// Reads until the person leaves. Bytes are passed on as they come, however a message is cut; the next are read when those are taken, so
    /// that nobody makes the portal hold more than a portion. <paramref name="isTyping"/>: bytes come by somebody's hand, not from a program.
    /// </summary>
    public async Task<string> ReadAsync(Func<ReadOnlyMemory<byte>, Task> typed, Action<ConsoleNote> noted, bool isTyping = true)
    {
        var note = new MemoryStream();
        while (true)
        {
            ValueWebSocketReceiveResult part;
            try
            {
                part = await socket.ReceiveAsync(_received.AsMemory(), CancellationToken.None);
            }
            catch (WebSocketException)
            {
                return ConsoleEnd.Lost;
            }

            if (isTyping || part.MessageType != WebSocketMessageType.Binary) Did();
            switch (part.MessageType)
            {
                case WebSocketMessageType.Close:
                    return ConsoleEnd.Left;
                case WebSocketMessageType.Binary:
                    Interlocked.Add(ref _typed, part.Count);
                    try
                    {
                        await typed(_received.AsMemory(0, part.Count));
                    }
                    catch (InvalidDataException)
                    {
                        return ConsoleEnd.Nonsense;
                    }

                    break;
                default:
                    if (note.Length + part.Count > LongestNote) return ConsoleEnd.Nonsense;
                    note.Write(_received, 0, part.Count);
                    if (!part.EndOfMessage) break;
                    if (ConsoleNote.Read(note.ToArray()) is not { } read) return ConsoleEnd.Nonsense;
                    note.SetLength(0);
                    noted(read);
                    break;
            }
        }
    }

    /// <summary>Reads until the person leaves. What they send goes nowhere, and is not counted as typed.</summary>
    public async Task<string> DrainAsync()
    {
        try
        {
            while ((await socket.ReceiveAsync(_received.AsMemory(), CancellationToken.None)).MessageType != WebSocketMessageType.Close)
            {
            }

            return ConsoleEnd.Left;
        }
        catch (WebSocketException)
        {
            return ConsoleEnd.Lost;
        }
    }

    /// <summary>The person did something.</summary>
    public void Did() => Interlocked.Exchange(ref _lastTyped, time.GetTimestamp());

    public async Task ShowAsync(ReadOnlyMemory<byte> bytes)
    {
        for (var from = 0; from < bytes.Length; from += Portion)
        {
            var portion = bytes[from..Math.Min(bytes.Length, from + Portion)];
            await SendAsync(portion, WebSocketMessageType.Binary);
            Interlocked.Add(ref _shown, portion.Length);
        }
    }

    public Task TellAsync<T>(T note) => SendAsync(JsonSerializer.SerializeToUtf8Bytes(note, JsonSerializerOptions.Web), WebSocketMessageType.Text);

    /// <summary>Says why and goes; whoever does not take that is cut off.</summary>
    public async Task CloseAsync(string why, Task<string> reading)
    {
        using var limit = new CancellationTokenSource(s_farewell, time);
        try
        {
            await _sending.WaitAsync(limit.Token);
            if (socket.State is WebSocketState.Open or WebSocketState.CloseReceived) await socket.CloseOutputAsync(ConsoleEnd.StatusOf(why), why, limit.Token);
            // Until they have gone too; how that went is nothing to us.
            await Task.WhenAny(reading, Task.Delay(Timeout.Infinite, limit.Token));
        }
        catch (Exception fault) when (fault is OperationCanceledException or WebSocketException or IOException or ObjectDisposedException)
        {
            // Gone already, or it takes nothing any more.
        }
        finally
        {
            socket.Abort();
        }
    }

    public void Dispose()
    {
        socket.Dispose();
        _sending.Dispose();
    }

    // Not cancelled: that would cut the connection off in the middle of a message. Closing does that, in its time.
    private async Task SendAsync(ReadOnlyMemory<byte> bytes, WebSocketMessageType type)
    {
        await _sending.WaitAsync();
        try
        {
            await socket.SendAsync(bytes, type, endOfMessage: true, CancellationToken.None);
        }
        finally
        {
            _sending.Release();
        }
    }
}

/// <summary>What a person asks of a console beside typing: <c>type</c>, <c>give</c>, <c>keep</c>, <c>stay</c>, <c>size</c>.</summary>
internal sealed record ConsoleNote(string? Do, int? Columns = null, int? Rows = null)
{
    public static ConsoleNote? Read(byte[] text)
    {
        try
        {
            return JsonSerializer.Deserialize<ConsoleNote>(text, JsonSerializerOptions.Web);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

/// <summary>Why a console ended: the code that its close message carries (RFC 6455, 7.1.6), whose sentence stands with the others.</summary>
public static class ConsoleEnd
{
    public const string Left = "console.left";
    public const string Lost = "console.lost";
    public const string Ended = "console.ended";
    public const string Idle = "console.idle";
    public const string Elsewhere = "console.elsewhere";
    public const string NoAnswer = "console.no-answer";
    public const string PortalEnds = "console.portal-ends";
    public const string Nonsense = "console.nonsense";
    public const string Broken = "console.broken";
    public const string TooMany = "console.too-many";
    public const string Moved = "console.moved";
    public const string NobodyThere = "console.nobody-there";
    public const string NoKey = "console.no-key";
    public const string HostChanged = "console.host-changed";

    internal static System.Net.WebSockets.WebSocketCloseStatus StatusOf(string why) => why switch
    {
        Left or Ended => System.Net.WebSockets.WebSocketCloseStatus.NormalClosure,
        PortalEnds or Moved => System.Net.WebSockets.WebSocketCloseStatus.EndpointUnavailable,
        NoAnswer or Broken => System.Net.WebSockets.WebSocketCloseStatus.InternalServerError,
        _ => System.Net.WebSockets.WebSocketCloseStatus.PolicyViolation,
    };
}
