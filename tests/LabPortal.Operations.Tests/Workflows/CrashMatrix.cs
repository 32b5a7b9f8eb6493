using System.Diagnostics;
using LabPortal.Data.Pools;
using LabPortal.Data.Workflows;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Pools;
using LabPortal.Providers.Simulated;
using LabPortal.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace LabPortal.Operations.Tests.Workflows;

/// <summary>
/// Real worker processes, killed (SIGKILL) around their calls and commits, or stopped (SIGSTOP) and woken; another worker goes on. The outcome
/// is compared with what the simulated world counted. With LABPORTAL_MATRIX=full every call and commit; otherwise a selection.
/// </summary>
public sealed class CrashMatrix(TestDatabases databases, ITestOutputHelper output)
{
    private const int Killed = 128 + 9;

    /// <summary>A worker starts a process of its own, on a machine that may be busy.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(5);

    private static readonly bool s_full = Environment.GetEnvironmentVariable("LABPORTAL_MATRIX") == "full";

    private static readonly Dictionary<string, WireVerb[]> s_calls = new()
    {
        [WorkflowNames.Provision] = [WireVerb.CreateNetwork, WireVerb.CreateDisk, WireVerb.CreateSeed, WireVerb.CreateAddress, WireVerb.CreateMachine, WireVerb.Observe],
        [WorkflowNames.End] = [WireVerb.DeleteMachine, WireVerb.DeleteAddress, WireVerb.DeleteSeed, WireVerb.DeleteDisk, WireVerb.DeleteNetworks, WireVerb.Observe],
        [WorkflowNames.Start] = [WireVerb.Start, WireVerb.Observe],
        [WorkflowNames.Stop] = [WireVerb.Stop, WireVerb.Observe],
        [WorkflowNames.Restart] = [WireVerb.Restart, WireVerb.Observe],
    };

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_worker_that_is_killed_around_a_provider_call_changes_nothing(Engine engine)
    {
        await using var house = await BuildAsync(engine);
        var cases = from name in s_calls.Keys
                    where s_full || name is WorkflowNames.Provision or WorkflowNames.End
                    from verb in s_calls[name]
                    from moment in Enum.GetValues<Moment>()
                    from nth in s_full ? new[] { 1, 2 } : [1]
                    where s_full || (engine == Engine.Sqlite ? verb != WireVerb.Observe : (verb, moment) is (WireVerb.CreateMachine, Moment.AfterEffect) or (WireVerb.DeleteMachine, Moment.BeforeEffect))
                    select (name, fault: new ScriptedFault(Deed.Kill, moment) { Verb = verb, Nth = nth });
        var (tried, killed) = (0, 0);
        foreach (var (name, fault) in cases)
        {
            // There is one call for all networks of a lab: no second one to die in.
            house.Isolated = fault.Verb is WireVerb.CreateNetwork or WireVerb.DeleteNetworks;
            if (house.Isolated && fault.Nth > 1) continue;
            var lab = await Law.Of[name].BeginAsync(house);
            await house.World.ScriptAsync(fault, Cancellation);
            var code = await RunToEndAsync(EngineWorker.Start(house));

            // Reads are shared: there may be no second one to die in.
            if (fault.Verb != WireVerb.Observe || fault.Nth == 1) Assert.Equal((Killed, fault), (code, fault));
            await house.World.ForgetScriptAsync(Cancellation);
            await GoOnAsync(house, name, lab);
            (tried, killed) = (tried + 1, killed + (code == Killed ? 1 : 0));
        }

        Say(engine, "calls", tried, killed);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_worker_that_is_killed_around_a_commit_changes_nothing(Engine engine)
    {
        await using var house = await BuildAsync(engine);
        var (tried, killed) = (0, 0);
        foreach (var name in new[] { WorkflowNames.Provision, WorkflowNames.End })
        {
            foreach (var moment in Enum.GetValues<Operations.Workflows.TurnMoment>())
            {
                foreach (var commit in s_full ? Enumerable.Range(1, 60) : engine == Engine.Sqlite ? [1, 2, 4] : [3])
                {
                    var lab = await Law.Of[name].BeginAsync(house);
                    var code = await RunToEndAsync(EngineWorker.Start(house, new Death(moment, commit)));
                    Assert.True(code == Killed || commit > 4, $"The worker ended with {code} before {moment} {commit}.");
                    await GoOnAsync(house, name, lab);
                    if (code != Killed) break;
                    (tried, killed) = (tried + 1, killed + 1);
                }
            }
        }

        Say(engine, "commits", tried, killed);
    }

    [Fact]
    public async Task The_matrix_catches_a_form_that_creates_and_then_saves_the_id()
    {
        await using var house = await BuildAsync(Engine.Sqlite, WorkflowLaws.CreateThenSave.Registered);
        var lab = await house.RequestAsync();
        await house.World.ScriptAsync(new ScriptedFault(Deed.Kill, Moment.AfterEffect) { Verb = WireVerb.CreateMachine }, Cancellation);
        Assert.Equal(Killed, await RunToEndAsync(EngineWorker.Start(house, broken: true)));
        await Assert.ThrowsAnyAsync<Xunit.Sdk.XunitException>(() => GoOnAsync(house, WorkflowNames.Provision, lab));
        Assert.Equal(LabState.Ready, (await house.LabAsync(lab.Id)).State);
        Assert.True((await house.ResourcesAsync(lab)).Count > 10);
    }

    [Fact]
    public async Task A_worker_that_is_stopped_past_its_lease_writes_nothing_when_it_wakes()
    {
        await using var house = await BuildAsync(Engine.Postgres);
        var lab = await house.RequestAsync();
        await house.World.ScriptAsync(new ScriptedFault(Deed.Freeze, Moment.AfterEffect) { Verb = WireVerb.CreateMachine }, Cancellation);
        using var stopped = EngineWorker.Start(house);
        await UntilStoppedAsync(stopped);
        await house.World.ForgetScriptAsync(Cancellation);
        await GoOnAsync(house, WorkflowNames.Provision, lab);

        var run = await house.RunAsync(lab.Id);
        var (journal, version) = (await house.JournalAsync(run.Id), (await house.LabAsync(lab.Id)).Version);
        Assert.Equal(0, await WakeAsync(stopped));
        Assert.Equal(journal, await house.JournalAsync(run.Id));
        Assert.Equal((run.State, run.Token, version), await house.RunAsync(lab.Id) is var now ? (now.State, now.Token, (await house.LabAsync(lab.Id)).Version) : default);
        await Law.Of[WorkflowNames.Provision].HoldsDoneAsync(house, lab, run);
    }

    [Fact]
    public async Task What_a_worker_makes_that_was_stopped_in_a_create_and_woken_after_the_end_is_listed()
    {
        await using var house = await BuildAsync(Engine.Postgres);

        // A woken worker may also notice first that its run is another's, and break the create off: then it made nothing, and it is tried again.
        for (var attempt = 1; ; attempt++)
        {
            var (lab, left) = await StopInCreateAsync(house);
            Assert.True(left.Count > 0 || attempt < 10, "No woken worker ever made anything.");
            if (left.Count == 0) continue;
            Assert.Contains((lab.Machines[0].OwnerIn(house.Identity.Installation) with { Generation = 1 }).ResourceName, left);
            await new OrphanSweep(house.Database, house.Pools, house.Identity, house.Time, NullLogger<OrphanSweep>.Instance).LookAsync(house.Pool.Id, Cancellation);
            var orphans = await house.Database.ReadAsync(session => OrphanStore.OfPoolAsync(session, house.Pool.Id), Cancellation);
            Assert.Equal(left, orphans.Select(orphan => orphan.Name).Order());
            return;
        }
    }

    /// <summary>A worker is stopped inside the create of a lab's only machine, the lab is ended by another, and the worker wakes: what is there then.</summary>
    private static async Task<(Lab Lab, IReadOnlyList<string> Left)> StopInCreateAsync(House house)
    {
        var lab = await house.RequestAsync(machines: 1);
        await house.World.ScriptAsync(new ScriptedFault(Deed.Freeze) { Verb = WireVerb.CreateMachine, Subject = lab.Machines[0].Id.ToString() }, Cancellation);

        // It believes in a long term, as one does whose call to the pool cannot be cut off.
        using var stopped = EngineWorker.Start(house, term: TimeSpan.FromMinutes(10));
        await UntilStoppedAsync(stopped);
        await house.World.ForgetScriptAsync(Cancellation);
        await house.EndAsync(lab.Id);
        using (var other = new Worker(house)) Assert.Equal((WorkflowNames.End, RunState.Done), await other.DriveAsync(lab.Id) is var end ? (end.Workflow, end.State) : default);
        Assert.Empty(await house.ResourcesAsync(lab));
        var runs = await house.RunsAsync(lab.Id);
        var written = await Task.WhenAll(runs.Select(run => house.JournalAsync(run.Id)));

        Assert.Equal(0, await WakeAsync(stopped));
        Assert.Equal(written.SelectMany(entries => entries), (await Task.WhenAll(runs.Select(run => house.JournalAsync(run.Id)))).SelectMany(entries => entries));
        return (lab, await house.ResourcesAsync(lab));
    }

    private Task<House> BuildAsync(Engine engine, Operations.Workflows.RegisteredWorkflows? workflows = null)
        => House.BuildAsync(databases, engine, workflows: workflows, time: TimeProvider.System, engineSettings: EngineWorker.Quick);

    /// <summary>Another worker goes on: at once where the dead one had the database alone; otherwise when it has watched its beat for a term.</summary>
    private static async Task GoOnAsync(House house, string name, Lab lab)
    {
        if (!house.Database.Dialect.IsShared) await house.Database.WriteAsync(RunStore.ReclaimAllAsync, Cancellation);
        using var other = new Worker(house);
        await Law.Of[name].HoldsDoneAsync(house, lab, await other.DriveAsync(lab.Id));
        Assert.All((await house.LabAsync(lab.Id)).Machines, machine => Assert.Equal(1, machine.Generation));
    }

    private static async Task<int> RunToEndAsync(Process process)
    {
        using (process)
        {
            try
            {
                await process.WaitForExitAsync(Cancellation).WaitAsync(s_patience, Cancellation);
                return process.ExitCode;
            }
            finally
            {
                if (!process.HasExited) process.Kill();
            }
        }
    }

    private static async Task UntilStoppedAsync(Process process)
    {
        // proc(5): the state stands behind the name, which is in parentheses.
        await Patience.UntilAsync(async () => (await File.ReadAllTextAsync($"/proc/{process.Id}/stat", Cancellation)).Split(") ")[^1][0] == 'T');
    }

    private static async Task<int> WakeAsync(Process process)
    {
        using (var kill = Process.Start("kill", ["-CONT", $"{process.Id}"])) await kill.WaitForExitAsync(Cancellation);
        return await RunToEndAsync(process);
    }

    private void Say(Engine engine, string what, int tried, int killed)
    {
        Assert.True(killed > 0);
        output.WriteLine($"{engine}, {what}: {tried} cases, {killed} workers killed, every lab as asked");
    }
}
