using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using LabPortal.Cli.Shell;
using Spectre.Console.Rendering;

namespace LabPortal.Cli.Labs;

internal static class SnapshotCommands
{
    /// <summary>The one that a blueprint has taken at <i>ready</i>.</summary>
    private const string Clean = "clean";

    public static Command Snapshot() => new("snapshot", "Snapshots of a lab: all of its machines as they were.") { Take(), List(), Delete() };

    public static Command Revert()
    {
        var (lab, yes) = (LabArguments.Lab(), LabArguments.Yes());
        var name = new Argument<string>("NAME") { HelpName = "NAME", Description = $"One of \"lab snapshot list\"; \"{Clean}\" is the lab as it was when it got ready, where its blueprint keeps that.", DefaultValueFactory = _ => Clean };
        var (wait, timeout) = (LabArguments.Wait("it is as it was"), LabArguments.Timeout());
        return new Command("revert", "Set a lab back to a snapshot, or to clean: what was written since is lost.") { lab, name, yes, wait, timeout }.Does(async (call, cancellation) =>
        {
            var found = await LabFinder.FindAsync(call.Api, call.Value(lab)!, cancellation);
            await Terminal.ConfirmAsync(Safe.Text($"What was written in {found.Text("name")} since \"{call.Value(name)}\" is lost."), call.Value(yes), cancellation);
            await LabVerbCommands.AskAsync(call, $"labs/{found.Text("id")}/revert", new JsonObject { ["name"] = call.Value(name) }, wait, timeout, cancellation);
        });
    }

    private static Command Take()
    {
        var (lab, name) = (LabArguments.Lab(), Name("What it is called; the lab's own name for it."));
        var (wait, timeout) = (LabArguments.Wait("it is taken"), LabArguments.Timeout());
        return new Command("take", "Take one: running machines with their memory, stopped ones their disks.") { lab, name, wait, timeout }.Does(async (call, cancellation) =>
        {
            var found = await LabFinder.FindAsync(call.Api, call.Value(lab)!, cancellation);
            await LabVerbCommands.AskAsync(call, $"labs/{found.Text("id")}/snapshot", new JsonObject { ["name"] = call.Value(name) }, wait, timeout, cancellation);
        });
    }

    private static Command List()
    {
        var lab = LabArguments.Lab();
        return new Command("list", "A lab's snapshots, and what its disks take with them.") { lab }.Does(async (call, cancellation) =>
        {
            var found = await LabFinder.FindAsync(call.Api, call.Value(lab)!, cancellation);
            var listing = await call.Api.ListAsync($"labs/{found.Text("id")}/snapshots", [], null, cancellation);
            listing["disks"] = (await call.Api.ListAsync($"labs/{found.Text("id")}/disks", [], null, cancellation))["items"]!.DeepClone();
            call.Write(listing, Table);
        });
    }

    private static Command Delete()
    {
        var (lab, name, yes) = (LabArguments.Lab(), Name("Which one."), LabArguments.Yes());
        var (wait, timeout) = (LabArguments.Wait("it is gone"), LabArguments.Timeout());
        return new Command("delete", "Delete one, in the background.") { lab, name, yes, wait, timeout }.Does(async (call, cancellation) =>
        {
            var found = await LabFinder.FindAsync(call.Api, call.Value(lab)!, cancellation);
            await Terminal.ConfirmAsync(Safe.Text($"The snapshot \"{call.Value(name)}\" of {found.Text("name")} is deleted."), call.Value(yes), cancellation);
            var asked = await call.Api.DeleteAsync($"labs/{found.Text("id")}/snapshots/{Uri.EscapeDataString(call.Value(name)!)}", cancellation);
            await LabVerbCommands.AwaitAsync(call, asked, wait, timeout, cancellation);
        });
    }

    private static Argument<string> Name(string description) => new("NAME") { HelpName = "NAME", Description = description };

    private static IRenderable Table(JsonNode listing) => listing.Items("items").Any() ? Tables.Stack(Snapshots(listing), Disks(listing)) : Snapshots(listing);

    private static IRenderable Disks(JsonNode listing) => Tables.Rows(listing.Items("disks"),
        Column.Field("MACHINE", "machine"),
        new("DISK TAKES NOW", disk => long.TryParse(disk.Text("bytes"), CultureInfo.InvariantCulture, out var bytes) ? string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 20):0.0} MiB") : "not known", IsNumber: true),
        new("PROMISED", disk => $"{disk.Text("promisedGiB")} GiB", IsNumber: true),
        new("HELD FOR SNAPSHOTS", disk => $"{disk.Text("snapshotsGiB")} GiB", IsNumber: true));

    private static IRenderable Snapshots(JsonNode listing) => Tables.Rows(listing.Items("items"),
        Column.Field("NAME", "name"),
        new("STATE", snapshot => snapshot.Text("state") == "taken" && !snapshot.Flag("usable") ? "taken, of machines that are gone" : snapshot.Text("state")),
        new("TAKEN", snapshot => Moments.Show(snapshot.Text("takenAt"))),
        Column.Field("ASKED BY", "askedBy"),
        new("WITH MEMORY", snapshot => string.Join(", ", snapshot.Items("machines").Where(machine => machine.Flag("withMemory")).Select(machine => machine.Text("machine")))),
        new("MACHINES", snapshot => string.Join(", ", snapshot.Items("machines").Select(machine => machine.Text("machine")))));
}
