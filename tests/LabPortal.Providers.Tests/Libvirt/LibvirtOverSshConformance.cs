using LabPortal.Domain;
using LabPortal.Domain.Pools;
using LabPortal.Providers.Libvirt;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Providers.Tests.Libvirt;

/// <summary>The same over <c>qemu+ssh://</c>, through Debian's sshd on loopback; here a login can be refused.</summary>
[Collection(OnLibvirtOverSsh.Name)]
[ConformanceOf(typeof(LibvirtKind))]
public sealed class LibvirtOverSshConformance(LibvirtSshPeer peer) : LibvirtConformance(peer)
{
    private string? _key;

    protected override IReadOnlyDictionary<Type, string> CannotHave { get; } = new Dictionary<Type, string>
    {
        [typeof(WireFault.Throttled)] = "No answer of libvirt says: come back later.",
    };

    /// <summary>Every call is cut on the socket; here, where a connection takes ten times as long, some of those that change something.</summary>
    protected override bool CutsReads => false;

    protected override bool CutsEachCall => false;

    protected override int FewestWireCallsOfACreate => 5;

    protected override string UriOf(string socket) =>
        $"qemu+ssh://root@127.0.0.1:{peer.Sshd.Port}/system?socket={socket}&keyfile={_key ?? peer.Sshd.KeyFile}&command={peer.Sshd.ClientFile}";

    protected override async Task<IProvider> OpenAsync(InstallationId installation, WireFault fault, CancellationToken cancellation)
    {
        if (fault is not WireFault.RefusedLogin) return await base.OpenAsync(installation, fault, cancellation);
        _key = peer.Sshd.StrangersKeyFile;
        return Open(installation);
    }

    protected override Task MendWireAsync(CancellationToken cancellation)
    {
        _key = null;
        return base.MendWireAsync(cancellation);
    }
}

/// <summary>Another libvirtd, so that both collections run side by side, and an sshd before it.</summary>
public sealed class LibvirtSshPeer : LibvirtPeer
{
    private LoopbackSshd? _sshd;

    public LoopbackSshd Sshd => _sshd!;

    public override async ValueTask InitializeAsync()
    {
        await base.InitializeAsync();
        if (PrivateLibvirt.WhyNot is null) _sshd = await LoopbackSshd.StartAsync(TestContext.Current.CancellationToken, seeAs: await Libvirt.PidAsync(TestContext.Current.CancellationToken));
    }

    public override async ValueTask DisposeAsync()
    {
        if (_sshd is not null) await _sshd.DisposeAsync();
        await base.DisposeAsync();
    }
}

[CollectionDefinition(Name)]
public sealed class OnLibvirtOverSsh : ICollectionFixture<LibvirtSshPeer>
{
    public const string Name = "on libvirt over ssh";
}
