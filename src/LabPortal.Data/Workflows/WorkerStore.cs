using NodaTime;

namespace LabPortal.Data.Workflows;

/// <summary>The workers' beats: a number that each raises while it lives. No clock of one machine is compared with another's.</summary>
public static class WorkerStore
{
    public static Task BeatAsync(Session session, string id, string name, Instant now) => session.ExecuteAsync("""
        INSERT INTO workers (id, name, beat, started_at) VALUES (@id, @name, 1, @now)
        ON CONFLICT (id) DO UPDATE SET beat = workers.beat + 1
        """, new { id, name, now });

    /// <summary>Each worker that beats or has a run, with its beat; a worker that has runs and no row beats 0.</summary>
    public static async Task<IReadOnlyDictionary<string, long>> BeatsAsync(Session session)
        => (await session.QueryAsync<Row>("""
            SELECT id, beat FROM workers
            UNION ALL
            SELECT DISTINCT worker AS id, 0 AS beat FROM runs WHERE worker IS NOT NULL AND worker NOT IN (SELECT id FROM workers)
            """)).ToDictionary(row => row.Id, row => row.Beat, StringComparer.Ordinal);

    /// <summary>A lapsed worker whose runs were all taken over.</summary>
    public static Task ForgetAsync(Session session, string id) => session.ExecuteAsync(
        "DELETE FROM workers WHERE id = @id AND NOT EXISTS (SELECT 1 FROM runs WHERE worker = @id)", new { id });

    private sealed class Row
    {
        public string Id { get; init; } = "";
        public long Beat { get; init; }
    }
}
