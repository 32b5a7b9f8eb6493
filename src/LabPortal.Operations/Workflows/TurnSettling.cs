using System.Data.Common;
using LabPortal.Data;
using LabPortal.Data.Labs;
using LabPortal.Data.Pools;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Pools;
using NodaTime;

namespace LabPortal.Operations.Workflows;

/// <summary>Writes what became of one act: done, waiting, tried again later, elsewhere, or failed for good.</summary>
internal sealed class TurnSettling(Workflow workflow, StepTools tools)
{
    /// <summary>So many transient faults in a row keep the slots.</summary>
    private const int FaultsWithSlots = 3;

    /// <summary>Throws <see cref="SaveFailed"/> where what the step wanted saved with its outcome cannot be.</summary>
    public async Task<TurnState> SettleAsync(Session session, TurnState state, TurnOutcome outcome)
    {
        var now = tools.Time.Now();
        var (act, answer, fault) = outcome;
        var entry = act.Entry;
        if (answer is StepAnswer.WithinAnswer within)
        {
            try
            {
                answer = await within.Save(session, now);
                await session.FlushAsync();
            }
            catch (Exception failed) when (failed is not LeaseLost && !(failed is DbException database && (session.Dialect.MayRetry(database) || database.IsTransient)))
            {
                throw new SaveFailed(failed is DbException rule && session.Dialect.ViolatedRule(rule) is { } name ? new RuleViolated(name, rule) : failed);
            }

            state = state with { Lab = (await LabStore.FindAsync(session, state.Run.Lab))! };
        }

        // Cut off because the turn ends or turns round: the intention stands, and says all that is known.
        if (fault is LeaseLost or OperationCanceledException) return state;
        await TellGateAsync(session, state, act, fault, now);
        switch (answer)
        {
            case StepAnswer.DoneAnswer done:
                if (state.Run is { State: RunState.Running, Problem: not null } && !state.Journal.AnyFailedForGood) state = state.WithProblem(null);
                await ReleaseSlotsAsync(session, act, boot: entry.Direction == Direction.Backward || act.Step.Frees == SlotKind.Boot, now);
                return state.Write(session, entry with { State = JournalState.Done, At = now, DueAt = null, FaultKind = null, Note = done.Note ?? entry.Note }, tell: true);
            case StepAnswer.NotYetAnswer notYet when now - state.Began(entry) <= act.Step.Deadline:
                if (notYet.Why is not null) state = state.WithProblem(notYet.Why);
                return state.Write(session,
                    entry with { State = JournalState.Waiting, At = now, DueAt = now + notYet.After, FaultKind = null, Note = notYet.Note ?? (entry.FaultKind is null ? entry.Note : null) },
                    tell: entry.State == JournalState.Intended);
            case StepAnswer.NotYetAnswer:
                fault = new ProviderFault(FaultKind.Transient, $"Not done within {act.Step.Deadline.TotalMinutes:0.#} minutes.");
                break;
        }

        return await FailAsync(session, state, act, fault!, now);
    }

    /// <summary>What the answer, or its lack, says of the pool: the breaker counts it, for all nodes.</summary>
    private static async Task TellGateAsync(Session session, TurnState state, TurnAct act, Exception? fault, Instant now)
    {
        if (act.Step.SlotsOf(act.Entry.Direction).Count == 0 || state.MachineOf(act.Target)?.Pool is not { } pool) return;
        switch (fault)
        {
            case ProviderFault { Kind: FaultKind.Transient } silent:
                if (await GateStore.FaultedAsync(session, pool, silent.Message, now) is { } until) await PoolSweepStore.SetDueAsync(session, PoolSweep.Name, pool, until);
                break;
            case ProviderFault { Kind: FaultKind.Throttled } throttled:
                await GateStore.CloseAccountAsync(session, pool, now + Duration.FromTimeSpan(throttled.RetryAfter ?? TimeSpan.FromSeconds(1)));
                break;
            case null or ProviderFault when await GateStore.AnsweredAsync(session, pool):
                await SlotStore.ReopenAsync(session, pool, now);
                break;
        }
    }

    private async Task<TurnState> FailAsync(Session session, TurnState state, TurnAct act, Exception fault, Instant now)
    {
        var kind = fault is ProviderFault known ? known.Kind : FaultKind.Broken;
        var entry = act.Entry with { At = now, FaultKind = kind.Word(), Note = Sentence(fault), DueAt = null };
        var deadline = state.Began(act.Entry) + act.Step.Deadline;
        if (kind == FaultKind.Throttled)
        {
            var due = now + Duration.FromTimeSpan((fault as ProviderFault)?.RetryAfter ?? TimeSpan.FromSeconds(1));
            if (due <= deadline) return state.Write(session, entry with { State = JournalState.Waiting, DueAt = due }, tell: true);
        }

        entry = entry with { State = JournalState.Failed };
        var row = state.Journal.TransientInRow(entry.Direction, entry.Step, entry.Target);

        // After a lost reply the work goes on in the pool, with its slots. A host that stays away must not keep them from the others.
        if (kind != FaultKind.Transient || row >= FaultsWithSlots) await ReleaseSlotsAsync(session, act, boot: true, now);
        if (kind == FaultKind.Transient)
        {
            var due = now + Duration.Min(tools.Settings.LongestRetry, tools.Settings.FirstRetry * Math.Pow(2, Math.Min(row, 16)));
            if (due <= deadline)
            {
                // Why a run is undone stays said; one that goes forward says what it waits for.
                if (state.Run.State == RunState.Running)
                    state = state.WithProblem(new Reason("run.step-waits", ("step", entry.Step), ("machine", state.MachineName(entry.Target)), ("message", entry.Note ?? "")));
                return state.Write(session, entry with { DueAt = due }, tell: true);
            }
        }
        else if (kind == FaultKind.NoCapacity && entry.Direction == Direction.Forward && GoElsewhere(session, state, act, entry, now) is { } elsewhere)
        {
            return elsewhere;
        }

        state = state.Write(session, entry, tell: true);
        var reason = (fault as StepFailed)?.Reason
            ?? new Reason("run.step-failed", ("step", entry.Step), ("machine", state.MachineName(entry.Target)), ("kind", kind.Word()), ("message", entry.Note ?? ""));
        if (entry.Direction == Direction.Backward) return state.WithProblem(reason with { Code = "run.undo-failed" });
        // Another machine failed before and turned the run round: its reason is the one that counts.
        if (state.Run.State == RunState.Undoing) return state;
        state = state.WithProblem(reason);
        return state.MayTurnRound ? state.TurnRound(now) : state;
    }

    /// <summary>The machine is placed once more, where a step before this one places it and it was not refused too often.</summary>
    private TurnState? GoElsewhere(Session session, TurnState state, TurnAct act, JournalEntry failed, Instant now)
    {
        var lane = workflow.Lanes.First(lane => lane.Contains(act.Step));
        var place = lane.TakeWhile(step => step != act.Step).ToList().FindIndex(step => step.Places);
        if (place < 0 || state.Journal.NoCapacity(lane, act.Target) + 1 >= tools.Settings.MostPlacements) return null;
        state = state.Write(session, failed with { DueAt = now }, tell: true);
        foreach (var step in lane.Skip(place + 1).TakeWhile(step => step != act.Step))
        {
            if (state.Journal.Last(Direction.Forward, step.Name, act.Target) is { State: JournalState.Done } done) state = Redo(session, state, done, now);
        }

        return state;
    }

    /// <summary>A done step counts no more, because its machine is made elsewhere: said in the journal by an attempt of its own.</summary>
    private static TurnState Redo(Session session, TurnState state, JournalEntry done, Instant now)
    {
        var entry = done with { Attempt = done.Attempt + 1, State = JournalState.Intended, IntendedAt = now, At = now, DueAt = null, Note = null };
        return state.Intend(session, entry).Write(session, entry with { State = JournalState.Failed, FaultKind = Journal.Elsewhere, DueAt = now }, tell: false);
    }

    private async Task ReleaseSlotsAsync(Session session, TurnAct act, bool boot, Instant now)
    {
        var kinds = new List<SlotKind>();
        if (act.Step.SlotsOf(act.Entry.Direction).Contains(SlotKind.Operation)) kinds.Add(SlotKind.Operation);
        if (boot) kinds.Add(SlotKind.Boot);
        if (workflow.TakesSlots && kinds.Count > 0) await SlotStore.ReleaseAsync(session, kinds, act.Entry.Run, act.Target, now);
    }

    private static string Sentence(Exception fault) => fault is ProviderFault or StepFailed ? fault.Message : ForeignText.Of($"{fault.GetType().Name}: {fault.Message}");
}

/// <summary>What a step wanted saved with its outcome cannot be.</summary>
internal sealed class SaveFailed(Exception cause) : Exception(cause.Message, cause);
