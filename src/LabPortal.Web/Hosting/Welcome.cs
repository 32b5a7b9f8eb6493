using LabPortal.Operations.People;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;

namespace LabPortal.Web.Hosting;

/// <summary>Says where the portal is, and while nobody can sign in yet, how the first admin does.</summary>
internal sealed class Welcome(IServer server, IHostApplicationLifetime lifetime, PeopleCalls people, PortalSettings settings, ILogger<Welcome> log) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var started = new TaskCompletionSource();
        await using var _ = lifetime.ApplicationStarted.Register(started.SetResult);
        await started.Task.WaitAsync(stoppingToken);
        var address = settings.PublicAddress ?? server.Features.Get<IServerAddressesFeature>()?.Addresses.FirstOrDefault()?.TrimEnd('/');
        if (await people.MakeSetupLinkAsync(stoppingToken) is { } link)
            log.LogWarning("Nobody can sign in yet. Make the first admin within a day at {SetupLink}", $"{address}/setup/{link.Token}");
        log.LogInformation("The portal is at {Address}", address);
    }
}
