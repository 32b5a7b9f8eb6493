using System.Globalization;
using LabPortal.Domain;
using LabPortal.Domain.Pools;
using LabPortal.Providers.HyperV;
using Xunit;

namespace LabPortal.Providers.Tests.HyperV;

/// <summary>A cut kills the host's PowerShell at a call of the module: in the midst of a script.</summary>
[ConformanceOf(typeof(HyperVKind))]
public sealed class HyperVConformance(HyperVPeer peer) : ProviderConformance, IClassFixture<HyperVPeer>
{
    private readonly HyperVFolder _host = new();

    protected override ImageBinding Image => new("tiny", "1", new Dictionary<string, string> { ["vhdx"] = "tiny.vhdx" });

    protected override ImageBinding NewImage(string name, string format) => new(name, "1", new Dictionary<string, string> { ["vhdx"] = name });

    protected override IReadOnlyList<string> Hosts => [HyperVFolder.Name];

    protected override string DataFolder => _host.Data;

    protected override IReadOnlySet<Type> Abilities { get; } = new HashSet<Type> { typeof(IPowerAbility), typeof(ISnapshotAbility), typeof(ICapacityAbility), typeof(IImagesAbility) };

    protected override int FewestWireCallsOfACreate => 10;

    protected override TimeSpan Patience => TimeSpan.FromSeconds(60);

    protected override IReadOnlyList<string> Secrets => ["-7d1c", "BEGIN OPENSSH"];

    protected override IReadOnlyDictionary<Type, string> CannotHave => new Dictionary<Type, string> { [typeof(WireFault.Throttled)] = "Hyper-V asks nobody to slow down." };

    protected override IProvider Open(InstallationId installation) => peer.OpenAsync(_host, installation).GetAwaiter().GetResult();

    protected override async Task<IProvider> OpenAsync(InstallationId installation, WireFault fault, CancellationToken cancellation) => fault switch
    {
        WireFault.CutOff cut => await peer.OpenAsync(_host, installation, string.Create(CultureInfo.InvariantCulture, $"cut:{cut.Call}:{(cut.AfterEffect ? "after" : "before")}:{_host.Host}/count-{Guid.NewGuid():n}")),
        WireFault.Full => await peer.OpenAsync(_host, installation, "full"),
        WireFault.Silent => await peer.OpenAsync(_host, installation, "silent"),
        WireFault.RefusedLogin => await peer.OpenAsync(_host, installation, key: await File.ReadAllTextAsync(peer.Sshd.StrangersKeyFile, cancellation)),
        WireFault.Away => await peer.OpenAsync(_host, installation, more: """{"host":{"port":1}}"""),
        _ => throw new NotSupportedException(),
    };

    /// <summary>A harmed line belongs to a key that nobody else has.</summary>
    protected override Task MendWireAsync(CancellationToken cancellation) => Task.CompletedTask;

    protected override Task<IReadOnlyList<PeerResource>> ListEverythingAsync(CancellationToken cancellation) => Task.FromResult(_host.Everything());

    protected override Task RemoveImageAsync(ImageBinding image, CancellationToken cancellation) => Task.CompletedTask;

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        _host.Dispose();
        GC.SuppressFinalize(this);
    }
}
