using LabPortal.Domain;
using LabPortal.Domain.Pools;
using LabPortal.Providers.Libvirt;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Providers.Tests.Libvirt;

/// <summary>Over the Unix socket of a private libvirtd, with guests that really boot.</summary>
[Collection(OnLibvirt.Name)]
[ConformanceOf(typeof(LibvirtKind))]
public class LibvirtConformance(LibvirtPeer peer) : ProviderConformance
{
    private const string FullPool = "full";

    private readonly TestFolder _folder = new();
    private CutWire? _wire;
    private bool _full;

    protected override string DataFolder => _folder.Path;

    protected override IReadOnlyList<string> Hosts => ["here"];

    /// <summary>What the tiny guest boots with.</summary>
    protected override int MemoryMiB => 128;

    /// <summary>A boot takes six seconds here, and many times that beside other tests that boot.</summary>
    protected override TimeSpan Patience => TimeSpan.FromMinutes(5);

    protected override int FewestWireCallsOfACreate => 12;

    protected override bool CutsBeforeEffect => false;

    protected override IReadOnlySet<Type> Abilities { get; } =
        new HashSet<Type> { typeof(IPowerAbility), typeof(ISnapshotAbility), typeof(ICapacityAbility), typeof(IImagesAbility), typeof(IImportAbility), typeof(ISerialLogAbility), typeof(ISerialConsoleAbility), typeof(INetworkAbility), typeof(IWarmStartAbility), typeof(IScreenAbility) };

    protected override IReadOnlyDictionary<Type, string> CannotHave { get; } = new Dictionary<Type, string>
    {
        [typeof(WireFault.Throttled)] = "No answer of libvirt says: come back later.",
        [typeof(WireFault.RefusedLogin)] = "A Unix socket of one's own asks nobody who they are.",
    };

    protected override ImageBinding Image => LibvirtPeer.Tiny;

    protected override ImageBinding BareImage => LibvirtPeer.Bare;

    /// <summary>Whether a cut counts every call, or only those that change something at the peer.</summary>
    protected virtual bool CutsReads => true;

    protected override string? WhyWarmStatesAreNotCut => "Each of some thirty calls would cost a boot; where it costs most it is cut in LibvirtWarm.";

    protected PrivateLibvirt Libvirt => peer.Libvirt;

    private string WirePath => _folder["wire"];

    protected override ImageBinding NewImage(string name, string format) =>
        new(name, "1", new Dictionary<string, string> { ["volume"] = name + ".img", ["format"] = format });

    /// <summary>The URI by which this libvirtd is reached behind that socket.</summary>
    protected virtual string UriOf(string socket) => $"qemu:///system?socket={socket}";

    protected override IProvider Open(InstallationId installation) => LibvirtPeer.Open(installation, UriOf(Libvirt.Socket), _folder.Path);

    protected override async Task<IProvider> OpenAsync(InstallationId installation, WireFault fault, CancellationToken cancellation)
    {
        switch (fault)
        {
            case WireFault.CutOff or WireFault.Silent:
                _wire = new CutWire(WirePath, Libvirt.Socket, fault, CutsReads);
                return LibvirtPeer.Open(installation, UriOf(WirePath), _folder.Path);
            case WireFault.Away:
                return LibvirtPeer.Open(installation, UriOf(WirePath), _folder.Path);
            case WireFault.Full:
                await FillAsync(cancellation);
                return LibvirtPeer.Open(installation, UriOf(Libvirt.Socket), _folder.Path, storagePool: FullPool);
            default:
                throw new NotSupportedException(fault.ToString());
        }
    }

    protected override async Task MendWireAsync(CancellationToken cancellation)
    {
        if (_wire is not null) await _wire.DisposeAsync();
        _wire = null;
        if (_full)
        {
            await Libvirt.VirshAsync(cancellation, "pool-destroy", FullPool);
            await Libvirt.VirshAsync(cancellation, "pool-undefine", FullPool);
            await InNamespaceAsync(cancellation, "umount", FullFolder);
        }

        _full = false;
    }

    protected override async Task<IReadOnlyList<PeerResource>> ListEverythingAsync(CancellationToken cancellation)
    {
        var domains = Rows(await Libvirt.VirshAsync(cancellation, "list", "--all", "--name", "--uuid"))
            .Select(row => new PeerResource(ResourceKind.Machine, row[0], row[1])).ToList();
        var networks = Rows(await Libvirt.VirshAsync(cancellation, "net-list", "--all", "--name"))
            .Where(row => row[0] != "lab")
            .Select(row => new PeerResource(ResourceKind.Network, row[0], row[0]));
        var filters = Rows(await Libvirt.VirshAsync(cancellation, "nwfilter-list")).Where(row => row.Length == 2 && !row[0].StartsWith("--", StringComparison.Ordinal))
            .Select(row => new PeerResource(ResourceKind.Card, row[1], row[1]));
        // The folder itself, which libvirt does not always see.
        var volumes = Directory.EnumerateFiles(Libvirt.Volumes).Select(file => Path.GetFileName(file))
            .Select(name => new PeerResource(
                name.EndsWith(".seed", StringComparison.Ordinal) ? ResourceKind.Seed : name.EndsWith(".log", StringComparison.Ordinal) ? ResourceKind.Log : ResourceKind.Disk, name, name));
        var snapshots = new List<PeerResource>();
        foreach (var domain in domains)
        {
            // A machine of another test may go at this moment.
            var (exit, names, _) = await Tool.TryAsync(cancellation, "virsh", "--quiet", "--connect", Libvirt.Uri, "snapshot-list", domain.Name, "--name");
            if (exit == 0) snapshots.AddRange(Rows(names).Select(row => new PeerResource(ResourceKind.Snapshot, row[0], row[0])));
        }

        return [.. domains, .. networks, .. filters, .. volumes, .. snapshots];
    }

    protected override async Task RemoveImageAsync(ImageBinding image, CancellationToken cancellation)
    {
        foreach (var suffix in new[] { "", DigestNote.Suffix }) File.Delete(Path.Combine(Libvirt.Volumes, image.Require("volume") + suffix));
        await Libvirt.VirshAsync(cancellation, "pool-refresh", "lab");
    }

    public override async ValueTask DisposeAsync()
    {
        try
        {
            await base.DisposeAsync();
        }
        finally
        {
            _folder.Dispose();
        }

        GC.SuppressFinalize(this);
    }

    private string FullFolder => Path.Combine(Libvirt.Folder, FullPool);

    /// <summary>A storage pool on a file system of its own with the image, and room for nothing else.</summary>
    private async Task FillAsync(CancellationToken cancellation)
    {
        Directory.CreateDirectory(FullFolder);
        var image = new FileInfo(Path.Combine(Libvirt.Volumes, PrivateLibvirt.ImageVolume));
        await InNamespaceAsync(cancellation, "mount", "-t", "tmpfs", "-o", $"size={image.Length + 8192}", "full", FullFolder);
        await InNamespaceAsync(cancellation, "cp", image.FullName, FullFolder);
        await Libvirt.VirshAsync(cancellation, "pool-define-as", FullPool, "dir", "--target", FullFolder);
        await Libvirt.VirshAsync(cancellation, "pool-start", FullPool);
        _full = true;
    }

    private async Task InNamespaceAsync(CancellationToken cancellation, params string[] command) =>
        await Tool.RunAsync(cancellation, "nsenter", ["--mount", "--target", $"{await Libvirt.PidAsync(cancellation)}", .. command]);

    private static IEnumerable<string[]> Rows(string table) => table.Split('\n')
        .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        .Where(row => row.Length > 0);
}
