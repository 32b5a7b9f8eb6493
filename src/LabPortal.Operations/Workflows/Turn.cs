using LabPortal.Data;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Telemetry;
using NodaTime;

namespace LabPortal.Operations.Workflows;

/// <summary>
/// One claim of one run: does whatever can be done now, and gives the run back with the time of the next look. All that it writes, it
/// writes in transactions of the <see cref="TurnWriter"/>, under the claim's lock. Each holds one target's outcome together with the
/// intentions of everything that can be done after it.
/// </summary>
internal sealed class Turn(Run claim, Workflow workflow, StepTools tools, WorkerLease lease, Runs runs, TurnWriter writer)
{
    private static readonly TimeSpan s_askEvery = TimeSpan.FromSeconds(2);

    private readonly TurnSettling _settling = new(workflow, tools);
    private readonly TurnPlan _plan = new(workflow, tools, runs);
    private readonly Dictionary<TurnAct, Task<TurnOutcome>> _active = [];
    private TurnState? _state;
    private TurnState? _begun;
    private CancellationTokenSource? _acting;

    public Run Claim => claim;

    /// <summary>Nothing was written yet: the first transaction brings lab and journal.</summary>
    public bool IsFresh => _state is null;

    public TurnState Fresh(Lab lab, Journal journal) => new(workflow, tools, claim, lab, journal) { Written = claim };

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
        return asked is { CancelRequested: true } && (asked.EndAskedBy is not null || (_state!.Way == Direction.Forward && _state.MayTurnRound));
    }

    private async Task CommitAsync(TurnOutcome? outcome)
    {
        TurnState next;
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

    private void Take(TurnState next)
    {
        _state = next with { Acts = [], StopActs = false };
        foreach (var act in next.Acts) _active[act] = ActAsync(act, _acting!.Token);
    }

    /// <summary>The first part was committed with the claim.</summary>
    public void Begun(TurnState next)
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
    public async Task<TurnState> WriteAsync(Session session, ClaimCheck check, TurnState? fresh, TurnOutcome? outcome)
    {
        var known = _state ?? fresh!;
        var state = known with { Run = known.Run with { CancelRequested = check.CancelRequested, EndAskedBy = check.EndAskedBy } };
        if (outcome is not null) state = await _settling.SettleAsync(session, state, outcome);
        return await _plan.FollowAsync(session, state, _active.Keys, mayBegin: _acting is not { IsCancellationRequested: true } && lease.MayAct);
    }

    private async Task<TurnOutcome> ActAsync(TurnAct act, CancellationToken acting)
    {
        // The acts of a turn run side by side; none may hold up the loop.
        await Task.Yield();
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(acting);
        limit.CancelAfter(tools.Settings.LongestAct);
        using var traced = PortalTrace.Act(act.Step.Name, act.Entry.Direction, _state!.MachineName(act.Target), act.Entry.Attempt);
        try
        {
            if (!lease.MayAct) throw new LeaseLost("Too little of the worker's term is left.");
            var context = _state!.Context(act.Step, act.Target, act.Entry);
            return new TurnOutcome(act, act.Entry.Direction == Direction.Forward ? await act.Step.DoAsync(context, limit.Token) : await act.Step.UndoAsync(context, limit.Token), null);
        }
        catch (OperationCanceledException cause) when (!acting.IsCancellationRequested)
        {
            return new TurnOutcome(act, null, new ProviderFault(FaultKind.Transient, "The call did not answer in time.", cause));
        }
        catch (Exception fault)
        {
            traced.Failed(fault);
            return new TurnOutcome(act, null, fault);
        }
    }
}
