using System.Net;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Networks;
using LabPortal.Domain.Pools;
using Xunit;

namespace LabPortal.Providers.Tests;

/// <summary>What a provider holds that makes networks of a lab's own. That packets keep to them, and to the rules, is seen where guests are (<c>LibvirtNetworks</c>).</summary>
public abstract partial class ProviderConformance
{
    [Fact]
    public Task Networks_made_twice_or_at_once_are_there_once_with_their_owner() => WithNetworksAsync(async (ability, provider, networks) =>
    {
        Assert.IsType<Observation.Absent>(Assert.Single(await provider.ObserveAsync([networks.Reference], Cancellation)));
        await using var other = Open(networks.Owner.Installation);
        await Task.WhenAll(TryAsync(ability), TryAsync((INetworkAbility)other));
        for (var repeat = 0; repeat < 2; repeat++)
        {
            await ability.EnsureNetworksAsync(networks, Cancellation);
            await SeeNetworksAsync(networks, networks.Names);
        }

        await EventuallyAsync(async () =>
        {
            var listed = await provider.ListOwnedAsync(Cancellation);
            Assert.Equal(Names(networks, networks.Names), listed.Select(resource => resource.Name).Order(StringComparer.Ordinal));
            Assert.All(listed, resource => Assert.Equal((ResourceKind.Network, networks.Owner.Lab.Value, 1), (resource.Kind, resource.Id, resource.Generation)));
            foreach (var reference in new[] { networks.Reference, new ResourceRef(networks.Owner) })
                Assert.Equal(Hosts[0], Assert.IsType<Observation.Present>(Assert.Single(await provider.ObserveAsync([reference], Cancellation))).Host);
        });

        // The loser of a race may say "later", nothing else.
        async Task TryAsync(INetworkAbility each)
        {
            try
            {
                await each.EnsureNetworksAsync(networks, Cancellation);
            }
            catch (ProviderFault fault)
            {
                Assert.Equal(FaultKind.Transient, fault.Kind);
            }
        }
    });

    [Fact]
    public Task Networks_are_removed_together_twice_or_never_made_and_only_their_labs() => WithNetworksAsync(async (ability, provider, networks) =>
    {
        var neighbour = networks with { Owner = networks.Owner with { Lab = new LabId(Ids.New(TimeProvider.System)) } };
        var theirs = networks with { Owner = networks.Owner with { Installation = NewInstallation() } };
        await using var them = Open(theirs.Owner.Installation);
        await provider.EnsureGoneAsync(networks.Reference, Cancellation);
        try
        {
            foreach (var each in new[] { networks, neighbour }) await ability.EnsureNetworksAsync(each, Cancellation);
            await ((INetworkAbility)them).EnsureNetworksAsync(theirs, Cancellation);
            await Assert.ThrowsAsync<ProviderFault>(() => ability.EnsureNetworksAsync(theirs, Cancellation));
            await Assert.ThrowsAsync<ProviderFault>(() => provider.EnsureGoneAsync(theirs.Reference, Cancellation));
            for (var repeat = 0; repeat < 2; repeat++)
            {
                await GoneAsync(provider, networks);
                await SeeNetworksAsync(neighbour, neighbour.Names);
                await SeeNetworksAsync(theirs, theirs.Names);
            }
        }
        finally
        {
            await provider.EnsureGoneAsync(neighbour.Reference, CancellationToken.None);
            await them.EnsureGoneAsync(theirs.Reference, CancellationToken.None);
        }
    });

    [Fact]
    public Task Networks_cut_off_at_any_wire_call_are_adopted_or_removed_by_the_next() => WithNetworksAsync((ability, provider, networks) => ForEachCutAsync(1, async cut =>
    {
        var wasCut = await CutAsync(networks.Owner.Installation, cut, harmed => ((INetworkAbility)harmed).EnsureNetworksAsync(networks, Cancellation));
        await ability.EnsureNetworksAsync(networks, Cancellation);
        await SeeNetworksAsync(networks, networks.Names);
        wasCut |= await CutAsync(networks.Owner.Installation, cut, harmed => harmed.EnsureGoneAsync(networks.Reference, Cancellation));
        await GoneAsync(provider, networks);
        wasCut |= await CutAsync(networks.Owner.Installation, cut, harmed => ((INetworkAbility)harmed).EnsureNetworksAsync(networks, Cancellation));
        await GoneAsync(provider, networks);
        return wasCut;
    }));

    [Fact]
    public Task Networks_take_machines_whose_cards_go_with_them() => WithNetworksAsync(async (ability, provider, networks) =>
    {
        var alone = NewMachine(networks.Owner.Installation);
        alone = Remember(alone with
        {
            Owner = alone.Owner with { Lab = networks.Owner.Lab },
            Cards = [new CardSpec(1, networks.Owner.NetworkName("inner"), IPAddress.Parse("10.0.0.10"), 24, [new Opening(OpeningWay.In, IPAddress.Parse("10.0.0.20"), Protocol.Tcp, new PortRange(22, 22))])],
        });
        Sentence(await Assert.ThrowsAsync<ProviderFault>(() => provider.EnsureExistsAsync(alone, Cancellation)));

        await ability.EnsureNetworksAsync(networks, Cancellation);
        await RunAsync(provider, alone);
        foreach (var owned in await OfAsync(alone)) Assert.True(Owner.TryReadName(networks.Owner.Installation, owned.Name, out _), owned.Name);
        await EventuallyAsync(async () => Assert.Equal(
            [.. Names(networks, networks.Names), .. (await OfAsync(alone)).Select(resource => resource.Name).Order(StringComparer.Ordinal)],
            (await provider.ListOwnedAsync(Cancellation)).OrderBy(resource => resource.Kind != ResourceKind.Network).ThenBy(resource => resource.Name, StringComparer.Ordinal).Select(resource => resource.Name)));
        Assert.Empty(Assert.IsType<Observation.Present>(await LookAsync(provider, alone)).Addresses);
        await DestroyAsync(provider, alone);
        await SeeNetworksAsync(networks, networks.Names);
    });

    private Task WithNetworksAsync(Func<INetworkAbility, IProvider, LabNetworks, Task> testAsync) => WithAsync<INetworkAbility>(async (ability, provider, installation) =>
    {
        var networks = new LabNetworks(new Owner(installation, new LabId(Ids.New(TimeProvider.System)), null, 1), Hosts[0], "conformance <&\"'> lab", ["inner", "second"]);
        try
        {
            await testAsync(ability, provider, networks);
        }
        finally
        {
            foreach (var machine in _made.Where(machine => machine.Owner.Lab == networks.Owner.Lab)) await provider.EnsureGoneAsync(machine.Reference, CancellationToken.None);
            await provider.EnsureGoneAsync(networks.Reference, CancellationToken.None);
        }
    });

    private async Task GoneAsync(IProvider provider, LabNetworks networks)
    {
        await provider.EnsureGoneAsync(networks.Reference, Cancellation);
        await EventuallyAsync(async () => Assert.IsType<Observation.Absent>(Assert.Single(await provider.ObserveAsync([networks.Reference], Cancellation))));
        await SeeNetworksAsync(networks, []);
    }

    /// <summary>The lab has exactly these at the peer.</summary>
    private Task SeeNetworksAsync(LabNetworks networks, IReadOnlyList<string> wanted) => EventuallyAsync(async () => Assert.Equal(
        Names(networks, wanted),
        (await ListEverythingAsync(Cancellation)).Where(resource => resource.Kind == ResourceKind.Network && resource.Name.StartsWith(networks.Owner.ResourceName, StringComparison.Ordinal))
            .Select(resource => resource.Name).Order(StringComparer.Ordinal)));

    private static IEnumerable<string> Names(LabNetworks networks, IReadOnlyList<string> names) => names.Select(networks.Owner.NetworkName).Order(StringComparer.Ordinal);
}
