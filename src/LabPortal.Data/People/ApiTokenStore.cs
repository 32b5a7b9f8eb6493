using LabPortal.Domain;
using LabPortal.Domain.People;
using NodaTime;

namespace LabPortal.Data.People;

public static class ApiTokenStore
{
    public static Task AddAsync(Session session, ApiToken token, string hash) => session.ExecuteAsync("""
        INSERT INTO api_tokens (id, person_id, name, token_hash, created_at, expires_at) VALUES (@Id, @Person, @Name, @hash, @CreatedAt, @ExpiresAt)
        """, new { token.Id, token.Person, token.Name, hash, token.CreatedAt, token.ExpiresAt });

    public static async Task<ApiToken?> FindValidAsync(Session session, string hash, Instant now)
        => (await ReadAsync(session, "WHERE token_hash = @hash AND expires_at > @now", new { hash, now })).SingleOrDefault();

    public static Task<IReadOnlyList<ApiToken>> ListAsync(Session session, PersonId person)
        => ReadAsync(session, "WHERE person_id = @person ORDER BY id", new { person });

    public static Task NoteUseAsync(Session session, Guid id, Instant now) => session.ExecuteAsync("UPDATE api_tokens SET last_used_at = @now WHERE id = @id", new { id, now });

    public static async Task<bool> RemoveAsync(Session session, PersonId person, Guid id)
        => await session.ExecuteAsync("DELETE FROM api_tokens WHERE id = @id AND person_id = @person", new { id, person }) == 1;

    private static async Task<IReadOnlyList<ApiToken>> ReadAsync(Session session, string tail, object parameters)
        => [.. (await session.QueryAsync<Row>($"SELECT id, person_id AS person, name, created_at, expires_at, last_used_at FROM api_tokens {tail}", parameters))
            .Select(row => new ApiToken(row.Id, row.Person, row.Name, row.CreatedAt, row.ExpiresAt, row.LastUsedAt))];

    private sealed class Row
    {
        public Guid Id { get; init; }
        public PersonId Person { get; init; }
        public string Name { get; init; } = "";
        public Instant CreatedAt { get; init; }
        public Instant ExpiresAt { get; init; }
        public Instant? LastUsedAt { get; init; }
    }
}
