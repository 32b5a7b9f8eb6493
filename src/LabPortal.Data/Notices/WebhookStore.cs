using LabPortal.Domain;
using LabPortal.Domain.Labs;
using NodaTime;

namespace LabPortal.Data.Notices;

/// <summary>Where a team's notices go outside of the portal.</summary>
public sealed record Webhook(Guid Id, TeamId Team, string Address, string SecretName, Instant CreatedAt);

/// <summary>
/// The newest notice on its way to a webhook. With <paramref name="SentAt"/> it is over: delivered, or given up where there is a problem. Without, it is
/// tried (again) at <paramref name="DueAt"/>.
/// </summary>
public sealed record LastDelivery(int Attempts, Instant DueAt, Instant? SentAt, Reason? Problem);

public static class WebhookStore
{
    public static Task AddAsync(Session session, Webhook webhook) => session.ExecuteAsync(
        "INSERT INTO webhooks (id, team_id, address, secret_name, created_at) VALUES (@Id, @Team, @Address, @SecretName, @CreatedAt)", webhook);

    public static async Task<IReadOnlyList<Webhook>> ListAsync(Session session, TeamId team)
        => [.. (await session.QueryAsync<Row>("SELECT id, address, secret_name, created_at FROM webhooks WHERE team_id = @team ORDER BY id", new { team }))
            .Select(row => new Webhook(row.Id, team, row.Address, row.SecretName, row.CreatedAt))];

    /// <summary>The newest delivery to this webhook, tried or not; nothing where there was none yet.</summary>
    public static async Task<LastDelivery?> LastDeliveryAsync(Session session, Webhook webhook) => (await session.QueryAsync<DeliveryRow>("""
        SELECT outbox.attempts, outbox.due_at, outbox.sent_at, outbox.problem
        FROM outbox JOIN notices ON notices.id = outbox.notice_id JOIN labs ON labs.id = notices.lab_id
        WHERE outbox.address = @Address AND labs.team_id = @Team AND notices.at >= @CreatedAt ORDER BY outbox.id DESC LIMIT 1
        """, new { webhook.Address, webhook.Team, webhook.CreatedAt })).Select(row => new LastDelivery(row.Attempts, row.DueAt, row.SentAt, row.Problem is null ? null : StoredJson.Read<Reason>(row.Problem))).SingleOrDefault();

    /// <summary>The name of its secret, which is the caller's to delete; nothing where the team has no such webhook.</summary>
    public static Task<string?> RemoveAsync(Session session, TeamId team, Guid id)
        => session.FindAsync<string>("DELETE FROM webhooks WHERE id = @id AND team_id = @team RETURNING secret_name", new { id, team });

    private sealed class DeliveryRow
    {
        public int Attempts { get; init; }
        public Instant DueAt { get; init; }
        public Instant? SentAt { get; init; }
        public string? Problem { get; init; }
    }

    private sealed class Row
    {
        public Guid Id { get; init; }
        public string Address { get; init; } = "";
        public string SecretName { get; init; } = "";
        public Instant CreatedAt { get; init; }
    }
}
