using System.Data.Common;
using FluentMigrator.Runner;

namespace LabPortal.Data;

/// <summary>The true differences between the two databases; everything else is the same SQL. A new one needs a reason.</summary>
public abstract class SqlDialect : IAsyncDisposable
{
    /// <summary>Ends a SELECT whose rows the transaction is going to change.</summary>
    public abstract string ForUpdate { get; }

    /// <summary>The same, passing over rows that another transaction has locked.</summary>
    public abstract string ForUpdateSkipLocked { get; }

    /// <summary>
    /// The condition that a column is one of <see cref="Many"/> values. A text that holds the values themselves is another statement each time:
    /// the server plans it anew, and Dapper compiles a reader for it and keeps that.
    /// </summary>
    public abstract string AnyOf(string column, string parameter);

    /// <summary>May more than one process use this database at once?</summary>
    public abstract bool IsShared { get; }

    public abstract Task<DbConnection> OpenAsync(CancellationToken cancellation);

    /// <summary>Waits for this process's turn to write, where writers exclude each other anyway.</summary>
    public abstract Task<IDisposable?> EnterWriteAsync(CancellationToken cancellation);

    public abstract Task<DbTransaction> BeginWriteAsync(DbConnection connection, CancellationToken cancellation);

    /// <summary>The whole transaction may succeed when it is run again.</summary>
    public abstract bool MayRetry(DbException fault);

    /// <summary>The name of the CHECK, UNIQUE or exclusion rule that was violated, if that is what happened.</summary>
    public abstract string? ViolatedRule(DbException fault);

    /// <summary>Sends signals to the other processes when its transaction commits; nothing where there are none.</summary>
    internal abstract RowStatement? Notification { get; }

    /// <summary>Reads signals of other processes until cancelled; <paramref name="listening"/> is called each time listening has begun.</summary>
    internal abstract Task ListenAsync(Action listening, Action<Signal> received, CancellationToken cancellation);

    /// <summary>Points the migration library at this database.</summary>
    internal abstract void ConfigureMigrations(IMigrationRunnerBuilder runner);

    /// <summary>Runs a migration while no other process does.</summary>
    internal abstract Task MigrateAlone(Action migrate, CancellationToken cancellation);

    public abstract ValueTask DisposeAsync();
}
