using LabPortal.Domain.Workflows;
using LabPortal.Operations.Workflows.Steps;

namespace LabPortal.Operations.Workflows;

// Verbs on a living lab: done, or as before.

/// <summary>All machines run again, or the one that is meant.</summary>
internal static class Start
{
    public static readonly Workflow V1 = new()
    {
        Name = WorkflowNames.Start,
        Version = 1,
        Steps =
        [
            new LookBefore(),
            new Boot(takesBack: true),
            new WaitForAddress(),
            new WaitForSsh(),
            new Settle(),
        ],
    };
}

/// <summary>All machines are stopped, or the one that is meant; where the lease is over the lab is in grace.</summary>
internal static class Stop
{
    public static readonly Workflow V1 = new()
    {
        Name = WorkflowNames.Stop,
        Version = 1,
        Steps =
        [
            new LookBefore(),
            new ShutDown(),
            new Settle(),
        ],
    };
}

internal static class Restart
{
    public static readonly Workflow V1 = new()
    {
        Name = WorkflowNames.Restart,
        Version = 1,
        Steps =
        [
            new LookBefore(),
            new PowerCycle(),
            new WaitForAddress(),
            new WaitForSsh(),
            new Settle(),
        ],
    };
}

/// <summary>A later end; in grace the machines also run again.</summary>
internal static class Extend
{
    public static readonly Workflow V1 = new()
    {
        Name = WorkflowNames.Extend,
        Version = 1,
        Steps =
        [
            new LookBefore(),
            new MoveLease(),
            new Boot(takesBack: true, onlyFromGrace: true),
            new WaitForAddress(onlyFromGrace: true),
            new WaitForSsh(onlyFromGrace: true),
            new Settle(),
        ],
        // Also where it was cancelled before it moved the lease.
        UndoneAsync = (session, _, lab, now) => Runs.HoldAsLeasedAsync(session, lab.Id, now),
    };
}
