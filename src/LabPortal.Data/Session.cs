using System.Data.Common;
using System.Numerics;
using Dapper;

namespace LabPortal.Data;

/// <summary>One connection, and in a write its transaction. Stores take it as their first argument and never keep it.</summary>
public sealed class Session
{
    private readonly DbConnection _connection;
    private readonly DbTransaction? _transaction;
    private readonly CancellationToken _cancellation;
    private readonly List<Signal> _raised = [];
    private readonly List<Deferred> _deferred = [];
    private readonly Dictionary<string, int> _lastOf = new(StringComparer.Ordinal);
    private readonly Dictionary<object, IGathered> _gathered = [];
    private readonly Dictionary<object, ILast> _last = [];
    private readonly List<Action> _afterwards = [];

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
    {
        await FlushAsync();
        return (await _connection.QueryAsync<T>(Command(sql, parameters))).AsList();
    }

    /// <summary>Several statements in one round trip; <paramref name="read"/> takes their rows one after the other.</summary>
    public async Task<T> QueryManyAsync<T>(string sql, object parameters, Func<SqlMapper.GridReader, Task<T>> read)
    {
        await FlushAsync();
        await using var many = await _connection.QueryMultipleAsync(Command(sql, parameters));
        return await read(many);
    }

    public async Task<T?> FindAsync<T>(string sql, object? parameters = null)
    {
        await FlushAsync();
        return await _connection.QuerySingleOrDefaultAsync<T?>(Command(sql, parameters));
    }

    /// <summary>The number of rows that it changed. A list of parameters runs the statement once for each.</summary>
    public async Task<int> ExecuteAsync(string sql, object? parameters = null)
    {
        await FlushAsync();
        return await _connection.ExecuteAsync(Command(sql, parameters));
    }

    /// <summary>
    /// A change whose result nobody waits for: it goes to the server before the next statement or the commit, in one statement with the
    /// same change of other rows and in one round trip with the rest. What it violates is therefore thrown there. Changes of one key keep their order.
    /// </summary>
    /// <param name="statement">What is done to each row.</param>
    /// <param name="key">Whose row it is.</param>
    /// <param name="row">The parameters.</param>
    /// <param name="unlessChanged">What is thrown where it did not change a row.</param>
    internal void Defer(RowStatement statement, string key, object row, Func<Exception>? unlessChanged = null)
    {
        if (_transaction is null) throw new InvalidOperationException("A change belongs to a write.");
        var last = _lastOf.GetValueOrDefault(key, -1);
        var place = _deferred.FindLastIndex(other => other.Statement == statement && other.Rows.Count < RowStatement.MostRows);
        if (place < last || place < 0 || (place == last && !statement.Adds))
        {
            place = _deferred.Count;
            _deferred.Add(new Deferred(statement));
        }

        _lastOf[key] = place;
        _deferred[place].Rows.Add(row);
        if (unlessChanged is not null) _deferred[place].Unless.Add(unlessChanged);
    }

    /// <summary>Runs what was deferred now.</summary>
    public async Task FlushAsync()
    {
        foreach (var gathered in _gathered.Values) gathered.Defer(this);
        _gathered.Clear();
        var deferred = _deferred.ToArray();
        _deferred.Clear();
        _lastOf.Clear();
        if (deferred.Length == 0) return;
        if (!_connection.CanCreateBatch)
        {
            foreach (var one in deferred)
            {
                await using var command = _connection.CreateCommand();
                command.Transaction = _transaction;
                command.CommandText = one.Statement.Text(one.Rows.Count);
                one.Statement.Bind(one.Rows, command.CreateParameter, command.Parameters);
                one.Check(await command.ExecuteNonQueryAsync(_cancellation));
            }

            return;
        }

        await using var batch = _connection.CreateBatch();
        batch.Transaction = _transaction;
        var parts = new List<(Deferred Of, DbBatchCommand Command)>();
        foreach (var one in deferred)
        {
            // In powers of two: few texts, which the server has planned already.
            for (int from = 0, rows; from < one.Rows.Count; from += rows)
            {
                rows = 1 << BitOperations.Log2((uint)(one.Rows.Count - from));
                var command = batch.CreateBatchCommand();
                command.CommandText = one.Statement.Text(rows);
                one.Statement.Bind(one.Rows.GetRange(from, rows), command.CreateParameter, command.Parameters);
                batch.BatchCommands.Add(command);
                parts.Add((one, command));
            }
        }

        await batch.ExecuteNonQueryAsync(_cancellation);
        foreach (var part in parts.GroupBy(part => part.Of)) part.Key.Check(part.Sum(piece => piece.Command.RecordsAffected));
    }

    /// <summary>What several calls add to, and what becomes fewer statements than calls: deferred behind all that was deferred before.</summary>
    internal T Gather<T>(object key, Func<T> begin) where T : IGathered
    {
        if (_transaction is null) throw new InvalidOperationException("A change belongs to a write.");
        if (_gathered.TryGetValue(key, out var known)) return (T)known;
        var begun = begin();
        _gathered.Add(key, begun);
        return begun;
    }

    /// <summary>Tells every process that listens, once this session is committed; the same signal twice goes out once.</summary>
    public void Raise(string topic, string payload)
    {
        if (_transaction is null) throw new InvalidOperationException("A signal belongs to a write.");
        var signal = new Signal(topic, payload);
        if (!_raised.Contains(signal)) _raised.Add(signal);
    }

    /// <summary>What is true only once this is committed (a measurement): never run where it is rolled back, and once where it is tried again. Must not throw.</summary>
    public void AfterCommit(Action deed)
    {
        if (_transaction is null) throw new InvalidOperationException("Only a write is committed.");
        _afterwards.Add(deed);
    }

    internal void Committed()
    {
        foreach (var deed in _afterwards) deed();
    }

    /// <summary>What is done once for all who asked, when everything else of the transaction is done: what it locks is not held while anything is waited for.</summary>
    internal T AtLast<T>(object key, Func<T> begin) where T : ILast
    {
        if (_transaction is null) throw new InvalidOperationException("A change belongs to a write.");
        if (_last.TryGetValue(key, out var known)) return (T)known;
        var begun = begin();
        _last.Add(key, begun);
        return begun;
    }

    /// <summary>The last of what the transaction does.</summary>
    internal async Task FinishAsync()
    {
        foreach (var last in _last.Values) await last.DoAsync(this);
        if (Dialect.Notification is { } notification)
        {
            foreach (var signal in _raised) Defer(notification, "", new { Payload = $"{signal.Topic} {signal.Payload}" });
        }

        await FlushAsync();
    }

    private CommandDefinition Command(string sql, object? parameters) => new(sql, parameters, _transaction, cancellationToken: _cancellation);

    private sealed class Deferred(RowStatement statement)
    {
        public RowStatement Statement { get; } = statement;
        public List<object> Rows { get; } = [];
        public List<Func<Exception>> Unless { get; } = [];

        public void Check(int changed)
        {
            if (Unless.Count > 0 && changed != Rows.Count) throw Unless[0]();
        }
    }
}

/// <summary>Changes that are gathered until they are deferred together.</summary>
internal interface IGathered
{
    void Defer(Session session);
}

/// <summary>What is done when everything else of a transaction is done.</summary>
internal interface ILast
{
    Task DoAsync(Session session);
}
