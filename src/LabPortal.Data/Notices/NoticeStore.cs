using LabPortal.Domain;
using LabPortal.Domain.Labs;
using NodaTime;

namespace LabPortal.Data.Notices;

/// <summary>What somebody should know: a code with arguments.</summary>
public sealed record Notice(Guid Id, PersonId Person, LabId? Lab, string Code, IReadOnlyDictionary<string, string> Arguments, Instant At, Instant? ReadAt);

/// <summary>A notice on its way out of the portal.</summary>
public sealed record Outgoing(Guid Id, Notice Notice, string Channel, string Address, int Attempts, string? SecretName);

/// <summary>Notices in the bell, and their way out: written together, in the transaction of what they tell.</summary>
public static class NoticeStore
{
    public const string Webhook = "webhook";

    /// <summary>Writes the notice, and an outbox row for each webhook of the team.</summary>
    public static async Task InsertAsync(Session session, Notice notice, TeamId team)
    {
        await session.ExecuteAsync(
            "INSERT INTO notices (id, person_id, lab_id, code, arguments, at) VALUES (@Id, @Person, @Lab, @Code, @Arguments, @At)",
            new { notice.Id, notice.Person, Lab = notice.Lab?.ToString(), notice.Code, Arguments = StoredJson.Write(notice.Arguments), notice.At });
        foreach (var address in await session.QueryAsync<string>("SELECT address FROM webhooks WHERE team_id = @team ORDER BY id", new { team }))
        {
            await session.ExecuteAsync(
                "INSERT INTO outbox (id, notice_id, channel, address, due_at) VALUES (@Id, @Notice, @Channel, @address, @At)",
                new { Id = Ids.New(notice.At), Notice = notice.Id, Channel = Webhook, address, notice.At });
        }

        session.Raise(Signal.Notices, notice.Person.ToString());
    }

    /// <summary>The newest first; those before <paramref name="before"/> where it is given.</summary>
    public static async Task<IReadOnlyList<Notice>> ListAsync(Session session, PersonId person, int limit, Guid? before = null)
        => [.. (await session.QueryAsync<Row>(
            $"SELECT id, person_id AS person, lab_id AS lab, code, arguments, at, read_at FROM notices WHERE person_id = @person {(before is null ? "" : "AND id < @before")} ORDER BY id DESC LIMIT @limit",
            new { person, limit, before = before is { } id ? Ids.Canonical(id) : null }))
            .Select(row => row.ToNotice())];

    public static async Task<int> MarkReadAsync(Session session, PersonId person, Instant now)
    {
        var marked = await session.ExecuteAsync("UPDATE notices SET read_at = @now WHERE person_id = @person AND read_at IS NULL", new { person, now });
        if (marked > 0) session.Raise(Signal.Notices, person.ToString());
        return marked;
    }

    /// <summary>Takes what is due: until <paramref name="until"/> it is this caller's; one that dies is followed by another.</summary>
    public static async Task<IReadOnlyList<Outgoing>> ClaimDueAsync(Session session, Instant now, Instant until, int limit)
    {
        var rows = await session.QueryAsync<OutgoingRow>($"""
            SELECT id, notice_id AS notice, channel, address, attempts FROM outbox WHERE sent_at IS NULL AND due_at <= @now
            ORDER BY due_at LIMIT @limit {session.Dialect.ForUpdateSkipLocked}
            """, new { now, limit });
        var taken = new List<Outgoing>();
        foreach (var row in rows)
        {
            await session.ExecuteAsync("UPDATE outbox SET due_at = @until, attempts = attempts + 1 WHERE id = @Id", new { row.Id, until });
            var notice = await session.FindAsync<Row>("SELECT id, person_id AS person, lab_id AS lab, code, arguments, at, read_at FROM notices WHERE id = @Notice", new { row.Notice });
            var secret = await session.QueryAsync<string>("""
                SELECT w.secret_name FROM webhooks w JOIN labs l ON l.team_id = w.team_id JOIN notices n ON n.lab_id = l.id
                WHERE n.id = @Notice AND w.address = @Address ORDER BY w.id LIMIT 1
                """, new { row.Notice, row.Address });
            taken.Add(new Outgoing(row.Id, notice!.ToNotice(), row.Channel, row.Address, row.Attempts + 1, secret.Count > 0 ? secret[0] : null));
        }

        return taken;
    }

    public static Task SetSentAsync(Session session, Guid id, Instant at) => session.ExecuteAsync("UPDATE outbox SET sent_at = @at, problem = NULL WHERE id = @id", new { id, at });

    /// <summary>It could not be sent: again at <paramref name="dueAt"/>, or never where that is empty (sent_at is then when it was given up).</summary>
    public static Task SetProblemAsync(Session session, Guid id, Reason problem, Instant? dueAt, Instant now) => dueAt is { } due
        ? session.ExecuteAsync("UPDATE outbox SET problem = @Problem, due_at = @due WHERE id = @id", new { id, Problem = StoredJson.Write(problem), due })
        : session.ExecuteAsync("UPDATE outbox SET problem = @Problem, sent_at = @now WHERE id = @id", new { id, Problem = StoredJson.Write(problem), now });

    private sealed class OutgoingRow
    {
        public Guid Id { get; init; }
        public Guid Notice { get; init; }
        public string Channel { get; init; } = "";
        public string Address { get; init; } = "";
        public int Attempts { get; init; }
    }

    private sealed class Row
    {
        public Guid Id { get; init; }
        public PersonId Person { get; init; }
        public LabId? Lab { get; init; }
        public string Code { get; init; } = "";
        public string Arguments { get; init; } = "";
        public Instant At { get; init; }
        public Instant? ReadAt { get; init; }

        public Notice ToNotice() => new(Id, Person, Lab, Code, StoredJson.Read<Dictionary<string, string>>(Arguments), At, ReadAt);
    }
}
