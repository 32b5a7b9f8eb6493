using System.Text.Json.Nodes;
using LabPortal.Testing;

[assembly: AssemblyFixture(typeof(LabPortal.Cli.Tests.SharedPortal))]

namespace LabPortal.Cli.Tests;

/// <summary>One real portal for all tests, with simulated pools: one that builds at once, one that takes its time. Each test names its own labs.</summary>
public sealed class SharedPortal : IAsyncLifetime
{
    public static readonly string Catalogue = SimulatedCatalogue.Yaml(labs: 1000, createSeconds: 0.02, bootSeconds: 0.05, label: "quick") + """

        ---
        kind: Pool
        name: slow
        provider: simulated
        labels: [slow]
        settings: { seed: 7, createSeconds: 0.02, bootSeconds: 300, hosts: 4, hostCpu: 512, hostMemoryMiB: 1048576 }
        limits: { operationsAtOnce: 16, bootsAtOnce: 16 }
        ---
        kind: Blueprint
        name: single
        title: One machine
        machines: [{ name: web, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1 }]
        placement: { require: [quick] }
        lease: { default: 4h, max: 72h, grace: 0h }
        ---
        kind: Blueprint
        name: slow
        title: One machine that takes its time
        machines: [{ name: web, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1 }]
        placement: { require: [slow] }
        lease: { default: 4h, max: 72h, grace: 0h }
        ---
        kind: Team
        name: small
        zone: Europe/Berlin
        quota: { machines: 1 }
        ---
        kind: Team
        name: many
        zone: Europe/Berlin
        quota: { labs: 1000 }
        ---
        kind: Team
        name: calm
        zone: Europe/Berlin
        quota: { labs: 5, cpu: 10 }
        """;

    private readonly TestFolder _folder = new();
    private PortalProcess? _portal;

    public Uri Address => _portal!.Address;

    internal LabProcess Lab() => new(Address);

    public PortalClient Client() => _portal!.Client();

    public async ValueTask InitializeAsync()
    {
        await File.WriteAllTextAsync(_folder["apply.yaml"], Catalogue);
        _portal = await PortalProcess.StartAsync(_folder["data"], applyFile: _folder["apply.yaml"]);
        using var client = Client();
        (await client.PostAsync("labs", new JsonObject { ["blueprint"] = "pair", ["team"] = "calm", ["name"] = "nobody touches it", ["start"] = LabProcess.Later })).Must(202);
    }

    public async ValueTask DisposeAsync()
    {
        if (_portal is not null) await _portal.DisposeAsync();
        _folder.Dispose();
    }
}
