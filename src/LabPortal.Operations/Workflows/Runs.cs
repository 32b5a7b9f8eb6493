using LabPortal.Data;
using LabPortal.Data.Labs;
using LabPortal.Data.Quotas;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Consoles;
using LabPortal.Operations.Leases;
using LabPortal.Operations.Machines;
using LabPortal.Operations.People;
using LabPortal.Operations.Telemetry;
using NodaTime;

namespace LabPortal.Operations.Workflows;

/// <summary>
/// How calls and clocks begin runs and steer them. Each works in the caller's transaction, which holds the lab's row
/// (<see cref="LabStore.LockAsync"/>) and has asked <see cref="LabLife.WhyNot"/>; the pump is woken when it commits.
/// </summary>
public sealed class Runs(RegisteredWorkflows workflows, TimeProvider time)
{
    /// <summary>
    /// Begins a run that is due at once. For <c>provision</c> the lab becomes <i>provisioning</i>; other verbs leave its state until they are done.
    /// <see cref="RuleViolated"/> with <see cref="Rules.OneLiveRun"/> where the lab has a live run. Not for <c>end</c>: see <see cref="EndAsync"/>.
    /// </summary>
    public async Task<Run> BeginAsync(Session session, Lab lab, string workflow, IReadOnlyDictionary<string, string> arguments, string askedBy, Instant now)
    {
        if (workflow == WorkflowNames.Provision)
        {
            await SetStateAsync(session, lab.Id, LabState.Provisioning, null, now);
            // The one that the blueprint has taken at ready; its row was made with the lab.
            if ((await SnapshotStore.ListAsync(session, lab.Id)).FirstOrDefault(snapshot => snapshot.State == SnapshotState.Taking) is { } planned)
                arguments = new Dictionary<string, string>(arguments) { [RunArguments.Snapshot] = planned.Id.ToString() };
        }

        return await InsertAsync(session, lab, workflow, arguments, askedBy, now);
    }

    /// <summary>The run's next turn goes backwards: a provision ends as a <i>failed</i> lab (<c>lab.cancelled</c>), a verb leaves the lab as it was. An end cannot be cancelled.</summary>
    public static async Task RequestCancelAsync(Session session, Run run, Instant now)
    {
        await RunStore.RequestCancelAsync(session, run.Id, now);
        LabStore.AppendEvent(session, run.Lab, now, LabEventKind.Log, ("code", "run.cancel-requested"), ("workflow", run.Workflow));
    }

    /// <summary>
    /// The lab's end, from any state that is not over: the lab is <i>ending</i> from this transaction on, its quota held until the end is confirmed.
    /// A live run that nobody turns now (waiting or stuck) is overtaken here; one that is being turned is overtaken in the transaction in which its
    /// worker notices. An end that is under way goes on; a stuck one is retried.
    /// </summary>
    public async Task EndAsync(Session session, Lab lab, string askedBy, Instant now)
    {
        var live = await RunStore.LiveOfAsync(session, lab.Id, locked: true);
        if (live?.Workflow == WorkflowNames.End)
        {
            if (live.State == RunState.Stuck) await RetryAsync(session, live, now);
            return;
        }

        await QuotaHoldStore.SetEndAsync(session, lab.Id, null);
        await SetStateAsync(session, lab.Id, LabState.Ending, lab.Reason, now);
        if (live is { Worker: not null, State: not RunState.Stuck }) await RunStore.RequestEndAsync(session, live.Id, askedBy, now);
        else if (live is not null) await OvertakeAsync(session, live with { EndAskedBy = askedBy }, lab, now);
        else await InsertAsync(session, lab, WorkflowNames.End, new Dictionary<string, string>(), askedBy, now);
    }

    /// <summary>A stuck run goes on in the direction in which it got stuck, with a new deadline for the step that failed.</summary>
    public static async Task RetryAsync(Session session, Run run, Instant now)
    {
        var backward = await JournalStore.AnyAsync(session, run.Id, Direction.Backward);
        await JournalStore.ReviveAsync(session, run.Id, backward ? Direction.Backward : Direction.Forward, now);
        await RunStore.SetStateAsync(session, run.Id, backward ? RunState.Undoing : RunState.Running, run.Problem, now);
        LabStore.AppendEvent(session, run.Lab, now, LabEventKind.Log, ("code", "run.retried"), ("workflow", run.Workflow));
    }

    /// <summary>
    /// Gives a stuck run up. A provision leaves the lab <i>failed</i> and an end leaves it <i>ended</i>, their quota free; after another verb the lab
    /// stays, degraded. Machines that are not confirmed gone keep their state and capacity, so they stay metered, and the sweep lists them.
    /// </summary>
    public static async Task AbandonAsync(Session session, Run run, string reason, Instant now)
    {
        var problem = new Reason("run.abandoned", ("reason", reason), ("workflow", run.Workflow));
        RunStore.Finish(session, run, RunState.Abandoned, problem, now);
        session.AfterCommit(() => PortalMeter.RunFinished(run, RunState.Abandoned));
        await SlotStore.FreeAsync(session, run.Id, now);
        if (run.Workflow is WorkflowNames.Provision or WorkflowNames.End or WorkflowNames.Try)
        {
            await SetOverAsync(session, run.Lab, run.Workflow == WorkflowNames.End ? LabState.Ended : LabState.Failed, problem, now);
        }
        else
        {
            if (run.Workflow == WorkflowNames.Extend) await HoldAsLeasedAsync(session, run.Lab, now);
            await SnapshotStore.BreakAsync(session, run.Lab);
            await LabStore.SetHealthAsync(session, run.Lab, LabHealth.Degraded);
            LabStore.AppendEvent(session, run.Lab, now, LabEventKind.Log, ("code", problem.Code), ("reason", reason), ("workflow", run.Workflow));
        }
    }

    /// <summary>Finishes a run whose lab is to end, and begins the end in the same transaction: it takes everything back, whatever the run left.</summary>
    internal async Task OvertakeAsync(Session session, Run live, Lab lab, Instant now)
    {
        RunStore.Finish(session, live, RunState.Undone, new Reason("run.overtaken-by-end"), now);
        session.AfterCommit(() => PortalMeter.RunFinished(live, RunState.Undone));
        await SlotStore.FreeAsync(session, live.Id, now);
        await InsertAsync(session, lab, WorkflowNames.End, new Dictionary<string, string>(), live.EndAskedBy!, now, live.TraceParent);
    }

    /// <summary>The lab is <i>ended</i> or <i>failed</i>: it holds no quota any more, and its generated password, the portal's own key and its machines' host keys are good for nothing.</summary>
    internal static async Task SetOverAsync(Session session, LabId lab, LabState state, Reason? reason, Instant now)
    {
        await QuotaHoldStore.SetEndAsync(session, lab, now);
        // What the machines had of them went with the machines.
        await SnapshotStore.DeleteAllAsync(session, lab);
        await LabStore.SetEndedAtAsync(session, lab, now);
        await SecretStore.DeleteAsync(session, GuestSeeds.PasswordName(lab));
        await SecretStore.DeleteAsync(session, PortalKey.NameOf(lab));
        await SecretStore.DeleteAllAsync(session, HostKeys.PrefixOf(lab));
        await SetStateAsync(session, lab, state, reason, now);
    }

    /// <summary>An extension takes its quota with the request; where it comes to nothing, the quota is held as the lease says.</summary>
    internal static async Task HoldAsLeasedAsync(Session session, LabId lab, Instant now)
        => await QuotaHoldStore.SetEndAsync(session, lab, (await LabStore.FindAsync(session, lab))!.Lease.HoldUntil(now));

    /// <summary>The lab's state with its event, and the clock's next moment.</summary>
    internal static async Task SetStateAsync(Session session, LabId lab, LabState state, Reason? reason, Instant now)
    {
        await LabStore.SetStateAsync(session, lab, state, reason);
        await LeaseClock.ScheduleAsync(session, lab, now);
        LabStore.AppendEvent(session, lab, now, LabEventKind.State, reason is null ? [("state", state.Word())] : [("state", state.Word()), ("reason", reason.Code)]);
    }

    private async Task<Run> InsertAsync(Session session, Lab lab, string name, IReadOnlyDictionary<string, string> arguments, string askedBy, Instant now, string? within = null)
    {
        if (name is WorkflowNames.Provision or WorkflowNames.End && lab.Networks is { Count: > 0 } networks)
            arguments = new Dictionary<string, string>(arguments) { [RunArguments.Networks] = string.Join(' ', networks) };
        var workflow = workflows.Current(name);
        using var begun = PortalTrace.Begin(workflow.Name, within);
        var run = new Run
        {
            Id = new RunId(Ids.New(time)),
            Lab = lab.Id,
            Team = lab.Team,
            Workflow = workflow.Name,
            Version = workflow.Version,
            State = RunState.Running,
            Arguments = arguments,
            AskedBy = askedBy,
            Step = workflow.Steps[0].Name,
            StepsTotal = workflow.CountSteps(lab, arguments),
            CreatedAt = now,
            DueAt = now,
            Since = now,
            TraceParent = begun?.Id,
        };
        await RunStore.InsertAsync(session, run);
        LabStore.AppendEvent(session, lab.Id, now, LabEventKind.Log, ("code", "run.begun"), ("workflow", name), ("by", askedBy));
        return run;
    }
}
