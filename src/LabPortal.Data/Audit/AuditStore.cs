using LabPortal.Domain;
using LabPortal.Domain.Audit;
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

    /// <summary>Newest first, those before <paramref name="before"/>. An object is named as it is called today, where it has a name.</summary>
    public static Task<IReadOnlyList<AuditRow>> ListAsync(Session session, AuditFilter filter, int limit, Guid? before) => session.QueryAsync<AuditRow>($"""
        SELECT a.id, a.at, a.person_id AS person, a.actor, a.channel, a.token_name, a.address, a.request_id, a.verb, a.object_kind, a.object_id,
            coalesce(l.name, p.name) AS object_name, l.team_id AS lab_team, l.owner_id AS lab_owner, a.outcome, a.detail
        {From(filter, before)} ORDER BY a.id DESC LIMIT @limit
        """, Parameters(filter, limit, before));

    /// <summary>How many lines there are, counted no further than <paramref name="most"/>.</summary>
    public static async Task<long> CountAsync(Session session, AuditFilter filter, int most)
        => await session.FindAsync<long>($"SELECT count(*) FROM (SELECT a.id {From(filter, null)} LIMIT @limit) AS counted", Parameters(filter, most, null));

    private static string From(AuditFilter filter, Guid? before)
    {
        var where = new List<string>();
        if (filter.Who is not null) where.Add($"(a.person_id = @Who OR {Like("a.actor", "Who")} OR {Like("a.token_name", "Who")} OR a.person_id IN (SELECT id FROM people WHERE {Like("email", "Who")}))");
        if (filter.What is not null) where.Add(Like("a.verb", "What"));
        if (filter.ObjectKind is not null) where.Add("a.object_kind = @ObjectKind");
        if (filter.ObjectId is not null) where.Add("a.object_id = @ObjectId");
        if (filter.Object is not null) where.Add($"(a.object_id = @Object OR {Like("coalesce(l.name, p.name, a.object_id)", "Object")})");
        // A line's id is made with its time or soon after it: with the id too, lines outside of the range are not even read.
        if (filter.From is not null) where.Add("a.at >= @From AND a.id >= @Lowest");
        if (filter.To is not null) where.Add("a.at < @To AND a.id < @Highest");
        if (filter.Person is not null) where.Add("a.person_id = @Person");
        if (before is not null) where.Add("a.id < @before");
        return $"""
            FROM audit a LEFT JOIN labs l ON a.object_kind = 'lab' AND l.id = a.object_id LEFT JOIN people p ON a.object_kind = 'person' AND p.id = a.object_id
            {(where.Count == 0 ? "" : "WHERE " + string.Join(" AND ", where))}
            """;
    }

    private static string Like(string text, string parameter) => TextSearch.In(text, $"{parameter}Like");

    private static object Parameters(AuditFilter filter, int limit, Guid? before) => new
    {
        filter.Who,
        WhoLike = TextSearch.Part(filter.Who),
        WhatLike = TextSearch.Part(filter.What),
        filter.ObjectKind,
        filter.ObjectId,
        filter.Object,
        ObjectLike = TextSearch.Part(filter.Object),
        filter.From,
        Lowest = Bound(filter.From, -s_slack),
        filter.To,
        Highest = Bound(filter.To, s_slack),
        filter.Person,
        limit,
        before = before is { } id ? Ids.Canonical(id) : null,
    };

    /// <summary>More than a transaction waits, or a clock is set, between a line's time and its id.</summary>
    private static readonly Duration s_slack = Duration.FromDays(1);

    private static string? Bound(Instant? at, Duration slack)
        => at is { } instant ? $"{Math.Max(0, instant.ToUnixTimeMilliseconds() + (long)slack.TotalMilliseconds):x12}".Insert(8, "-") : null;
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
    public string? ObjectName { get; init; }
    public TeamId? LabTeam { get; init; }
    public PersonId? LabOwner { get; init; }
    public string Outcome { get; init; } = "";
    public string Detail { get; init; } = "{}";

    public IReadOnlyDictionary<string, string> Details => StoredJson.Read<Dictionary<string, string>>(Detail);
}
