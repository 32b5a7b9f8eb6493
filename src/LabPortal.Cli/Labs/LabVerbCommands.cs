using System.CommandLine;
using System.Text.Json.Nodes;
using LabPortal.Cli.Api;
using LabPortal.Cli.Shell;

namespace LabPortal.Cli.Labs;

/// <summary>What is done to a lab that is there.</summary>
internal static class LabVerbCommands
{
    public static Command Start() => OfMachines("start", "Start a stopped lab, or one machine of it.", "it runs");

    public static Command Stop() => OfMachines("stop", "Stop a lab, or one machine of it; it keeps its disks and its quota.", "it is stopped");

    public static Command Restart() => OfMachines("restart", "Restart a lab's machines, or one of them.", "it runs again");

    public static Command Extend()
    {
        var lab = LabArguments.Lab();
        var (hours, until) = LabArguments.Lease();
        var (wait, timeout) = (LabArguments.Wait("it is done"), LabArguments.Timeout());
        return new Command("extend", "Give a lab a later end; in grace it is started again.") { lab, hours, until, wait, timeout }.Does(async (call, cancellation) =>
        {
            var lease = LabArguments.ReadLease(call, hours, until) ?? throw new CommandFailed(Exit.Invalid, "For how long? Say --hours or --until.");
            var found = await LabFinder.FindAsync(call.Api, call.Value(lab)!, cancellation);
            await AskAsync(call, $"labs/{found.Text("id")}/extend", lease, wait, timeout, cancellation);
        });
    }

    public static Command Cancel()
    {
        var lab = LabArguments.Lab();
        var (wait, timeout) = (LabArguments.Wait("it is taken back"), LabArguments.Timeout());
        return new Command("cancel", "Take back what is going on; a lab that existed before stays.") { lab, wait, timeout }.Does(async (call, cancellation) =>
        {
            var found = await LabFinder.FindAsync(call.Api, call.Value(lab)!, cancellation);
            var asked = await call.Api.PostAsync($"labs/{found.Text("id")}/cancel", null, cancellation);
            if (call.Value(wait)) asked = await LabCommands.WaitAsync(call, asked, timeout, (waiting, token) => waiting.ForRestAsync(asked, token), cancellation);
            call.Write(asked, LabViews.One);
        });
    }

    public static Command End()
    {
        var lab = LabArguments.Lab();
        var yes = LabArguments.Yes();
        var (wait, timeout) = (LabArguments.Wait("nothing of it is left"), LabArguments.Timeout());
        return new Command("end", "End a lab: everything of it is deleted.") { lab, yes, wait, timeout }.Does(async (call, cancellation) =>
        {
            var found = await LabFinder.FindAsync(call.Api, call.Value(lab)!, cancellation);
            var machines = string.Join(", ", found.Items("machines").Select(machine => machine.Text("name")));
            await Terminal.ConfirmAsync(Safe.Text($"Everything of {found.Text("name")} is deleted ({machines})."), call.Value(yes), cancellation);
            var asked = await EndAsync(call.Api, found, call.Value(wait), cancellation);
            if (call.Value(wait)) asked = await LabCommands.WaitAsync(call, asked, timeout, (waiting, token) => waiting.ForEndAsync(asked, token), cancellation);
            call.Write(asked, LabViews.One);
        });
    }

    private static Command OfMachines(string verb, string description, string until)
    {
        var lab = LabArguments.LabOrMachine();
        var (wait, timeout) = (LabArguments.Wait(until), LabArguments.Timeout());
        return new Command(verb, description) { lab, wait, timeout }.Does(async (call, cancellation) =>
        {
            var (found, machine) = await LabFinder.FindMachineAsync(call.Api, call.Value(lab)!, cancellation);
            var of = machine is null ? "" : $"/machines/{Uri.EscapeDataString(machine)}";
            await AskAsync(call, $"labs/{found.Text("id")}{of}/{verb}", null, wait, timeout, cancellation);
        });
    }

    internal static async Task AskAsync(Call call, string path, JsonNode? body, Option<bool> wait, Option<TimeSpan?> timeout, CancellationToken cancellation)
        => await AwaitAsync(call, await call.Api.PostAsync(path, body, cancellation), wait, timeout, cancellation);

    /// <summary>Until what this answer says is going on is done, where that is wanted.</summary>
    internal static async Task AwaitAsync(Call call, JsonNode asked, Option<bool> wait, Option<TimeSpan?> timeout, CancellationToken cancellation)
    {
        if (call.Value(wait)) asked = await LabCommands.WaitAsync(call, asked, timeout, (waiting, token) => waiting.ForRunAsync(asked, token), cancellation);
        call.Write(asked, LabViews.One);
    }

    /// <summary>Who waits for the end does not mind that somebody asked for it before.</summary>
    private static async Task<JsonNode> EndAsync(PortalApi api, JsonNode lab, bool waits, CancellationToken cancellation)
    {
        try
        {
            return await api.PostAsync($"labs/{lab.Text("id")}/end", null, cancellation);
        }
        catch (PortalRefused refused) when (waits && refused.Problem.Text("code") == "lab.ending-already")
        {
            return await api.GetAsync($"labs/{lab.Text("id")}", cancellation);
        }
    }
}
