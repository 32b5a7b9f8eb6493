using System.CommandLine;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using LabPortal.Cli.Api;
using LabPortal.Cli.Help;
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
        var (wait, timeout) = (LabArguments.Wait("it is ready"), LabArguments.Timeout());
        return new Command("request", "Request a lab.") { blueprint, team, name, parameters, labels, pool, hours, until, start, key, wait, timeout }.Does(async (call, cancellation) =>
        {
            var body = new JsonObject { ["blueprint"] = call.Value(blueprint), ["team"] = call.Value(team) ?? await People.Teams.OnlyOneAsync(call.Api, "--team", cancellation) };
            if (call.Value(name) is { } called) body["name"] = called;
            if (call.Value(parameters) is { } given) body["parameters"] = given;
            if (call.Value(labels) is { } labelled) body["labels"] = labelled;
            if (call.Value(pool) is { } there) body["pool"] = there;
            if (LabArguments.ReadLease(call, hours, until) is { } lease) body["lease"] = lease;
            if (call.Value(start) is { } at) body["start"] = Moments.Write(at);

            // A key of its own where none is given: a lost answer never makes a second lab.
            var lab = await call.Api.PostAsync("labs", body, cancellation, call.Value(key) ?? RandomNumberGenerator.GetHexString(32, lowercase: true));
            if (call.Value(wait)) lab = await LabCommands.WaitAsync(call, lab, timeout, (waiting, token) => waiting.ForStateAsync(lab, "ready", token), cancellation);
            call.Write(lab, LabViews.One);
        });
    }
}
