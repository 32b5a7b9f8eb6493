using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using NodaTime;

namespace LabPortal.Data.Blueprints;

public sealed class BlueprintVersion
{
    public int Version { get; init; }
    public Instant CreatedAt { get; init; }
    public bool Current { get; init; }
}

public sealed class LabOfBlueprint
{
    public LabId Id { get; init; }
    public string Name { get; init; } = "";
    public string State { get; init; } = "";
    public int Version { get; init; }
    public string Team { get; init; } = "";
}

/// <summary>The catalogue. Versions are never changed; an edit adds one and makes it the current.</summary>
public static class BlueprintStore
{
    /// <summary>Adds the next version of a blueprint and makes it the current one; the version is given back.</summary>
    public static async Task<int> AddVersionAsync(Session session, Blueprint blueprint, Instant now)
    {
        var version = 1 + (await session.FindAsync<int?>("SELECT max(version) FROM blueprints WHERE name = @Name", new { blueprint.Name }) ?? 0);
        await session.ExecuteAsync("UPDATE blueprints SET current = false WHERE name = @Name", new { blueprint.Name });
        await session.ExecuteAsync("""
            INSERT INTO blueprints (name, version, content, declared, retired, current, created_at)
            VALUES (@Name, @version, @Content, @Declared, @Retired, true, @now)
            """,
            new { blueprint.Name, version, Content = StoredJson.Write(blueprint with { Version = version }), blueprint.Declared, blueprint.Retired, now });
        return version;
    }

    public static async Task<Blueprint?> FindAsync(Session session, string name, int version)
        => (await ReadAsync(session, "WHERE name = @name AND version = @version", new { name, version })).SingleOrDefault();

    public static async Task<Blueprint?> FindCurrentAsync(Session session, string name)
        => (await ReadAsync(session, "WHERE name = @name AND current", new { name })).SingleOrDefault();

    /// <summary>The current versions, by name.</summary>
    public static Task<IReadOnlyList<Blueprint>> ListAsync(Session session) => ReadAsync(session, "WHERE current ORDER BY name", new { });

    /// <summary>All that there ever were, newest first.</summary>
    public static Task<IReadOnlyList<BlueprintVersion>> ListVersionsAsync(Session session, string name)
        => session.QueryAsync<BlueprintVersion>("SELECT version, created_at, current FROM blueprints WHERE name = @name ORDER BY version DESC", new { name });

    /// <summary>The living labs of each version.</summary>
    public static Task<IReadOnlyList<LabOfBlueprint>> ListLabsAsync(Session session, string name) => session.QueryAsync<LabOfBlueprint>("""
        SELECT labs.id, labs.name, labs.state, labs.blueprint_version AS version, teams.name AS team FROM labs JOIN teams ON teams.id = labs.team_id
        WHERE labs.blueprint = @name AND labs.state NOT IN ('ended', 'failed') ORDER BY labs.id DESC
        """, new { name });

    public static Task SetDeclaredAsync(Session session, string name, bool declared)
        => session.ExecuteAsync("UPDATE blueprints SET declared = @declared WHERE name = @name AND current", new { name, declared });

    public static Task SetRetiredAsync(Session session, string name, bool retired)
        => session.ExecuteAsync("UPDATE blueprints SET retired = @retired WHERE name = @name AND current", new { name, retired });

    private static async Task<IReadOnlyList<Blueprint>> ReadAsync(Session session, string tail, object parameters)
        => [.. (await session.QueryAsync<Row>($"SELECT content, declared, retired FROM blueprints {tail}", parameters))
            .Select(row => StoredJson.Read<Blueprint>(row.Content) with { Declared = row.Declared, Retired = row.Retired })];

    private sealed class Row
    {
        public string Content { get; init; } = "";
        public bool Declared { get; init; }
        public bool Retired { get; init; }
    }
}
