using LabPortal.Domain;
using LabPortal.Domain.People;
using NodaTime;

namespace LabPortal.Data.People;

public static class SshKeyStore
{
    public static Task AddAsync(Session session, SshKey key) => session.ExecuteAsync("""
        INSERT INTO ssh_keys (id, person_id, name, public_key, fingerprint, created_at) VALUES (@Id, @Person, @Name, @PublicKey, @Fingerprint, @CreatedAt)
        """, key);

    public static async Task<IReadOnlyList<SshKey>> ListAsync(Session session, PersonId person)
        => [.. (await session.QueryAsync<Row>("SELECT id, name, public_key, fingerprint, created_at FROM ssh_keys WHERE person_id = @person ORDER BY id", new { person }))
            .Select(row => new SshKey(row.Id, person, row.Name, row.PublicKey, row.Fingerprint, row.CreatedAt))];

    public static async Task<bool> RemoveAsync(Session session, PersonId person, Guid id)
        => await session.ExecuteAsync("DELETE FROM ssh_keys WHERE id = @id AND person_id = @person", new { id, person }) == 1;

    private sealed class Row
    {
        public Guid Id { get; init; }
        public string Name { get; init; } = "";
        public string PublicKey { get; init; } = "";
        public string Fingerprint { get; init; } = "";
        public Instant CreatedAt { get; init; }
    }
}
