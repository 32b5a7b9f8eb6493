using System.CommandLine;
using System.Text.Json.Nodes;
using LabPortal.Cli.Help;
using LabPortal.Cli.Labs;
using LabPortal.Cli.Shell;
using Spectre.Console.Rendering;

namespace LabPortal.Cli.Pools;

internal static class PoolCommands
{
    public static Command Pools() => Listing.Of("pools", "Pools with their capacity and load.", "POOL", "One of them, with its problems, hosts and images.", List, One, Suggestions.Pools);

    public static Command Orphans()
    {
        var limit = LabCommands.Limit();
        return new Command("orphans", "What carries our name at a provider and belongs to no living lab (administrators).")
        {
            limit,
            Adopt(),
            Delete(),
        }.Does(async (call, cancellation) => call.Write(await call.Api.ListAsync("orphans", [], call.Value(limit), cancellation), listing => OrphanRows(listing.Items("items"))));
    }

    private static Command Adopt()
    {
        var id = OrphanId();
        return new Command("adopt", "Leave an orphan to people: it is never touched again.") { id }
            .Does(async (call, cancellation) => call.Write(await call.Api.PostAsync($"orphans/{Uri.EscapeDataString(call.Value(id)!)}/adopt", null, cancellation), orphan => OrphanRows([orphan])));
    }

    private static Command Delete()
    {
        var (id, yes) = (OrphanId(), LabArguments.Yes());
        return new Command("delete", "Delete an orphan at its provider, in the background.") { id, yes }.Does(async (call, cancellation) =>
        {
            await Terminal.ConfirmAsync(Safe.Text($"The orphan {call.Value(id)} is deleted at its provider."), call.Value(yes), cancellation);
            call.Write(await call.Api.PostAsync($"orphans/{Uri.EscapeDataString(call.Value(id)!)}/delete", null, cancellation), orphan => OrphanRows([orphan]));
        });
    }

    private static Argument<string> OrphanId() => new("ID") { Description = "Its id in \"lab orphans\"." };

    private static IRenderable OrphanRows(IEnumerable<JsonNode> orphans) => Tables.Rows(orphans,
        Column.Field("POOL", "pool"),
        Column.Field("KIND", "kind"),
        Column.Field("NAME", "name"),
        Column.Field("LAB", "labName"),
        Column.Field("TEAM", "team"),
        Column.Field("STATE", "state"),
        new("FIRST SEEN", orphan => Moments.Show(orphan.Text("firstSeenAt"))),
        Column.Field("NOTE", "note"),
        Column.Field("ID", "id"));

    private static IRenderable List(JsonNode listing) => Tables.Rows(listing.Items("items"),
        Column.Field("NAME", "name"),
        Column.Field("PROVIDER", "provider"),
        Column.Field("STATE", "state"),
        Column.Field("LABELS", "labels"),
        new("HOSTS", pool => $"{pool.Items("hosts").Count()}", IsNumber: true),
        new("MACHINES", pool => $"{Sum(pool, "machines")}", IsNumber: true),
        new("CPU", pool => $"{Sum(pool, "cpuHeld")}/{Sum(pool, "cpuLimit")}", IsNumber: true),
        new("MEMORY MiB", pool => $"{Sum(pool, "memoryMiBHeld")}/{Sum(pool, "memoryMiBLimit")}", IsNumber: true),
        new("DISK GiB", pool => $"{Sum(pool, "diskGiBHeld")}/{Sum(pool, "diskGiB")}", IsNumber: true));

    private static IRenderable One(JsonNode pool) => Tables.Stack(
        Tables.Facts(
            ("Name", pool.Text("name")),
            ("Provider", pool.Text("provider")),
            ("State", pool.Text("state")),
            ("Labels", pool.Text("labels")),
            ("Operations", $"{pool.Text("operationsNow")} of {pool.Text("operationsAtOnce")} at once"),
            ("Boots", $"{pool.Text("bootsNow")} of {pool.Text("bootsAtOnce")} at once"),
            ("Checked", Moments.Show(pool.Text("checkedAt")))),
        Tables.Rows(pool.Items("problems"), Column.Field("PROBLEM", "what"), Column.Field("HOST", "host"), Column.Field("TO MEND IT", "mend")),
        Tables.Rows(pool.Items("hosts"),
            Column.Field("HOST", "name"),
            new("CPU", host => $"{host.Text("cpuHeld")}/{host.Text("cpuLimit")}", IsNumber: true),
            new("MEMORY MiB", host => $"{host.Text("memoryMiBHeld")}/{host.Text("memoryMiBLimit")}", IsNumber: true),
            new("DISK GiB", host => $"{host.Text("diskGiBHeld")}/{host.Text("diskGiB")}", IsNumber: true),
            Column.Field("MACHINES", "machines", isNumber: true),
            Column.Field("PROBLEM", "problem")),
        Tables.Rows(pool.Items("images"), Column.Field("IMAGE", "image"), Column.Field("VERSION", "version"), Column.Field("HOST", "host"), Column.Field("STATE", "state"), Column.Field("NOTE", "note")));

    private static decimal Sum(JsonNode pool, string field) => pool.Items("hosts").Sum(host => host.At(field) is JsonValue value && value.TryGetValue<decimal>(out var number) ? number : 0);
}
