using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

/// <summary>QEMU machines on one or more hosts, over libvirt.</summary>
public sealed class LibvirtKind : IProviderKind
{
    public string Name => "libvirt";

    public SettingsSchema Settings => LibvirtSettings.Schema;

    /// <summary><c>volume</c>: the image's name in the storage pool. <c>format</c> (qcow2 where it is not said) may stand beside it.</summary>
    public IReadOnlyList<string> ImageKeys => ["volume"];

    public IProvider Open(PoolContext pool) => new LibvirtProvider(pool, LibvirtSettings.Read(pool.Settings));
}
