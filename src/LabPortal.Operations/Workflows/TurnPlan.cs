using LabPortal.Data;
using LabPortal.Data.Labs;
using LabPortal.Data.Pools;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.People;
using LabPortal.Operations.Telemetry;
using NodaTime;

namespace LabPortal.Operations.Workflows;

/// <summary>Decides what follows, and writes the intentions of all that can be done now; where nothing can, gives the run back, finishes it, or says that it is stuck.</summary>
internal sealed class TurnPlan(Workflow workflow, StepTools tools, Runs runs)
{
    private static readonly Duration s_busyPause = Duration.FromMilliseconds(20);

    /// <param name="session">The transaction, under the claim's lock.</param>
    /// <param name="state">After what became of the last act.</param>
    /// <param name="active">The acts that are under way.</param>
    /// <param name="mayBegin">False for a worker that is stopping, or that stopped its acts to turn round: the next claim goes on.</param>
    public async Task<TurnState> FollowAsync(Session session, TurnState state, IReadOnlyCollection<TurnAct> active, bool mayBegin)
    {
        var now = tools.Time.Now();
        if (state.Run.EndAskedBy is not null)
        {
            if (active.Count > 0) return state with { StopActs = true };
            await runs.OvertakeAsync(session, state.Run, state.Lab, now);
            return state with { Over = true, Run = state.Run with { FinishedAt = now } };
        }

        if (state.Run is { CancelRequested: true, State: RunState.Running } && state.MayTurnRound)
            state = state.WithProblem(new Reason("lab.cancelled", ("by", state.Run.AskedBy))).TurnRound(now);
        if (active.Any(act => act.Entry.Direction != state.Way)) return state.WriteProgress(session, null) with { StopActs = true };
        if (!mayBegin) return active.Count > 0 ? state : Release(session, state, now, null, null, now);

        var lane = state.NextLane;
        var (acts, dues, blocked, step) = (new List<TurnAct>(), new List<Instant>(), false, lane?[0]);
        PoolSlot? waitsFor = null;
        foreach (var target in lane is null ? [] : state.TargetsOf(lane))
        {
            if (state.NextStep(lane!, target) is not { } next || active.Any(act => act.Target == target)) continue;
            step = next;
            var last = state.Journal.Last(state.Way, next.Name, target);
            if (last is { State: JournalState.Failed, DueAt: null })
            {
                blocked = true;
                continue;
            }

            if (last is { DueAt: { } due } && last.State != JournalState.Intended && due > now)
            {
                dues.Add(due);
                continue;
            }

            if (active.Count + acts.Count >= tools.Settings.ActsAtOnce)
            {
                dues.Add(now);
                continue;
            }

            if (last is { State: JournalState.Intended or JournalState.Waiting })
            {
                acts.Add(new TurnAct(next, target, last));
                continue;
            }

            if (await TakeSlotsAsync(session, state, next, target, now) is { Given: false } taken)
            {
                waitsFor ??= taken.Lacks;
                if (taken.Closed is { } closed)
                {
                    if (state.Run.State == RunState.Running) state = state.WithProblem(WhyNot(state, target, closed));
                    dues.Add(closed.Until);
                    continue;
                }

                dues.Add(now + (taken.Lacks is null ? s_busyPause : taken.Yields ? tools.Settings.SlotPause : SlotPause(state, now)));
                continue;
            }

            (state, var act) = await IntendAsync(session, state, next, target, now);
            acts.Add(act);
        }

        if (active.Count + acts.Count > 0)
        {
            if (acts.Any(act => act.Entry.State == JournalState.Intended)) state = state.WriteProgress(session, step?.Name);
            return state with { Acts = acts };
        }

        if (lane is null) return await FinishAsync(session, state, now);
        if (dues.Count > 0) return Release(session, state, dues.Min(), waitsFor, step?.Name, now);
        if (!blocked) throw new InvalidOperationException($"Run {state.Run.Id} has nothing to do and is not done.");
        return await GetStuckAsync(session, state, step?.Name, now);
    }

    /// <summary>Who frees a slot wakes a run that waits for one. It looks by itself all the same, for the case that both happened at once.</summary>
    private Duration SlotPause(TurnState state, Instant now) => Duration.Max(tools.Settings.SlotPause, Duration.Min(tools.Settings.LongestSlotPause, now - state.Run.Since));

    private static async Task<Taken> TakeSlotsAsync(Session session, TurnState state, Step step, string target, Instant now)
        => state.MachineOf(target) is { Pool: { } pool } machine ? await SlotStore.TryTakeAsync(session, pool, step.SlotsOf(state.Way), state.Run.Id, target, now, machine.Host) : Taken.All;

    private static Reason WhyNot(TurnState state, string target, GateClosed closed) => new(
        closed.Reason switch { GateReason.Breaker => "run.pool-silent", GateReason.Throttled => "run.pool-throttled", _ => "run.pool-rate" },
        ("machine", state.MachineName(target)), ("message", closed.Why));

    private static async Task<(TurnState, TurnAct)> IntendAsync(Session session, TurnState state, Step step, string target, Instant now)
    {
        var entry = new JournalEntry
        {
            Run = state.Run.Id,
            Direction = state.Way,
            Step = step.Name,
            Target = target,
            Attempt = (state.Journal.Last(state.Way, step.Name, target)?.Attempt ?? 0) + 1,
            State = JournalState.Intended,
            IntendedAt = now,
            At = now,
        };
        state = state.Intend(session, entry);
        if (state.Way == Direction.Forward) await step.IntendAsync(session, state.Context(step, target, entry));
        state.Tell(session, entry);
        return (state, new TurnAct(step, target, entry));
    }

    private async Task<TurnState> FinishAsync(Session session, TurnState state, Instant now)
    {
        var forward = state.Way == Direction.Forward;
        if (workflow.TakesSlots) await SlotStore.FreeAsync(session, state.Run.Id, now);
        if (!forward) await workflow.UndoneAsync(session, state.Run, (await LabStore.FindAsync(session, state.Run.Lab))!, now);
        RunStore.Finish(session, state.Run with { StepsDone = state.StepsDone }, forward ? RunState.Done : RunState.Undone, forward ? null : state.Run.Problem, now);
        LabStore.AppendEvent(session, state.Run.Lab, now, LabEventKind.Log, ("code", forward ? "run.done" : "run.undone"), ("workflow", workflow.Name));
        session.AfterCommit(() => PortalMeter.RunFinished(state.Run, forward ? RunState.Done : RunState.Undone));
        if (forward && workflow.Name == WorkflowNames.Provision) await MeasureReadyAsync(session, state, now);
        return state with { Over = true, Run = state.Run with { FinishedAt = now } };
    }

    private static async Task MeasureReadyAsync(Session session, TurnState state, Instant now)
    {
        var pools = state.Lab.Machines.Select(machine => machine.Pool).OfType<PoolId>().Distinct().ToList();
        var pool = pools.Count == 1 ? (await PoolStore.FindAsync(session, pools[0]))?.Name : null;
        session.AfterCommit(() => PortalMeter.LabReady(state.Lab.Blueprint, pool, now - state.Run.CreatedAt));
    }

    private static TurnState Release(Session session, TurnState state, Instant due, PoolSlot? waitsFor, string? step, Instant now)
    {
        // Also where the worker stops: that the run turned round, and why, is known to nobody else.
        state = state.WriteProgress(session, step ?? state.Run.Step);
        RunStore.Release(session, state.Run, due, waitsFor);
        return state with { Over = true, Run = state.Run with { Worker = null, DueAt = Instant.Max(due, now) } };
    }

    private async Task<TurnState> GetStuckAsync(Session session, TurnState state, string? step, Instant now)
    {
        await SlotStore.FreeAsync(session, state.Run.Id, now);
        state = state.WriteProgress(session, step);
        await RunStore.SetStateAsync(session, state.Run.Id, RunState.Stuck, state.Run.Problem, now);
        LabStore.AppendEvent(session, state.Run.Lab, now, LabEventKind.Log, ("code", "run.stuck"), ("workflow", workflow.Name), ("step", step ?? ""));
        await Notices.WriteAsync(session, (await LabStore.FindAsync(session, state.Run.Lab))!, NoticeCodes.RunStuck, now, ("workflow", workflow.Name), ("step", step ?? ""));
        return state with { Over = true };
    }
}
