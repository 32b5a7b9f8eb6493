using NodaTime;

namespace LabPortal.Data.People;

/// <summary>The rows of the secret store. What is here is already protected; no key is in the database.</summary>
public static class ProtectedTextStore
{
    public static Task SaveAsync(Session session, string name, string protectedText, Instant now) => session.ExecuteAsync("""
        INSERT INTO secrets (name, protected, changed_at) VALUES (@name, @protectedText, @now)
        ON CONFLICT (name) DO UPDATE SET protected = excluded.protected, changed_at = excluded.changed_at
        """, new { name, protectedText, now });

    public static Task<string?> FindAsync(Session session, string name) => session.FindAsync<string>("SELECT protected FROM secrets WHERE name = @name", new { name });

    /// <summary>Those of the names that there is a secret for.</summary>
    public static async Task<IReadOnlySet<string>> ExistingAsync(Session session, IEnumerable<string> names)
        => (await session.QueryAsync<string>($"SELECT name FROM secrets WHERE {session.Dialect.AnyOf("name", "names")}", new { names = Many.Of(names) })).ToHashSet(StringComparer.Ordinal);

    public static Task DeleteAllAsync(Session session, string prefix) => session.ExecuteAsync("DELETE FROM secrets WHERE substr(name, 1, @Length) = @prefix", new { prefix, prefix.Length });

    public static Task DeleteAsync(Session session, string name) => session.ExecuteAsync("DELETE FROM secrets WHERE name = @name", new { name });
}
