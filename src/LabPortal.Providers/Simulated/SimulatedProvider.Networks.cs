using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Simulated;

internal sealed partial class SimulatedProvider
{
    /// <summary>Each network is a call of its own, so that a cut may come between them.</summary>
    public async Task EnsureNetworksAsync(LabNetworks networks, CancellationToken cancellation)
    {
        var owner = Ours(networks.Owner);
        var host = networks.Host ?? settings.Hosts[0];
        _hosts.Require(host);
        foreach (var network in networks.Names)
            await CallAsync(WireVerb.CreateNetwork, [owner], rows => CreateNamed(rows, owner, new Part(ResourceKind.Network, $".{network}"), host), cancellation);
    }

    private async Task RemoveNetworksAsync(ResourceRef reference, CancellationToken cancellation) => await CallAsync(WireVerb.DeleteNetworks, [reference.Owner], rows =>
    {
        if ((HostOfParts(rows, reference.Owner) ?? reference.Host) is { } host) SimulatedHosts.RequireAnswering(rows, host);
        var (now, prefix) = (world.Now, reference.Owner.NetworkName(""));
        var removed = rows.Run("UPDATE resources SET gone_at = @2 WHERE kind = 'Network' AND name >= @0 AND name < @1 AND gone_at IS NULL", prefix, prefix + '~', now + settings.Delete);
        rows.Run("DELETE FROM resources WHERE gone_at <= @0", now - settings.Settling);
        return new Effect<int>(0, removed > 0, Resources: -removed);
    }, cancellation);

    /// <summary>A machine cannot be joined to what is not on its host.</summary>
    private static void RequireNetworks(Rows rows, MachineSpec machine, string host)
    {
        foreach (var network in machine.Cards.Select(card => card.Network).OfType<string>())
        {
            if (rows.Value<string>("SELECT host FROM resources WHERE name = @0 AND gone_at IS NULL", network) != host)
                throw new ProviderFault(FaultKind.Rejected, $"Network {network} is not on host {host}.");
        }
    }

    /// <summary>The networks of a lab; one stands for all of them.</summary>
    private Observation? ObserveNetworks(Rows rows, ResourceRef reference)
    {
        var (now, prefix) = (world.Now, reference.Owner.NetworkName(""));
        return rows.Query("""
            SELECT external_id, host, gone_at FROM resources WHERE kind = 'Network' AND name >= @0 AND name < @1 AND made_at <= @2 AND (gone_at IS NULL OR gone_at > @3) ORDER BY name LIMIT 1
            """, row => new Observation.Present(reference, row.Long(2) is null ? PowerState.Running : PowerState.Stopping, row.GetString(0), row.GetString(1), []),
            prefix, prefix + '~', SeenMadeUntil(now), now - settings.Settling).FirstOrDefault();
    }
}
