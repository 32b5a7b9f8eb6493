using LabPortal.Data;
using LabPortal.Data.Blueprints;
using LabPortal.Data.Labs;
using LabPortal.Data.Leases;
using LabPortal.Data.Quotas;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.People;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Audit;
using LabPortal.Operations.Leases;
using LabPortal.Operations.Workflows;
using NodaTime;

namespace LabPortal.Operations.Labs;

/// <summary>Verbs on a lab that is there: under its row's lock, by the one table of its life.</summary>
public sealed partial class LabCalls
{
    public Task<Outcome<LabView>> ExtendAsync(Actor actor, LabId id, LeaseRequest by, CancellationToken cancellation) => VerbAsync(actor, id, LabVerb.Extend, async (session, lab, _, draft, now) =>
    {
        var rules = (await BlueprintStore.FindAsync(session, lab.Blueprint, lab.BlueprintVersion))!.Lease;
        var errors = new List<FieldError>();
        var next = LeaseTerms.Extended(rules, lab.Lease, lab.ReadyAt, by, now, errors);
        if (errors.Count > 0 || next is null) return Refusal.Invalid(errors);
        var ledger = await QuotaHoldStore.LockAsync(session, lab.Team, now);
        if (Offers.RefuseExtension(lab, next, await QuotaHoldStore.OfLabAsync(session, lab.Id), ledger, now) is { } full) return full;

        if (next.End is { } end) draft.Detail["until"] = Instants.Write(end);
        await QuotaHoldStore.SetEndAsync(session, lab.Id, next.HoldUntil(now));
        await LeaseStore.SetWarnedAsync(session, lab.Id, now);
        if (lab.State == LabState.Scheduled)
        {
            // Nothing is built yet: there is nothing for a run to do.
            await LabStore.SetLeaseAsync(session, lab.Id, next);
            await LeaseClock.ScheduleAsync(session, lab.Id, now);
            LabStore.AppendEvent(session, lab.Id, now, LabEventKind.Log, ("code", "lease.extended"), ("by", actor.Name));
        }
        else
        {
            await runs.BeginAsync(session, lab, WorkflowNames.Extend, new Dictionary<string, string> { [RunArguments.End] = Instants.Write(next.End!.Value) }, actor.Name, now);
        }

        return new Done();
    }, cancellation);

    /// <summary>Start, stop, restart, cancel, end, retry; with <paramref name="run"/> only while that is the one that lives.</summary>
    public Task<Outcome<LabView>> AskAsync(Actor actor, LabId id, LabVerb verb, CancellationToken cancellation, RunId? run = null) => VerbAsync(actor, id, verb, async (session, lab, live, _, now) =>
    {
        switch (verb)
        {
            case LabVerb.Start or LabVerb.Stop or LabVerb.Restart:
                await runs.BeginAsync(session, lab, verb.Word(), NoArguments, actor.Name, now);
                return new Done();
            case LabVerb.Cancel:
                await Runs.RequestCancelAsync(session, live!, now);
                return new Done();
            case LabVerb.End:
                await runs.EndAsync(session, lab, actor.Name, now);
                return new Done();
            case LabVerb.Retry:
                await Runs.RetryAsync(session, live!, now);
                return new Done();
            default:
                return Refusal.Invalid("verb", "verb.not-like-this", ("verb", verb.Word()));
        }
    }, cancellation, run);

    /// <summary>Start, stop, restart of one machine.</summary>
    public Task<Outcome<LabView>> AskMachineAsync(Actor actor, LabId id, string machine, LabVerb verb, CancellationToken cancellation) => VerbAsync(actor, id, verb, async (session, lab, _, draft, now) =>
    {
        if (verb is not (LabVerb.Start or LabVerb.Stop or LabVerb.Restart)) return Refusal.Invalid("verb", "verb.not-for-machines", ("verb", verb.Word()));
        if (lab.Machines.All(found => found.Name != machine)) return Refusal.NotFound("machine", machine);
        draft.Detail["machine"] = machine;
        await runs.BeginAsync(session, lab, verb.Word(), new Dictionary<string, string> { [RunArguments.Machine] = machine }, actor.Name, now);
        return new Done();
    }, cancellation);

    /// <summary>Gives up a stuck run; what it leaves stays on the orphan list and stays metered.</summary>
    public Task<Outcome<LabView>> AbandonAsync(Actor actor, LabId id, string reason, CancellationToken cancellation, RunId? run = null) => VerbAsync(actor, id, LabVerb.Abandon, async (session, _, live, draft, now) =>
    {
        if (string.IsNullOrWhiteSpace(reason)) return Refusal.Invalid("reason", "abandon.reason-required");
        if (reason.Length > 500 || reason.Any(char.IsControl)) return Refusal.Invalid("reason", "abandon.reason-form", ("max", 500));
        draft.Detail["reason"] = reason.Trim();
        await Runs.AbandonAsync(session, live!, reason.Trim(), now);
        return new Done();
    }, cancellation, run);

    private Task<Outcome<LabView>> VerbAsync(
        Actor actor, LabId id, LabVerb verb, Func<Session, Lab, Run?, AuditDraft, Instant, Task<Outcome<Done>>> change, CancellationToken cancellation,
        RunId? run = null)
    {
        var right = May.ToDo(verb);
        var draft = new AuditDraft(right.Word(), "lab", id.ToString());
        return _audited.DoAsync<LabView>(actor, draft, async (session, now) =>
        {
            if (await LabStore.LockAsync(session, id) is not { } lab || !May.Do(actor, Verb.SeeLab, lab.Owner, lab.Team)) return Refusal.NotFound("lab", id.ToString());
            draft.Team = lab.Team;
            draft.Detail["name"] = lab.Name;
            if (!May.Do(actor, right, lab.Owner, lab.Team)) return Refusal.Forbidden(right.Word());
            var live = await RunStore.LiveOfAsync(session, id);
            if (run is { } meant)
            {
                draft.Detail["run"] = meant.ToString();
                if (live?.Id != meant) return Refusal.Conflict("run.over");
            }

            var health = Health.Of(lab.State, lab.Machines.Select(machine => machine.State));
            if (LabLife.WhyNot(lab.State, health, verb, live?.State, live?.Workflow) is { } no) return Refusal.Conflict(no, ("state", lab.State.Word()), ("verb", verb.Word()));
            if (lab.Frozen && verb is not (LabVerb.End or LabVerb.Retry or LabVerb.Abandon)) return Refusal.Conflict("lab.frozen", ("verb", verb.Word()));
            var done = await change(session, lab, live, draft, now);
            return done.Refusal is { } refused ? refused : await ViewAsync(session, actor, id, now);
        }, cancellation);
    }
}
