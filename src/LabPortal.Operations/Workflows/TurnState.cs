using LabPortal.Data;
using LabPortal.Data.Labs;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Workflows;
using NodaTime;

namespace LabPortal.Operations.Workflows;

/// <summary>One attempt at one step, for one target, in one direction: its intention is written.</summary>
internal sealed record TurnAct(Step Step, string Target, JournalEntry Entry);

internal sealed record TurnOutcome(TurnAct Act, StepAnswer? Answer, Exception? Fault);

/// <summary>
/// What a turn knows of its run, and what follows from lab and journal alone: where it is, what is next, for whom. A transaction works on a
/// copy, and only its commit makes that the truth.
/// </summary>
internal sealed record TurnState(Workflow Workflow, StepTools Tools, Run Run, Lab Lab, Journal Journal)
{
    /// <summary>What the run's row says: <see cref="Run"/> may be ahead of it.</summary>
    public required Run Written { get; init; }

    /// <summary>What is to be done now.</summary>
    public IReadOnlyList<TurnAct> Acts { get; init; } = [];
    public bool StopActs { get; init; }
    public bool Over { get; init; }

    /// <summary>The direction of travel.</summary>
    public Direction Way => Run.State == RunState.Undoing ? Direction.Backward : Direction.Forward;

    /// <summary>The lane that is not finished yet; nothing when all are.</summary>
    public IReadOnlyList<Step>? NextLane => (Way == Direction.Forward ? Workflow.Lanes : Workflow.Lanes.Reverse())
        .FirstOrDefault(lane => TargetsOf(lane).Any(target => NextStep(lane, target) is not null));

    public Step? NextStep(IReadOnlyList<Step> lane, string target) => Way == Direction.Forward
        ? lane.FirstOrDefault(step => !Journal.IsDone(Way, step, lane, target) && step.IsAskedFor(Run.Arguments) && step.AppliesTo(Context(step, target, null)))
        : lane.Reverse().FirstOrDefault(step => step.CanUndo && Journal.Started(step.Name, target) && !Journal.IsDone(Way, step, lane, target));

    /// <summary>May it still go backwards? Not once a step without a way back was begun for any machine.</summary>
    public bool MayTurnRound => Workflow.Undoes && !Workflow.Steps.Any(step => step.NoWayBack && TargetsOf(step).Any(target => Journal.Started(step.Name, target)));

    public IEnumerable<string> TargetsOf(IReadOnlyList<Step> lane) => TargetsOf(lane[0]);

    public Machine? MachineOf(string target) => Lab.Machines.FirstOrDefault(machine => machine.Id.ToString() == target);

    public string MachineName(string target) => MachineOf(target)?.Name ?? "";

    /// <summary>Since when this attempt's series is tried; a run that turned round or was retried begins anew.</summary>
    public Instant Began(JournalEntry entry) => Instant.Max(Journal.SeriesBegan(entry.Direction, entry.Step, entry.Target) ?? entry.IntendedAt, Run.Since);

    public StepContext Context(Step step, string target, JournalEntry? entry) => new(
        Run, Lab, MachineOf(target), entry?.Attempt ?? 0, entry is { FaultKind: null } ? entry.Note : null,
        entry is null ? Tools.Time.Now() : Began(entry),
        other => Journal.Last(Direction.Forward, other, "") is { State: JournalState.Done } done ? done.Note : null, Tools);

    public int StepsDone => Workflow.StepsOf(Run.Arguments).Sum(step => TargetsOf(step)
        .Count(target => !step.AppliesTo(Context(step, target, null)) || Journal.Last(Direction.Forward, step.Name, target) is { State: JournalState.Done }));

    public TurnState TurnRound(Instant now) => this with { Run = Run with { State = RunState.Undoing, Since = now } };

    public TurnState WithProblem(Reason? problem) => this with { Run = Run with { Problem = problem } };

    /// <summary>The attempt as it is now, in the journal; <paramref name="tell"/> says it to whoever watches the lab.</summary>
    public TurnState Write(Session session, JournalEntry entry, bool tell)
    {
        JournalStore.Write(session, entry);
        if (tell) Tell(session, entry);
        return this with { Journal = Journal.With(entry) };
    }

    /// <summary>The intention of an attempt, before anything is done.</summary>
    public TurnState Intend(Session session, JournalEntry entry)
    {
        JournalStore.Intend(session, entry);
        return this with { Journal = Journal.With(entry) };
    }

    public void Tell(Session session, JournalEntry entry) => LabStore.AppendEvent(session, Run.Lab, entry.At, LabEventKind.Step,
        ("workflow", Run.Workflow), ("step", entry.Step), ("machine", MachineName(entry.Target)), ("state", RunViews.Word(entry)), ("attempt", $"{entry.Attempt}"));

    /// <summary>Where the run is, for showing: written only when it changed.</summary>
    public TurnState WriteProgress(Session session, string? step)
    {
        var run = Run with { Step = step, StepsDone = StepsDone };
        if (Shown(run) != Shown(Written)) RunStore.SetProgress(session, run);
        return this with { Run = run, Written = run };
    }

    private static (RunState, Instant, string?, int, int, Reason?) Shown(Run run) => (run.State, run.Since, run.Step, run.StepsDone, run.StepsTotal, run.Problem);

    private IEnumerable<string> TargetsOf(Step step) => step.ForEachMachine ? Workflow.Targets(Lab, Run.Arguments).Select(machine => machine.Id.ToString()) : [""];
}
