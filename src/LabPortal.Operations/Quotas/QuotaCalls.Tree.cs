using System.Globalization;
using LabPortal.Data;
using LabPortal.Data.People;
using LabPortal.Data.Quotas;
using LabPortal.Domain;
using LabPortal.Domain.People;
using LabPortal.Domain.Quotas;
using LabPortal.Operations.Audit;
using LabPortal.Operations.People;
using NodaTime;

namespace LabPortal.Operations.Quotas;

/// <summary>A team with its limits and, below it, who uses what. Declared limits are changed where they are declared.</summary>
public sealed record TeamUseView(string Team, bool Declared, IReadOnlyList<UseView> Use, IReadOnlyList<PersonUseView> People);

/// <summary>One dimension: what the team may hold, what each person may, and what is held now. An empty limit is none.</summary>
public sealed record UseView(string Dimension, long? Limit, long? PersonLimit, long Held);

/// <summary>Somebody who holds some of it, with the labs that do; <paramref name="Held"/> is what they hold now.</summary>
public sealed record PersonUseView(PersonId Person, string Name, IReadOnlyDictionary<string, long> Held, IReadOnlyList<LabUseView> Labs);

public sealed record LabUseView(LabId Lab, string Name, IReadOnlyDictionary<string, long> Amounts, Instant From, Instant? To);

public sealed partial class QuotaCalls
{
    /// <summary>More than anything has.</summary>
    private const long MostQuota = 1_000_000_000_000;

    private const int MostPerPage = 200;

    private readonly AuditedWrite _audited = new(database, time);

    /// <summary>The teams that the caller may see, by name, of which <paramref name="text"/> is a part.</summary>
    public Task<Page<TeamUseView>> TreeAsync(Actor actor, string? text, int limit, string? after, CancellationToken cancellation) => database.ReadAsync(
        async session =>
        {
            limit = Math.Clamp(limit, 1, MostPerPage);
            var now = time.Now();
            var views = new List<TeamUseView>();
            var teams = await TeamStore.PageAsync(session, text, PeopleCalls.Seen(actor, Verb.SeeQuota), limit + 1, after);
            foreach (var team in teams.Take(limit)) views.Add(View(team, await QuotaHoldStore.ReadAsync(session, team.Id, now), now));
            return new Page<TeamUseView>(views, teams.Count > limit ? teams[limit - 1].Name : null);
        },
        cancellation);

    /// <summary>
    /// The limits become exactly these, by dimension; what is not named is unlimited. What is held already stays held, also where it is more: only what
    /// is asked from now on is measured by them. Who chose them while looking at others names what was <paramref name="seen"/>: where that is so no
    /// longer, nothing is set.
    /// </summary>
    public async Task<Outcome<TeamUseView>> SetLimitsAsync(
        Actor actor, string team, IReadOnlyDictionary<string, string> quota, IReadOnlyDictionary<string, string> personQuota, IReadOnlyList<UseView>? seen, CancellationToken cancellation)
    {
        var draft = new AuditDraft("set-quota", "team", team);
        if (!May.Do(actor, Verb.AdministerPeople)) return await _audited.RefuseAsync(actor, draft, Refusal.Forbidden(Verb.AdministerPeople.Word()), cancellation);
        var errors = new List<FieldError>();
        var (limits, personLimits) = (Read("quota", quota, errors), Read("personQuota", personQuota, errors));
        if (errors.Count > 0) return Refusal.Invalid(errors);
        return await _audited.DoAsync<TeamUseView>(actor, draft, async (session, now) =>
        {
            if (await TeamStore.FindAsync(session, team) is not { } found) return Refusal.NotFound("team", team);
            draft.Team = found.Id;
            // Under the lock under which requests decide: none is measured by half of the new limits.
            await QuotaHoldStore.LockAsync(session, found.Id, now);
            found = (await TeamStore.FindAsync(session, team))!;
            if (found.Declared) return Refusal.Conflict("object.declared", ("kind", "team"), ("name", team));
            if (seen is not null && !View(found, await QuotaHoldStore.ReadAsync(session, found.Id, now), now).Use.Select(AsSet).SequenceEqual(seen.Select(AsSet)))
                return Refusal.Conflict("quota.changed-meanwhile", ("team", team));
            await TeamStore.SetLimitsAsync(session, found.Id, "team", limits);
            await TeamStore.SetLimitsAsync(session, found.Id, "person", personLimits);
            (draft.Detail["quota"], draft.Detail["personQuota"]) = (Said(limits), Said(personLimits));
            return View(found, await QuotaHoldStore.ReadAsync(session, found.Id, now), now);
        }, cancellation);
    }

    private static (string Dimension, long? Limit, long? PersonLimit) AsSet(UseView use) => (use.Dimension, use.Limit, use.PersonLimit);

    private static TeamUseView View(Team team, Ledger ledger, Instant now)
    {
        var held = Sums(ledger.Lines, now);
        return new TeamUseView(
            team.Name, team.Declared,
            [.. Enum.GetValues<Dimension>().Select(dimension => new UseView(
                dimension.Name(), Limit(ledger, QuotaScope.Team, dimension), Limit(ledger, QuotaScope.Person, dimension), held.GetValueOrDefault(dimension.Name())))],
            [.. ledger.Lines.GroupBy(line => (line.Person, line.Owner)).OrderBy(lines => lines.Key.Owner, StringComparer.Ordinal).ThenBy(lines => lines.Key.Person.Value).Select(lines => new PersonUseView(
                lines.Key.Person, lines.Key.Owner, Sums(lines, now),
                [.. lines.GroupBy(line => (line.Lab, line.LabName)).Select(lab => new LabUseView(
                    lab.Key.Lab, lab.Key.LabName, lab.ToDictionary(line => line.Dimension.Name(), line => line.Hold.Amount), lab.First().Hold.From, lab.First().Hold.To))]))]);
    }

    private static Dictionary<string, long> Sums(IEnumerable<LedgerLine> lines, Instant now)
        => lines.Where(line => line.Hold.From <= now).GroupBy(line => line.Dimension.Name()).ToDictionary(of => of.Key, of => of.Sum(line => line.Hold.Amount));

    private static long? Limit(Ledger ledger, QuotaScope scope, Dimension dimension) => ledger.Rules.FirstOrDefault(rule => rule.Scope == scope && rule.Dimension == dimension)?.Limit;

    private static Dictionary<string, long> Read(string field, IReadOnlyDictionary<string, string> texts, List<FieldError> errors)
    {
        var limits = new Dictionary<string, long>(StringComparer.Ordinal);
        foreach (var (dimension, text) in texts.Where(entry => !string.IsNullOrWhiteSpace(entry.Value)))
        {
            if (Dimensions.Find(dimension) is null)
                errors.Add(new FieldError($"{field}.{dimension}", "field.one-of", [("allowed", string.Join(", ", Enum.GetValues<Dimension>().Select(known => known.Name())))]));
            else if (long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var amount) && amount <= MostQuota)
                limits[dimension] = amount;
            else
                errors.Add(new FieldError($"{field}.{dimension}", "field.range", [("min", 0), ("max", MostQuota)]));
        }

        return limits;
    }

    private static string Said(Dictionary<string, long> limits) => limits.Count == 0 ? "none" : string.Join(", ", limits.Select(limit => $"{limit.Key} {limit.Value}"));
}
