namespace LabPortal.Domain.Labs;

/// <summary>The states of a lab; what each allows stands in <see cref="LabLife"/>.</summary>
public enum LabState
{
    Requested,
    AwaitingApproval,
    Scheduled,
    Provisioning,
    Ready,
    Stopped,

    /// <summary>The lease is over: stopped, and deletion begins at <c>graceUntil</c>.</summary>
    Grace,
    Ending,
    Ended,

    /// <summary>Nothing left, nothing held, the reason kept; can be requested again.</summary>
    Failed,
}

/// <summary>Follows from the lab's machines.</summary>
public enum LabHealth
{
    Ok,
    Degraded,
}

/// <summary>What can be done to a lab. The first group are verbs of its owner, the last of admins for stuck runs.</summary>
public enum LabVerb
{
    Extend,
    Start,
    Stop,
    Restart,
    Snapshot,
    Revert,
    DeleteSnapshot,
    Cancel,
    End,
    Retry,
    Abandon,
}
