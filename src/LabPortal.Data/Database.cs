using System.Data.Common;

namespace LabPortal.Data;

/// <summary>
/// The portal's database: SQLite for one process, PostgreSQL for production and several nodes. Reads and writes go through sessions;
/// a write session is one transaction, begun so that it never has to be upgraded (SQLite: <c>BEGIN IMMEDIATE</c>).
/// </summary>
public sealed class Database : IAsyncDisposable
{
    private readonly SqlDialect _dialect;
    private readonly Signals _signals;

    private Database(SqlDialect dialect)
    {
        _dialect = dialect;
        _signals = new Signals(dialect);
        DapperTypes.Register();
    }

    public SqlDialect Dialect => _dialect;

    /// <summary>What changed, from whichever process: see <see cref="Data.Signals"/>.</summary>
    public Signals Signals => _signals;

    /// <summary>Opens by the configured form: <c>sqlite:PATH</c>, or a PostgreSQL connection string (Npgsql's keywords).</summary>
    public static Database Open(string setting) => new(setting.StartsWith("sqlite:", StringComparison.OrdinalIgnoreCase)
        ? new SqliteDialect(setting["sqlite:".Length..])
        : new PostgresDialect(setting));

    /// <summary>Reads without a lock: what is committed now.</summary>
    public async Task<T> ReadAsync<T>(Func<Session, Task<T>> read, CancellationToken cancellation)
    {
        await using var connection = await _dialect.OpenAsync(cancellation);
        return await read(new Session(_dialect, connection, null, cancellation));
    }

    /// <summary>
    /// One transaction: all of it, or nothing. A deadlock or a serialisation failure is tried again from the start (so
    /// <paramref name="write"/> must touch nothing but its session); signals raised in it go out after the commit.
    /// </summary>
    public async Task<T> WriteAsync<T>(Func<Session, Task<T>> write, CancellationToken cancellation)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await WriteOnceAsync(write, cancellation);
            }
            catch (DbException fault) when (attempt < 8 && _dialect.MayRetry(fault))
            {
                await Task.Delay(TimeSpan.FromMilliseconds(5 * attempt * attempt), cancellation);
            }
            catch (DbException fault) when (_dialect.ViolatedRule(fault) is { } rule)
            {
                throw new RuleViolated(rule, fault);
            }
        }
    }

    public Task WriteAsync(Func<Session, Task> write, CancellationToken cancellation) => WriteAsync(
        async session =>
        {
            await write(session);
            return true;
        },
        cancellation);

    private async Task<T> WriteOnceAsync<T>(Func<Session, Task<T>> write, CancellationToken cancellation)
    {
        using var turn = await _dialect.EnterWriteAsync(cancellation);
        await using var connection = await _dialect.OpenAsync(cancellation);
        await using var transaction = await _dialect.BeginWriteAsync(connection, cancellation);
        var session = new Session(_dialect, connection, transaction, cancellation);
        var result = await write(session);
        await session.FinishAsync();
        // Once the work is done its outcome is saved, whoever stopped waiting for it.
        await transaction.CommitAsync(CancellationToken.None);
        _signals.Raise(session.Raised);
        session.Committed();
        return result;
    }

    public async ValueTask DisposeAsync()
    {
        await _signals.DisposeAsync();
        await _dialect.DisposeAsync();
    }
}

/// <summary>A named rule of the database said no. Turned into a refusal in one place, by the rule's name.</summary>
public sealed class RuleViolated(string rule, Exception cause) : Exception($"The rule {rule} of the database does not allow this.", cause)
{
    public string Rule { get; } = rule;
}
