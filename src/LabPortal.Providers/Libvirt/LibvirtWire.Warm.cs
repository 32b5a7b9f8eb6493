using System.Xml.Linq;

namespace LabPortal.Providers.Libvirt;

internal sealed unsafe partial class LibvirtWire
{
    private const uint SizeInBytes = 1; // VIR_DOMAIN_BLOCK_RESIZE_BYTES
    private const uint SetTimeByItsClock = 1; // VIR_DOMAIN_TIME_SYNC

    /// <summary>What a saved memory depends on beyond its machine: other versions may not take it, or place its devices elsewhere.</summary>
    public string ReadVersions()
    {
        Must(Native.virConnectGetVersion(connection, out var emulator), "tell QEMU's version");
        Must(Native.virConnectGetLibVersion(connection, out var library), "tell libvirt's version");
        return $"{emulator} {library}";
    }

    /// <summary>As it runs now.</summary>
    public XElement Describe(DomainHandle domain)
    {
        var text = Native.virDomainGetXMLDesc(domain, 0);
        return text == 0 ? throw Fault("describe a machine") : XElement.Parse(Native.TakeText(text));
    }

    /// <summary>Writes the machine's memory into this file of the host, and ends it. A cut-off save leaves a file that says that it is partial.</summary>
    public void Save(DomainHandle domain, string file) => Must(Native.virDomainSaveFlags(domain, file, null, 0), "save a machine's memory");

    /// <summary>Starts the machine that the file describes from the memory in it; not defined, like one of <see cref="StartUndefined"/>.</summary>
    public void Resume(string file) => Must(Native.virDomainRestoreFlags(connection, file, null, 0), "resume a machine");

    /// <summary>How large the guest's disk is.</summary>
    public long ReadCapacity(DomainHandle domain, string disk)
    {
        Must(Native.virDomainGetBlockInfo(domain, disk, out var info, 0), "tell a disk's size");
        return (long)info.Capacity;
    }

    /// <summary>Makes the disk of a machine that runs larger, and tells its guest.</summary>
    public void Grow(DomainHandle domain, string disk, long bytes) => Must(Native.virDomainBlockResize(domain, disk, (ulong)bytes, SizeInBytes), "make a disk larger");

    /// <summary>Has the guest's agent set its clock by the machine's own, which goes on while the guest stands still. Without an agent that answers, nothing happens.</summary>
    public void SetClock(DomainHandle domain)
    {
        var result = Native.virDomainAgentSetResponseTimeout(domain, AgentSeconds, 0);
        if (result >= 0) result = Native.virDomainSetTime(domain, 0, 0, SetTimeByItsClock);
        if (result >= 0) return;
        var fault = Fault("set a machine's clock");
        if (!Alive) throw fault;
    }

    public bool IsAlive => Alive;

    /// <summary>A raw volume with the same content, copied on the host itself.</summary>
    public VolumeHandle Copy(PoolHandle pool, VolumeHandle source, string name)
    {
        var copy = Native.virStorageVolCreateXMLFrom(pool, LibvirtMapping.Raw(name, ReadSize(source)).ToString(), source, 0);
        return copy.IsInvalid ? throw Fault("copy a volume") : copy;
    }

    /// <summary>Writes over the begin of a volume; what stands behind stays.</summary>
    public void Overwrite(VolumeHandle volume, byte[] begin) => Upload(volume, new MemoryStream(begin, writable: false));
}
