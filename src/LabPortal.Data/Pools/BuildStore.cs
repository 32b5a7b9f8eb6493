using LabPortal.Domain;
using NodaTime;

namespace LabPortal.Data.Pools;

/// <summary>How long machines took from placement to ready; what a quote's wait is reckoned from.</summary>
public static class BuildStore
{
    private const int Counted = 20;

    public static Task AppendAsync(Session session, PoolId pool, string image, Duration took, Instant at, TimeProvider time) => session.ExecuteAsync(
        "INSERT INTO builds (id, pool_id, image, seconds, at) VALUES (@Id, @pool, @image, @Seconds, @at)",
        new { Id = Ids.New(time), pool, image, Seconds = took.TotalSeconds, at });

    /// <summary>The median of the last 20 builds of this image in this pool; empty before the first.</summary>
    public static async Task<Duration?> MedianAsync(Session session, PoolId pool, string image)
    {
        var last = await session.QueryAsync<double>(
            "SELECT seconds FROM builds WHERE pool_id = @pool AND image = @image ORDER BY at DESC LIMIT @Counted", new { pool, image, Counted });
        if (last.Count == 0) return null;
        var sorted = last.Order().ToList();
        return Duration.FromSeconds((sorted[(sorted.Count - 1) / 2] + sorted[sorted.Count / 2]) / 2);
    }

    /// <summary>How many machines each pool is building now, or is about to.</summary>
    public static async Task<IReadOnlyDictionary<PoolId, int>> BuildingAsync(Session session)
        => (await session.QueryAsync<Row>(
            "SELECT pool_id AS pool, count(*) AS machines FROM machines WHERE pool_id IS NOT NULL AND state IN ('pending', 'building') GROUP BY pool_id"))
            .ToDictionary(row => row.Pool, row => (int)row.Machines);

    private sealed class Row
    {
        public PoolId Pool { get; init; }
        public long Machines { get; init; }
    }
}
