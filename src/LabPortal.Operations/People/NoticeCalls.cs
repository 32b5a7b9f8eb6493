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
    /// <summary>The newest notices of the caller, read ones too.</summary>
    public async Task<IReadOnlyList<NoticeView>> ListAsync(Actor actor, int limit, CancellationToken cancellation) => actor.Person is not { } person
        ? []
        : [.. (await database.ReadAsync(session => NoticeStore.ListAsync(session, person, Math.Clamp(limit, 1, 200)), cancellation))
            .Select(notice => new NoticeView(notice.Id, notice.At, notice.Code, notice.Arguments, notice.Lab, notice.ReadAt is not null))];

    public async Task MarkReadAsync(Actor actor, CancellationToken cancellation)
    {
        if (actor.Person is { } person) await database.WriteAsync(session => NoticeStore.MarkReadAsync(session, person, time.Now()), cancellation);
    }
}
