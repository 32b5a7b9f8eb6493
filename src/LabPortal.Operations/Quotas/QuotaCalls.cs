using LabPortal.Data;
using LabPortal.Data.People;
using LabPortal.Data.Quotas;
using LabPortal.Domain;
using LabPortal.Domain.People;
using LabPortal.Domain.Quotas;
using NodaTime;

namespace LabPortal.Operations.Quotas;

public sealed record QuotaView(string Dimension, long Limit, long Held, long Free, IReadOnlyList<HoldView> Holds);

public sealed record HoldView(LabId Lab, string LabName, string Owner, long Amount, Instant From, Instant? To);

/// <summary>A team's quota and who holds it.</summary>
public sealed partial class QuotaCalls(Database database, TimeProvider time)
{
    /// <summary>Each limited dimension as it is at this moment, with every hold from now on.</summary>
    public Task<Outcome<IReadOnlyList<QuotaView>>> OfTeamAsync(Actor actor, string team, CancellationToken cancellation) => database.ReadAsync<Outcome<IReadOnlyList<QuotaView>>>(
        async session =>
        {
            if (await TeamStore.FindAsync(session, team) is not { } found || !May.Do(actor, Verb.SeeQuota, team: found.Id)) return Refusal.NotFound("team", team);
            var now = time.Now();
            var ledger = await QuotaHoldStore.ReadAsync(session, found.Id, now);
            return new List<QuotaView>(ledger.Rules.Where(rule => rule.Scope == QuotaScope.Team).OrderBy(rule => rule.Dimension).Select(rule =>
            {
                var lines = ledger.Lines.Where(line => line.Dimension == rule.Dimension).ToList();
                var held = lines.Where(line => line.Hold.From <= now).Sum(line => line.Hold.Amount);
                return new QuotaView(
                    rule.Dimension.Name(), rule.Limit, held, Math.Max(0, rule.Limit - held),
                    [.. lines.Select(line => new HoldView(line.Lab, line.LabName, line.Owner, line.Hold.Amount, line.Hold.From, line.Hold.To))]);
            }));
        },
        cancellation);
}
