using LabPortal.Data.Pools;
using LabPortal.Data.Quotas;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Pools;
using LabPortal.Operations.Workflows;
using LabPortal.Providers.Simulated;
using LabPortal.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using NodaTime;
using Xunit;

namespace LabPortal.Operations.Tests.Workflows;

/// <summary>Steering runs: giving up, ending what is stuck, one machine only.</summary>
public sealed class RunsTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task An_abandoned_provision_frees_its_quota_and_what_it_left_is_listed_and_keeps_its_room(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        var (lab, run) = await StuckProvisionAsync(house);
        await house.Database.WriteAsync(session => Runs.AbandonAsync(session, run, "the host burned down", house.Now), Cancellation);

        lab = await house.LabAsync(lab.Id);
        Assert.Equal((LabState.Failed, "run.abandoned", "the host burned down"), (lab.State, lab.Reason?.Code, lab.Reason?.Arguments["reason"]));
        Assert.Equal(RunState.Abandoned, (await house.RunAsync(lab.Id)).State);
        Assert.Equal(house.Now, await house.HeldUntilAsync(lab));
        Assert.Equal(0, await SlotsAsync(house));
        Assert.True(await house.HoldsAnythingAsync(lab));
        Assert.Contains(MachineState.Gone, lab.Machines.Select(machine => machine.State));
        var left = lab.Machines.Single(machine => machine.State != MachineState.Gone);
        await new OrphanSweep(house.Database, house.Pools, house.Identity, house.Time, NullLogger<OrphanSweep>.Instance).LookAsync(house.Pool.Id, Cancellation);
        var orphans = await house.Database.ReadAsync(session => OrphanStore.OfPoolAsync(session, house.Pool.Id), Cancellation);
        Assert.Equal(await house.ResourcesAsync(lab), orphans.Select(orphan => orphan.Name).Order());
        Assert.All(orphans, orphan => Assert.Equal((left.Id.Value, 1), (orphan.Owner, orphan.Generation)));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Whatever_a_provider_says_is_kept_as_text_and_the_run_goes_on(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        var lab = await house.RequestAsync();
        var text = HostileStrings.Everything + new string('x', 10_000);
        // Both machines are being created before the first fails: after that the run would begin no other.
        var (waited, all) = (lab.Machines.Count, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        using var worker = new Worker(house, Wrapped.In(WorkflowNames.Provision, step => step.Name != "create" ? step : new Wrapped(step, async (context, _) =>
        {
            if (Interlocked.Decrement(ref waited) == 0) all.SetResult();
            await all.Task.WaitAsync(TimeSpan.FromMinutes(1), Cancellation);
            throw context.Machine.Name == "web" ? new ProviderFault(FaultKind.Rejected, text) : new InvalidOperationException(text);
        })));
        var run = await worker.DriveAsync(lab.Id);
        Assert.Equal((RunState.Undone, LabState.Failed), (run.State, (await house.LabAsync(lab.Id)).State));
        var said = (await house.JournalAsync(run.Id)).Where(entry => entry is { Step: "create", Direction: Direction.Forward }).Select(entry => entry.Note!).ToList();
        Assert.Equal(lab.Machines.Count, said.Count);
        Assert.All(said, note => Assert.Equal((ForeignText.Longest, ForeignText.Cut), (note.Length, note[^1])));
        Assert.All(said, note => Assert.Contains(@"\u{0}", note, StringComparison.Ordinal));
        Assert.Contains(run.Problem!.Arguments["message"], said);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task An_abandoned_end_leaves_the_lab_ended_and_an_abandoned_verb_leaves_it_degraded(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        var ending = await house.ReadyAsync();
        await house.World.ScriptAsync(new ScriptedFault(Deed.Fail) { Verb = WireVerb.DeleteMachine, Fault = FaultKind.Rejected, Times = ScriptedFault.Always }, Cancellation);
        await house.EndAsync(ending.Id);
        using var worker = new Worker(house);
        var run = await worker.DriveAsync(ending.Id);
        Assert.Equal(RunState.Stuck, run.State);
        await house.Database.WriteAsync(session => Runs.AbandonAsync(session, run, "enough", house.Now), Cancellation);
        Assert.Equal(LabState.Ended, (await house.LabAsync(ending.Id)).State);
        Assert.Equal(house.Now, await house.HeldUntilAsync(ending));
        Assert.Equal(10, (await house.ResourcesAsync(ending)).Count);
        await house.World.ForgetScriptAsync(Cancellation);

        // An extension whose undo fails: given up, the lab lives on with the lease and the quota that it has.
        var lab = await house.ReadyAsync();
        using var failing = new Worker(house, Wrapped.In(WorkflowNames.Extend, step => step.Name switch
        {
            "settle" => new Wrapped(step, (_, _) => throw new ProviderFault(FaultKind.Rejected, "no")),
            "lease" => new FailingUndo(step),
            _ => step,
        }));
        var later = lab.Lease.End!.Value + Duration.FromHours(3);
        await house.BeginAsync(lab, WorkflowNames.Extend, (RunArguments.End, Instants.Write(later)));
        run = await failing.DriveAsync(lab.Id);
        Assert.Equal((RunState.Stuck, "run.undo-failed"), (run.State, run.Problem?.Code));
        await house.Database.WriteAsync(session => Runs.AbandonAsync(session, run, "enough", house.Now), Cancellation);
        lab = await house.LabAsync(lab.Id);
        Assert.Equal((LabState.Ready, LabHealth.Degraded, (Instant?)later), (lab.State, lab.Health, lab.Lease.End));
        Assert.Equal(lab.Lease.HoldUntil(house.Now), await house.HeldUntilAsync(lab));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task An_extension_that_is_cancelled_before_it_moved_the_lease_gives_its_quota_back(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        var lab = await house.ReadyAsync();
        var later = lab.Lease.End!.Value + Duration.FromHours(3);
        var run = await house.BeginAsync(lab, WorkflowNames.Extend, (RunArguments.End, Instants.Write(later)));
        await house.Database.WriteAsync(
            async session =>
            {
                await QuotaHoldStore.SetEndAsync(session, lab.Id, later + lab.Lease.Grace);
                await Runs.RequestCancelAsync(session, run, house.Now);
            },
            Cancellation);
        using var worker = new Worker(house);
        await Law.Of[WorkflowNames.Extend].HoldsUndoneAsync(house, lab, await worker.DriveAsync(lab.Id));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task The_end_overtakes_a_stuck_run_and_retries_a_stuck_end(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        var (lab, stuck) = await StuckProvisionAsync(house);
        await house.EndAsync(lab.Id);
        Assert.Equal((RunState.Undone, "run.overtaken-by-end"), (await house.Database.ReadAsync(session => RunStore.FindAsync(session, stuck.Id), Cancellation)) is { } run ? (run.State, run.Problem?.Code) : default);
        using var worker = new Worker(house);
        var end = await worker.DriveAsync(lab.Id);
        Assert.Equal((WorkflowNames.End, RunState.Stuck), (end.Workflow, end.State));

        await house.World.ForgetScriptAsync(Cancellation);
        await house.EndAsync(lab.Id);
        Assert.Equal(end.Id, (await house.RunAsync(lab.Id)).Id);
        Assert.Equal((end.Id, RunState.Done), await worker.DriveAsync(lab.Id) is var done ? (done.Id, done.State) : default);
        Assert.Equal(LabState.Ended, (await house.LabAsync(lab.Id)).State);
        Assert.Empty(await house.ResourcesAsync(lab));
        Assert.False(await house.HoldsAnythingAsync(lab));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task One_machine_is_stopped_started_and_restarted_and_the_other_is_not_touched(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        var lab = await house.ReadyAsync();
        var (web, db) = (lab.Machines[0], lab.Machines[1]);
        using var worker = new Worker(house);
        foreach (var (verb, word, state) in new[]
        {
            (WorkflowNames.Stop, "stop", MachineState.Stopped),
            (WorkflowNames.Start, "start", MachineState.Running),
            (WorkflowNames.Restart, "restart", MachineState.Running),
        })
        {
            var before = (await house.World.HistoryAsync(Cancellation)).Select(call => call.Number).Max();
            await house.BeginAsync(lab, verb, (RunArguments.Machine, "db"));
            Assert.Equal(RunState.Done, (await worker.DriveAsync(lab.Id)).State);
            lab = await house.LabAsync(lab.Id);
            Assert.Equal(LabState.Ready, lab.State);
            Assert.Equal(state, lab.Machines[1].State);
            Assert.Equal(web, lab.Machines[0] with { Addresses = web.Addresses });
            var deeds = (await house.World.HistoryAsync(Cancellation, before)).Where(call => call.Effect).ToList();
            Assert.Equal([(word, db.OwnerIn(house.Identity.Installation).ResourceName)], deeds.Select(call => (call.Verb, call.Owner)));
        }

        // With its last machine the lab itself stops.
        foreach (var name in House.MachineNames)
        {
            await house.BeginAsync(lab, WorkflowNames.Stop, (RunArguments.Machine, name));
            await worker.DriveAsync(lab.Id);
        }

        Assert.Equal(LabState.Stopped, (await house.LabAsync(lab.Id)).State);
    }

    /// <summary>A provision that failed at its end, and whose machine db cannot be taken back.</summary>
    private static async Task<(Lab Lab, Run Run)> StuckProvisionAsync(House house)
    {
        var lab = await house.RequestAsync();
        await house.World.ScriptAsync(
            new ScriptedFault(Deed.Fail) { Verb = WireVerb.DeleteMachine, Subject = lab.Machines[1].Id.ToString(), Fault = FaultKind.Rejected, Times = ScriptedFault.Always }, Cancellation);
        using var worker = new Worker(house, Wrapped.Failing(WorkflowNames.Provision, "ready", after: false));
        var run = await worker.DriveAsync(lab.Id);
        Assert.Equal((RunState.Stuck, "run.undo-failed"), (run.State, run.Problem?.Code));
        return (lab, run);
    }

    private static Task<int> SlotsAsync(House house) => house.Database.ReadAsync(
        async session => await SlotStore.CountAsync(session, house.Pool.Id, SlotKind.Operation) + await SlotStore.CountAsync(session, house.Pool.Id, SlotKind.Boot), Cancellation);

    private sealed class FailingUndo(Step inner) : Step(inner.Name)
    {
        public override bool ForEachMachine => inner.ForEachMachine;
        public override bool CanUndo => true;

        public override Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation) => inner.DoAsync(context, cancellation);

        public override Task<StepAnswer> UndoAsync(StepContext context, CancellationToken cancellation) => throw new ProviderFault(FaultKind.Rejected, "no way back");
    }
}
