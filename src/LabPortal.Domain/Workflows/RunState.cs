namespace LabPortal.Domain.Workflows;

public enum RunState
{
    /// <summary>Going forward.</summary>
    Running,

    /// <summary>Taking back every step that started, backwards.</summary>
    Undoing,

    /// <summary>Cannot go on by itself: an admin retries or abandons it.</summary>
    Stuck,
    Done,

    /// <summary>Failed or cancelled, and everything taken back; or overtaken by the lab's end, which takes everything back.</summary>
    Undone,

    /// <summary>Given up by an admin; what it left stays on the orphan list and stays metered.</summary>
    Abandoned,
}

/// <summary>Runs as whoever looks after the portal sorts them.</summary>
public enum RunPhase
{
    /// <summary>Goes on, forward or back.</summary>
    Running,

    /// <summary>Waits for a slot of a pool, or for something that it says.</summary>
    Waiting,
    Stuck,
    Over,
}

public static class RunStates
{
    /// <summary>At most one run of a lab is live.</summary>
    public static bool IsLive(this RunState state) => state is RunState.Running or RunState.Undoing or RunState.Stuck;
}

/// <summary>The names under which workflows are stored. A name is a promise: a stored run finds its workflow by it.</summary>
public static class WorkflowNames
{
    public const string Provision = "provision";
    public const string Start = "start";
    public const string Stop = "stop";
    public const string Restart = "restart";
    public const string Extend = "extend";
    public const string Snapshot = "snapshot";
    public const string Revert = "revert";
    public const string DeleteSnapshot = "delete-snapshot";
    public const string End = "end";

    /// <summary>Shows that a pool works: one machine is made, reached and removed. Its lab is the portal's own.</summary>
    public const string Try = "try";
}

/// <summary>The names of what runs are asked with. Promises, like the workflows' names.</summary>
public static class RunArguments
{
    /// <summary>start, stop, restart: the one machine (its name) that is meant; absent, all of the lab.</summary>
    public const string Machine = "machine";

    /// <summary>stop: <c>grace</c> where the lease is over.</summary>
    public const string Then = "then";

    /// <summary>extend: the lease's new end, ISO 8601 in UTC (<see cref="Instants.Write"/>).</summary>
    public const string End = "end";

    /// <summary>snapshot, revert, delete-snapshot, and a provision that ends with one: the snapshot's id.</summary>
    public const string Snapshot = "snapshot";

    /// <summary>provision, end: the lab has networks of its own; their names.</summary>
    public const string Networks = "networks";
}
