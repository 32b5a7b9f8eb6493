using LabPortal.Domain;
using NodaTime;

namespace LabPortal.Data.Notices;

/// <summary>Where a team's notices go outside of the portal.</summary>
public sealed record Webhook(Guid Id, TeamId Team, string Address, string SecretName, Instant CreatedAt);

public static class WebhookStore
{
    public static Task AddAsync(Session session, Webhook webhook) => session.ExecuteAsync(
        "INSERT INTO webhooks (id, team_id, address, secret_name, created_at) VALUES (@Id, @Team, @Address, @SecretName, @CreatedAt)", webhook);

    public static async Task<IReadOnlyList<Webhook>> ListAsync(Session session, TeamId team)
        => [.. (await session.QueryAsync<Row>("SELECT id, address, secret_name, created_at FROM webhooks WHERE team_id = @team ORDER BY id", new { team }))
            .Select(row => new Webhook(row.Id, team, row.Address, row.SecretName, row.CreatedAt))];

    /// <summary>The name of its secret, which is the caller's to delete; nothing where the team has no such webhook.</summary>
    public static Task<string?> RemoveAsync(Session session, TeamId team, Guid id)
        => session.FindAsync<string>("DELETE FROM webhooks WHERE id = @id AND team_id = @team RETURNING secret_name", new { id, team });

    private sealed class Row
    {
        public Guid Id { get; init; }
        public string Address { get; init; } = "";
        public string SecretName { get; init; } = "";
        public Instant CreatedAt { get; init; }
    }
}
