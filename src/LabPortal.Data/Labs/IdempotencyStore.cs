using LabPortal.Domain;
using NodaTime;

namespace LabPortal.Data.Labs;

/// <summary>Which lab a caller's key stands for, and the hash of the request that made it.</summary>
public static class IdempotencyStore
{
    public static async Task<(LabId Lab, string BodyHash)?> FindAsync(Session session, string caller, string key)
        => await session.FindAsync<Row>("SELECT lab_id AS lab, body_hash FROM idempotency WHERE caller = @caller AND idempotency_key = @key", new { caller, key }) is { } row
            ? (row.Lab, row.BodyHash)
            : null;

    /// <summary><see cref="RuleViolated"/> with <see cref="Rules.IdempotencyKey"/> where another request with this key was faster.</summary>
    public static Task InsertAsync(Session session, string caller, string key, string hash, LabId lab, Instant at) => session.ExecuteAsync(
        "INSERT INTO idempotency (caller, idempotency_key, body_hash, lab_id, at) VALUES (@caller, @key, @hash, @lab, @at)", new { caller, key, hash, lab, at });

    private sealed class Row
    {
        public LabId Lab { get; init; }
        public string BodyHash { get; init; } = "";
    }
}
