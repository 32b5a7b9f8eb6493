using System.Net.WebSockets;
using System.Text;
using System.Text.Json.Nodes;
using LabPortal.Cli.Api;
using LabPortal.Cli.Labs;
using LabPortal.Cli.Shell;

namespace LabPortal.Cli.Consoles;

/// <summary>
/// A way into one machine through the portal: bytes of the machine in binary messages, notes as JSON in text messages. One reader, one writer
/// at a time.
/// </summary>
internal sealed class ConsoleLine : IDisposable
{
    private const int LongestNote = 64 * 1024;
    private readonly ClientWebSocket _socket;
    private readonly SemaphoreSlim _sending = new(1, 1);
    private readonly byte[] _received = new byte[16 * 1024];

    private ConsoleLine(ClientWebSocket socket) => _socket = socket;

    public static async Task<ConsoleLine> OpenAsync(PortalApi api, JsonNode lab, string machine, string kind, bool takeOver, CancellationToken cancellation)
    {
        var ticket = await api.PostAsync($"labs/{lab.Text("id")}/machines/{Uri.EscapeDataString(machine)}/console", new JsonObject { ["kind"] = kind }, cancellation);
        if (!Uri.TryCreate(ticket.Text("address"), UriKind.Absolute, out var told)) throw new CommandFailed(Exit.Unexpected, "The portal named no address for the console.");
        return new ConsoleLine(await api.OpenSocketAsync("consoles", told.Query + (takeOver ? "&takeOver=true" : ""), cancellation));
    }

    public async Task SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellation, bool isNote = false)
    {
        await _sending.WaitAsync(cancellation);
        try
        {
            if (_socket.State == WebSocketState.Open) await _socket.SendAsync(bytes, isNote ? WebSocketMessageType.Text : WebSocketMessageType.Binary, endOfMessage: true, cancellation);
        }
        finally
        {
            _sending.Release();
        }
    }

    /// <summary>What is asked of the console itself: <c>type</c>, <c>give</c>, <c>keep</c>.</summary>
    public Task AskAsync(string what, CancellationToken cancellation) => SendAsync(Encoding.UTF8.GetBytes(new JsonObject { ["do"] = what }.ToJsonString()), cancellation, isNote: true);

    /// <summary>What is typed into this process, until its end.</summary>
    public async Task CarryAsync(Stream from, CancellationToken cancellation)
    {
        var portion = new byte[16 * 1024];
        for (int read; (read = await from.ReadAsync(portion, cancellation)) > 0;) await SendAsync(portion.AsMemory(0, read), cancellation);
        await LeaveAsync(cancellation);
    }

    public async Task LeaveAsync(CancellationToken cancellation)
    {
        await _sending.WaitAsync(cancellation);
        try
        {
            if (_socket.State == WebSocketState.Open) await _socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, cancellation);
        }
        finally
        {
            _sending.Release();
        }
    }

    /// <summary>Until it is over, by one of the two sides; an end that nobody wanted is a failure, with its reason.</summary>
    public async Task ReadAsync(Func<ReadOnlyMemory<byte>, Task> shown, Func<JsonNode, Task> noted, CancellationToken cancellation)
    {
        var note = new MemoryStream();
        while (await ReceiveAsync(cancellation) is { MessageType: not WebSocketMessageType.Close } part)
        {
            if (part.MessageType == WebSocketMessageType.Binary)
            {
                await shown(_received.AsMemory(0, part.Count));
                continue;
            }

            if (note.Length + part.Count > LongestNote) throw new CommandFailed(Exit.Unexpected, "The portal says more about the console than can be read.");
            note.Write(_received, 0, part.Count);
            if (!part.EndOfMessage) continue;
            await noted(JsonNode.Parse(note.ToArray())!);
            note.SetLength(0);
        }

        if (Ended(_socket.CloseStatusDescription ?? "") is { } failed) throw failed;
    }

    public void Dispose()
    {
        _socket.Dispose();
        _sending.Dispose();
    }

    private async Task<ValueWebSocketReceiveResult> ReceiveAsync(CancellationToken cancellation)
    {
        try
        {
            return await _socket.ReceiveAsync(_received.AsMemory(), cancellation);
        }
        catch (WebSocketException fault)
        {
            throw new CommandFailed(Exit.Unreachable, "The connection to the portal is lost.", fault);
        }
    }

    /// <summary>The portal's codes for why a console is over.</summary>
    private static CommandFailed? Ended(string code) => code switch
    {
        "" or "console.left" or "console.ended" => null,
        "console.idle" => new(Exit.Refused, "Nobody did anything for long: the portal closed it."),
        "console.no-answer" => new(Exit.Refused, "The machine does not answer there."),
        "console.elsewhere" => new(Exit.Refused, "Somebody else holds the machine's serial port: \"--take-over\" ends that."),
        "console.not-running" or "console.machine-changed" => new(Exit.Refused, "The machine runs no more, or it is another one by now."),
        "console.lost" => new(Exit.Unreachable, "The part of the portal that had the console is gone; open it again."),
        "console.portal-ends" => new(Exit.Unreachable, "The portal is being stopped."),
        "actor.may-not" or "lab.frozen" => new(Exit.NotAllowed, "You may not be in there any more."),
        _ => new(Exit.Unexpected, $"The portal closed it ({Safe.Text(code)})."),
    };
}
