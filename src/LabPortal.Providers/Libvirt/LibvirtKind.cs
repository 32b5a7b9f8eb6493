using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

/// <summary>QEMU machines on one or more hosts, over libvirt.</summary>
public sealed class LibvirtKind : IProviderKind
{
    public string Name => "libvirt";

    public SettingsSchema Settings => LibvirtSettings.Schema;

    /// <summary><c>volume</c>: the image's name in the storage pool.</summary>
    public IReadOnlyList<string> ImageKeys => ["volume"];

    /// <summary><c>format</c>: qcow2 where it is not said.</summary>
    public IReadOnlyList<string> OptionalImageKeys => ["format", ImageBinding.DigestKey];

    public IProvider Open(PoolContext pool) => new LibvirtProvider(pool, LibvirtSettings.Read(pool.Settings));
}
