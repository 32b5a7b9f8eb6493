using System.Text.Json.Nodes;
using LabPortal.Domain;
using LabPortal.Domain.Pools;
using LabPortal.Providers.Libvirt;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Providers.Tests.Libvirt;

/// <summary>One private libvirtd for a collection of test classes.</summary>
public class LibvirtPeer : IAsyncLifetime
{
    private const string BareVolume = "bare.qcow2";

    private PrivateLibvirt? _libvirt;

    public PrivateLibvirt Libvirt
    {
        get
        {
            Assert.SkipWhen(PrivateLibvirt.WhyNot is not null, PrivateLibvirt.WhyNot ?? "");
            return _libvirt!;
        }
    }

    public virtual async ValueTask InitializeAsync()
    {
        if (PrivateLibvirt.WhyNot is not null) return;
        var cancellation = TestContext.Current.CancellationToken;
        _libvirt = await PrivateLibvirt.StartAsync(cancellation);
        await _libvirt.VirshAsync(cancellation, "vol-create-as", "lab", BareVolume, "1M", "--format", "qcow2");
    }

    public virtual async ValueTask DisposeAsync()
    {
        if (_libvirt is not null) await _libvirt.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    /// <summary>A disk with nothing on it: the firmware looks for a system, and rests.</summary>
    public static ImageBinding Bare { get; } = new("bare", "1", new Dictionary<string, string> { ["volume"] = BareVolume });

    public static ImageBinding Tiny { get; } = new("tiny", "1", new Dictionary<string, string> { ["volume"] = PrivateLibvirt.ImageVolume });

    /// <summary>A provider of the pool with these hosts, all of which use the storage pool and network <c>lab</c>.</summary>
    public static IProvider Open(InstallationId installation, string uri, string dataFolder = "/nonexistent", int callSeconds = 30, string acceleration = "emulated", string storagePool = "lab") =>
        new LibvirtKind().Open(new PoolContext(installation, "here", new JsonObject
        {
            ["hosts"] = new JsonArray(new JsonObject { ["name"] = "here", ["uri"] = uri }),
            ["storagePool"] = storagePool,
            ["network"] = "lab",
            ["acceleration"] = acceleration,
            ["callSeconds"] = callSeconds,
        }, dataFolder, TimeProvider.System));
}

[CollectionDefinition(Name)]
public sealed class OnLibvirt : ICollectionFixture<LibvirtPeer>
{
    public const string Name = "on libvirt";
}

/// <summary>A libvirtd of their own for the tests of guests, images and networks: they go on beside the conformance facts, and most of both is waiting.</summary>
[CollectionDefinition(Name)]
public sealed class GuestsOnLibvirt : ICollectionFixture<LibvirtPeer>
{
    public const string Name = "guests on libvirt";
}
