namespace LabPortal.Domain.Workflows;

/// <summary>Which way a step is taken.</summary>
public enum Direction
{
    Forward,
    Backward,
}

/// <summary>The states of one journal entry: one attempt at one step for one target, in one direction.</summary>
public enum JournalState
{
    /// <summary>Written before the act: from here on something may exist.</summary>
    Intended,

    /// <summary>The act ended with <i>not yet: look again in N</i>.</summary>
    Waiting,
    Done,

    /// <summary>The act ended with a fault; the runner decides whether another attempt follows.</summary>
    Failed,
}

public static class JournalStates
{
    /// <summary>The table of legal transitions; everything else is refused by the store.</summary>
    private static readonly (JournalState From, JournalState To)[] s_legal =
    [
        (JournalState.Intended, JournalState.Waiting),
        (JournalState.Intended, JournalState.Done),
        (JournalState.Intended, JournalState.Failed),
        (JournalState.Waiting, JournalState.Waiting),
        (JournalState.Waiting, JournalState.Done),
        (JournalState.Waiting, JournalState.Failed),
    ];

    public static bool MayBecome(this JournalState from, JournalState to) => s_legal.Contains((from, to));
}
