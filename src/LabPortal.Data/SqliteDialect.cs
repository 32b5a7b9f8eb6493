using System.Data.Common;
using FluentMigrator.Runner;
using Microsoft.Data.Sqlite;

namespace LabPortal.Data;

internal sealed class SqliteDialect : SqlDialect
{
    // SQLite names the columns of a violated unique rule, not the rule.
    private static readonly Dictionary<string, string> s_uniqueRules = new(StringComparer.Ordinal)
    {
        ["runs.lab_id"] = Rules.OneLiveRun,
        ["people.email"] = Rules.PersonEmail,
        ["teams.name"] = Rules.TeamName,
        ["pools.name"] = Rules.PoolName,
        ["ssh_keys.person_id, ssh_keys.fingerprint"] = Rules.SshKeyOnce,
        ["webhooks.team_id, webhooks.address"] = Rules.WebhookOnce,
        ["idempotency.caller, idempotency.idempotency_key"] = Rules.IdempotencyKey,
    };

    private readonly string _connectionString;
    private readonly SemaphoreSlim _writer = new(1, 1);

    public SqliteDialect(string path)
    {
        Path = System.IO.Path.GetFullPath(path);
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(Path)!);
        _connectionString = new SqliteConnectionStringBuilder { DataSource = Path, ForeignKeys = true, DefaultTimeout = 30 }.ToString();
    }

    public string Path { get; }

    public override string ForUpdate => "";

    public override string ForUpdateSkipLocked => "";

    public override string AnyOf(string column, string parameter) => $"{column} IN (SELECT value FROM json_each(@{parameter}))";

    public override bool IsShared => false;

    public override string ToString() => Path;

    internal string ConnectionString => _connectionString;

    public override async Task<DbConnection> OpenAsync(CancellationToken cancellation)
    {
        var connection = new SqliteConnection(_connectionString);
        // SQLite's own knows ASCII alone; what is compared with it was made small by .NET.
        connection.CreateFunction("lower", (string? text) => text?.ToLowerInvariant(), isDeterministic: true);
        await connection.OpenAsync(cancellation);
        await using var pragmas = connection.CreateCommand();
        // FULL: a commit is on the disk before its outcome is believed; the journal is worth nothing otherwise.
        pragmas.CommandText = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 30000;";
        await pragmas.ExecuteNonQueryAsync(cancellation);
        return connection;
    }

    public override async Task<IDisposable?> EnterWriteAsync(CancellationToken cancellation)
    {
        // A queue in the process is fair and wakes at once; SQLite's own waiting polls.
        await _writer.WaitAsync(cancellation);
        return new Leave(_writer);
    }

    public override Task<DbTransaction> BeginWriteAsync(DbConnection connection, CancellationToken cancellation)
        => Task.FromResult<DbTransaction>(((SqliteConnection)connection).BeginTransaction(deferred: false));

    public override bool MayRetry(DbException fault) => fault is SqliteException { SqliteErrorCode: 5 or 6 };

    public override string? ViolatedRule(DbException fault)
    {
        // 19 is SQLITE_CONSTRAINT: "SQLite Error 19: 'UNIQUE constraint failed: runs.lab_id'."
        if (fault is not SqliteException { SqliteErrorCode: 19 } violation) return null;
        var message = violation.Message;
        var start = message.IndexOf("constraint failed: ", StringComparison.Ordinal);
        if (start < 0) return null;
        var what = message[(start + "constraint failed: ".Length)..].TrimEnd('.', '\'');
        return s_uniqueRules.GetValueOrDefault(what, what);
    }

    internal override RowStatement? Notification => null;

    internal override Task ListenAsync(Action listening, Action<Signal> received, CancellationToken cancellation)
    {
        listening();
        return Task.Delay(Timeout.Infinite, cancellation);
    }

    internal override void ConfigureMigrations(IMigrationRunnerBuilder runner) => runner.AddSQLite().WithGlobalConnectionString(_connectionString);

    internal override Task MigrateAlone(Action migrate, CancellationToken cancellation)
    {
        // One process has the database: its data folder is locked by whoever composes.
        migrate();
        return Task.CompletedTask;
    }

    public override ValueTask DisposeAsync()
    {
        using (var connection = new SqliteConnection(_connectionString)) SqliteConnection.ClearPool(connection);
        _writer.Dispose();
        return ValueTask.CompletedTask;
    }

    private sealed class Leave(SemaphoreSlim writer) : IDisposable
    {
        public void Dispose() => writer.Release();
    }
}
