using LabPortal.Data;
using LabPortal.Data.Labs;
using LabPortal.Data.Quotas;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Quotas;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Machines;
using LabPortal.Operations.Pools;
using NodaTime;

namespace LabPortal.Operations.Workflows.Steps;

/// <summary>What becomes of a snapshot's rows, in the transaction of what became of its run.</summary>
internal static class SnapshotChanges
{
    public static SnapshotId Of(Run run) => new(Guid.ParseExact(run.Arguments[RunArguments.Snapshot], "D"));

    public static ISnapshotAbility Of(OpenPool pool) => pool.Provider as ISnapshotAbility
        ?? throw new ProviderFault(FaultKind.Rejected, $"Pool \"{pool.Pool.Name}\" cannot take snapshots.");

    public static async Task KeepAsync(Session session, Run run, Instant now)
    {
        await SnapshotStore.SetTakenAsync(session, Of(run), now);
        await TellAsync(session, run, "snapshot.taken", now);
    }

    /// <summary>Nothing of it is there: its name and its quota are free.</summary>
    public static async Task ForgetAsync(Session session, Run run, Lab lab, Instant now)
    {
        await TellAsync(session, run, run.Workflow == WorkflowNames.Snapshot ? "snapshot.not-taken" : "snapshot.deleted", now);
        await SnapshotStore.DeleteAsync(session, Of(run));
        await QuotaHoldStore.ReleaseOneAsync(session, lab.Id, Dimension.Snapshots);
    }

    /// <summary>After a delete that came to nothing, or half way: whole as before, or broken.</summary>
    public static async Task KeepWhatIsLeftAsync(Session session, Run run)
    {
        if (await SnapshotStore.FindAsync(session, Of(run)) is not { } snapshot) return;
        var whole = snapshot.TakenAt is not null && snapshot.Items.All(item => item.State == SnapshotItemState.Taken);
        await SnapshotStore.SetStateAsync(session, snapshot.Id, whole ? SnapshotState.Taken : SnapshotState.Broken);
    }

    private static async Task TellAsync(Session session, Run run, string code, Instant now)
    {
        if (await SnapshotStore.FindAsync(session, Of(run)) is { } snapshot)
            LabStore.AppendEvent(session, run.Lab, now, LabEventKind.Log, ("code", code), ("snapshot", snapshot.Name));
    }
}

/// <summary>Takes the machine's part. One that failed or was cut off may have left something: the undo deletes it by the name that it would have.</summary>
internal sealed class TakeSnapshot(bool takesBack = false, bool onlyWhereAsked = false) : Step("snapshot")
{
    public override IReadOnlyList<SlotKind> Takes => [SlotKind.Operation];
    public override IReadOnlyList<SlotKind> TakesBack => [SlotKind.Operation];

    /// <summary>Where the machine itself is taken back, its snapshots go with it.</summary>
    public override bool CanUndo => takesBack;

    public override bool IsAskedFor(IReadOnlyDictionary<string, string> arguments) => !onlyWhereAsked || arguments.ContainsKey(RunArguments.Snapshot);

    public override async Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation)
    {
        var pool = await context.OpenPoolAsync(cancellation);
        var (snapshots, id) = (SnapshotChanges.Of(pool), SnapshotChanges.Of(context.Run));
        await snapshots.TakeSnapshotAsync(context.Reference, id, cancellation);
        return (await snapshots.ListSnapshotsAsync(context.Reference, cancellation)).FirstOrDefault(seen => seen.Snapshot == id) is { } taken
            ? StepAnswer.DoneWith((session, _) => SnapshotStore.SetItemAsync(session, id,
                new SnapshotItem(context.Machine.Id, context.Machine.Generation, SnapshotItemState.Taken, taken.TakenAt, taken.WithMemory, taken.Bytes)))
            // Reads lag; taking again does no harm.
            : StepAnswer.NotYet(Duration.Max(context.Pause, pool.Provider.SettlingTime));
    }

    public override Task<StepAnswer> UndoAsync(StepContext context, CancellationToken cancellation) => DropSnapshot.DeleteAsync(context, cancellation);
}

/// <summary>Every machine has its part: from here on people can revert to it.</summary>
internal sealed class KeepSnapshot() : Step("keep")
{
    public override bool ForEachMachine => false;

    public override Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation)
        => Task.FromResult(StepAnswer.DoneWith((session, now) => SnapshotChanges.KeepAsync(session, context.Run, now)));
}

/// <summary>Sees that every machine has its part in the generation that lives, before the first is touched; notes which of them will run.</summary>
internal sealed class FindSnapshot() : Step("find")
{
    private const string Missed = "missed";

    public override bool ForEachMachine => false;

    public static bool WillRun(StepContext context)
        => StoredJson.ReadOrDefault<string[]>(context.NoteOf("find")) is { } running && running.Contains(context.Machine.Name);

    public override async Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation)
    {
        var id = SnapshotChanges.Of(context.Run);
        var running = new List<string>();
        foreach (var machine in context.Lab.Machines)
        {
            var of = context with { Target = machine };
            var pool = await of.OpenPoolAsync(cancellation);
            var found = (await SnapshotChanges.Of(pool).ListSnapshotsAsync(of.Reference, cancellation)).FirstOrDefault(seen => seen.Snapshot == id);
            // One look that misses it is no proof.
            if (found is null && context.Note != Missed) return StepAnswer.NotYet(Duration.Max(context.Pause, pool.Provider.SettlingTime), Missed);
            if (found is null) throw new StepFailed(new Reason("snapshot.machine-lacks", ("machine", machine.Name), ("pool", pool.Pool.Name)));
            if (found.Runs) running.Add(machine.Name);
        }

        return StepAnswer.Remember(StoredJson.Write(running));
    }
}

/// <summary>The machine is as its part of the snapshot has it. What it wrote since is lost with the first attempt, so there is no way back.</summary>
internal sealed class RevertToSnapshot() : Step("revert")
{
    private const string Reverted = "reverted";

    public override IReadOnlyList<SlotKind> Takes => [SlotKind.Operation];
    public override bool NoWayBack => true;

    public override async Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation)
    {
        var pool = await context.OpenPoolAsync(cancellation);
        if (context.Note != Reverted)
        {
            await SnapshotChanges.Of(pool).RevertAsync(context.Reference, SnapshotChanges.Of(context.Run), cancellation);
            pool.Observations.Invalidate(context.Reference);
        }

        var seen = await Power.LookAsync(context, pool, cancellation);
        var wanted = FindSnapshot.WillRun(context) ? PowerState.Running : PowerState.Stopped;
        if (seen.Power != wanted) return StepAnswer.NotYet(Duration.Max(context.Pause, pool.Provider.SettlingTime), Reverted);
        return wanted == PowerState.Running
            ? StepAnswer.Done
            : StepAnswer.DoneWith((session, now) => MachineChanges.SaveAsync(session, context.Lab, context.Machine with { State = MachineState.Stopped, Addresses = [] }, now, context.Tools.Time));
    }
}

/// <summary>Deletes the machine's part. From the intention on nobody counts on it.</summary>
internal sealed class DropSnapshot() : Step("drop")
{
    public override IReadOnlyList<SlotKind> Takes => [SlotKind.Operation];

    public override Task IntendAsync(Session session, StepContext context) => SetItemAsync(session, context, SnapshotItemState.Deleting);

    public override Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation) => DeleteAsync(context, cancellation);

    public static async Task<StepAnswer> DeleteAsync(StepContext context, CancellationToken cancellation)
    {
        // A pool that cannot take snapshots has none.
        if ((await context.OpenPoolAsync(cancellation)).Provider is ISnapshotAbility snapshots) await snapshots.DeleteSnapshotAsync(context.Reference, SnapshotChanges.Of(context.Run), cancellation);
        return StepAnswer.DoneWith((session, _) => SetItemAsync(session, context, SnapshotItemState.Gone));
    }

    private static Task SetItemAsync(Session session, StepContext context, SnapshotItemState state)
        => SnapshotStore.SetItemAsync(session, SnapshotChanges.Of(context.Run), new SnapshotItem(context.Machine.Id, context.Machine.Generation, state, null, false, null));
}

/// <summary>No machine has its part any more.</summary>
internal sealed class ForgetSnapshot() : Step("forget")
{
    public override bool ForEachMachine => false;

    public override Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation)
        => Task.FromResult(StepAnswer.DoneWith((session, now) => SnapshotChanges.ForgetAsync(session, context.Run, context.Lab, now)));
}
