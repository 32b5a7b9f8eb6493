using System.CommandLine;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using LabPortal.Cli.Api;
using LabPortal.Cli.Help;
using LabPortal.Cli.Leases;
using LabPortal.Cli.Shell;

namespace LabPortal.Cli.Labs;

internal static class RequestCommand
{
    public static Command Request()
    {
        var blueprint = new Argument<string>("BLUEPRINT") { HelpName = "BLUEPRINT", Description = "A blueprint of \"lab blueprints\".", CompletionSources = { Suggestions.Blueprints } };
        var team = new Option<string?>("--team") { HelpName = "TEAM", Description = "The team whose quota it takes; your only one need not be named.", CompletionSources = { Suggestions.Teams } };
        var name = new Option<string?>("--name") { HelpName = "NAME", Description = "What it is called." };
        var parameters = LabArguments.Pairs("--param", "A parameter of the blueprint; may be repeated.");
        var labels = LabArguments.Pairs("--label", "A label of your own; may be repeated.");
        var pool = new Option<string?>("--pool") { HelpName = "POOL", Description = "On this pool; else the portal chooses.", CompletionSources = { Suggestions.Pools } };
        var (hours, until) = LabArguments.Lease();
        var start = Moments.Option("--start", "Not now but then.");
        var key = new Option<string?>("--idempotency-key") { HelpName = "KEY", Description = "The same key and request give the same lab, however often: for a pipeline that is run again." };
        var term = Moments.SpanOption("--keepalive", "Tie it to a heartbeat: not heard of for so long, it is deleted; \"lab keepalive\" beats, and so does --wait.");
        var orEnd = new Option<bool>("--or-end") { Description = "End it where the waiting is interrupted or --timeout passes: nothing is left of a pipeline that was cancelled." };
        var (wait, timeout) = (LabArguments.Wait("it is ready"), LabArguments.Timeout());
        return new Command("request", "Request a lab.") { blueprint, team, name, parameters, labels, pool, hours, until, term, start, key, wait, orEnd, timeout }.Does(async (call, cancellation) =>
        {
            var body = new JsonObject { ["blueprint"] = call.Value(blueprint), ["team"] = call.Value(team) ?? await People.Teams.OnlyOneAsync(call.Api, "--team", cancellation) };
            if (call.Value(name) is { } called) body["name"] = called;
            if (call.Value(parameters) is { } given) body["parameters"] = given;
            if (call.Value(labels) is { } labelled) body["labels"] = labelled;
            if (call.Value(pool) is { } there) body["pool"] = there;
            var lease = LabArguments.ReadLease(call, hours, until);
            if (call.Value(term) is { } length) (lease ??= [])["heartbeatMinutes"] = KeepaliveCommand.Minutes(length);
            if (lease is not null) body["lease"] = lease;
            if (call.Value(start) is { } at) body["start"] = Moments.Write(at);

            // A key of its own where none is given: a lost answer never makes a second lab.
            var asked = call.Value(key) ?? RandomNumberGenerator.GetHexString(32, lowercase: true);
            JsonNode? lab = null;
            try
            {
                lab = await call.Api.PostAsync("labs", body, cancellation, asked);
                if (call.Value(wait)) lab = await WaitAsync(call, lab, call.Value(term), timeout, goesOn: !call.Value(orEnd), cancellation);
            }
            catch (Exception fault) when (call.Value(orEnd) && (cancellation.IsCancellationRequested || fault is CommandFailed { Exit: Exit.TimedOut }))
            {
                // Interrupted before its answer came: the same key tells which lab it is.
                using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
                lab ??= await call.Api.PostAsync("labs", body, patience.Token, asked);
                await Heart.EndAsync(call.Api, lab.Text("id"));
                throw;
            }

            catch (OperationCanceledException) when (lab is null && cancellation.IsCancellationRequested)
            {
                Terminal.Say($"Its answer had not come: the lab may have been requested. The same request with \"--idempotency-key {asked}\" tells, and never makes a second one.");
                throw;
            }

            call.Write(lab, LabViews.One);
        });
    }

    private static Task<JsonNode> WaitAsync(Call call, JsonNode lab, TimeSpan? term, Option<TimeSpan?> timeout, bool goesOn, CancellationToken cancellation)
    {
        return term is { } length ? new Heart(call.Api, lab.Text("id"), length).WhileAsync(ReadyAsync, cancellation) : ReadyAsync(cancellation);

        Task<JsonNode> ReadyAsync(CancellationToken until) => LabCommands.WaitAsync(call, lab, timeout, (waiting, token) => waiting.ForStateAsync(lab, "ready", token), until, goesOn);
    }
}
