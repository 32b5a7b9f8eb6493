using Hangfire;
using Hangfire.AspNetCore;
using Hangfire.Server;

namespace LabPortal.Web.Hosting;

/// <summary>
/// Hosts Hangfire's server with what runs beside its workers: the pump and the sweeps. Our journal holds the truth, so what this
/// storage loses or repeats does no harm.
/// </summary>
internal sealed class BackgroundWork(JobStorage storage, IServiceScopeFactory scopes, IEnumerable<IBackgroundProcess> processes) : IHostedService, IDisposable
{
    public const int Workers = 8;
    private BackgroundJobServer? _server;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        _server = new BackgroundJobServer(
            new BackgroundJobServerOptions
            {
                WorkerCount = Workers,
                Activator = new AspNetCoreJobActivator(scopes),
                ServerName = $"{Environment.MachineName}-{Environment.ProcessId}",
                HeartbeatInterval = TimeSpan.FromSeconds(5),
                ServerTimeout = TimeSpan.FromMinutes(1),
                ServerCheckInterval = TimeSpan.FromMinutes(1),
                SchedulePollingInterval = TimeSpan.FromSeconds(15),
                StopTimeout = TimeSpan.FromSeconds(5),
                ShutdownTimeout = TimeSpan.FromSeconds(15),
            },
            storage,
            processes);
        return Task.CompletedTask;
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        if (_server is null) return;
        _server.SendStop();
        // What a step has begun is finished or waits in the journal: nothing is lost by not waiting longer.
        await _server.WaitForShutdownAsync(cancellationToken);
    }

    public void Dispose() => _server?.Dispose();
}
