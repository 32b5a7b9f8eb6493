using LabPortal.Data;
using LabPortal.Data.Labs;
using LabPortal.Data.Pools;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.People;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Labs;

namespace LabPortal.Operations.Workflows;

/// <summary>Runs as callers see them.</summary>
public sealed class RunViews(RegisteredWorkflows workflows)
{
    /// <summary>The lab's live run, or its last one, with its steps; empty before the first.</summary>
    public async Task<RunView?> OfLabAsync(Session session, Lab lab, string team)
        => await RunStore.LastOfAsync(session, lab.Id) is { } run ? await WithStepsAsync(session, run, lab, team) : null;

    public async Task<RunView> WithStepsAsync(Session session, Run run, Lab lab, string team)
        => View(run, lab.Name, team) with { Steps = Steps(run, lab, Journal.Of(await JournalStore.ReadAsync(session, run.Id))) };

    public async Task<IReadOnlyList<RunView>> ListedAsync(Session session, IReadOnlyList<Run> runs)
    {
        var names = await RunStore.NamesAsync(session, runs);
        return [.. runs.Select(run => View(run, names[run.Id].Lab, names[run.Id].Team))];
    }

    /// <summary>Without steps, for lists.</summary>
    public RunView View(Run run, string labName, string team) => new()
    {
        Id = run.Id,
        Lab = run.Lab,
        LabName = labName,
        Team = team,
        Workflow = run.Workflow,
        State = run.State,
        Step = run.Step,
        StepsDone = run.StepsDone,
        StepsTotal = run.StepsTotal,
        Since = run.Since,
        AskedBy = run.AskedBy,
        Problem = workflows.Find(run) is null && run.State.IsLive()
            ? new Reason("run.unknown-version", ("workflow", run.Workflow), ("version", $"{run.Version}"))
            : run.Problem,
        CreatedAt = run.CreatedAt,
        FinishedAt = run.FinishedAt,
        DueAt = run.State is RunState.Running or RunState.Undoing ? run.DueAt : null,
        WaitsFor = run.WaitsFor?.Split('/')[1].TrimEnd('+'),
        TraceId = run.TraceParent?.Split('-') is [_, var trace, ..] ? trace : null,
    };

    /// <summary>With everything that there is to see.</summary>
    public async Task<RunView> WholeAsync(Session session, Run run, Lab lab, string team, Actor actor)
    {
        var entries = await JournalStore.ReadAsync(session, run.Id);
        var pools = (await PoolStore.ListAsync(session)).ToDictionary(pool => pool.Id, pool => pool.Name);
        return View(run, lab.Name, team) with
        {
            Steps = Steps(run, lab, Journal.Of(entries)),
            Journal = [.. entries.Select(entry => new AttemptView(
                entry.Direction.Word(), entry.Step, Name(lab, entry.Target), entry.Attempt, Word(entry), entry.IntendedAt, entry.At, entry.DueAt, entry.FaultKind, entry.FaultKind is null ? null : entry.Note))],
            Machines = [.. Workflow.Targets(lab, run.Arguments).Select(machine => new RunMachineView(
                machine.Name, machine.State, machine.Generation, machine.Pool is { } pool ? pools.GetValueOrDefault(pool) : null, machine.Host, machine.ExternalId))],
            Verbs = run.State.IsLive() ? [.. LabViewing.VerbsOf(actor, lab, run).Where(verb => verb is LabVerb.Retry or LabVerb.Abandon or LabVerb.Cancel)] : [],
        };
    }

    /// <summary>The state of a step as it is shown and told: see <see cref="StepView"/>.</summary>
    internal static string Word(JournalEntry entry) => (entry.Direction, entry.State) switch
    {
        (_, JournalState.Failed) => "failed",
        (Direction.Backward, JournalState.Done) => "undone",
        (Direction.Backward, _) => "undoing",
        (_, JournalState.Done) => "done",
        (_, JournalState.Waiting) => "waiting",
        _ => "doing",
    };

    private IReadOnlyList<StepView> Steps(Run run, Lab lab, Journal journal)
    {
        // Of a version that this build does not know, only what was written can be shown.
        if (workflows.Find(run) is not { } workflow)
            return [.. journal.Entries.Values.Select(attempts => attempts[^1]).OrderBy(entry => entry.IntendedAt).Select(entry => View(entry, Name(lab, entry.Target)))];
        return [.. workflow.StepsOf(run.Arguments).SelectMany(step => (step.ForEachMachine ? Workflow.Targets(lab, run.Arguments).Select(machine => machine.Id.ToString()) : [""]).Select(target =>
            (journal.Last(Direction.Backward, step.Name, target) ?? journal.Last(Direction.Forward, step.Name, target)) is { } entry
                ? View(entry, Name(lab, target))
                : new StepView(step.Name, Name(lab, target), "pending", 0, null, null, null)))];
    }

    private static StepView View(JournalEntry entry, string? machine)
        => new(entry.Step, machine, Word(entry), entry.Attempt, entry.At, entry.DueAt, entry.FaultKind is null or Journal.Elsewhere ? null : entry.Note);

    private static string? Name(Lab lab, string target) => lab.Machines.FirstOrDefault(machine => machine.Id.ToString() == target)?.Name;
}
