using LabPortal.Domain.Workflows;
using LabPortal.Operations.Workflows.Steps;

namespace LabPortal.Operations.Workflows;

// Snapshots of a living lab: taken whole or not at all; a revert that has begun only goes forward.

/// <summary>Each machine has its part of the snapshot; or none has, and the quota is free again.</summary>
internal static class TakingSnapshot
{
    public static readonly Workflow V1 = new()
    {
        Name = WorkflowNames.Snapshot,
        Version = 1,
        Steps =
        [
            new TakeSnapshot(takesBack: true),
            new KeepSnapshot(),
        ],
        UndoneAsync = (session, run, lab, now) => SnapshotChanges.ForgetAsync(session, run, lab, now),
    };
}

/// <summary>
/// All machines are as the snapshot has them. That every machine has its part is seen before the first is touched; from then on there is no way back, and
/// what fails is stuck with its snapshot whole, so that it can be tried again.
/// </summary>
internal static class Revert
{
    public static readonly Workflow V1 = new()
    {
        Name = WorkflowNames.Revert,
        Version = 1,
        Steps =
        [
            new FindSnapshot(),
            new RevertToSnapshot(),
            new WaitForAddress(onlyWithMemory: true),
            new WaitForSsh(onlyWithMemory: true),
            new Settle(),
        ],
    };
}

/// <summary>No machine has its part any more. There is nothing to take back: one that fails leaves what is there to be deleted again.</summary>
internal static class DeletingSnapshot
{
    public static readonly Workflow V1 = new()
    {
        Name = WorkflowNames.DeleteSnapshot,
        Version = 1,
        Steps =
        [
            new DropSnapshot(),
            new ForgetSnapshot(),
        ],
        UndoneAsync = (session, run, _, _) => SnapshotChanges.KeepWhatIsLeftAsync(session, run),
    };
}
