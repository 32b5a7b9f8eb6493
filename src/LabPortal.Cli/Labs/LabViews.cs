using System.Text.Json.Nodes;
using LabPortal.Cli.Shell;
using Spectre.Console.Rendering;

namespace LabPortal.Cli.Labs;

/// <summary>Labs as tables.</summary>
internal static class LabViews
{
    public static IRenderable List(JsonNode listing) => Tables.Rows(listing.Items("items"),
        Column.Field("NAME", "name"),
        new("STATE", State),
        Column.Field("BLUEPRINT", "blueprint"),
        Column.Field("TEAM", "team"),
        Column.Field("OWNER", "owner"),
        new("ENDS", lab => LabFinder.IsOver(lab) ? "" : Moments.Show(lab.Text("lease.end"))),
        Column.Field("ID", "id"));

    public static IRenderable One(JsonNode lab)
    {
        var facts = Tables.Facts(
            ("Name", lab.Text("name")),
            ("Id", lab.Text("id")),
            ("State", State(lab)),
            ("Reason", lab.Text("reason")),
            ("Blueprint", $"{lab.Text("blueprint")}, version {lab.Text("blueprintVersion")}"),
            ("Team, owner", $"{lab.Text("team")}, {lab.Text("owner")}"),
            ("Parameters", lab.Text("parameters")),
            ("Labels", lab.Text("labels")),
            ("Starts", lab.Text("state") is "scheduled" or "requested" ? Moments.Show(lab.Text("lease.start")) : ""),
            ("Is stopped", LabFinder.IsOver(lab) ? "" : Moments.Show(lab.Text("lease.end"))),
            ("Is deleted", LabFinder.IsOver(lab) ? "" : Moments.Show(lab.Text("lease.graceUntil"))),
            ("Is kept", LabFinder.IsOver(lab) || lab.At("lease.heartbeat") is null ? "" : $"by a heartbeat; without one deleted {Moments.Show(lab.Text("lease.heartbeat.until"))}"),
            ("Ended", Moments.Show(lab.Text("endedAt"))),
            ("Going on", GoingOn(lab.At("run"))),
            ("Can", lab.Text("verbs")));
        var machines = Tables.Rows(lab.Items("machines"),
            Column.Field("MACHINE", "name"),
            Column.Field("STATE", "state"),
            Column.Field("IMAGE", "image"),
            new("WHERE", machine => string.Join('/', new[] { machine.Text("pool"), machine.Text("host") }.Where(part => part.Length > 0))),
            Column.Field("ADDRESSES", "addresses"),
            new("INSIDE", machine => string.Join(", ", machine.Items("cards").Select(card => $"{card.Text("network")} {card.Text("address")}"))),
            new("WAYS IN", machine => machine.Text("consoleOnly") == "true" ? "console only" : string.Join(", ", machine.Items("access").Select(WayIn))));
        return Tables.Stack(facts, machines);
    }

    private static string State(JsonNode lab) => lab.Text("health") == "degraded" ? $"{lab.Text("state")} (degraded)" : lab.Text("state");

    private static string GoingOn(JsonNode? run) => run.Text("state") is "running" or "undoing" or "stuck"
        ? string.Join(' ', $"{run.Text("workflow")}, {run.Text("state")}, step {run.Text("step")} ({run.Text("stepsDone")}/{run.Text("stepsTotal")}).", run.Text("problem"))
        : "";

    /// <summary>As it can be typed; what would not stay one word in a shell is not made to look like a command.</summary>
    private static string WayIn(JsonNode way)
    {
        var (kind, user, host, port) = (way.Text("kind"), way.Text("user"), way.Text("host"), way.Text("port"));
        return kind == "ssh" && way.Text("via") == "direct" && Safe.IsWord(user) && Safe.IsWord(host)
            ? $"ssh {(port == "22" ? "" : $"-p {port} ")}{user}@{host}"
            : $"{kind} via {way.Text("via")}";
    }
}
