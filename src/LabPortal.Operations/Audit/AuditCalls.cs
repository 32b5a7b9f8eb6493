using LabPortal.Data;
using LabPortal.Data.Audit;
using LabPortal.Domain;
using LabPortal.Domain.People;
using NodaTime;

namespace LabPortal.Operations.Audit;

public sealed record AuditLine(Guid Id, Instant At, string Actor, string Channel, string? TokenName, string? Address, string? RequestId, string Verb, string ObjectKind, string ObjectId, string Outcome, IReadOnlyDictionary<string, string> Detail)
{
    public bool IsDone => Outcome == AuditStore.Done;

    internal static AuditLine Of(AuditRow row)
        => new(row.Id, row.At, row.Actor, row.Channel, row.TokenName, row.Address, row.RequestId, row.Verb, row.ObjectKind, row.ObjectId, row.Outcome, row.Details);
}

public sealed class AuditCalls(Database database)
{
    private const int MostPerPage = 200;

    /// <summary>Newest first; of one object where it is named.</summary>
    public async Task<Outcome<Page<AuditLine>>> ListAsync(Actor actor, string? objectKind, string? objectId, int limit, string? after, CancellationToken cancellation)
    {
        if (!May.Do(actor, Verb.SeeAudit)) return Refusal.Forbidden(Verb.SeeAudit.Word());
        Guid? before = null;
        if (after is not null)
        {
            if (!Guid.TryParseExact(after, "D", out var key)) return Refusal.Invalid("after", "page.key");
            before = key;
        }

        limit = Math.Clamp(limit, 1, MostPerPage);
        // One more than asked tells whether there is a next page.
        var rows = await database.ReadAsync(session => AuditStore.ListAsync(session, objectKind, objectId, limit + 1, before), cancellation);
        var lines = rows.Take(limit).Select(AuditLine.Of).ToList();
        return new Page<AuditLine>(lines, rows.Count > limit ? Ids.Canonical(lines[^1].Id) : null);
    }
}
