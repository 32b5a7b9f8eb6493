using LabPortal.Domain.Labs;
using NodaTime;

namespace LabPortal.Domain.Workflows;

/// <summary>One execution of a workflow for a lab.</summary>
public sealed record Run
{
    public required RunId Id { get; init; }
    public required LabId Lab { get; init; }
    public required TeamId Team { get; init; }
    public required string Workflow { get; init; }
    public required int Version { get; init; }
    public required RunState State { get; init; }

    /// <summary>What the run was asked with, by name; small, and never a secret.</summary>
    public IReadOnlyDictionary<string, string> Arguments { get; init; } = new Dictionary<string, string>();

    /// <summary>Who asked, for showing; the audit has the rest.</summary>
    public required string AskedBy { get; init; }

    /// <summary>The step that it is at (the first one not done), for showing.</summary>
    public string? Step { get; init; }
    public int StepsDone { get; init; }
    public int StepsTotal { get; init; }
    public required Instant CreatedAt { get; init; }

    /// <summary>When a worker should look at it next.</summary>
    public required Instant DueAt { get; init; }

    /// <summary>The slot of a pool that it waits for, as <c>POOL/KIND</c> (and <c>+</c> where it needs another besides).</summary>
    public string? WaitsFor { get; init; }

    /// <summary>Since when it is in this state.</summary>
    public required Instant Since { get; init; }
    public Instant? FinishedAt { get; init; }

    /// <summary>Why it failed, waits longer than usual or is stuck.</summary>
    public Reason? Problem { get; init; }

    /// <summary>The worker that turns it now, and the fencing token of that claim.</summary>
    public string? Worker { get; init; }
    public long Token { get; init; }

    /// <summary>Where the run belongs in the trace of what began it (W3C Trace Context, <c>traceparent</c>): its turns are in one trace, whichever worker takes them.</summary>
    public string? TraceParent { get; init; }

    /// <summary>Set by <i>cancel</i> and <i>end</i>: the turn that sees it goes backwards.</summary>
    public bool CancelRequested { get; init; }

    /// <summary>Who asked for the lab's end while this run was alive: the turn that sees it gives the lab to the end run, which takes everything back.</summary>
    public string? EndAskedBy { get; init; }
}

/// <summary>One line of a run's journal: key (run, direction, step, target, attempt).</summary>
public sealed record JournalEntry
{
    public required RunId Run { get; init; }
    public required Direction Direction { get; init; }
    public required string Step { get; init; }

    /// <summary>The machine's id for a step that is taken for each machine; empty for one of the lab.</summary>
    public required string Target { get; init; }
    public required int Attempt { get; init; }
    public required JournalState State { get; init; }
    public required Instant IntendedAt { get; init; }
    public required Instant At { get; init; }

    /// <summary>For <see cref="JournalState.Waiting"/> and a failed attempt that is tried again: when.</summary>
    public Instant? DueAt { get; init; }

    /// <summary>The fault's kind and sentence, where it failed.</summary>
    public string? FaultKind { get; init; }
    public string? Note { get; init; }
}
