using LabPortal.Domain;

namespace LabPortal.Data;

/// <summary>This portal's own id: made once, kept in the database.</summary>
public static class Installation
{
    public static Task<InstallationId> EnsureAsync(Database database, TimeProvider time, CancellationToken cancellation) => database.WriteAsync(
        async session =>
        {
            await session.ExecuteAsync(
                "INSERT INTO installation (id, made_at) VALUES (@id, @at) ON CONFLICT DO NOTHING", new { id = new InstallationId(Ids.New(time)), at = time.Now() });
            return await session.FindAsync<InstallationId>("SELECT id FROM installation");
        },
        cancellation);

    /// <summary>The id of an installation that was made.</summary>
    public static Task<InstallationId> ReadAsync(Session session) => session.FindAsync<InstallationId>("SELECT id FROM installation");
}
