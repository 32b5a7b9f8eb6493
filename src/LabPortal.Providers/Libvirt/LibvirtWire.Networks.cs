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

    public NetworkHandle DefineNetwork(string xml)
    {
        var network = Native.virNetworkDefineXML(connection, xml);
        return network.IsInvalid ? throw Fault("define a network") : network;
    }

    public void StartWithHost(NetworkHandle network)
    {
        Must(Native.virNetworkSetAutostart(network, 1), "have a network started with the host");
    }

    /// <summary>Nothing happens where it is started already.</summary>
    public void Start(NetworkHandle network)
    {
        Did(Native.virNetworkCreate(network), "start a network", LibvirtError.OperationInvalid);
    }

    /// <summary>Whatever was there of that name is from now on like this, also for cards that use it.</summary>
    public void DefineFilter(string xml)
    {
        using var filter = Native.virNWFilterDefineXML(connection, xml);
        if (filter.IsInvalid) throw Fault("define the rules of a card");
    }

    /// <summary>A host whose libvirt has no filters has none of ours.</summary>
    public IReadOnlyList<string> ListFilters()
    {
        var count = Native.virConnectListAllNWFilters(connection, out var filters, 0);
        if (!Did(count, "list the rules of cards", LibvirtError.NoSupport)) return [];
        var names = new List<string>(count);
        for (var i = 0; i < count; i++)
        {
            using var filter = new FilterHandle(filters[i]);
            names.Add(Native.Text(Native.virNWFilterGetName(filter)));
        }

        NativeMemory.Free(filters);
        return names;
    }

    public void RemoveFilter(string name)
    {
        using var filter = Found(Native.virNWFilterLookupByName(connection, name), LibvirtError.NoFilter, "look for the rules of a card");
        if (filter is not null) Did(Native.virNWFilterUndefine(filter), "remove the rules of a card", LibvirtError.NoFilter);
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
