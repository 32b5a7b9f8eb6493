using LabPortal.Data;
using LabPortal.Data.Labs;
using LabPortal.Data.Leases;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using LabPortal.Domain.People;
using LabPortal.Operations.Audit;
using LabPortal.Operations.Leases;
using NodaTime;

namespace LabPortal.Operations.Labs;

/// <summary>
/// A lab that lives only while somebody says that it is wanted. Who may extend it may keep it. Tying and letting go are audited and told to who
/// looks at the lab; a beat changes nothing that anybody sees, comes often, and is neither.
/// </summary>
public sealed partial class LabCalls
{
    private const string Tie = "tie-to-heartbeat";
    private const string LetGo = "let-go-of-heartbeat";

    /// <summary>Ties the lab's lease to a heartbeat of this term, or gives it another term; its first beat is now.</summary>
    public Task<Outcome<LabView>> TieAsync(Actor actor, LabId id, decimal minutes, CancellationToken cancellation)
    {
        var draft = new AuditDraft(Tie, "lab", id.ToString());
        return _audited.DoAsync(actor, draft, (session, now) => ChangeAsync(session, actor, id, draft, now, _ =>
        {
            var errors = new List<FieldError>();
            var heartbeat = LeaseTerms.HeartbeatOf(minutes, "minutes", now, errors);
            if (heartbeat is null) return Refusal.Invalid(errors);
            draft.Detail["minutes"] = FormattableString.Invariant($"{minutes}");
            return heartbeat;
        }, ("code", "heartbeat.tied"), ("minutes", FormattableString.Invariant($"{minutes}"))), cancellation);
    }

    /// <summary>The lab lives as long as its lease says, whether or not anybody is heard.</summary>
    public Task<Outcome<LabView>> LetGoAsync(Actor actor, LabId id, CancellationToken cancellation)
    {
        var draft = new AuditDraft(LetGo, "lab", id.ToString());
        return _audited.DoAsync(actor, draft, (session, now) => ChangeAsync(session, actor, id, draft, now, lab => lab.Lease.Heartbeat is null ? NotTied : (Heartbeat?)null, ("code", "heartbeat.let-go")), cancellation);
    }

    /// <summary>The lab is still wanted. Refused where its lease is not tied to a heartbeat.</summary>
    public async Task<Outcome<LabView>> BeatAsync(Actor actor, LabId id, CancellationToken cancellation)
    {
        var draft = new AuditDraft("beat", "lab", id.ToString());
        var now = time.Now();
        var beaten = await database.WriteAsync(
            session => ChangeAsync(session, actor, id, draft, now, lab => lab.Lease.Heartbeat is { } heartbeat ? heartbeat with { BeatAt = now } : NotTied), cancellation);
        return beaten.Refusal is { } refused ? await _audited.RefuseAsync(actor, draft, refused, cancellation) : beaten;
    }

    private static Refusal NotTied => Refusal.Conflict("heartbeat.not-tied");

    private async Task<Outcome<LabView>> ChangeAsync(
        Session session, Actor actor, LabId id, AuditDraft draft, Instant now, Func<Lab, Outcome<Heartbeat?>> change, params (string Name, string Value)[] told)
    {
        if (await LabStore.LockAsync(session, id) is not { } lab || !May.Do(actor, Verb.SeeLab, lab.Owner, lab.Team)) return Refusal.NotFound("lab", id.ToString());
        draft.Team = lab.Team;
        draft.Detail["name"] = lab.Name;
        if (!May.Do(actor, Verb.ExtendLab, lab.Owner, lab.Team)) return Refusal.Forbidden(Verb.ExtendLab.Word());
        if (lab.State.IsOver() || lab.State == LabState.Ending) return Refusal.Conflict(lab.State == LabState.Ending ? "lab.ending-already" : "lab.over");
        var changed = change(lab);
        if (changed.Refusal is { } refused) return refused;
        await LeaseStore.SetHeartbeatAsync(session, id, changed.Value);
        if (told.Length > 0) LabStore.AppendEvent(session, id, now, LabEventKind.Log, [.. told, ("by", actor.Name)]);
        await LeaseClock.ScheduleAsync(session, id, now);
        return await ViewAsync(session, actor, id, now);
    }
}
