using LabPortal.Data;
using LabPortal.Data.Migrations;

namespace LabPortal.Testing;

/// <summary>Which database a law is tried on: every store law holds on both.</summary>
public enum Engine
{
    Sqlite,
    Postgres,
}

/// <summary>Migrated databases of their own for tests. One PostgreSQL server serves a whole test assembly (an assembly fixture).</summary>
public sealed class TestDatabases : IAsyncDisposable
{
    private readonly SemaphoreSlim _gate = new(1, 1);
    private readonly TestFolder _folder = new();
    private PostgresServer? _server;
    private int _files;

    /// <summary>For figures: commits on PostgreSQL cost what they cost in production.</summary>
    public bool Durable { get; init; }

    /// <summary>A new database with this build's schema.</summary>
    public async Task<Database> CreateAsync(Engine engine)
    {
        var database = Database.Open(await CreateSettingAsync(engine));
        await SchemaMigration.ApplyAsync(database, CancellationToken.None);
        return database;
    }

    /// <summary>A new, empty database, as the configuration names it.</summary>
    public async Task<string> CreateSettingAsync(Engine engine)
    {
        if (engine == Engine.Sqlite) return $"sqlite:{_folder[$"{Interlocked.Increment(ref _files)}.db"]}";
        await _gate.WaitAsync();
        try
        {
            _server ??= await PostgresServer.StartAsync(Durable);
        }
        finally
        {
            _gate.Release();
        }

        return await _server.CreateDatabaseAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (_server is not null) await _server.DisposeAsync();
        _folder.Dispose();
        _gate.Dispose();
    }
}
