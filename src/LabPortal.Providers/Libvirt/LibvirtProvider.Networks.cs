using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

internal sealed partial class LibvirtProvider
{
    public async Task EnsureNetworksAsync(LabNetworks networks, CancellationToken cancellation)
    {
        RefuseOthers(networks.Owner);
        await HostsOf(networks.Reference).First().RunAsync(new MakeNetworks([.. networks.Names.Select(name => new WantedNetwork(networks.Owner.NetworkName(name), LibvirtMapping.Network(networks, name).ToString()))]), cancellation);
    }
}
