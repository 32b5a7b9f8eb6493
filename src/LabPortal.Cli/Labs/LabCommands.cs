using System.CommandLine;
using System.Text.Json.Nodes;
using LabPortal.Cli.Help;
using LabPortal.Cli.Shell;

namespace LabPortal.Cli.Labs;

/// <summary>Looking at labs.</summary>
internal static class LabCommands
{
    /// <summary>For completion and help; what the portal knows besides is taken too.</summary>
    private static readonly string[] s_states = ["requested", "awaiting-approval", "scheduled", "provisioning", "ready", "stopped", "grace", "ending", "ended", "failed"];

    public static Command List()
    {
        var state = new Option<string[]>("--state") { Description = $"In this state; may be repeated: {string.Join(", ", s_states)}.", HelpName = "STATE", CompletionSources = { s_states } };
        var all = new Option<bool>("--all", "-a") { Description = "Those that are over, too." };
        var team = new Option<string?>("--team") { HelpName = "TEAM", Description = "Of this team.", CompletionSources = { Suggestions.Teams } };
        var owner = new Option<string?>("--owner") { HelpName = "OWNER", Description = "Of this person: \"me\", an e-mail address or an id.", CompletionSources = { "me" } };
        var blueprint = new Option<string?>("--blueprint") { HelpName = "BLUEPRINT", Description = "Of this blueprint.", CompletionSources = { Suggestions.Blueprints } };
        var search = new Option<string?>("--search", "-q") { HelpName = "TEXT", Description = "With this in the name." };
        var limit = Limit();
        return new Command("list", "Labs, the newest first: those that are not over, unless --all or --state says otherwise.") { state, all, team, owner, blueprint, search, limit }.Does(async (call, cancellation) =>
        {
            var states = call.Value(state) is { Length: > 0 } given ? given : call.Value(all) ? [] : s_states[..^2];
            var query = states.Select(word => ("state", word)).ToList();
            foreach (var (option, name) in new[] { (team, "team"), (owner, "owner"), (blueprint, "blueprint"), (search, "q") })
            {
                if (call.Value(option) is { } value) query.Add((name, value));
            }

            call.Write(await call.Api.ListAsync("labs", query, call.Value(limit), cancellation), LabViews.List);
        });
    }

    public static Command Show()
    {
        var lab = LabArguments.Lab();
        return new Command("show", "One lab, with its machines and the ways into them.") { lab }
            .Does(async (call, cancellation) => call.Write(await LabFinder.FindAsync(call.Api, call.Value(lab)!, cancellation), LabViews.One));
    }

    public static Command Wait()
    {
        var lab = LabArguments.Lab();
        var state = new Option<string>("--state") { Description = "The state to wait for.", HelpName = "STATE", DefaultValueFactory = _ => "ready", CompletionSources = { s_states } };
        var timeout = LabArguments.Timeout();
        state.Validators.Add(given =>
        {
            if (given.GetValueOrDefault<string>() is { } word && !s_states.Contains(word)) given.AddError($"--state takes one of: {string.Join(", ", s_states)}.");
        });
        return new Command("wait", "Wait until a lab is in a state and nothing is going on.") { lab, state, timeout }.Does(async (call, cancellation) =>
        {
            var now = await LabFinder.FindAsync(call.Api, call.Value(lab)!, cancellation);
            call.Write(await WaitAsync(call, now, timeout, (waiting, token) => waiting.ForStateAsync(now, call.Value(state)!, token), cancellation), LabViews.One);
        });
    }

    /// <summary>How many at most; all pages of them where it is not said.</summary>
    public static Option<int?> Limit()
    {
        var limit = new Option<int?>("--limit", "-n") { Description = "No more than that many; all where it is not said.", HelpName = "NUMBER" };
        limit.Validators.Add(given =>
        {
            if (given.GetValueOrDefault<int?>() < 1) given.AddError("--limit is at least 1.");
        });
        return limit;
    }

    /// <summary>Interrupted, the lab goes on: that is said, with the way to go on waiting and the way to be rid of it.</summary>
    public static async Task<JsonNode> WaitAsync(Call call, JsonNode lab, Option<TimeSpan?> timeout, Func<Waiting, CancellationToken, Task<JsonNode>> wait, CancellationToken cancellation, bool goesOn = true)
    {
        try
        {
            return await wait(new Waiting(call.Api, Progress.Make(), call.Value(timeout)), cancellation);
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested && goesOn)
        {
            Terminal.Say($"It goes on without you: \"lab wait {lab.Text("id")}\" waits again, \"lab end {lab.Text("id")}\" ends it.");
            throw;
        }
    }
}
