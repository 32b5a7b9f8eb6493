using System.CommandLine;
using System.Text;
using System.Text.Json.Nodes;
using LabPortal.Cli.Labs;
using LabPortal.Cli.Shell;

namespace LabPortal.Cli.Consoles;

internal static class SerialCommand
{
    public static Command Console()
    {
        var machine = LabArguments.LabOrMachine();
        var takeOver = new Option<bool>("--take-over") { Description = "Whoever holds the machine's port outside of the portal's consoles loses it." };
        return new Command("console", "A machine's serial console in this terminal; Ctrl-] and then \".\" leaves it.") { machine, takeOver }.Does(async (call, cancellation) =>
        {
            var (lab, one) = await LabFinder.FindOneMachineAsync(call.Api, call.Value(machine)!, cancellation);
            using var terminal = RawTerminal.Begin();
            using var line = await ConsoleLine.OpenAsync(call.Api, lab, one.Text("name"), "serial", call.Value(takeOver), cancellation);
            await new SerialSession(line, terminal.Keys, System.Console.OpenStandardOutput()).RunAsync(Safe.Cell($"{lab.Text("name")}/{one.Text("name")}"), cancellation);
        });
    }
}

/// <summary>
/// One person at a serial console: keys go there, what is printed comes back, and lines in square brackets say who else is there. After
/// Ctrl-] one key is for lab itself.
/// </summary>
internal sealed class SerialSession(ConsoleLine line, Stream keys, Stream screen)
{
    private const byte Escape = 0x1d;
    private static readonly TimeSpan s_farewell = TimeSpan.FromSeconds(2);

    private readonly GuestOutput _guest = new();
    private string _said = "";
    private bool _isLive;
    private bool _youType;

    public async Task RunAsync(string name, CancellationToken cancellation)
    {
        using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        try
        {
            await SayAsync($"{name}: Ctrl-] and then \".\" leaves, \"?\" tells more");
            var reading = line.ReadAsync(ShowAsync, TellAsync, over.Token);
            // Reading keys cannot be cancelled: it is left alone, and the process ends without it.
            var typing = Task.Run(() => TypeAsync(over.Token), over.Token);
            if (await Task.WhenAny(reading, typing) == typing)
            {
                await typing;
                await line.LeaveAsync(over.Token);
                over.CancelAfter(s_farewell);
            }

            await reading;
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            // The portal took no leave; we do.
        }
        finally
        {
            await screen.WriteAsync(Encoding.ASCII.GetBytes(GuestOutput.Afterwards), CancellationToken.None);
            await screen.FlushAsync(CancellationToken.None);
        }
    }

    private async Task ShowAsync(ReadOnlyMemory<byte> bytes)
    {
        await screen.WriteAsync(_guest.Pass(bytes.Span));
        await screen.FlushAsync();
    }

    private async Task TellAsync(JsonNode note)
    {
        // What is shown again is no question to this terminal.
        _isLive |= note.Flag("live");
        if (note.At("you") is not null)
        {
            _youType = note.Number("you") == note.Number("types");
            var sentence = RoomText.Of(note);
            if (sentence != _said) await SayAsync(_said = sentence);
        }

        _guest.MayAsk = _isLive && _youType;
    }

    private async Task TypeAsync(CancellationToken cancellation)
    {
        var (portion, escaped) = (new byte[1024], false);
        for (int read; (read = await keys.ReadAsync(portion, cancellation)) > 0;)
        {
            var from = 0;
            for (var i = 0; i < read; i++)
            {
                if (!escaped && portion[i] != Escape) continue;
                // What was typed before goes before.
                if (i > from) await line.SendAsync(portion.AsMemory(from, i - from), cancellation);
                from = i + 1;
                if (escaped && !await DoAsync((char)portion[i], cancellation)) return;
                escaped = !escaped;
            }

            if (read > from) await line.SendAsync(portion.AsMemory(from, read - from), cancellation);
        }
    }

    /// <summary>Whether one stays.</summary>
    private async Task<bool> DoAsync(char key, CancellationToken cancellation)
    {
        switch (key)
        {
            case '.': return false;
            case 't': await line.AskAsync("type", cancellation); break;
            case 'g': await line.AskAsync("give", cancellation); break;
            case 'k': await line.AskAsync("keep", cancellation); break;
            case (char)Escape: await line.SendAsync(new[] { Escape }, cancellation); break;
            default: await SayAsync("after Ctrl-]: \".\" leaves, \"t\" takes the keyboard or asks for it, \"g\" gives it, \"k\" keeps it, Ctrl-] types itself"); break;
        }

        return true;
    }

    private async Task SayAsync(string sentence)
    {
        await screen.WriteAsync(Encoding.UTF8.GetBytes($"\r\n[{sentence}]\r\n"));
        await screen.FlushAsync();
    }
}

/// <summary>Who is there and who types, in a sentence.</summary>
internal static class RoomText
{
    private const int MostNamed = 5;

    public static string Of(JsonNode room)
    {
        var (you, types, asks) = (room.Number("you"), room.Number("types"), room.Number("asks"));
        var people = room.Items("people").ToDictionary(person => person.Number("number"), person => Safe.Cell(person.Text("name")));
        var others = people.Where(person => person.Key != you).Select(person => person.Value).ToList();
        var there = others.Count == 0 ? "nobody else is here" : $"also here: {string.Join(", ", others.Take(MostNamed))}{(others.Count > MostNamed ? $" and {others.Count - MostNamed} more" : "")}";
        var keyboard = (types == you, asks) switch
        {
            (true, 0) => "you type",
            (true, _) => $"{people.GetValueOrDefault(asks, "somebody")} asks for the keyboard: Ctrl-] g gives it, Ctrl-] k keeps it, no answer gives it",
            (false, _) when asks == you => "you asked for the keyboard",
            (false, _) when types == 0 => "nobody types: Ctrl-] t takes the keyboard",
            _ => $"{people.GetValueOrDefault(types, "somebody")} types: Ctrl-] t asks for the keyboard",
        };
        return string.Join("; ", new[] { keyboard, there, room.Flag("kept") ? "you were not given the keyboard" : "", room.Flag("skipped") ? "more was printed than could be shown" : "" }.Where(part => part.Length > 0));
    }
}
