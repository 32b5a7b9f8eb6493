using System.Net;
using System.Text.Json.Nodes;
using Hangfire;
using Hangfire.InMemory;
using Hangfire.Server;
using LabPortal.Data;
using LabPortal.Operations;
using LabPortal.Operations.Workflows;
using LabPortal.Testing;
using LabPortal.Web.Hosting;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.TestHost;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace LabPortal.Web.Tests.Hosting;

public sealed class HealthTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_portal_whose_pump_is_silent_for_half_a_minute_is_not_ready_until_it_looks_again()
    {
        using var folder = new TestFolder();
        await using var databases = new TestDatabases();
        await using var database = await databases.CreateAsync(Engine.Sqlite);
        var clock = new FakeTimeProvider();
        await Installation.EnsureAsync(database, clock, Cancellation);
        var settings = new EngineSettings();
        using var lease = new WorkerLease(database, clock, settings);
        var bell = new TurnBell(clock);
        await using var portal = Portal(database, bell, folder, clock);
        await portal.StartAsync(Cancellation);
        using var client = portal.GetTestClient();
        using var storage = new InMemoryStorage();
        var pump = new TurnPump(database, new RegisteredWorkflows(), lease, bell, settings, clock, new BackgroundJobClient(storage), NullLogger<TurnPump>.Instance);
        using var stopping = new CancellationTokenSource();
        var pumping = Task.Factory.StartNew(
            () => pump.Execute(new BackgroundProcessContext("test", storage, new Dictionary<string, object>(), Guid.NewGuid(), stopping.Token, stopping.Token, stopping.Token)),
            Cancellation, TaskCreationOptions.LongRunning, TaskScheduler.Default);

        Assert.Null(await UntilAsync(HttpStatusCode.OK, beats: true));
        // Its beat does not come through any more, so that it may take no work.
        Assert.Equal("The pump has not looked for work for half a minute.", await UntilAsync(HttpStatusCode.ServiceUnavailable, beats: false));
        Assert.InRange(bell.SinceLooked, TimeSpan.FromSeconds(30), TimeSpan.MaxValue);
        Assert.Null(await UntilAsync(HttpStatusCode.OK, beats: true));
        await stopping.CancelAsync();
        await pumping;

        // Second for second, however long that takes here: what the background work's check says when the whole answer is so.
        async Task<string?> UntilAsync(HttpStatusCode status, bool beats)
        {
            for (var round = 0; round < 6000; round++)
            {
                if (beats) await lease.BeatAsync(Cancellation);
                using var answer = await client.GetAsync("/health/ready", Cancellation);
                if (answer.StatusCode == status)
                {
                    var checks = JsonNode.Parse(await answer.Content.ReadAsStringAsync(Cancellation))!["checks"]!.AsArray();
                    return (string?)checks.Single(check => (string?)check!["name"] == "background")!["problem"];
                }

                clock.Advance(TimeSpan.FromSeconds(1));
                await Task.Delay(20, Cancellation);
            }

            throw new InvalidOperationException($"The portal does not answer {status}.");
        }
    }

    private static WebApplication Portal(Database database, TurnBell bell, TestFolder folder, TimeProvider clock)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseTestServer();
        builder.Logging.ClearProviders();
        builder.Services.AddSingleton(database).AddSingleton(bell).AddSingleton(clock).AddSingleton<PortalStart>()
            .AddSingleton(new PortalSettings { Database = "", DataFolder = folder["data"] });
        var portal = builder.Build();
        portal.MapHealth();
        return portal;
    }
}
