using System.Xml.Linq;

namespace LabPortal.Providers.Libvirt;

// A lab's own networks on one host, and the filters of its machines' cards. Defined and started by libvirt itself, which has them again after the host was
// started anew.

/// <summary>A network by its name, as libvirt is told it.</summary>
internal sealed record WantedNetwork(string Name, string Xml);

internal sealed record MakeNetworks(List<WantedNetwork> Networks) : LibvirtCall<bool>
{
    public override string Doing => "make the lab's networks";

    protected override bool Do(LibvirtWire wire)
    {
        foreach (var wanted in Networks)
        {
            using var network = wire.FindNetwork(wanted.Name) ?? wire.DefineNetwork(wanted.Xml);
            wire.StartWithHost(network);
            wire.Start(network);
        }

        return true;
    }
}

/// <summary>All networks of a lab, whatever their names.</summary>
internal sealed record RemoveNetworks(string Lab) : LibvirtCall<bool>
{
    public override string Doing => "remove the lab's networks";

    public static bool IsOf(string lab, string network) => network == lab || network.StartsWith(lab + ".", StringComparison.Ordinal);

    protected override bool Do(LibvirtWire wire)
    {
        foreach (var name in wire.ListNetworks().Where(name => IsOf(Lab, name)))
        {
            using var network = wire.FindNetwork(name);
            if (network is not null) wire.Remove(network);
        }

        return true;
    }
}
