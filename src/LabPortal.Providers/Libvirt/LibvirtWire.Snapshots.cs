using System.Runtime.InteropServices;
using System.Xml.Linq;

namespace LabPortal.Providers.Libvirt;

internal sealed unsafe partial class LibvirtWire
{
    private const uint WithSnapshots = 1 << 12; // VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT
    private const uint DeleteAlone = 0; // the snapshots that were taken after it stay

    /// <summary>Null where it has none of that name.</summary>
    public SnapshotHandle? FindSnapshot(DomainHandle domain, string name) =>
        Found(Native.virDomainSnapshotLookupByName(domain, name, 0), LibvirtError.NoDomainSnapshot, "look for a snapshot");

    /// <summary>
    /// Where there is one of that name already, that one stays. libvirt says so only once whatever else it does with the machine is done; merely looked up, one
    /// that is still being taken is found too.
    /// </summary>
    public void TakeSnapshot(DomainHandle domain, string name, string xml)
    {
        using var taken = Native.virDomainSnapshotCreateXML(domain, xml, 0);
        if (!taken.IsInvalid) return;
        var mayBeThere = (LibvirtError)Native.virGetLastErrorCode() == LibvirtError.OperationFailed;
        var fault = Fault("take a snapshot");
        using var there = mayBeThere ? FindSnapshot(domain, name) : null;
        if (there is null) throw fault;
    }

    public IReadOnlyList<SnapshotHandle> ListSnapshots(DomainHandle domain)
    {
        var count = Must(Native.virDomainListAllSnapshots(domain, out var snapshots, 0), "list a machine's snapshots");
        var handles = new List<SnapshotHandle>(count);
        for (var i = 0; i < count; i++) handles.Add(new SnapshotHandle(snapshots[i]));
        NativeMemory.Free(snapshots);
        return handles;
    }

    public static string NameOf(SnapshotHandle snapshot) => Native.Text(Native.virDomainSnapshotGetName(snapshot));

    public XElement Describe(SnapshotHandle snapshot)
    {
        var text = Native.virDomainSnapshotGetXMLDesc(snapshot, 0);
        return text == 0 ? throw Fault("describe a snapshot") : XElement.Parse(Native.TakeText(text));
    }

    public void Revert(SnapshotHandle snapshot) => Must(Native.virDomainRevertToSnapshot(snapshot, 0), "revert to a snapshot");

    public void Delete(SnapshotHandle snapshot) => Did(Native.virDomainSnapshotDelete(snapshot, DeleteAlone), "delete a snapshot", LibvirtError.NoDomainSnapshot);

    /// <summary>The names of all snapshots of the host: asked only of the machines that have some.</summary>
    public IReadOnlyList<string> ListSnapshotNames()
    {
        var count = Must(Native.virConnectListAllDomains(connection, out var domains, WithSnapshots), "list its machines with snapshots");
        var names = new List<string>();
        var handles = new List<DomainHandle>(count);
        for (var i = 0; i < count; i++) handles.Add(new DomainHandle(domains[i]));
        NativeMemory.Free(domains);
        foreach (var domain in handles)
        {
            using (domain)
            {
                // One that goes at this moment takes its snapshots along.
                var found = Native.virDomainListAllSnapshots(domain, out var snapshots, 0);
                if (!Did(found, "list a machine's snapshots", LibvirtError.NoDomain)) continue;
                for (var i = 0; i < found; i++)
                {
                    using var snapshot = new SnapshotHandle(snapshots[i]);
                    names.Add(NameOf(snapshot));
                }

                NativeMemory.Free(snapshots);
            }
        }

        return names;
    }
}
