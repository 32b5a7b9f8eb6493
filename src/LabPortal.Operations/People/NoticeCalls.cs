using LabPortal.Data;
using LabPortal.Data.Notices;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.People;
using NodaTime;

namespace LabPortal.Operations.People;

/// <summary>A notice in the portal's bell: a code with arguments; its sentence is made where it is shown.</summary>
public sealed record NoticeView(Guid Id, Instant At, string Code, IReadOnlyDictionary<string, string> Arguments, LabId? Lab, bool Read);

/// <summary>The caller's own notices; nobody else's, so there is nothing that the table of rights would have to say.</summary>
public sealed class NoticeCalls(Database database, TimeProvider time)
{
    /// <summary>The caller's notices, the newest first, read ones too; <paramref name="after"/> is what the page before named.</summary>
    public async Task<Page<NoticeView>> ListAsync(Actor actor, int limit, Guid? after, CancellationToken cancellation)
    {
        if (actor.Person is not { } person) return new Page<NoticeView>([], null);
        limit = Math.Clamp(limit, 1, 200);
        var found = await database.ReadAsync(session => NoticeStore.ListAsync(session, person, limit + 1, after), cancellation);
        return new Page<NoticeView>(
            [.. found.Take(limit).Select(notice => new NoticeView(notice.Id, notice.At, notice.Code, notice.Arguments, notice.Lab, notice.ReadAt is not null))],
            found.Count > limit ? Ids.Canonical(found[limit - 1].Id) : null);
    }

    public async Task MarkReadAsync(Actor actor, CancellationToken cancellation)
    {
        if (actor.Person is { } person) await database.WriteAsync(session => NoticeStore.MarkReadAsync(session, person, time.Now()), cancellation);
    }
}
