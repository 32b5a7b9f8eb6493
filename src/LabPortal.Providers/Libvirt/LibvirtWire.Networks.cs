using System.Net;
using System.Runtime.InteropServices;

namespace LabPortal.Providers.Libvirt;

internal sealed unsafe partial class LibvirtWire
{
    public NetworkHandle? FindNetwork(string name)
    {
        return Found(Native.virNetworkLookupByName(connection, name), LibvirtError.NoNetwork, "look for a network");
    }

    public bool IsActive(NetworkHandle network)
    {
        return Must(Native.virNetworkIsActive(network), "tell a network's state") == 1;
    }

    public IReadOnlyList<string> ListNetworks()
    {
        var count = Must(Native.virConnectListAllNetworks(connection, out var networks, 0), "list its networks");
        var names = new List<string>(count);
        for (var i = 0; i < count; i++)
        {
            using var network = new NetworkHandle(networks[i]);
            names.Add(Native.Text(Native.virNetworkGetName(network)));
        }

        NativeMemory.Free(networks);
        return names;
    }

    public void Remove(NetworkHandle network)
    {
        Did(Native.virNetworkDestroy(network), "stop a network", LibvirtError.OperationInvalid, LibvirtError.NoNetwork);
        Did(Native.virNetworkUndefine(network), "remove a network", LibvirtError.NoNetwork);
    }

    /// <summary>The addresses that the network's DHCP server gave out, newest first; empty for a network that has none.</summary>
    public IReadOnlyList<Lease> ListLeases(NetworkHandle network)
    {
        var count = Native.virNetworkGetDHCPLeases(network, 0, out var leases, 0);
        if (count < 0)
        {
            return (LibvirtError)Native.virGetLastErrorCode() is LibvirtError.NoSupport or LibvirtError.OperationInvalid or LibvirtError.NoNetwork
                ? []
                : throw Fault("tell its DHCP leases");
        }

        var list = new List<Lease>(count);
        for (var i = 0; i < count; i++)
        {
            var lease = leases[i];
            if (IPAddress.TryParse(Native.Text(lease->Address), out var address)) list.Add(new Lease(Native.Text(lease->Mac), address, lease->Expiry));
            Native.virNetworkDHCPLeaseFree(lease);
        }

        NativeMemory.Free(leases);
        return [.. list.OrderByDescending(lease => lease.Expiry)];
    }
}

internal sealed record Lease(string Mac, IPAddress Address, long Expiry);
