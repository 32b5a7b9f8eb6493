using System.CommandLine;
using System.Text.Json.Nodes;
using LabPortal.Cli.Help;
using LabPortal.Cli.People;
using LabPortal.Cli.Shell;
using Spectre.Console.Rendering;

namespace LabPortal.Cli.Quotas;

internal static class QuotaCommands
{
    public static Command Quota()
    {
        var team = new Argument<string?>("TEAM") { HelpName = "TEAM", Description = "Your only team need not be named.", Arity = ArgumentArity.ZeroOrOne, CompletionSources = { Suggestions.Teams } };
        return new Command("quota", "A team's quota, and which labs hold it.") { team }.Does(async (call, cancellation) =>
        {
            var name = call.Value(team) ?? await Teams.OnlyOneAsync(call.Api, "\"lab quota TEAM\"", cancellation);
            call.Write(await call.Api.GetAsync($"teams/{Uri.EscapeDataString(name)}/quota", cancellation), Table);
        });
    }

    private static IRenderable Table(JsonNode quota)
    {
        var lines = quota.AsArray().OfType<JsonNode>().ToList();
        return Tables.Stack(
            Tables.Rows(lines,
                Column.Field("DIMENSION", "dimension"),
                Column.Field("LIMIT", "limit", isNumber: true),
                Column.Field("HELD", "held", isNumber: true),
                Column.Field("FREE", "free", isNumber: true)),
            Tables.Rows(lines.SelectMany(line => line.Items("holds").Select(hold => (JsonNode)new JsonObject { ["dimension"] = line.Text("dimension"), ["hold"] = hold.DeepClone() })),
                Column.Field("HELD BY", "hold.labName"),
                Column.Field("OWNER", "hold.owner"),
                Column.Field("DIMENSION", "dimension"),
                Column.Field("AMOUNT", "hold.amount", isNumber: true),
                new("FROM", line => Moments.Show(line.Text("hold.from"))),
                new("TO", line => line.Text("hold.to") is { Length: > 0 } to ? Moments.Show(to) : "its end is confirmed")));
    }
}
