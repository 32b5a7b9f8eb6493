using System.CommandLine;
using System.Text.Json.Nodes;
using LabPortal.Cli.Help;
using LabPortal.Cli.Shell;
using Spectre.Console.Rendering;

namespace LabPortal.Cli.Blueprints;

internal static class BlueprintCommands
{
    public static Command Blueprints() => Listing.Of("blueprints", "What you may request.", "BLUEPRINT", "One of them, with its parameters.", List, One, Suggestions.Blueprints);

    public static Command Apply()
    {
        var file = new Option<string>("--file", "-f") { Description = "A YAML file, or \"-\" for the standard input.", HelpName = "FILE", Required = true };
        var dryRun = new Option<bool>("--dry-run") { Description = "Only say what would change." };
        var prune = new Option<bool>("--prune") { Description = "Delete declared objects that are not in the file; refused while labs live on them." };
        return new Command("apply", "Apply pools, images, blueprints and teams from YAML: all or nothing.") { file, dryRun, prune }.Does(async (call, cancellation) =>
        {
            var asked = string.Join('&', new[] { call.Value(dryRun) ? "dryRun=true" : null, call.Value(prune) ? "prune=true" : null }.OfType<string>());
            call.Write(await call.Api.ApplyAsync(asked.Length > 0 ? "?" + asked : "", await ReadAsync(call.Value(file)!, cancellation), cancellation), Applied);
        });
    }

    public static Command Export() => new Command("export", "The catalogue, teams and quotas as the YAML that \"lab apply -f\" takes (administrators).")
        .Does((call, cancellation) => call.Api.ReadAsync("export", "application/yaml", Terminal.CopyAsync, cancellation));

    private static async Task<string> ReadAsync(string file, CancellationToken cancellation)
    {
        try
        {
            return file == "-" ? await Console.In.ReadToEndAsync(cancellation) : await File.ReadAllTextAsync(file, cancellation);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw new CommandFailed(Exit.Invalid, Safe.Text(fault.Message), fault);
        }
    }

    private static IRenderable List(JsonNode listing) => Tables.Rows(listing.Items("items"),
        Column.Field("NAME", "name"),
        Column.Field("TITLE", "title"),
        new("MACHINES", blueprint => $"{blueprint.Items("machines").Count()}", IsNumber: true),
        Column.Field("CPU", "cpu", isNumber: true),
        Column.Field("MEMORY MiB", "memoryMiB", isNumber: true),
        Column.Field("DISK GiB", "diskGiB", isNumber: true),
        Column.Field("HOURS", "lease.defaultHours", isNumber: true),
        Column.Field("AT MOST", "lease.maxHours", isNumber: true));

    private static IRenderable One(JsonNode blueprint) => Tables.Stack(
        Tables.Facts(
            ("Name", blueprint.Text("name")),
            ("Title", blueprint.Text("title")),
            ("Description", blueprint.Text("description")),
            ("Version", blueprint.Text("version")),
            ("Teams", blueprint.Items("teams").Any() ? blueprint.Text("teams") : "all"),
            ("Needs", blueprint.Text("require")),
            ("Prefers", blueprint.Text("prefer")),
            ("Hours", $"{blueprint.Text("lease.defaultHours")}, at most {blueprint.Text("lease.maxHours")}, then {blueprint.Text("lease.graceHours")} of grace")),
        Tables.Rows(blueprint.Items("machines"),
            Column.Field("MACHINE", "name"),
            Column.Field("IMAGE", "image"),
            Column.Field("CPU", "cpu", isNumber: true),
            Column.Field("MEMORY MiB", "memoryMiB", isNumber: true),
            Column.Field("DISK GiB", "diskGiB", isNumber: true)),
        Tables.Rows(blueprint.Items("parameters"),
            Column.Field("PARAMETER", "name"),
            Column.Field("TYPE", "type"),
            new("DEFAULT", parameter => parameter.At("default") is null ? "(has to be given)" : parameter.Text("default")),
            Column.Field("CHOICES", "choices"),
            Column.Field("HELP", "help")));

    private static IRenderable Applied(JsonNode applied) => Tables.Rows(
        new[] { "created", "changed", "unchanged", "pruned" }.SelectMany(what => applied.Items(what).Select(name => (JsonNode)new JsonObject { ["what"] = what, ["name"] = name.Plain() })),
        Column.Field("WHAT", "what"),
        Column.Field("NAME", "name"));
}
