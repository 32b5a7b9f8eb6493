using LabPortal.Domain;
using LabPortal.Domain.Pools;
using NodaTime;

namespace LabPortal.Data.Pools;

/// <summary>What a warm state would be for: machines of one image and one shape on one host.</summary>
public sealed class WarmShape
{
    public string Host { get; init; } = "";
    public string Image { get; init; } = "";
    public string ImageVersion { get; init; } = "";
    public int Cpu { get; init; }
    public int MemoryMib { get; init; }
}

public static class WarmStore
{
    /// <summary>The shapes of this pool's machines that ask for a warm start, of labs that live or ended after <paramref name="since"/>; the last asked for comes first.</summary>
    public static Task<IReadOnlyList<WarmShape>> ShapesAsync(Session session, PoolId pool, Instant since) => session.QueryAsync<WarmShape>("""
        SELECT machines.host, machines.image, machines.image_version, machines.cpu, machines.memory_mib
        FROM machines JOIN labs ON labs.id = machines.lab_id
        WHERE machines.pool_id = @pool AND machines.warm_start AND machines.host IS NOT NULL AND (labs.ended_at IS NULL OR labs.ended_at > @since)
        GROUP BY machines.host, machines.image, machines.image_version, machines.cpu, machines.memory_mib
        ORDER BY max(labs.requested_at) DESC, machines.host, machines.image
        """, new { pool, since });
}
