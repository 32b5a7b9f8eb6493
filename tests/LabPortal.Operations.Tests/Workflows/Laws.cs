using LabPortal.Data;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Machines;
using LabPortal.Operations.Workflows;
using NodaTime;
using Xunit;
using Slot = LabPortal.Data.Workflows.SlotKind;

namespace LabPortal.Operations.Tests.Workflows;

/// <summary>What one registered workflow must hold: how a lab comes to it, and what is true when it is done and when it is undone.</summary>
internal sealed record Law(Func<House, Task<Lab>> BeginAsync, LabState Done, MachineState Machines)
{
    public static readonly IReadOnlyDictionary<string, Law> Of = new Dictionary<string, Law>
    {
        [WorkflowNames.Provision] = new(house => house.RequestAsync(), LabState.Ready, MachineState.Running),
        [WorkflowNames.Start] = new(house => AfterAsync(house, WorkflowNames.Start, WorkflowNames.Stop), LabState.Ready, MachineState.Running),
        [WorkflowNames.Stop] = new(house => AfterAsync(house, WorkflowNames.Stop, null), LabState.Stopped, MachineState.Stopped),
        [WorkflowNames.Restart] = new(house => AfterAsync(house, WorkflowNames.Restart, null), LabState.Ready, MachineState.Running),
        [WorkflowNames.Extend] = new(house => AfterAsync(house, WorkflowNames.Extend, WorkflowNames.Stop, (RunArguments.Then, "grace")), LabState.Ready, MachineState.Running),
        [WorkflowNames.Snapshot] = new(async house =>
        {
            var lab = await house.ReadyAsync();
            await house.BeginSnapshotAsync(lab, "one");
            return lab;
        }, LabState.Ready, MachineState.Running),
        [WorkflowNames.Revert] = new(async house => await WithSnapshotAsync(house, WorkflowNames.Revert), LabState.Ready, MachineState.Running),
        [WorkflowNames.DeleteSnapshot] = new(async house => await WithSnapshotAsync(house, WorkflowNames.DeleteSnapshot), LabState.Ready, MachineState.Running),
        [WorkflowNames.End] = new(async house =>
        {
            var lab = await house.ReadyAsync();
            await house.EndAsync(lab.Id);
            return lab;
        }, LabState.Ended, MachineState.Gone),
        [WorkflowNames.Try] = new(house => house.RequestAsync(workflow: WorkflowNames.Try), LabState.Ended, MachineState.Gone),
    };

    /// <summary>Finished as people expect, and the world has exactly what the lab says.</summary>
    public async Task HoldsDoneAsync(House house, Lab before, Run run)
    {
        var lab = await house.LabAsync(before.Id);
        Assert.Equal((RunState.Done, Done), (run.State, lab.State));
        Assert.All(lab.Machines, machine => Assert.Equal(Machines, machine.State));
        Assert.Equal(Done == LabState.Ended ? [] : Everything(house, lab), await house.ResourcesAsync(lab, snapshots: false));
        await SnapshotsHoldAsync(house, lab, run.Workflow is WorkflowNames.Snapshot or WorkflowNames.Revert ? SnapshotState.Taken : null);
        await DisksHoldAsync(house, lab, run.Workflow == WorkflowNames.Revert ? "before" : null);
        Assert.Equal((2, Done == LabState.Ended ? 2 : 0), await house.MachinesMadeAsync(lab));
        Assert.Equal(Done != LabState.Ended, await house.HoldsAnythingAsync(lab));
        Assert.Equal(Done != LabState.Ended, await HasPasswordAsync(house, lab));
        if (run.Workflow == WorkflowNames.Extend) Assert.Equal(run.Arguments[RunArguments.End], Instants.Write(lab.Lease.End!.Value));
    }

    /// <summary>A clean slate after a provision; after a verb the lab as it was, with its machines.</summary>
    public async Task HoldsUndoneAsync(House house, Lab before, Run run)
    {
        var lab = await house.LabAsync(before.Id);
        Assert.Equal(RunState.Undone, run.State);
        Assert.NotNull(run.Problem);
        if (run.Workflow is WorkflowNames.Provision or WorkflowNames.Try)
        {
            Assert.Equal(LabState.Failed, lab.State);
            Assert.Empty(await house.ResourcesAsync(lab));
            Assert.False(await house.HoldsAnythingAsync(lab));
            Assert.False(await HasPasswordAsync(house, lab));
            var (made, removed) = await house.MachinesMadeAsync(lab);
            Assert.Equal(made, removed);
            return;
        }

        Assert.Equal((before.State, before.Lease), (lab.State, lab.Lease));
        Assert.Equal(before.Machines.Select(machine => (machine.State, machine.Generation)), lab.Machines.Select(machine => (machine.State, machine.Generation)));
        Assert.Equal(Everything(house, lab), await house.ResourcesAsync(lab, snapshots: false));
        await DisksHoldAsync(house, lab, run.Workflow == WorkflowNames.Revert ? "after" : null);
        if (run.Workflow == WorkflowNames.DeleteSnapshot)
        {
            // Nothing takes a delete back: what is left of it stays listed and held, and nobody may count on a part that is not there.
            var left = Assert.Single(await house.SnapshotsAsync(lab));
            Assert.Equal(left.Items.All(item => item.State == SnapshotItemState.Taken) ? SnapshotState.Taken : SnapshotState.Broken, left.State);
            var there = await house.SnapshotResourcesAsync(lab);
            Assert.All(lab.Machines, machine => Assert.True(left.Items.Single(item => item.Machine == machine.Id).State != SnapshotItemState.Taken
                || there.Contains(machine.OwnerIn(house.Identity.Installation).SnapshotName(left.Id))));
            Assert.Equal(1, await house.HeldSnapshotsAsync(lab));
        }
        else
        {
            await SnapshotsHoldAsync(house, lab, run.Workflow == WorkflowNames.Revert ? SnapshotState.Taken : null);
        }

        Assert.Equal((2, 0), await house.MachinesMadeAsync(lab));
        Assert.Equal(lab.Lease.HoldUntil(house.Now), await house.HeldUntilAsync(lab));
    }

    /// <summary>The one snapshot that there should be, whole in rows, world and ledger; or none in any of them.</summary>
    private static async Task SnapshotsHoldAsync(House house, Lab lab, SnapshotState? wanted)
    {
        var snapshots = await house.SnapshotsAsync(lab);
        Assert.Equal(wanted is null ? [] : [wanted.Value], snapshots.Select(snapshot => snapshot.State));
        Assert.All(snapshots, snapshot => Assert.All(snapshot.Items, item => Assert.Equal((SnapshotItemState.Taken, 1, true), (item.State, item.Generation, item.WithMemory))));
        Assert.Equal(
            snapshots.SelectMany(snapshot => lab.Machines.Select(machine => machine.OwnerIn(house.Identity.Installation).SnapshotName(snapshot.Id))).Order(),
            await house.SnapshotResourcesAsync(lab));
        Assert.Equal(snapshots.Count, await house.HeldSnapshotsAsync(lab));
    }

    private static async Task DisksHoldAsync(House house, Lab lab, string? content)
    {
        if (content is null) return;
        foreach (var machine in lab.Machines) Assert.Equal(content, await house.World.ReadDiskAsync(machine.OwnerIn(house.Identity.Installation), CancellationToken.None));
    }

    private static async Task<Lab> WithSnapshotAsync(House house, string workflow)
    {
        var lab = await house.ReadyAsync();
        await house.WriteDisksAsync(lab, "before");
        var snapshot = await house.BeginSnapshotAsync(lab, "one");
        using (var worker = new Worker(house, new RegisteredWorkflows())) await worker.DriveAsync(lab.Id);
        await house.WriteDisksAsync(lab, "after");
        lab = await house.LabAsync(lab.Id);
        await house.BeginAsync(lab, workflow, (RunArguments.Snapshot, snapshot.ToString()));
        return lab;
    }

    private static async Task<bool> HasPasswordAsync(House house, Lab lab) => await house.Secrets.FindAsync(GuestSeeds.PasswordName(lab.Id), CancellationToken.None) is not null;

    private static List<string> Everything(House house, Lab lab) => [.. lab.Machines
        .SelectMany(machine => new[] { "", ".disk", ".seed", ".address", ".log" }.Where(part => part != ".address" || machine.IsReachable).Select(part => machine.OwnerIn(house.Identity.Installation).ResourceName + part))
        .Concat(lab.Networks.Select(lab.OwnerIn(house.Identity.Installation).NetworkName)).Order()];

    private static async Task<Lab> AfterAsync(House house, string workflow, string? first, params (string, string)[] arguments)
    {
        var lab = await house.ReadyAsync();
        if (first is not null)
        {
            await house.BeginAsync(lab, first, arguments);
            using var worker = new Worker(house, new RegisteredWorkflows());
            await worker.DriveAsync(lab.Id);
        }

        lab = await house.LabAsync(lab.Id);
        await house.BeginAsync(lab, workflow, (RunArguments.End, Instants.Write(lab.Lease.End!.Value + Duration.FromHours(1))));
        return lab;
    }
}

/// <summary>A step put through something: everything else is the step's own.</summary>
internal sealed class Wrapped(Step inner, Func<StepContext, bool, Task>? around = null, bool twice = false) : Step(inner.Name)
{
    public override bool ForEachMachine => inner.ForEachMachine;
    public override Duration Deadline => inner.Deadline;
    public override IReadOnlyList<Slot> Takes => inner.Takes;
    public override IReadOnlyList<Slot> TakesBack => inner.TakesBack;
    public override Slot? Frees => inner.Frees;
    public override bool Places => inner.Places;
    public override bool CanUndo => inner.CanUndo;
    public override bool NoWayBack => inner.NoWayBack;

    public override bool IsAskedFor(IReadOnlyDictionary<string, string> arguments) => inner.IsAskedFor(arguments);

    public override bool AppliesTo(StepContext context) => inner.AppliesTo(context);

    public override Task IntendAsync(Session session, StepContext context) => inner.IntendAsync(session, context);

    public override async Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation)
    {
        if (around is not null) await around(context, false);
        var answer = await inner.DoAsync(context, cancellation);
        if (twice) answer = await inner.DoAsync(context, cancellation);
        if (around is not null) await around(context, true);
        return answer;
    }

    public override async Task<StepAnswer> UndoAsync(StepContext context, CancellationToken cancellation)
    {
        if (twice) await inner.UndoAsync(context, cancellation);
        return await inner.UndoAsync(context, cancellation);
    }

    public static RegisteredWorkflows In(string workflow, Func<Step, Step> change, bool? undoes = null) => new([.. new RegisteredWorkflows().All.Select(known => known.Name != workflow
        ? known
        : new Workflow { Name = known.Name, Version = known.Version, Steps = [.. known.Steps.Select(change)], Undoes = undoes ?? known.Undoes, UndoneAsync = known.UndoneAsync })]);

    /// <summary>This step fails for good, before acting or after it: for one machine, where it is for each.</summary>
    public static RegisteredWorkflows Failing(string workflow, string step, bool after) => In(workflow, known => known.Name != step ? known : new Wrapped(known, (context, acted) =>
        acted == after && context.Target is null or { Name: "db" } && acted == after ? throw new ProviderFault(FaultKind.Rejected, "No, says the law.") : Task.CompletedTask));
}
