using Hangfire;
using Hangfire.AspNetCore;
using Hangfire.PostgreSql;
using Hangfire.PostgreSql.Factories;
using LabPortal.Data;
using LabPortal.Operations;
using LabPortal.Operations.Machines;
using LabPortal.Operations.Pools;
using LabPortal.Operations.Workflows;
using LabPortal.Providers;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace LabPortal.Bench;

/// <summary>The engine as the portal hosts it: the pump and the beat in a Hangfire server on PostgreSQL.</summary>
internal sealed class EngineHost : IAsyncDisposable
{
    private readonly ServiceProvider _services;
    private readonly BackgroundJobServer _server;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Task _listening;

    public EngineHost(Database database, string connectionString, RegisteredWorkflows workflows, int workers)
    {
        var options = new PostgreSqlStorageOptions { QueuePollInterval = TimeSpan.FromSeconds(1), EnableLongPolling = true };
        var storage = new PostgreSqlStorage(new NpgsqlConnectionFactory(connectionString, options), options);
        _services = new ServiceCollection()
            .AddLogging(log => log.AddConsole().SetMinimumLevel(LogLevel.Warning))
            .AddSingleton(TimeProvider.System).AddSingleton(database).AddSingleton(workflows).AddSingleton<EngineSettings>()
            .AddSingleton<WorkerLease>().AddSingleton<TurnBell>().AddSingleton<TurnWriter>().AddSingleton<Runs>().AddSingleton<TurnBatch>().AddSingleton<TurnPump>().AddSingleton<WorkerBeat>()
            .AddSingleton<IBackgroundJobClient>(new BackgroundJobClient(storage))
            .AddSingleton(services => new StepTools(database, null!, null!, null!, null!, new PortalIdentity(default, ""), TimeProvider.System, services.GetRequiredService<EngineSettings>()))
            .BuildServiceProvider();
        _listening = database.Signals.RunAsync(fault => Console.Error.WriteLine(fault), _stopping.Token);
        _server = new BackgroundJobServer(
            new BackgroundJobServerOptions { WorkerCount = workers, Activator = new AspNetCoreJobActivator(_services.GetRequiredService<IServiceScopeFactory>()) },
            storage,
            [_services.GetRequiredService<WorkerBeat>(), _services.GetRequiredService<TurnPump>()]);
    }

    public async ValueTask DisposeAsync()
    {
        _server.SendStop();
        await _server.WaitForShutdownAsync(CancellationToken.None);
        _server.Dispose();
        await _stopping.CancelAsync();
        await _listening;
        await _services.DisposeAsync();
        _stopping.Dispose();
    }
}
