using System.Text.Json.Nodes;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Providers.Azure;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Providers.Tests.Azure;

[ConformanceOf(typeof(AzureKind))]
public class AzureConformance(ArmPeer peer) : ProviderConformance, IClassFixture<ArmPeer>
{
    private readonly TestFolder _folder = new();
    private readonly ArmWorld _subscription = new();

    protected override ImageBinding Image => new("tiny", "1", new Dictionary<string, string> { ["image"] = "debian:debian-12:12-gen2:latest" });

    protected override ImageBinding NewImage(string name, string format) => new(name, "1", new Dictionary<string, string> { ["image"] = $"/subscriptions/{ArmWorld.Subscription}/resourceGroups/images/providers/Microsoft.Compute/images/{name}" });

    protected override IReadOnlyList<string> Hosts => [ArmWorld.Location];

    protected override string DataFolder => _folder.Path;

    protected override IReadOnlySet<Type> Abilities { get; } = new HashSet<Type> { typeof(IPowerAbility), typeof(ISnapshotAbility), typeof(ISerialLogAbility), typeof(IImagesAbility) };

    protected override IReadOnlyList<string> ImageHosts => [""];

    protected override string? WhySnapshotsHaveNoMemory => "Azure keeps disks only, and tells no one's size.";

    protected override int FewestWireCallsOfACreate => 2;

    protected override bool ReadsLag => true;

    protected override TimeSpan Patience => TimeSpan.FromSeconds(20);

    protected override IReadOnlyList<string> Secrets => ["-9b3e"];

    protected virtual string More => "{}";

    protected override IProvider Open(InstallationId installation) => AzurePools.Open(peer, _subscription, installation, _folder.Path, more: More);

    protected override Task<IProvider> OpenAsync(InstallationId installation, WireFault fault, CancellationToken cancellation)
        => Task.FromResult(AzurePools.Open(peer, _subscription, installation, _folder.Path, fault, More));

    /// <summary>A harmed wire belongs to a token that nobody else has.</summary>
    protected override Task MendWireAsync(CancellationToken cancellation) => Task.CompletedTask;

    protected override Task<IReadOnlyList<PeerResource>> ListEverythingAsync(CancellationToken cancellation) => Task.FromResult<IReadOnlyList<PeerResource>>([.. _subscription.Everything()
        .Where(thing => thing.Name != AzurePools.FixedGroup).Select(thing => new PeerResource(thing.Type.Split('/')[^1] switch
        {
            "virtualMachines" => ResourceKind.Machine, "disks" => ResourceKind.Disk, "networkInterfaces" => ResourceKind.Card, "publicIPAddresses" => ResourceKind.Address, "snapshots" => ResourceKind.Snapshot, _ => ResourceKind.Group,
        }, thing.Id, NameOf(thing.Id, thing.Name)))]);

    /// <summary>A snapshot's name with the whole id of its tag.</summary>
    private string NameOf(string id, string name)
        => _subscription.Find(id)?.Body["tags"]?[AzureMapping.SnapshotTag]?.ToString() is { } snapshot ? $"{name.Split(Owner.SnapshotSuffix)[0]}{Owner.SnapshotSuffix}{snapshot}" : name;

    protected override Task RemoveImageAsync(ImageBinding image, CancellationToken cancellation) => Task.CompletedTask;

    public override async ValueTask InitializeAsync()
    {
        await base.InitializeAsync();
        _subscription.Answer("PUT", $"/subscriptions/{ArmWorld.Subscription}/resourceGroups/{AzurePools.FixedGroup}", new Dictionary<string, string>(), [], full: false);
    }

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        Assert.Empty(peer.Violations);
        _folder.Dispose();
        GC.SuppressFinalize(this);
    }
}

/// <summary>The same where an admin says in which group machines are made.</summary>
[ConformanceOf(typeof(AzureKind))]
public sealed class AzureInOneGroupConformance(ArmPeer peer) : AzureConformance(peer)
{
    protected override string More => $$"""{"resourceGroup": "{{AzurePools.FixedGroup}}"}""";
}

internal static class AzurePools
{
    public const string FixedGroup = "everybodys";

    private static readonly AzureTimes s_quick = new(TimeSpan.FromMilliseconds(60), TimeSpan.FromMilliseconds(10));

    public static JsonObject Settings(ArmPeer peer, string more = "{}")
    {
        var settings = new JsonObject
        {
            ["subscription"] = ArmWorld.Subscription, ["location"] = ArmWorld.Location, ["subnet"] = ArmWorld.Subnet, ["endpoint"] = peer.Url,
            ["sizes"] = new JsonArray([.. new[] { ("Standard_B1s", 1, 1024), ("Standard_B2s", 2, 4096), ("Standard_D4s_v5", 4, 16384) }.Select(size => new JsonObject { ["size"] = size.Item1, ["cpu"] = size.Item2, ["memoryMiB"] = size.Item3 })]),
        };
        foreach (var (name, value) in JsonNode.Parse(more)!.AsObject()) settings[name] = value?.DeepClone();
        Assert.Empty(AzureSettings.Schema.Validate(settings));
        return settings;
    }

    public static IProvider Open(ArmPeer peer, ArmWorld subscription, InstallationId installation, string folder, WireFault? fault = null, string more = "{}", TimeProvider? time = null)
    {
        var settings = Settings(peer, more);
        if (fault is WireFault.Away) settings["endpoint"] = "https://127.0.0.1:1";
        var read = AzureSettings.Read(settings);
        return new AzureProvider(new PoolContext(installation, "pool", settings, folder, time ?? TimeProvider.System), read, new AzureClient(read, peer.NewToken(subscription, fault), peer.NewTransport(fault is not null)), s_quick);
    }
}
