using System.Globalization;
using LabPortal.Data;
using LabPortal.Data.Audit;
using LabPortal.Domain;
using LabPortal.Domain.People;
using LabPortal.Operations.Telemetry;
using NodaTime;

namespace LabPortal.Operations.Audit;

/// <summary>The audit line of a call while the call is under way.</summary>
internal sealed class AuditDraft(string verb, string objectKind, string objectId = "")
{
    public string Verb { get; } = verb;
    public string ObjectKind { get; } = objectKind;
    public string ObjectId { get; set; } = objectId;
    public TeamId? Team { get; set; }
    public Dictionary<string, string> Detail { get; } = new(StringComparer.Ordinal);
}

/// <summary>
/// One call, one transaction, one audit line. A refusal takes back whatever the call had already written, and its line (with the
/// refusal's code as outcome) is written by itself.
/// </summary>
internal sealed class AuditedWrite(Database database, TimeProvider time)
{
    private const int LongestId = 200;
    private const int LongestDetail = 2000;

    public async Task<Outcome<T>> DoAsync<T>(Actor actor, AuditDraft draft, Func<Session, Instant, Task<Outcome<T>>> change, CancellationToken cancellation)
    {
        Refusal refusal;
        var now = time.Now();
        try
        {
            return await database.WriteAsync(async session =>
            {
                var outcome = await change(session, now);
                if (outcome.Refusal is { } no) throw new RefusedException(no);
                await AppendAsync(session, actor, draft, AuditStore.Done, now);
                return outcome;
            }, cancellation);
        }
        catch (RefusedException refused)
        {
            refusal = refused.Refusal;
        }
        catch (RuleViolated violated) when (OfRule(violated.Rule) is not null)
        {
            refusal = OfRule(violated.Rule)!;
        }

        await RefuseAsync(actor, draft, refusal, cancellation);
        return refusal;
    }

    /// <summary>Only the line of a refusal that was clear before anything was read.</summary>
    public async Task<Refusal> RefuseAsync(Actor actor, AuditDraft draft, Refusal refusal, CancellationToken cancellation)
    {
        PortalMeter.Refused(refusal);
        // With the code's arguments its sentence can be told again. What the draft says itself stays.
        foreach (var (name, value) in refusal.Arguments ?? []) draft.Detail.TryAdd(name, Convert.ToString(value, CultureInfo.InvariantCulture) ?? "");
        // Whoever hangs up meanwhile was refused all the same.
        await database.WriteAsync(session => AppendAsync(session, actor, draft, refusal.Code, time.Now()), CancellationToken.None);
        return refusal;
    }

    private Task AppendAsync(Session session, Actor actor, AuditDraft draft, string outcome, Instant now) => AuditStore.AppendAsync(
        session, actor, draft.Verb, draft.ObjectKind, Bounded(draft.ObjectId, LongestId), draft.Team, outcome, draft.Detail.ToDictionary(pair => pair.Key, pair => Bounded(pair.Value, LongestDetail)), now, time);

    // What was asked for is told before anybody has judged its form, and the ids stand in an index.
    private static string Bounded(string text, int longest)
        => text.Length <= longest ? text : string.Concat(text.AsSpan(0, char.IsHighSurrogate(text[longest - 2]) ? longest - 2 : longest - 1), "…");

    private static Refusal? OfRule(string rule) => rule switch
    {
        Rules.PersonEmail => Refusal.Conflict("person.exists"),
        Rules.TeamName => Refusal.Conflict("team.exists"),
        Rules.PoolName => Refusal.Conflict("pool.exists"),
        Rules.SshKeyOnce => Refusal.Conflict("key.exists"),
        Rules.WebhookOnce => Refusal.Conflict("webhook.exists"),
        _ => null,
    };

    private sealed class RefusedException(Refusal refusal) : Exception(refusal.Code)
    {
        public Refusal Refusal { get; } = refusal;
    }
}
