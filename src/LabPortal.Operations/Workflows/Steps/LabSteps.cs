using LabPortal.Data.Labs;
using LabPortal.Data.Machines;
using LabPortal.Data.Pools;
using LabPortal.Data.Quotas;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Leases;
using LabPortal.Operations.Machines;
using NodaTime;

namespace LabPortal.Operations.Workflows.Steps;

/// <summary>The lab is handed over: hours count from now, and the quota is held until the lease's end and grace.</summary>
internal sealed class HandOver() : Step("ready")
{
    public override bool ForEachMachine => false;

    public override Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation) => Task.FromResult(StepAnswer.DoneWith(async (session, now) =>
    {
        var lease = context.Lab.Lease.ReadyAt(now);
        await LabStore.SetLeaseAsync(session, context.Lab.Id, lease);
        await LabStore.SetReadyAtAsync(session, context.Lab.Id, now);
        await QuotaHoldStore.SetEndAsync(session, context.Lab.Id, lease.HoldUntil(now));
        foreach (var machine in context.Lab.Machines.Where(machine => machine.Pool is not null))
            await BuildStore.AppendAsync(session, machine.Pool!.Value, machine.Image, now - context.Run.CreatedAt, now, context.Tools.Time);
        if (context.Run.Arguments.ContainsKey(RunArguments.Snapshot)) await SnapshotChanges.KeepAsync(session, context.Run, now);
        await Runs.SetStateAsync(session, context.Lab.Id, LabState.Ready, null, now);
    }));
}

/// <summary>The lab's state after a verb, by what its machines are now.</summary>
internal sealed class Settle() : Step("settle")
{
    public override bool ForEachMachine => false;

    public override Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation) => Task.FromResult(StepAnswer.DoneWith(async (session, now) =>
    {
        // A lease that is over leads to grace even where its last machine was stopped by hand before.
        var state = context.Run.Arguments.GetValueOrDefault(RunArguments.Then) == LabState.Grace.Word() ? LabState.Grace
            : context.Lab.State == LabState.Grace && context.Run.Workflow != WorkflowNames.Extend && context.Run.Workflow != WorkflowNames.Start ? LabState.Grace
            : context.Lab.Machines.Any(machine => machine.State == MachineState.Running) ? LabState.Ready : LabState.Stopped;
        await Runs.SetStateAsync(session, context.Lab.Id, state, context.Lab.Reason, now);
    }));
}

/// <summary>Moves the lease's end, and the quota's with it.</summary>
internal sealed class MoveLease() : Step("lease")
{
    public override bool ForEachMachine => false;
    public override bool CanUndo => true;

    public override Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation)
        => Task.FromResult(Moved(context, context.Lab.Lease with { End = Instants.Read(context.Run.Arguments[RunArguments.End]) }));

    public override Task<StepAnswer> UndoAsync(StepContext context, CancellationToken cancellation)
        => Task.FromResult(Before.Of(context) is { } before ? Moved(context, context.Lab.Lease with { End = before.End, Length = before.Length }) : StepAnswer.Done);

    private static StepAnswer Moved(StepContext context, Domain.Leases.Lease lease) => StepAnswer.DoneWith(async (session, now) =>
    {
        await LabStore.SetLeaseAsync(session, context.Lab.Id, lease);
        await QuotaHoldStore.SetEndAsync(session, context.Lab.Id, lease.HoldUntil(now));
        await LeaseClock.ScheduleAsync(session, context.Lab.Id, now);
    });
}

/// <summary>Takes the machine away in every generation that may exist, and waits until that is confirmed, however long it takes.</summary>
internal sealed class Remove() : Step("remove")
{
    public override IReadOnlyList<SlotKind> Takes => [SlotKind.Operation];

    // A pool that is away for a night must not need a person in the morning; after a day one should look.
    public override Duration Deadline => Duration.FromHours(24);

    public override async Task IntendAsync(Data.Session session, StepContext context)
    {
        var exists = (await GenerationStore.ListAsync(session, context.Machine.Id)).Any(placed => placed.Held);
        if (exists) await MachineChanges.SaveAsync(session, context.Lab, context.Machine with { State = MachineState.Removing }, context.Now, context.Tools.Time);
    }

    public override async Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation)
        => await Vanishing.ConfirmAsync(context, await Vanishing.MayExistAsync(context, cancellation), async (session, now) =>
        {
            await MachineChanges.SaveAsync(session, context.Lab, context.Machine with { State = MachineState.Gone, Addresses = [] }, now, context.Tools.Time);
            return StepAnswer.Done;
        }, cancellation);
}

/// <summary>Everything is confirmed gone: nothing is held any more.</summary>
internal sealed class LetGo() : Step("ended")
{
    public override bool ForEachMachine => false;

    public override Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation) => Task.FromResult(StepAnswer.DoneWith(
        (session, now) => Runs.SetOverAsync(session, context.Lab.Id, LabState.Ended, context.Lab.Reason, now)));
}
