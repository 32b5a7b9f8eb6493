using System.Data.Common;
using Dapper;

namespace LabPortal.Data;

/// <summary>One connection, and in a write its transaction. Stores take it as their first argument and never keep it.</summary>
public sealed class Session
{
    private readonly DbConnection _connection;
    private readonly DbTransaction? _transaction;
    private readonly CancellationToken _cancellation;
    private readonly List<Signal> _raised = [];

    internal Session(SqlDialect dialect, DbConnection connection, DbTransaction? transaction, CancellationToken cancellation)
    {
        Dialect = dialect;
        _connection = connection;
        _transaction = transaction;
        _cancellation = cancellation;
    }

    public SqlDialect Dialect { get; }

    internal IReadOnlyList<Signal> Raised => _raised;

    public async Task<IReadOnlyList<T>> QueryAsync<T>(string sql, object? parameters = null)
        => (await _connection.QueryAsync<T>(Command(sql, parameters))).AsList();

    public Task<T?> FindAsync<T>(string sql, object? parameters = null) => _connection.QuerySingleOrDefaultAsync<T?>(Command(sql, parameters));

    /// <summary>The number of rows that it changed. A list of parameters runs the statement once for each.</summary>
    public Task<int> ExecuteAsync(string sql, object? parameters = null) => _connection.ExecuteAsync(Command(sql, parameters));

    /// <summary>Tells every process that listens, once this session is committed; the same signal twice goes out once.</summary>
    public void Raise(string topic, string payload)
    {
        if (_transaction is null) throw new InvalidOperationException("A signal belongs to a write.");
        var signal = new Signal(topic, payload);
        if (!_raised.Contains(signal)) _raised.Add(signal);
    }

    internal async Task SendSignalsAsync()
    {
        if (_raised.Count > 0) await Dialect.NotifyAsync(_connection, _transaction!, _raised, _cancellation);
    }

    private CommandDefinition Command(string sql, object? parameters) => new(sql, parameters, _transaction, cancellationToken: _cancellation);
}
