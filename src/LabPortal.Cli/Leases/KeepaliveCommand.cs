using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using LabPortal.Cli.Labs;
using LabPortal.Cli.Shell;

namespace LabPortal.Cli.Leases;

/// <summary>A lab that is tied to a program: without it, it ends by itself.</summary>
internal static class KeepaliveCommand
{
    private static readonly TimeSpan s_usual = TimeSpan.FromMinutes(5);

    public static Command Keepalive()
    {
        var lab = LabArguments.Lab();
        var words = new Argument<string[]>("COMMAND") { HelpName = "COMMAND", Description = "What is run meanwhile, after \"--\"; it knows the lab as $LAB_ID and $LAB_NAME.", Arity = ArgumentArity.ZeroOrMore };
        var term = Moments.SpanOption("--term", "Not heard of for so long, the lab is deleted; 1m to 1d, what it has already, or 5m.");
        var end = new Option<bool>("--end") { Description = "End the lab at once when the command has ended, or this is interrupted." };
        var off = new Option<bool>("--off") { Description = "Untie it: the lab lives as long as its lease says." };
        return new Command("keepalive", "Keep a lab only while this runs: when it is gone, however, the lab is deleted a term later.") { lab, words, term, end, off }.Ends(async (call, cancellation) =>
        {
            var found = await LabFinder.FindAsync(call.Api, call.Value(lab)!, cancellation);
            var id = found.Text("id");
            if (call.Value(off))
            {
                call.Write(await call.Api.DeleteAsync($"labs/{id}/keepalive", cancellation), LabViews.One);
                return (int)Exit.Done;
            }

            var given = call.Value(words) ?? [];
            var length = call.Value(term) ?? (TermOf(found) is { } known ? known : s_usual);
            await call.Api.PostAsync($"labs/{id}/keepalive", new JsonObject { ["minutes"] = Minutes(length) }, cancellation);
            Terminal.Say(Safe.Text($"{found.Text("name")} is kept; when nothing is heard of this for {Moments.Short(length)}, it is deleted."));
            try
            {
                return await new Heart(call.Api, id, length).WhileAsync(token => RunAsync(given, found, token), cancellation);
            }
            finally
            {
                if (call.Value(end)) await Heart.EndAsync(call.Api, id);
            }
        });
    }

    /// <summary>As the API takes it.</summary>
    public static decimal Minutes(TimeSpan term) => (decimal)term.TotalMinutes;

    private static TimeSpan? TermOf(JsonNode lab) => decimal.TryParse(lab.Text("lease.heartbeat.minutes"), NumberStyles.Number, CultureInfo.InvariantCulture, out var minutes) ? TimeSpan.FromMinutes((double)minutes) : null;

    private static async Task<int> RunAsync(string[] words, JsonNode lab, CancellationToken cancellation)
    {
        if (words is [var program, .. var arguments])
            return await SystemProgram.RunAsync(program, arguments, cancellation, new Dictionary<string, string> { ["LAB_ID"] = lab.Text("id"), ["LAB_NAME"] = lab.Text("name") });
        await Task.Delay(Timeout.Infinite, cancellation);
        return (int)Exit.Done;
    }
}
