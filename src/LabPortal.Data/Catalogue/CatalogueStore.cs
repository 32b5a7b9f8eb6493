using LabPortal.Domain;

namespace LabPortal.Data.Catalogue;

/// <summary>A lab that still lives on something, and on what.</summary>
public sealed class LabOn
{
    public string Lab { get; init; } = "";
    public LabId Id { get; init; }
}

/// <summary>What applying a catalogue needs beside the stores of each kind: who lives on an object, and taking objects away.</summary>
public static class CatalogueStore
{
    private const string Living = "labs.state NOT IN ('ended', 'failed')";

    /// <summary>One apply at a time: what is there is compared and changed under this lock.</summary>
    public static Task LockAsync(Session session) => session.QueryAsync<string>($"SELECT id FROM installation {session.Dialect.ForUpdate}");

    public static Task<IReadOnlyList<LabOn>> LabsOnBlueprintAsync(Session session, string name)
        => LabsAsync(session, "labs.blueprint = @name", new { name });

    public static Task<IReadOnlyList<LabOn>> LabsOnTeamAsync(Session session, TeamId team) => LabsAsync(session, "labs.team_id = @team", new { team });

    public static Task<IReadOnlyList<LabOn>> LabsOnImageAsync(Session session, string name)
        => LabsAsync(session, "EXISTS (SELECT 1 FROM machines WHERE machines.lab_id = labs.id AND machines.image = @name)", new { name });

    public static Task<IReadOnlyList<LabOn>> LabsOnPoolAsync(Session session, PoolId pool) => LabsAsync(
        session, "(labs.asked_pool = (SELECT name FROM pools WHERE id = @pool) OR EXISTS (SELECT 1 FROM machines WHERE machines.lab_id = labs.id AND machines.pool_id = @pool))", new { pool });

    /// <summary>How much of ours the pool still has beside labs: orphans that are neither gone nor adopted, and machines not known to be gone.</summary>
    public static Task<long> LeftOnPoolAsync(Session session, PoolId pool) => session.FindAsync<long>("""
        SELECT (SELECT count(*) FROM orphans WHERE pool_id = @pool AND state IN ('listed', 'deleting'))
            + (SELECT count(*) FROM machines WHERE pool_id = @pool AND state <> 'gone')
        """, new { pool });

    /// <summary>The versions stay for the labs that were made of them; none is current any more.</summary>
    public static Task WithdrawBlueprintAsync(Session session, string name)
        => session.ExecuteAsync("UPDATE blueprints SET current = false, declared = false WHERE name = @name", new { name });

    public static Task WithdrawImageAsync(Session session, string name)
        => session.ExecuteAsync("UPDATE images SET current = false, declared = false WHERE name = @name", new { name });

    /// <summary>
    /// Takes the pool away. Its machines are gone and keep their meter events and placements, which name the pool by its id.
    /// </summary>
    public static async Task DeletePoolAsync(Session session, PoolId pool)
    {
        foreach (var statement in (string[])
        [
            "UPDATE machines SET pool_id = NULL WHERE pool_id = @pool",
            "DELETE FROM capacity_holds WHERE pool_id = @pool",
            "DELETE FROM warm_holds WHERE pool_id = @pool",
            "DELETE FROM orphans WHERE pool_id = @pool",
            "DELETE FROM image_presence WHERE pool_id = @pool",
            "DELETE FROM pool_slots WHERE pool_id = @pool",
            "DELETE FROM pool_hosts WHERE pool_id = @pool",
            "DELETE FROM builds WHERE pool_id = @pool",
            "DELETE FROM pools WHERE id = @pool",
        ]) await session.ExecuteAsync(statement, new { pool });
    }

    public static async Task<bool> HasHistoryAsync(Session session, TeamId team)
        => await session.FindAsync<long>("SELECT count(*) FROM labs WHERE team_id = @team", new { team }) > 0;

    /// <summary>Marks the object of this table as the portal's own again; false where there is none that is declared.</summary>
    public static async Task<bool> DetachAsync(Session session, CatalogueTable table, string name) => await session.ExecuteAsync(
        $"UPDATE {table.ToString().ToLowerInvariant()} SET declared = false WHERE name = @name AND declared", new { name }) > 0;

    private static Task<IReadOnlyList<LabOn>> LabsAsync(Session session, string on, object parameters)
        => session.QueryAsync<LabOn>($"SELECT id, name AS lab FROM labs WHERE {Living} AND {on} ORDER BY id LIMIT 20", parameters);
}

/// <summary>The tables of what can be declared; their names in lower case.</summary>
public enum CatalogueTable
{
    Pools,
    Images,
    Sizes,
    Blueprints,
    Teams,
}
