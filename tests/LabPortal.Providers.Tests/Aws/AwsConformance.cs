using System.Text.Json.Nodes;
using LabPortal.Domain;
using LabPortal.Domain.Pools;
using LabPortal.Providers.Aws;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Providers.Tests.Aws;

[ConformanceOf(typeof(AwsKind))]
public sealed class AwsConformance(Ec2Peer peer) : ProviderConformance, IClassFixture<Ec2Peer>
{
    private readonly TestFolder _folder = new();
    private readonly Ec2World _account = new();

    protected override ImageBinding Image => new("tiny", "1", new Dictionary<string, string> { ["ami"] = "ami-00000001" });

    protected override ImageBinding NewImage(string name, string format) => new(name, "1", new Dictionary<string, string> { ["ami"] = name });

    protected override IReadOnlyList<string> Hosts => [Ec2World.Zone];

    protected override string DataFolder => _folder.Path;

    protected override IReadOnlySet<Type> Abilities { get; } = new HashSet<Type> { typeof(IPowerAbility), typeof(ISnapshotAbility), typeof(ISerialLogAbility), typeof(IImagesAbility) };

    protected override IReadOnlyList<string> ImageHosts => [""];

    protected override int FewestWireCallsOfACreate => 3;

    protected override bool ReadsLag => true;

    protected override TimeSpan Patience => TimeSpan.FromSeconds(20);

    protected override IReadOnlyList<string> Secrets => ["-7d1c"];

    protected override string? WhySnapshotsHaveNoMemory => "EBS keeps disks only, and tells no one's size.";

    protected override IProvider Open(InstallationId installation) => AwsPools.Open(peer.Url, peer.NewKey(_account), installation, _folder.Path);

    protected override Task<IProvider> OpenAsync(InstallationId installation, WireFault fault, CancellationToken cancellation)
        => Task.FromResult(fault is WireFault.Away ? AwsPools.Open("http://127.0.0.1:1", ("AKIA", "none-7d1c"), installation, _folder.Path) : AwsPools.Open(peer.Url, peer.NewKey(_account, fault), installation, _folder.Path));

    /// <summary>A harmed wire belongs to an access key that nobody else has.</summary>
    protected override Task MendWireAsync(CancellationToken cancellation) => Task.CompletedTask;

    protected override Task<IReadOnlyList<PeerResource>> ListEverythingAsync(CancellationToken cancellation) => Task.FromResult<IReadOnlyList<PeerResource>>([.. _account.Everything().Select(thing => new PeerResource(
        thing.Kind switch { "instance" => ResourceKind.Machine, "volume" => ResourceKind.Disk, "card" => ResourceKind.Card, "group" => ResourceKind.Group, _ => ResourceKind.Snapshot }, thing.Id, thing.Name))]);

    protected override Task RemoveImageAsync(ImageBinding image, CancellationToken cancellation) => Task.CompletedTask;

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        _folder.Dispose();
        GC.SuppressFinalize(this);
    }
}

internal static class AwsPools
{
    private static readonly AwsTimes s_quick = new(TimeSpan.FromMilliseconds(60), TimeSpan.FromMilliseconds(10));

    public static IProvider Open(string url, (string Id, string Secret) key, InstallationId installation, string folder, string more = "{}", TimeProvider? time = null)
    {
        var settings = new JsonObject
        {
            ["region"] = Ec2Peer.Region, ["serviceUrl"] = url, ["accessKeyId"] = key.Id, ["secretAccessKey"] = key.Secret, ["securityGroups"] = Ids("sg-0a"), ["subnets"] = Ids("subnet-0a", "subnet-0b"),
            ["instanceTypes"] = new JsonArray([.. new[] { ("t3.micro", 2, 1024), ("t3.small", 2, 2048), ("m6i.large", 4, 8192) }.Select(size => new JsonObject { ["type"] = size.Item1, ["cpu"] = size.Item2, ["memoryMiB"] = size.Item3 })]),
        };
        foreach (var (name, value) in JsonNode.Parse(more)!.AsObject()) settings[name] = value?.DeepClone();
        Assert.Empty(AwsSettings.Schema.Validate(settings));
        return new AwsProvider(new PoolContext(installation, "pool", settings, folder, time ?? TimeProvider.System), AwsSettings.Read(settings), s_quick);
    }

    private static JsonArray Ids(params string[] ids) => [.. ids.Select(id => new JsonObject { ["id"] = id })];
}
