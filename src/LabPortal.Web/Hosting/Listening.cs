using LabPortal.Data;

namespace LabPortal.Web.Hosting;

/// <summary>Hears what other processes changed.</summary>
internal sealed class Listening(Database database, ILogger<Listening> log) : BackgroundService
{
    protected override Task ExecuteAsync(CancellationToken stoppingToken)
        => database.Signals.RunAsync(fault => log.LogWarning(fault, "Listening to the database was interrupted; it is tried again."), stoppingToken);
}
