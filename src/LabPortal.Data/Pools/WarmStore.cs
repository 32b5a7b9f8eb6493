using LabPortal.Domain;
using LabPortal.Domain.Pools;
using NodaTime;

namespace LabPortal.Data.Pools;

/// <summary>What a warm state would be for: machines of one image and one shape on one host.</summary>
public sealed record WarmShape
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

    /// <summary>The shapes of this pool whose states are or may be on its hosts.</summary>
    public static Task<IReadOnlyList<WarmShape>> HeldAsync(Session session, PoolId pool) => session.QueryAsync<WarmShape>(
        "SELECT host, image, image_version, cpu, memory_mib FROM warm_holds WHERE pool_id = @pool", new { pool });

    /// <summary>Before the state is made. The caller has the pool's row locked.</summary>
    public static async Task HoldAsync(Session session, PoolId pool, WarmShape shape, int diskGiB)
    {
        await session.ExecuteAsync("""
            INSERT INTO warm_holds (pool_id, host, image, image_version, cpu, memory_mib, disk_gib) VALUES (@pool, @Host, @Image, @ImageVersion, @Cpu, @MemoryMib, @diskGiB)
            """, new { pool, shape.Host, shape.Image, shape.ImageVersion, shape.Cpu, shape.MemoryMib, diskGiB });
        session.Raise(Signal.Operations, "");
    }

    /// <summary>Once their states are gone.</summary>
    public static async Task ReleaseAsync(Session session, PoolId pool, IReadOnlyCollection<WarmShape> shapes)
    {
        if (shapes.Count == 0) return;
        await session.ExecuteAsync("""
            DELETE FROM warm_holds
            WHERE pool_id = @pool AND host = @Host AND image = @Image AND image_version = @ImageVersion AND cpu = @Cpu AND memory_mib = @MemoryMib
            """, shapes.Select(shape => new { pool, shape.Host, shape.Image, shape.ImageVersion, shape.Cpu, shape.MemoryMib }).ToList());
        session.Raise(Signal.Operations, "");
    }
}
