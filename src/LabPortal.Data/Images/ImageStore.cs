using LabPortal.Domain.Images;
using NodaTime;

namespace LabPortal.Data.Images;

/// <summary>Images and sizes of the catalogue.</summary>
public static class ImageStore
{
    /// <summary>Writes this version of the image and makes it the current one. Bindings of a version may grow (a new kind of pool).</summary>
    public static async Task SaveAsync(Session session, Image image, Instant now)
    {
        await session.ExecuteAsync("UPDATE images SET current = false WHERE name = @Name", new { image.Name });
        await session.ExecuteAsync("""
            INSERT INTO images (name, version, os, guest_user, warm, bindings, declared, current, created_at)
            VALUES (@Name, @Version, @Os, @User, @Warm, @Bindings, @Declared, true, @now)
            ON CONFLICT (name, version) DO UPDATE SET os = excluded.os, guest_user = excluded.guest_user, warm = excluded.warm, bindings = excluded.bindings,
                declared = excluded.declared, current = true
            """,
            new { image.Name, image.Version, image.Os, image.User, image.Warm, Bindings = StoredJson.Write(image.Bindings), image.Declared, now });
    }

    public static async Task<Image?> FindAsync(Session session, string name, string version)
        => (await ReadAsync(session, "WHERE name = @name AND version = @version", new { name, version })).SingleOrDefault();

    public static async Task<Image?> FindCurrentAsync(Session session, string name)
        => (await ReadAsync(session, "WHERE name = @name AND current", new { name })).SingleOrDefault();

    public static Task<IReadOnlyList<Image>> ListAsync(Session session) => ReadAsync(session, "WHERE current ORDER BY name", new { });

    /// <summary>All that there ever were, newest first.</summary>
    public static async Task<IReadOnlyList<(Image Image, Instant CreatedAt, bool Current)>> ListVersionsAsync(Session session, string name)
        => [.. (await RowsAsync(session, "WHERE name = @name ORDER BY created_at DESC, version DESC", new { name })).Select(row => (Image(row), row.CreatedAt, row.Current))];

    public static Task DeleteAsync(Session session, string name) => session.ExecuteAsync("DELETE FROM images WHERE name = @name", new { name });

    public static Task SaveSizeAsync(Session session, Size size) => session.ExecuteAsync("""
        INSERT INTO sizes (name, cpu, memory_mib, disk_gib, declared) VALUES (@Name, @Cpu, @MemoryMiB, @DiskGiB, @Declared)
        ON CONFLICT (name) DO UPDATE SET cpu = excluded.cpu, memory_mib = excluded.memory_mib, disk_gib = excluded.disk_gib, declared = excluded.declared
        """, size);

    public static async Task<IReadOnlyList<Size>> ListSizesAsync(Session session)
        => [.. (await session.QueryAsync<SizeRow>("SELECT name, cpu, memory_mib, disk_gib, declared FROM sizes ORDER BY name"))
            .Select(row => new Size(row.Name, row.Cpu, row.MemoryMiB, row.DiskGiB, row.Declared))];

    public static Task DeleteSizeAsync(Session session, string name) => session.ExecuteAsync("DELETE FROM sizes WHERE name = @name", new { name });

    private static async Task<IReadOnlyList<Image>> ReadAsync(Session session, string tail, object parameters) => [.. (await RowsAsync(session, tail, parameters)).Select(Image)];

    private static Task<IReadOnlyList<Row>> RowsAsync(Session session, string tail, object parameters)
        => session.QueryAsync<Row>($"SELECT name, version, os, guest_user, warm, bindings, declared, current, created_at FROM images {tail}", parameters);

    private static Image Image(Row row) => new()
    {
        Name = row.Name,
        Version = row.Version,
        Os = row.Os,
        User = row.GuestUser,
        Warm = row.Warm,
        Bindings = StoredJson.Read<Dictionary<string, Dictionary<string, string>>>(row.Bindings).ToDictionary(pair => pair.Key, pair => (IReadOnlyDictionary<string, string>)pair.Value),
        Declared = row.Declared,
    };

    private sealed class Row
    {
        public string Name { get; init; } = "";
        public string Version { get; init; } = "";
        public string Os { get; init; } = "";
        public string GuestUser { get; init; } = "";
        public bool Warm { get; init; }
        public string Bindings { get; init; } = "";
        public bool Declared { get; init; }
        public bool Current { get; init; }
        public Instant CreatedAt { get; init; }
    }

    private sealed class SizeRow
    {
        public string Name { get; init; } = "";
        public int Cpu { get; init; }
        public int MemoryMiB { get; init; }
        public int DiskGiB { get; init; }
        public bool Declared { get; init; }
    }
}
