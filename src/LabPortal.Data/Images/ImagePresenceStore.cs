using LabPortal.Domain;
using NodaTime;

namespace LabPortal.Data.Images;

public enum PresenceState
{
    Present,
    Missing,
    Importing,
    Failed,
}

/// <summary>
/// Whether an image's version is on a host, or how far its import is. <paramref name="Note"/> says the way out; <paramref name="File"/> is what
/// an import reads; <paramref name="SeenAt"/> moves with each look and with each beat of an import. While an image that is there is read for its
/// digest, <paramref name="ReadAt"/> is the beat of that, and <paramref name="BytesDone"/> how far it is.
/// </summary>
public sealed record PresenceRow(
    PoolId Pool, string Host, string Image, string Version, PresenceState State, string? Digest, long Bytes, long BytesDone, string? Note, string? File, Instant SeenAt, Instant? ReadAt = null)
{
    public bool IsBeingRead => ReadAt is not null;
}

/// <summary>Which images are where.</summary>
public static class ImagePresenceStore
{
    public static async Task<IReadOnlyList<PresenceRow>> ListAsync(Session session)
        => await ReadAsync(session, "ORDER BY image, version, host", new { });

    public static Task<IReadOnlyList<PresenceRow>> OfPoolAsync(Session session, PoolId pool)
        => ReadAsync(session, "WHERE pool_id = @pool ORDER BY image, version, host", new { pool });

    public static Task<IReadOnlyList<PresenceRow>> OfImageAsync(Session session, string image, string version)
        => ReadAsync(session, "WHERE image = @image AND version = @version", new { image, version });

    /// <summary>Everything that is being imported, or read for its digest, or is to be.</summary>
    public static Task<IReadOnlyList<PresenceRow>> UnderWayAsync(Session session)
        => ReadAsync(session, "WHERE state = 'importing' OR read_at IS NOT NULL ORDER BY pool_id, host, image", new { });

    /// <summary>
    /// What a look found. An import that goes on, or one that failed and left nothing, is not overwritten by <i>missing</i>; an image that
    /// is still there without a digest keeps what is known of its reading.
    /// </summary>
    public static async Task SawAsync(Session session, PresenceRow row)
    {
        await session.ExecuteAsync("""
            INSERT INTO image_presence (pool_id, host, image, version, state, digest, bytes, bytes_done, note, seen_at)
            VALUES (@Pool, @Host, @Image, @Version, @State, @Digest, @Bytes, @BytesDone, @Note, @SeenAt)
            ON CONFLICT (pool_id, host, image, version) DO UPDATE SET state = excluded.state, digest = excluded.digest, bytes = excluded.bytes,
                bytes_done = CASE WHEN excluded.state = 'present' AND image_presence.read_at IS NOT NULL THEN image_presence.bytes_done ELSE excluded.bytes_done END,
                note = CASE WHEN excluded.state = 'present' AND excluded.digest IS NULL AND image_presence.state = 'present' THEN image_presence.note ELSE excluded.note END,
                read_at = CASE WHEN excluded.state = 'present' THEN image_presence.read_at END, file = NULL, seen_at = excluded.seen_at
            WHERE image_presence.state <> 'importing' AND (image_presence.state <> 'failed' OR excluded.state = 'present')
            """, Parameters(row));
    }

    /// <summary>Asks for an import; one that goes on already, with a beat since <paramref name="deadSince"/>, stays as it is.</summary>
    public static async Task AskImportAsync(Session session, PoolId pool, string host, string image, string version, string file, long bytes, Instant deadSince)
    {
        await session.ExecuteAsync("""
            INSERT INTO image_presence (pool_id, host, image, version, state, bytes, bytes_done, file, seen_at)
            VALUES (@pool, @host, @image, @version, 'importing', @bytes, 0, @file, @deadSince)
            ON CONFLICT (pool_id, host, image, version) DO UPDATE SET state = 'importing', digest = NULL, bytes = excluded.bytes, bytes_done = 0, note = NULL,
                file = excluded.file, seen_at = excluded.seen_at, read_at = NULL
            WHERE image_presence.state <> 'importing' OR image_presence.seen_at <= @deadSince
            """, new { pool, host, image, version, file, bytes, deadSince });
        session.Raise(Signal.Operations, "");
    }

    /// <summary>
    /// Asks for the digest of an image wherever it is there without one, and says on how many hosts it is read now; a reading that goes on already
    /// stays as it is.
    /// </summary>
    public static async Task<int> AskDigestAsync(Session session, PoolId pool, string image, string version)
    {
        var reading = await session.ExecuteAsync("""
            UPDATE image_presence SET read_at = COALESCE(read_at, 0), bytes_done = CASE WHEN read_at IS NULL THEN 0 ELSE bytes_done END, note = NULL
            WHERE pool_id = @pool AND image = @image AND version = @version AND state = 'present' AND digest IS NULL
            """, new { pool, image, version });
        session.Raise(Signal.Operations, "");
        return reading;
    }

    /// <summary>True where the import or reading is now the caller's: nobody has given it a beat since <paramref name="deadSince"/>.</summary>
    public static async Task<bool> ClaimAsync(Session session, PresenceRow row, Instant deadSince, Instant now) => await session.ExecuteAsync($"""
        UPDATE image_presence SET {Beat(row)} = @now, bytes_done = 0
        WHERE {UnderWay(row)} AND {Beat(row)} <= @deadSince
        """, new { row.Pool, row.Host, row.Image, row.Version, deadSince, now }) == 1;

    /// <summary>The beat of an import or reading, with how far it is.</summary>
    public static async Task SetProgressAsync(Session session, PresenceRow row, long bytesDone, Instant now)
    {
        await session.ExecuteAsync($"UPDATE image_presence SET {Beat(row)} = @now, bytes_done = @bytesDone WHERE {UnderWay(row)}",
            new { row.Pool, row.Host, row.Image, row.Version, bytesDone, now });
        session.Raise(Signal.Operations, "");
    }

    /// <summary>How an import or reading ended.</summary>
    public static async Task EndAsync(Session session, PresenceRow row)
    {
        await session.ExecuteAsync($"""
            UPDATE image_presence SET state = @State, digest = @Digest, bytes = @Bytes, bytes_done = @BytesDone, note = @Note, file = NULL, read_at = NULL, seen_at = @SeenAt
            WHERE {UnderWay(row)}
            """, Parameters(row));
        session.Raise(Signal.Operations, "");
    }

    /// <summary>Ends an import that nobody has begun: one that got a beat meanwhile goes on.</summary>
    public static async Task GiveUpAsync(Session session, PresenceRow row, string note, Instant now)
    {
        await session.ExecuteAsync($"""
            UPDATE image_presence SET state = 'failed', bytes_done = 0, note = @note, file = NULL, seen_at = @now WHERE {UnderWay(row)} AND seen_at = @SeenAt
            """, new { row.Pool, row.Host, row.Image, row.Version, row.SeenAt, note, now });
        session.Raise(Signal.Operations, "");
    }

    /// <summary>Forgets hosts that the pool no longer has, and images that are no longer looked for.</summary>
    public static Task ForgetAsync(Session session, PoolId pool, Instant notSeenSince)
        => session.ExecuteAsync("DELETE FROM image_presence WHERE pool_id = @pool AND state <> 'importing' AND seen_at < @notSeenSince", new { pool, notSeenSince });

    private static string Beat(PresenceRow row) => row.IsBeingRead ? "read_at" : "seen_at";

    private static string UnderWay(PresenceRow row)
        => $"pool_id = @Pool AND host = @Host AND image = @Image AND version = @Version AND {(row.IsBeingRead ? "read_at IS NOT NULL" : "state = 'importing'")}";

    private static object Parameters(PresenceRow row) => new
    {
        row.Pool,
        row.Host,
        row.Image,
        row.Version,
        State = row.State.Word(),
        row.Digest,
        row.Bytes,
        row.BytesDone,
        row.Note,
        row.SeenAt,
    };

    private static async Task<IReadOnlyList<PresenceRow>> ReadAsync(Session session, string tail, object parameters)
        => [.. (await session.QueryAsync<Row>(
            $"SELECT pool_id AS pool, host, image, version, state, digest, bytes, bytes_done, note, file, seen_at, read_at FROM image_presence {tail}", parameters))
            .Select(row => new PresenceRow(
                row.Pool, row.Host, row.Image, row.Version, Words.Read<PresenceState>(row.State), row.Digest, row.Bytes, row.BytesDone, row.Note, row.File, row.SeenAt, row.ReadAt))];

    private sealed class Row
    {
        public PoolId Pool { get; init; }
        public string Host { get; init; } = "";
        public string Image { get; init; } = "";
        public string Version { get; init; } = "";
        public string State { get; init; } = "";
        public string? Digest { get; init; }
        public long Bytes { get; init; }
        public long BytesDone { get; init; }
        public string? Note { get; init; }
        public string? File { get; init; }
        public Instant SeenAt { get; init; }
        public Instant? ReadAt { get; init; }
    }
}
