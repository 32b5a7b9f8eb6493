using System.Data.Common;
using LabPortal.Data;
using LabPortal.Data.Labs;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.People;
using NodaTime;

namespace LabPortal.Operations.Workflows;

/// <summary>
/// One claim of one run: does whatever can be done now, and gives the run back with the time of the next look. All that it writes, it
/// writes in transactions of the <see cref="TurnWriter"/>, under the claim's lock. Each holds one target's outcome together with the
/// intentions of everything that can be done after it.
/// </summary>
internal sealed class Turn(Run claim, Workflow workflow, StepTools tools, WorkerLease lease, Runs runs, TurnWriter writer)
{
    internal sealed record Act(Step Step, string Target, JournalEntry Entry);

    internal sealed record Outcome(Act Act, StepAnswer? Answer, Exception? Fault);

    /// <summary>What the turn knows; a transaction works on a copy, and only its commit makes that the truth.</summary>
    internal sealed record State(Run Run, Lab Lab, Journal Journal)
    {
        /// <summary>What the run's row says: <see cref="Run"/> may be ahead of it.</summary>
        public required Run Written { get; init; }
        public IReadOnlyList<Act> Acts { get; init; } = [];
        public bool StopActs { get; init; }
        public bool Over { get; init; }
    }

    /// <summary>So many transient faults in a row keep the slots.</summary>
    private const int FaultsWithSlots = 3;

    private static readonly TimeSpan s_askEvery = TimeSpan.FromSeconds(2);
    private static readonly Duration s_busyPause = Duration.FromMilliseconds(20);

    private readonly Dictionary<Act, Task<Outcome>> _active = [];
    private State? _state;
    private State? _begun;
    private CancellationTokenSource? _acting;

    public Run Claim => claim;

    /// <summary>Nothing was written yet: the first transaction brings lab and journal.</summary>
    public bool IsFresh => _state is null;

    /// <summary>
    /// Throws <see cref="LeaseLost"/> when the claim is gone, and what the database throws when it is away: the run keeps its last
    /// committed state and is claimed again.
    /// </summary>
    public async Task<Instant?> AdvanceAsync(CancellationToken stopping)
    {
        using var acting = _acting = CancellationTokenSource.CreateLinkedTokenSource(stopping, lease.Alive);
        try
        {
            if (_begun is { } begun) Take(begun);
            else await CommitAsync(null);
            while (!_state!.Over)
            {
                var any = Task.WhenAny(_active.Values);
                try
                {
                    await any.WaitAsync(s_askEvery, CancellationToken.None);
                }
                catch (TimeoutException)
                {
                    if (await IsAskedToStopAsync()) await CommitAsync(null);
                    continue;
                }

                var outcome = await await any;
                _active.Remove(outcome.Act);
                await CommitAsync(outcome);
            }

            return _state.Run.Worker is null && _state.Run.FinishedAt is null ? _state.Run.DueAt : null;
        }
        finally
        {
            await acting.CancelAsync();
            await Task.WhenAll(_active.Values);
        }
    }

    /// <summary>A long act must not keep a cancel or the lab's end waiting.</summary>
    private async Task<bool> IsAskedToStopAsync()
    {
        if (_acting!.IsCancellationRequested) return false;
        var asked = await tools.Database.ReadAsync(session => RunStore.FindAsync(session, claim.Id), CancellationToken.None);
        return asked is { CancelRequested: true } && (asked.EndAskedBy is not null || (WayOf(_state!.Run) == Direction.Forward && workflow.Undoes));
    }

    private async Task CommitAsync(Outcome? outcome)
    {
        State next;
        tools.Seam?.Invoke(TurnMoment.BeforeCommit);
        try
        {
            next = await writer.SaveAsync(this, outcome);
        }
        catch (SaveFailed failed)
        {
            next = await writer.SaveAsync(this, outcome! with { Answer = null, Fault = failed.InnerException });
        }

        tools.Seam?.Invoke(TurnMoment.AfterCommit);
        Take(next);
        if (next.StopActs) await _acting!.CancelAsync();
    }

    private void Take(State next)
    {
        _state = next with { Acts = [], StopActs = false };
        foreach (var act in next.Acts) _active[act] = ActAsync(act, _acting!.Token);
    }

    /// <summary>The first part was committed with the claim.</summary>
    public void Begun(State next)
    {
        tools.Seam?.Invoke(TurnMoment.AfterCommit);
        _begun = next;
    }

    /// <summary>
    /// One transaction's part of this turn: what became of an act, if there is one, and what follows. Called by the writer under the claim's lock,
    /// perhaps more than once; touches nothing but the session.
    /// </summary>
    /// <param name="session">The transaction.</param>
    /// <param name="check">What was asked of the run meanwhile.</param>
    /// <param name="fresh">Lab and journal as they are, for a fresh turn.</param>
    /// <param name="outcome">What became of an act.</param>
    public async Task<State> WriteAsync(Session session, ClaimCheck check, State? fresh, Outcome? outcome)
    {
        var known = _state ?? fresh!;
        var state = known with { Run = known.Run with { CancelRequested = check.CancelRequested, EndAskedBy = check.EndAskedBy } };
        if (outcome is not null) state = await SettleAsync(session, state, outcome);
        return await PlanAsync(session, state);
    }

    private async Task<Outcome> ActAsync(Act act, CancellationToken acting)
    {
        // The acts of a turn run side by side; none may hold up the loop.
        await Task.Yield();
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(acting);
        limit.CancelAfter(tools.Settings.LongestAct);
        try
        {
            if (!lease.MayAct) throw new LeaseLost("Too little of the worker's term is left.");
            var context = Context(_state!, act.Step, act.Target, act.Entry);
            return new Outcome(act, act.Entry.Direction == Direction.Forward ? await act.Step.DoAsync(context, limit.Token) : await act.Step.UndoAsync(context, limit.Token), null);
        }
        catch (OperationCanceledException cause) when (!acting.IsCancellationRequested)
        {
            return new Outcome(act, null, new ProviderFault(FaultKind.Transient, "The call did not answer in time.", cause));
        }
        catch (Exception fault)
        {
            return new Outcome(act, null, fault);
        }
    }

    /// <summary>Writes what became of one act.</summary>
    private async Task<State> SettleAsync(Session session, State state, Outcome outcome)
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

            state = state with { Lab = (await LabStore.FindAsync(session, claim.Lab))! };
        }

        // Cut off because the turn ends or turns round: the intention stands, and says all that is known.
        if (fault is LeaseLost or OperationCanceledException) return state;
        switch (answer)
        {
            case StepAnswer.DoneAnswer done:
                if (state.Run is { State: RunState.Running, Problem: not null } && !state.Journal.AnyFailedForGood) state = state with { Run = state.Run with { Problem = null } };
                ReleaseSlots(session, act, boot: entry.Direction == Direction.Backward || act.Step.Frees == SlotKind.Boot);
                return WriteEntry(session, state, act, entry with { State = JournalState.Done, At = now, DueAt = null, FaultKind = null, Note = done.Note ?? entry.Note }, tell: true);
            case StepAnswer.NotYetAnswer notYet when now - Began(state, entry) <= act.Step.Deadline:
                if (notYet.Why is not null) state = state with { Run = state.Run with { Problem = notYet.Why } };
                return WriteEntry(session, state, act,
                    entry with { State = JournalState.Waiting, At = now, DueAt = now + notYet.After, FaultKind = null, Note = notYet.Note ?? (entry.FaultKind is null ? entry.Note : null) },
                    tell: entry.State == JournalState.Intended);
            case StepAnswer.NotYetAnswer:
                fault = new ProviderFault(FaultKind.Transient, $"Not done within {act.Step.Deadline.TotalMinutes:0.#} minutes.");
                break;
        }

        return Fail(session, state, act, fault!, now);
    }

    private State Fail(Session session, State state, Act act, Exception fault, Instant now)
    {
        var kind = fault is ProviderFault known ? known.Kind : FaultKind.Broken;
        var entry = act.Entry with { At = now, FaultKind = kind.Word(), Note = Sentence(fault), DueAt = null };
        var deadline = Began(state, act.Entry) + act.Step.Deadline;
        if (kind == FaultKind.Throttled)
        {
            var due = now + Duration.FromTimeSpan((fault as ProviderFault)?.RetryAfter ?? TimeSpan.FromSeconds(1));
            if (due <= deadline) return WriteEntry(session, state, act, entry with { State = JournalState.Waiting, DueAt = due }, tell: true);
        }

        entry = entry with { State = JournalState.Failed };
        var row = state.Journal.TransientInRow(entry.Direction, entry.Step, entry.Target);

        // After a lost reply the work goes on in the pool, with its slots. A host that stays away must not keep them from the others.
        if (kind != FaultKind.Transient || row >= FaultsWithSlots) ReleaseSlots(session, act, boot: true);
        if (kind == FaultKind.Transient)
        {
            var due = now + Duration.Min(tools.Settings.LongestRetry, tools.Settings.FirstRetry * Math.Pow(2, Math.Min(row, 16)));
            if (due <= deadline)
            {
                // Why a run is undone stays said; one that goes forward says what it waits for.
                if (state.Run.State == RunState.Running)
                    state = state with { Run = state.Run with { Problem = new Reason("run.step-waits", ("step", entry.Step), ("machine", MachineName(state, entry.Target)), ("message", entry.Note ?? "")) } };
                return WriteEntry(session, state, act, entry with { DueAt = due }, tell: true);
            }
        }
        else if (kind == FaultKind.NoCapacity && entry.Direction == Direction.Forward)
        {
            var lane = workflow.Lanes.First(lane => lane.Contains(act.Step));
            var place = lane.TakeWhile(step => step != act.Step).ToList().FindIndex(step => step.Places);
            if (place >= 0 && state.Journal.NoCapacity(lane, act.Target) + 1 < tools.Settings.MostPlacements)
            {
                state = WriteEntry(session, state, act, entry with { DueAt = now }, tell: true);
                foreach (var step in lane.Skip(place + 1).TakeWhile(step => step != act.Step))
                {
                    if (state.Journal.Last(Direction.Forward, step.Name, act.Target) is { State: JournalState.Done } done)
                        state = Redo(session, state, step, done, now);
                }

                return state;
            }
        }

        state = WriteEntry(session, state, act, entry, tell: true);
        var reason = (fault as StepFailed)?.Reason
            ?? new Reason("run.step-failed", ("step", entry.Step), ("machine", MachineName(state, entry.Target)), ("kind", kind.Word()), ("message", entry.Note ?? ""));
        if (entry.Direction == Direction.Backward) return state with { Run = state.Run with { Problem = reason with { Code = "run.undo-failed" } } };
        // Another machine failed before and turned the run round: its reason is the one that counts.
        if (state.Run.State == RunState.Undoing) return state;
        state = state with { Run = state.Run with { Problem = reason } };
        return workflow.Undoes ? TurnRound(state, now) : state;
    }

    /// <summary>A done step counts no more, because its machine is made elsewhere: said in the journal by an attempt of its own.</summary>
    private State Redo(Session session, State state, Step step, JournalEntry done, Instant now)
    {
        var entry = done with { Attempt = done.Attempt + 1, State = JournalState.Intended, IntendedAt = now, At = now, DueAt = null, Note = null };
        JournalStore.Intend(session, entry);
        return WriteEntry(session, state, new Act(step, done.Target, entry), entry with { State = JournalState.Failed, FaultKind = Journal.Elsewhere, DueAt = now }, tell: false);
    }

    private static State TurnRound(State state, Instant now) => state with { Run = state.Run with { State = RunState.Undoing, Since = now } };

    /// <summary>Decides what follows, and writes the intentions of all that can be done now; gives the run back where nothing can.</summary>
    private async Task<State> PlanAsync(Session session, State state)
    {
        var now = tools.Time.Now();
        if (state.Run.EndAskedBy is not null)
        {
            if (_active.Count > 0) return state with { StopActs = true };
            await runs.OvertakeAsync(session, state.Run, state.Lab, now);
            return state with { Over = true, Run = state.Run with { FinishedAt = now } };
        }

        if (state.Run is { CancelRequested: true, State: RunState.Running } && workflow.Undoes)
            state = TurnRound(state with { Run = state.Run with { Problem = new Reason("lab.cancelled", ("by", state.Run.AskedBy)) } }, now);
        var way = WayOf(state.Run);
        if (_active.Keys.Any(act => act.Entry.Direction != way))
        {
            return WriteProgress(session, state, null) with { StopActs = true };
        }

        // A worker that is stopping, or that stopped its acts to turn round, begins nothing more: the next claim goes on.
        if (_acting is { IsCancellationRequested: true } || !lease.MayAct) return _active.Count > 0 ? state : Release(session, state, now, null, now);
        var acts = new List<Act>();
        var (dues, blocked, lane) = (new List<Instant>(), false, NextLane(state, way));
        var step = lane?[0];
        foreach (var target in lane is null ? [] : TargetsOf(state, lane))
        {
            if (NextStep(state, way, lane!, target) is not { } next || _active.Keys.Any(act => act.Target == target)) continue;
            step = next;
            var last = state.Journal.Last(way, next.Name, target);
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

            if (_active.Count + acts.Count >= tools.Settings.ActsAtOnce)
            {
                dues.Add(now);
                continue;
            }

            if (last is { State: JournalState.Intended or JournalState.Waiting })
            {
                acts.Add(new Act(next, target, last));
                continue;
            }

            if (MachineOf(state, target)?.Pool is { } pool)
            {
                var taken = await SlotStore.TryTakeAsync(session, pool, SlotsOf(next, way), claim.Id, target, now);
                if (taken != Taken.All)
                {
                    dues.Add(now + (taken == Taken.Busy ? s_busyPause : tools.Settings.SlotPause));
                    continue;
                }
            }

            (state, var act) = await IntendAsync(session, state, way, next, target, now);
            acts.Add(act);
        }

        if (_active.Count + acts.Count > 0)
        {
            if (acts.Any(act => act.Entry.State == JournalState.Intended)) state = WriteProgress(session, state, step?.Name);
            return state with { Acts = acts };
        }

        if (lane is null) return await FinishAsync(session, state, way, now);
        if (dues.Count > 0) return Release(session, state, dues.Min(), step?.Name, now);
        if (!blocked) throw new InvalidOperationException($"Run {claim.Id} has nothing to do and is not done.");
        ClearSlots(session);
        state = WriteProgress(session, state, step?.Name);
        await RunStore.SetStateAsync(session, claim.Id, RunState.Stuck, state.Run.Problem, now);
        LabStore.AppendEvent(session, claim.Lab, now, LabEventKind.Log, ("code", "run.stuck"), ("workflow", claim.Workflow), ("step", step?.Name ?? ""));
        await Notices.WriteAsync(session, (await LabStore.FindAsync(session, claim.Lab))!, NoticeCodes.RunStuck, now, ("workflow", claim.Workflow), ("step", step?.Name ?? ""));
        return state with { Over = true };
    }

    private async Task<(State, Act)> IntendAsync(Session session, State state, Direction way, Step step, string target, Instant now)
    {
        var entry = new JournalEntry
        {
            Run = claim.Id,
            Direction = way,
            Step = step.Name,
            Target = target,
            Attempt = (state.Journal.Last(way, step.Name, target)?.Attempt ?? 0) + 1,
            State = JournalState.Intended,
            IntendedAt = now,
            At = now,
        };
        JournalStore.Intend(session, entry);
        state = state with { Journal = state.Journal.With(entry) };
        if (way == Direction.Forward) await step.IntendAsync(session, Context(state, step, target, entry));
        Tell(session, state, entry);
        return (state, new Act(step, target, entry));
    }

    private async Task<State> FinishAsync(Session session, State state, Direction way, Instant now)
    {
        ClearSlots(session);
        if (way == Direction.Backward) await workflow.UndoneAsync(session, state.Run, (await LabStore.FindAsync(session, claim.Lab))!, now);
        RunStore.Finish(session, state.Run with { StepsDone = StepsDone(state) }, way == Direction.Forward ? RunState.Done : RunState.Undone, way == Direction.Forward ? null : state.Run.Problem, now);
        LabStore.AppendEvent(session, claim.Lab, now, LabEventKind.Log, ("code", way == Direction.Forward ? "run.done" : "run.undone"), ("workflow", claim.Workflow));
        return state with { Over = true, Run = state.Run with { FinishedAt = now } };
    }

    private State Release(Session session, State state, Instant due, string? step, Instant now)
    {
        // Also where the worker stops: that the run turned round, and why, is known to nobody else.
        state = WriteProgress(session, state, step ?? state.Run.Step);
        RunStore.Release(session, claim, due);
        return state with { Over = true, Run = state.Run with { Worker = null, DueAt = Instant.Max(due, now) } };
    }

    /// <summary>Where the run is, for showing: written only when it changed.</summary>
    private State WriteProgress(Session session, State state, string? step)
    {
        var run = state.Run with { Step = step, StepsDone = StepsDone(state) };
        if (Shown(run) != Shown(state.Written)) RunStore.SetProgress(session, run);
        return state with { Run = run, Written = run };
    }

    private static (RunState, Instant, string?, int, int, Reason?) Shown(Run run) => (run.State, run.Since, run.Step, run.StepsDone, run.StepsTotal, run.Problem);

    private int StepsDone(State state) => workflow.Steps.Sum(step => (step.ForEachMachine ? Targets(state).Select(TargetId) : [""])
        .Count(target => !step.AppliesTo(Context(state, step, target, null)) || state.Journal.Last(Direction.Forward, step.Name, target) is { State: JournalState.Done }));

    private State WriteEntry(Session session, State state, Act act, JournalEntry entry, bool tell)
    {
        JournalStore.Write(session, entry);
        state = state with { Journal = state.Journal.With(entry) };
        if (tell) Tell(session, state, entry);
        return state;
    }

    private void Tell(Session session, State state, JournalEntry entry) => LabStore.AppendEvent(session, claim.Lab, entry.At, LabEventKind.Step,
        ("workflow", claim.Workflow), ("step", entry.Step), ("machine", MachineName(state, entry.Target)), ("state", RunViews.Word(entry)), ("attempt", $"{entry.Attempt}"));

    private static IReadOnlyList<SlotKind> SlotsOf(Step step, Direction way) => way == Direction.Forward ? step.Takes : step.TakesBack;

    private void ReleaseSlots(Session session, Act act, bool boot)
    {
        if (SlotsOf(act.Step, act.Entry.Direction).Contains(SlotKind.Operation)) SlotStore.Release(session, SlotKind.Operation, claim.Id, act.Target);
        if (boot) SlotStore.Release(session, SlotKind.Boot, claim.Id, act.Target);
    }

    private void ClearSlots(Session session)
    {
        if (workflow.TakesSlots) SlotStore.Clear(session, claim.Id);
    }

    private static Direction WayOf(Run run) => run.State == RunState.Undoing ? Direction.Backward : Direction.Forward;

    /// <summary>The lane that is not finished yet, in the direction of travel; nothing when all are.</summary>
    private IReadOnlyList<Step>? NextLane(State state, Direction way) => (way == Direction.Forward ? workflow.Lanes : workflow.Lanes.Reverse())
        .FirstOrDefault(lane => TargetsOf(state, lane).Any(target => NextStep(state, way, lane, target) is not null));

    private Step? NextStep(State state, Direction way, IReadOnlyList<Step> lane, string target) => way == Direction.Forward
        ? lane.FirstOrDefault(step => !state.Journal.IsDone(way, step, lane, target) && step.AppliesTo(Context(state, step, target, null)))
        : lane.Reverse().FirstOrDefault(step => step.CanUndo && state.Journal.Started(step.Name, target) && !state.Journal.IsDone(way, step, lane, target));

    private IEnumerable<string> TargetsOf(State state, IReadOnlyList<Step> lane) => lane[0].ForEachMachine ? Targets(state).Select(TargetId) : [""];

    private IEnumerable<Machine> Targets(State state) => Workflow.Targets(state.Lab, claim.Arguments);

    private static string TargetId(Machine machine) => machine.Id.ToString();

    private static Machine? MachineOf(State state, string target) => state.Lab.Machines.FirstOrDefault(machine => TargetId(machine) == target);

    private static string MachineName(State state, string target) => MachineOf(state, target)?.Name ?? "";

    private static Instant Began(State state, JournalEntry entry)
        => Instant.Max(state.Journal.SeriesBegan(entry.Direction, entry.Step, entry.Target) ?? entry.IntendedAt, state.Run.Since);

    private StepContext Context(State state, Step step, string target, JournalEntry? entry) => new(
        state.Run, state.Lab, MachineOf(state, target), entry?.Attempt ?? 0, entry is { FaultKind: null } ? entry.Note : null,
        entry is null ? tools.Time.Now() : Began(state, entry),
        other => state.Journal.Last(Direction.Forward, other, "") is { State: JournalState.Done } done ? done.Note : null, tools);

    private static string Sentence(Exception fault) => fault is ProviderFault or StepFailed ? fault.Message : $"{fault.GetType().Name}: {fault.Message}";

    /// <summary>What a step wanted saved with its outcome cannot be.</summary>
    private sealed class SaveFailed(Exception cause) : Exception(cause.Message, cause);
}
