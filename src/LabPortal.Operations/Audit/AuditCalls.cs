using System.Runtime.CompilerServices;
using LabPortal.Data;
using LabPortal.Data.Audit;
using LabPortal.Domain;
using LabPortal.Domain.Audit;
using LabPortal.Domain.People;
using NodaTime;

namespace LabPortal.Operations.Audit;

/// <summary>Who did what to what, and how it ended. <paramref name="ObjectName"/> is what a lab or a person is called today.</summary>
public sealed record AuditLine(
    Guid Id, Instant At, PersonId? Person, string Actor, string Channel, string? TokenName, string? Address, string? RequestId,
    string Verb, string ObjectKind, string ObjectId, string? ObjectName, string Outcome, IReadOnlyDictionary<string, string> Detail)
{
    public bool IsDone => Outcome == AuditStore.Done;

    internal static AuditLine Of(AuditRow row) => new(
        row.Id, row.At, row.Person, row.Actor, row.Channel, row.TokenName, row.Address, row.RequestId, row.Verb, row.ObjectKind, row.ObjectId, row.ObjectName, row.Outcome, row.Details);
}

/// <summary>The lines are read while they are taken.</summary>
public sealed record AuditExport(IAsyncEnumerable<AuditLine> Lines);

public sealed class AuditCalls(Database database, TimeProvider time)
{
    /// <summary>More lines than one export gives.</summary>
    public const int MostExported = 100_000;

    private const int MostPerPage = 200;
    private const int ExportedAtOnce = 500;
    private readonly AuditedWrite _audited = new(database, time);

    /// <summary>Newest first.</summary>
    public async Task<Outcome<Page<AuditLine>>> ListAsync(Actor actor, AuditFilter filter, int limit, string? after, CancellationToken cancellation)
        => May.Do(actor, Verb.SeeAudit) ? await ReadAsync(filter, limit, after, null, cancellation) : Refusal.Forbidden(Verb.SeeAudit.Word());

    /// <summary>What the caller did; newest first.</summary>
    public async Task<Outcome<Page<AuditLine>>> OwnAsync(Actor actor, int limit, string? after, CancellationToken cancellation)
        => actor.Person is { } person ? await ReadAsync(new AuditFilter { Person = person }, limit, after, row => MaySeeName(actor, row), cancellation) : Refusal.Forbidden("me");

    /// <summary>An id can be asked for by whoever knows it; that was refused, and what the object is called stays untold here too.</summary>
    private static bool MaySeeName(Actor actor, AuditRow row)
        => May.Do(actor, Verb.SeeAudit) || (row.LabTeam is { } team && May.Do(actor, Verb.SeeLab, row.LabOwner, team)) || row.ObjectId == actor.Person.ToString();

    /// <summary>
    /// All lines that the filter leaves, newest first, read as they are taken; each export has an audit line itself. Refused where there are more than
    /// <see cref="MostExported"/>: half an audit looks like a whole one.
    /// </summary>
    public async Task<Outcome<AuditExport>> ExportAsync(Actor actor, AuditFilter filter, CancellationToken cancellation)
    {
        var draft = new AuditDraft("export-audit", "audit");
        foreach (var (name, value) in Said(filter)) draft.Detail[name] = value;
        if (!May.Do(actor, Verb.SeeAudit)) return await _audited.RefuseAsync(actor, draft, Refusal.Forbidden(Verb.SeeAudit.Word()), cancellation);
        // Counting may read the whole table: not while everybody else waits to write.
        var count = await database.ReadAsync(session => AuditStore.CountAsync(session, filter, MostExported + 1), cancellation);
        if (count > MostExported) return await _audited.RefuseAsync(actor, draft, Refusal.Conflict("audit.too-many", ("most", MostExported)), cancellation);
        var allowed = await _audited.DoAsync<Done>(actor, draft, (_, _) => Task.FromResult<Outcome<Done>>(new Done()), cancellation);
        return allowed.Refusal is { } no ? no : new AuditExport(AllAsync(filter, cancellation));
    }

    private async IAsyncEnumerable<AuditLine> AllAsync(AuditFilter filter, [EnumeratorCancellation] CancellationToken cancellation)
    {
        Guid? before = null;
        // What is written meanwhile stands before the first page, so that this ends.
        while (true)
        {
            var rows = await database.ReadAsync(session => AuditStore.ListAsync(session, filter, ExportedAtOnce, before), cancellation);
            foreach (var row in rows) yield return AuditLine.Of(row);
            if (rows.Count < ExportedAtOnce) yield break;
            before = rows[^1].Id;
        }
    }

    private async Task<Outcome<Page<AuditLine>>> ReadAsync(AuditFilter filter, int limit, string? after, Func<AuditRow, bool>? named, CancellationToken cancellation)
    {
        Guid? before = null;
        if (after is not null)
        {
            if (!Guid.TryParseExact(after, "D", out var key)) return Refusal.Invalid("after", "page.key");
            before = key;
        }

        limit = Math.Clamp(limit, 1, MostPerPage);
        // One more than asked tells whether there is a next page.
        var rows = await database.ReadAsync(session => AuditStore.ListAsync(session, filter, limit + 1, before), cancellation);
        var lines = rows.Take(limit).Select(row => AuditLine.Of(row) is var line && (named is null || named(row)) ? line : line with { ObjectName = null }).ToList();
        return new Page<AuditLine>(lines, rows.Count > limit ? Ids.Canonical(lines[^1].Id) : null);
    }

    private static IEnumerable<(string Name, string Value)> Said(AuditFilter filter)
    {
        if (filter.Who is { } who) yield return ("who", who);
        if (filter.What is { } what) yield return ("what", what);
        if (filter.ObjectKind is { } kind) yield return ("kind", kind);
        if (filter.Object is { } named) yield return ("object", named);
        if (filter.From is { } from) yield return ("from", Instants.Write(from));
        if (filter.To is { } to) yield return ("to", Instants.Write(to));
    }
}
