using LabPortal.Domain;
using LabPortal.Domain.People;
using NodaTime;

namespace LabPortal.Data.Audit;

/// <summary>Who did what, and how it ended. Append-only; each line is written in the transaction that it tells of.</summary>
public static class AuditStore
{
    /// <summary>The outcome of what was done; a refused call has the refusal's code instead.</summary>
    public const string Done = "done";

    public static Task AppendAsync(
        Session session, Actor actor, string verb, string objectKind, string objectId, TeamId? team, string outcome,
        IReadOnlyDictionary<string, string> detail, Instant at, TimeProvider time) => session.ExecuteAsync("""
            INSERT INTO audit (id, at, person_id, actor, channel, token_name, address, request_id, verb, object_kind, object_id, team_id, outcome, detail)
            VALUES (@Id, @at, @Person, @Name, @Channel, @TokenName, @Address, @RequestId, @verb, @objectKind, @objectId, @team, @outcome, @Detail)
            """,
            new
            {
                Id = Ids.New(time),
                at,
                actor.Person,
                actor.Name,
                Channel = actor.Channel.Word(),
                actor.TokenName,
                actor.Address,
                actor.RequestId,
                verb,
                objectKind,
                objectId,
                team,
                outcome,
                Detail = StoredJson.Write(detail),
            });

    /// <summary>Newest first, those before <paramref name="before"/>; of one kind or one object where it is named.</summary>
    public static async Task<IReadOnlyList<AuditRow>> ListAsync(Session session, string? objectKind, string? objectId, int limit, Guid? before)
    {
        var conditions = new List<string>();
        if (objectKind is not null) conditions.Add("object_kind = @objectKind");
        if (objectId is not null) conditions.Add("object_id = @objectId");
        if (before is not null) conditions.Add("id < @before");
        var where = conditions.Count == 0 ? "" : "WHERE " + string.Join(" AND ", conditions);
        return await session.QueryAsync<AuditRow>($"""
            SELECT id, at, person_id AS person, actor, channel, token_name, address, request_id, verb, object_kind, object_id, outcome, detail
            FROM audit {where} ORDER BY id DESC LIMIT @limit
            """,
            new { objectKind, objectId, limit, before = before is { } id ? Ids.Canonical(id) : null });
    }
}

public sealed class AuditRow
{
    public Guid Id { get; init; }
    public Instant At { get; init; }
    public PersonId? Person { get; init; }
    public string Actor { get; init; } = "";
    public string Channel { get; init; } = "";
    public string? TokenName { get; init; }
    public string? Address { get; init; }
    public string? RequestId { get; init; }
    public string Verb { get; init; } = "";
    public string ObjectKind { get; init; } = "";
    public string ObjectId { get; init; } = "";
    public string Outcome { get; init; } = "";
    public string Detail { get; init; } = "{}";

    public IReadOnlyDictionary<string, string> Details => StoredJson.Read<Dictionary<string, string>>(Detail);
}
