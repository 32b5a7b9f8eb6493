using System.CommandLine;
using System.Text.Json.Nodes;
using LabPortal.Cli.Api;
using LabPortal.Cli.Labs;
using LabPortal.Cli.Shell;
using Spectre.Console.Rendering;

namespace LabPortal.Cli.Audit;

internal static class AuditCommand
{
    private const int Shown = 50;

    public static Command Audit()
    {
        var mine = new Option<bool>("--mine") { Description = "What you did yourself; everybody may." };
        var who = new Option<string?>("--who") { HelpName = "TEXT", Description = "Part of the name or e-mail address of who did it, or of the token's name." };
        var what = new Option<string?>("--what") { HelpName = "TEXT", Description = "Part of the verb, like end-lab." };
        var kind = new Option<string?>("--kind") { HelpName = "KIND", Description = "Of objects of this kind, like lab." };
        var of = new Option<string?>("--object") { HelpName = "TEXT", Description = "Of this object: its id, or part of its name." };
        var (from, to) = (Moments.Option("--from", "From then on."), Moments.Option("--to", "Before then."));
        var limit = LabCommands.Limit();
        var csv = new Option<bool>("--csv") { Description = "All of it as CSV (RFC 4180)." };
        var lines = new Option<bool>("--jsonl") { Description = "All of it as JSON, a line each." };
        return new Command("audit", $"Who did what, the newest first (administrators and auditors); {Shown} unless --limit, --csv or --jsonl says otherwise.") { mine, who, what, kind, of, from, to, limit, csv, lines }.Does(async (call, cancellation) =>
        {
            var path = call.Value(mine) ? "me/audit" : "audit";
            List<(string, string)> query =
            [
                .. new[] { (who, "who"), (what, "what"), (kind, "kind"), (of, "object") }.Where(pair => call.Value(pair.Item1) is not null).Select(pair => (pair.Item2, call.Value(pair.Item1)!)),
                .. new[] { (from, "from"), (to, "to") }.Where(pair => call.Value(pair.Item1) is not null).Select(pair => (pair.Item2, Moments.Write(call.Value(pair.Item1)!.Value))),
            ];
            if (call.Value(mine) && (query.Count > 0 || call.Value(csv) || call.Value(lines))) throw new CommandFailed(Exit.Invalid, "--mine is all of your own: it takes nothing but --limit.");
            if (!call.Value(csv) && !call.Value(lines))
            {
                call.Write(await call.Api.ListAsync(path, query, call.Value(limit) ?? Shown, cancellation), Table);
                return;
            }

            if (call.Value(csv) && call.Value(lines)) throw new CommandFailed(Exit.Invalid, "--csv or --jsonl, not both.");
            await call.Api.ReadAsync($"{path}?{PortalApi.Query(query)}", call.Value(csv) ? "text/csv" : "application/x-ndjson", Terminal.CopyAsync, cancellation);
        });
    }

    private static IRenderable Table(JsonNode listing) => Tables.Rows(listing.Items("items"),
        new("AT", line => Moments.Show(line.Text("at"))),
        new("WHO", line => line.Text("tokenName") is { Length: > 0 } token ? $"{line.Text("actor")} ({token})" : line.Text("actor")),
        Column.Field("VERB", "verb"),
        new("OBJECT", line => string.Join(' ', line.Text("objectKind"), line.Text("objectName") is { Length: > 0 } name ? name : line.Text("objectId"))),
        Column.Field("OUTCOME", "outcome"),
        Column.Field("DETAIL", "detail"));
}
