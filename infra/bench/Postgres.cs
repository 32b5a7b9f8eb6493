using Npgsql;

namespace LabPortal.Bench;

internal static class Postgres
{
    /// <summary>Transactions committed in this database so far. The server's counter lags by up to a second: this waits for it.</summary>
    public static async Task<long> CommitsAsync(string connectionString, CancellationToken cancellation)
    {
        NpgsqlConnection.ClearAllPools();
        await Task.Delay(TimeSpan.FromSeconds(1.5), cancellation);
        await using var source = NpgsqlDataSource.Create(connectionString);
        await using var command = source.CreateCommand("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()");
        return (long)(await command.ExecuteScalarAsync(cancellation))!;
    }
}
