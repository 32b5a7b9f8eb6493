using LabPortal.Domain.Workflows;

namespace LabPortal.Domain.Labs;

/// <summary>
/// The one table of a lab's life: which verbs each state allows and where each leads. Buttons, refusals and the diagram in
/// README.md come from it.
/// </summary>
public static class LabLife
{
    /// <summary>A verb in a state, and where the lab is when its run is done. <paramref name="Degraded"/>: only while not all is as it should be.</summary>
    public sealed record Passage(LabState From, LabVerb Verb, LabState To, bool Degraded = false);

    /// <summary>What people may ask for.</summary>
    public static readonly IReadOnlyList<Passage> Passages =
    [
        new(LabState.Ready, LabVerb.Extend, LabState.Ready),
        new(LabState.Stopped, LabVerb.Extend, LabState.Stopped),
        new(LabState.Grace, LabVerb.Extend, LabState.Ready),
        new(LabState.Scheduled, LabVerb.Extend, LabState.Scheduled),
        new(LabState.Stopped, LabVerb.Start, LabState.Ready),
        // What was stopped in it by itself, or from outside; where all its machines run there is nothing to start.
        new(LabState.Ready, LabVerb.Start, LabState.Ready, Degraded: true),
        new(LabState.Ready, LabVerb.Stop, LabState.Stopped),
        new(LabState.Ready, LabVerb.Restart, LabState.Ready),
        new(LabState.Ready, LabVerb.Snapshot, LabState.Ready),
        new(LabState.Stopped, LabVerb.Snapshot, LabState.Stopped),
        // What a revert leads to is what the snapshot holds: running machines, or none.
        new(LabState.Ready, LabVerb.Revert, LabState.Ready),
        new(LabState.Stopped, LabVerb.Revert, LabState.Ready),
        new(LabState.Ready, LabVerb.Revert, LabState.Stopped),
        new(LabState.Ready, LabVerb.DeleteSnapshot, LabState.Ready),
        new(LabState.Stopped, LabVerb.DeleteSnapshot, LabState.Stopped),
        new(LabState.Grace, LabVerb.DeleteSnapshot, LabState.Grace),
        new(LabState.Requested, LabVerb.End, LabState.Ended),
        new(LabState.AwaitingApproval, LabVerb.End, LabState.Ended),
        new(LabState.Scheduled, LabVerb.End, LabState.Ended),
        new(LabState.Provisioning, LabVerb.End, LabState.Ended),
        new(LabState.Ready, LabVerb.End, LabState.Ended),
        new(LabState.Stopped, LabVerb.End, LabState.Ended),
        new(LabState.Grace, LabVerb.End, LabState.Ended),
    ];

    /// <summary>What time and runs do by themselves; the diagram shows them beside the verbs.</summary>
    public static readonly IReadOnlyList<(LabState From, string Cause, LabState To)> ByThemselves =
    [
        (LabState.Requested, "begun", LabState.Provisioning),
        (LabState.Requested, "starts later", LabState.Scheduled),
        (LabState.Scheduled, "start time", LabState.Provisioning),
        (LabState.Provisioning, "all machines answer", LabState.Ready),
        (LabState.Provisioning, "cannot be built", LabState.Failed),
        (LabState.Ready, "lease ends", LabState.Grace),
        (LabState.Stopped, "lease ends", LabState.Grace),
        (LabState.Grace, "grace ends", LabState.Ending),
        (LabState.Ending, "all gone", LabState.Ended),
    ];

    /// <summary>Nothing lives any more: nothing at a provider, no quota held.</summary>
    public static bool IsOver(this LabState state) => state is LabState.Ended or LabState.Failed;

    /// <summary>
    /// May this verb begin in this state and health, with this run alive (or none)? <see langword="null"/> when it may; else the refusal's code.
    /// </summary>
    public static string? WhyNot(LabState state, LabHealth health, LabVerb verb, RunState? liveRun, string? liveWorkflow)
    {
        switch (verb)
        {
            case LabVerb.Retry or LabVerb.Abandon:
                return liveRun == RunState.Stuck ? null : "lab.run-not-stuck";
            case LabVerb.Cancel:
                if (liveRun is not (RunState.Running or RunState.Undoing)) return "lab.nothing-to-cancel";
                if (liveWorkflow == WorkflowNames.End) return "lab.end-cannot-be-cancelled";
                if (liveWorkflow == WorkflowNames.Revert) return "lab.revert-cannot-be-cancelled";
                return liveRun == RunState.Undoing ? "lab.cancel-already" : null;
            case LabVerb.End:
                if (state.IsOver()) return "lab.over";
                return state == LabState.Ending ? "lab.ending-already" : null;
        }

        if (liveRun is not null) return liveRun == RunState.Stuck ? "lab.run-stuck" : "lab.busy";
        if (Passages.FirstOrDefault(passage => passage.From == state && passage.Verb == verb) is not { } found) return "lab.not-in-this-state";
        return found.Degraded && health == LabHealth.Ok ? "lab.all-running" : null;
    }

    /// <summary>The verbs that a lab in this state and health can be asked for now, whoever asks.</summary>
    public static IEnumerable<LabVerb> VerbsOf(LabState state, LabHealth health, RunState? liveRun, string? liveWorkflow)
        => Enum.GetValues<LabVerb>().Where(verb => WhyNot(state, health, verb, liveRun, liveWorkflow) is null);

    /// <summary>The table as a state diagram in Mermaid's language, for README.md.</summary>
    public static string Diagram()
    {
        var moves = Passages.Where(passage => passage.From != passage.To).Select(passage => (passage.From, Why: passage.Verb.Word(), passage.To))
            .Where(move => move.Why != LabVerb.End.Word())
            .Concat(ByThemselves.Select(move => (move.From, Why: move.Cause, move.To)));
        var ends = Passages.Where(passage => passage.Verb == LabVerb.End).Select(passage => $"    {Id(passage.From)} --> ending: end");
        return string.Join('\n', ["stateDiagram-v2", "    [*] --> requested", .. moves.Select(move => $"    {Id(move.From)} --> {Id(move.To)}: {move.Why}"), .. ends,
            "    ended --> [*]", "    failed --> [*]"]);

        static string Id(LabState state) => state.Word().Replace('-', '_');
    }
}
