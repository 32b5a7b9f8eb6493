using System.Data.Common;
using FluentMigrator.Runner;
using Npgsql;

namespace LabPortal.Data;

internal sealed class PostgresDialect(string connectionString) : SqlDialect
{
    private const string Channel = "labportal";
    private readonly NpgsqlDataSource _source = NpgsqlDataSource.Create(
        // The same few statements again and again: the server plans each once for a connection.
        new NpgsqlConnectionStringBuilder(connectionString) { MaxAutoPrepare = 128, Options = WithoutForgottenLocks(connectionString) });

    public override string ForUpdate => "FOR UPDATE";

    public override string ForUpdateSkipLocked => "FOR UPDATE SKIP LOCKED";

    public override string AnyOf(string column, string parameter) => $"{column} = ANY(@{parameter})";

    public override bool IsShared => true;

    public override string ToString()
    {
        var server = new NpgsqlConnectionStringBuilder(connectionString);
        return $"{server.Database} on {server.Host}";
    }

    internal string ConnectionString => connectionString;

    /// <summary>
    /// A process that was stopped in the middle of a transaction would hold its rows' locks for as long as it sleeps. The server ends it well within a
    /// worker's term; when the process wakes, its commit fails. No transaction of ours waits for anything but the database.
    /// </summary>
    private static string WithoutForgottenLocks(string connectionString)
        => $"{new NpgsqlConnectionStringBuilder(connectionString).Options} -c idle_in_transaction_session_timeout=10s".TrimStart();

    public override async Task<DbConnection> OpenAsync(CancellationToken cancellation) => await _source.OpenConnectionAsync(cancellation);

    public override Task<IDisposable?> EnterWriteAsync(CancellationToken cancellation) => Task.FromResult<IDisposable?>(null);

    public override async Task<DbTransaction> BeginWriteAsync(DbConnection connection, CancellationToken cancellation)
        => await connection.BeginTransactionAsync(cancellation);

    public override bool MayRetry(DbException fault) => fault is PostgresException
    {
        SqlState: PostgresErrorCodes.DeadlockDetected or PostgresErrorCodes.SerializationFailure,
    };

    public override string? ViolatedRule(DbException fault) => fault is PostgresException
    {
        SqlState: PostgresErrorCodes.UniqueViolation or PostgresErrorCodes.CheckViolation or PostgresErrorCodes.ExclusionViolation or PostgresErrorCodes.ForeignKeyViolation,
    } violation
        ? violation.ConstraintName
        : null;

    internal override RowStatement Notification { get; } = new($"SELECT pg_notify('{Channel}', payload) FROM (VALUES {{rows}}) AS signals (payload)", "(@Payload)", adds: true);

    internal override async Task ListenAsync(Action listening, Action<Signal> received, CancellationToken cancellation)
    {
        await using var connection = await _source.OpenConnectionAsync(cancellation);
        connection.Notification += (_, notification) =>
        {
            var space = notification.Payload.IndexOf(' ', StringComparison.Ordinal);
            received(new Signal(notification.Payload[..space], notification.Payload[(space + 1)..]));
        };
        await using (var command = new NpgsqlCommand($"LISTEN {Channel}", connection)) await command.ExecuteNonQueryAsync(cancellation);
        listening();
        while (true) await connection.WaitAsync(cancellation);
    }

    internal override void ConfigureMigrations(IMigrationRunnerBuilder runner) => runner.AddPostgres().WithGlobalConnectionString(connectionString);

    internal override async Task MigrateAlone(Action migrate, CancellationToken cancellation)
    {
        await using var connection = await _source.OpenConnectionAsync(cancellation);
        await using (var enter = new NpgsqlCommand("SELECT pg_advisory_lock(7218340091)", connection)) await enter.ExecuteNonQueryAsync(cancellation);
        try
        {
            migrate();
        }
        finally
        {
            await using var leave = new NpgsqlCommand("SELECT pg_advisory_unlock(7218340091)", connection);
            await leave.ExecuteNonQueryAsync(CancellationToken.None);
        }
    }

    public override ValueTask DisposeAsync() => _source.DisposeAsync();
}
