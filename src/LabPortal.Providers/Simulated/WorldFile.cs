using LabPortal.Domain.Pools;
using Microsoft.Data.Sqlite;

namespace LabPortal.Providers.Simulated;

/// <summary>
/// The world's SQLite file: one connection, opened at the first use, one transaction at a time. Other processes have it open too;
/// nobody holds its lock for longer than one call's few statements, and the system drops the lock of a killed process.
/// </summary>
internal sealed class WorldFile(string path) : IAsyncDisposable
{
    private const int Busy = 5;

    private const string Schema = """
        CREATE TABLE IF NOT EXISTS calls (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            at INTEGER NOT NULL,
            verb TEXT NOT NULL,
            owner TEXT,
            effect INTEGER NOT NULL,
            machines INTEGER NOT NULL,
            resources INTEGER NOT NULL,
            outcome TEXT NOT NULL,
            process INTEGER NOT NULL);
        CREATE INDEX IF NOT EXISTS calls_of_owner ON calls (owner) WHERE owner IS NOT NULL;
        CREATE TABLE IF NOT EXISTS counter (only INTEGER PRIMARY KEY CHECK (only = 1), calls INTEGER NOT NULL);
        INSERT OR IGNORE INTO counter VALUES (1, 0);
        CREATE TABLE IF NOT EXISTS resources (
            name TEXT PRIMARY KEY,
            kind TEXT NOT NULL,
            external_id TEXT NOT NULL,
            host TEXT NOT NULL,
            cpu INTEGER NOT NULL DEFAULT 0,
            memory_mib INTEGER NOT NULL DEFAULT 0,
            disk_gib INTEGER NOT NULL DEFAULT 0,
            host_name TEXT,
            image TEXT,
            problem TEXT,
            made_at INTEGER NOT NULL,
            ready_at INTEGER,
            booted_at INTEGER,
            off_at INTEGER,
            gone_at INTEGER,
            UNIQUE (kind, external_id)) WITHOUT ROWID;
        CREATE INDEX IF NOT EXISTS resources_of_host ON resources (host, gone_at, cpu, memory_mib, disk_gib);
        CREATE INDEX IF NOT EXISTS resources_going ON resources (gone_at) WHERE gone_at IS NOT NULL;
        CREATE TABLE IF NOT EXISTS script (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            verb TEXT,
            subject TEXT,
            nth INTEGER NOT NULL,
            times INTEGER NOT NULL,
            moment INTEGER NOT NULL,
            deed INTEGER NOT NULL,
            fault INTEGER NOT NULL,
            retry_after INTEGER,
            message TEXT,
            seen INTEGER NOT NULL DEFAULT 0,
            hanging INTEGER NOT NULL DEFAULT 0,
            released INTEGER NOT NULL DEFAULT 0);
        CREATE TABLE IF NOT EXISTS images (
            image TEXT NOT NULL, version TEXT NOT NULL, host TEXT NOT NULL, bytes INTEGER NOT NULL, digest TEXT NOT NULL,
            PRIMARY KEY (image, version, host)) WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS contents (disk TEXT PRIMARY KEY, content TEXT NOT NULL) WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS snapshots (name TEXT PRIMARY KEY, content TEXT NOT NULL, memory INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS starts (machine TEXT PRIMARY KEY, warm INTEGER NOT NULL, why TEXT) WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS away (host TEXT PRIMARY KEY, why TEXT NOT NULL) WITHOUT ROWID;
        """;

    private readonly SemaphoreSlim _turn = new(1, 1);
    private Rows? _rows;
    private bool _disposed;

    public string Path => path;

    public Task<T> ReadAsync<T>(Func<Rows, T> read, CancellationToken cancellation) => InTurnAsync("BEGIN", read, cancellation);

    public Task<T> WriteAsync<T>(Func<Rows, T> write, CancellationToken cancellation) => InTurnAsync("BEGIN IMMEDIATE", write, cancellation);

    /// <summary>Does something while no transaction of this process is open: a process that is stopped in one keeps the file from all others.</summary>
    public async Task BetweenTurnsAsync(Action act, CancellationToken cancellation)
    {
        await _turn.WaitAsync(cancellation);
        try
        {
            act();
        }
        finally
        {
            _turn.Release();
        }
    }

    private async Task<T> InTurnAsync<T>(string begin, Func<Rows, T> work, CancellationToken cancellation)
    {
        await _turn.WaitAsync(cancellation);
        try
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            var rows = _rows ??= await OpenAsync(cancellation);
            rows.Run(begin);
            try
            {
                var result = work(rows);
                rows.Run("COMMIT");
                return result;
            }
            catch
            {
                // SQLite may have rolled back by itself (a full disk): then there is nothing left to roll back.
                if (rows.InTransaction) rows.Run("ROLLBACK");
                throw;
            }
        }
        catch (SqliteException cause)
        {
            throw Translate(cause);
        }
        finally
        {
            _turn.Release();
        }
    }

    private async Task<Rows> OpenAsync(CancellationToken cancellation)
    {
        try
        {
            Directory.CreateDirectory(System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(path))!);
        }
        catch (Exception cause) when (cause is IOException or UnauthorizedAccessException)
        {
            throw new ProviderFault(FaultKind.Transient, $"The folder of the simulated world {path} cannot be made.", cause);
        }

        // Unpooled: the file is closed when the provider is. No timeout of the driver's, whose retries sleep 150 ms each.
        var connection = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = path, Pooling = false, DefaultTimeout = 1 }.ToString());
        try
        {
            await connection.OpenAsync(cancellation);
            var rows = new Rows(connection);
            rows.Run("PRAGMA busy_timeout = 5000");

            // Changing to WAL asks for the file alone and does not wait for it.
            for (var attempt = 1; ; attempt++)
            {
                try
                {
                    rows.Run("PRAGMA journal_mode = WAL");
                    break;
                }
                catch (SqliteException cause) when (cause.SqliteErrorCode == Busy && attempt < 200)
                {
                    await Task.Delay(10, cancellation);
                }
            }

            // What a killed process committed is in the system's hands already; the world need not outlive a power cut.
            rows.Run("PRAGMA synchronous = OFF");
            rows.Run("BEGIN IMMEDIATE");
            using (var schema = connection.CreateCommand())
            {
                schema.CommandText = Schema;
                schema.ExecuteNonQuery();
            }

            rows.Run("COMMIT");
            return rows;
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
    }

    private ProviderFault Translate(SqliteException cause) => cause.SqliteErrorCode switch
    {
        11 or 26 => new ProviderFault(FaultKind.Broken, $"The simulated world {path} is damaged: delete the file, and the world begins anew.", cause),
        1 or 19 => new ProviderFault(FaultKind.Broken, $"The simulated world {path} does not fit this build: delete the file, and the world begins anew.", cause),
        _ => new ProviderFault(FaultKind.Transient, $"The simulated world {path} cannot be read or written now ({cause.SqliteErrorCode}).", cause),
    };

    public async ValueTask DisposeAsync()
    {
        // A call that is under way ends first; the semaphore itself holds nothing that needs disposing.
        await _turn.WaitAsync(CancellationToken.None);
        try
        {
            if (_rows is not null) await _rows.DisposeAsync();
            _rows = null;
            _disposed = true;
        }
        finally
        {
            _turn.Release();
        }
    }
}

/// <summary>Statements of one connection, each compiled once. Parameters are <c>@0</c>, <c>@1</c>, … in order.</summary>
internal sealed class Rows(SqliteConnection connection) : IAsyncDisposable
{
    private readonly Dictionary<string, SqliteCommand> _compiled = [];

    public bool InTransaction => SQLitePCL.raw.sqlite3_get_autocommit(connection.Handle) == 0;

    public int Run(string sql, params ReadOnlySpan<object?> values) => Bind(sql, values).ExecuteNonQuery();

    public T? Value<T>(string sql, params ReadOnlySpan<object?> values) =>
        Bind(sql, values).ExecuteScalar() is { } value and not DBNull ? (T)value : default;

    public List<T> Query<T>(string sql, Func<SqliteDataReader, T> read, params ReadOnlySpan<object?> values)
    {
        using var reader = Bind(sql, values).ExecuteReader();
        var list = new List<T>();
        while (reader.Read()) list.Add(read(reader));
        return list;
    }

    private SqliteCommand Bind(string sql, ReadOnlySpan<object?> values)
    {
        if (!_compiled.TryGetValue(sql, out var command))
        {
            command = connection.CreateCommand();
            command.CommandText = sql;
            for (var i = 0; i < values.Length; i++) command.Parameters.Add(new SqliteParameter($"@{i}", null));
            _compiled[sql] = command;
        }

        for (var i = 0; i < values.Length; i++) command.Parameters[i].Value = values[i] ?? DBNull.Value;
        return command;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var command in _compiled.Values) await command.DisposeAsync();
        await connection.DisposeAsync();
    }
}

internal static class ReaderColumns
{
    public static string? Text(this SqliteDataReader reader, int column) => reader.IsDBNull(column) ? null : reader.GetString(column);

    public static long? Long(this SqliteDataReader reader, int column) => reader.IsDBNull(column) ? null : reader.GetInt64(column);
}
