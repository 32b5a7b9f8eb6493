using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using Xunit;

namespace LabPortal.Providers.Tests;

/// <summary>What a provider holds that starts machines from warm states. That such a guest is nobody else is seen where guests are (<c>LibvirtWarm</c>).</summary>
public abstract partial class ProviderConformance
{
    [Fact]
    public Task Warm_states_are_made_once_listed_as_ours_and_removed_where_nobody_needs_them() => WithAsync<IWarmStartAbility>(async (warm, provider, installation) =>
    {
        var before = await ListEverythingAsync(Cancellation);
        var (cold, first, second) = (NewWarm(installation), NewWarm(installation), NewWarm(installation));
        Assert.Null(await warm.ReadStartAsync(cold.Reference, Cancellation));
        await CreateAsync(provider, cold);
        var why = Assert.IsType<MachineStart>(await warm.ReadStartAsync(cold.Reference, Cancellation));
        Assert.False(why.Warm);
        Assert.EndsWith(".", why.Why, StringComparison.Ordinal);
        await DestroyAsync(provider, cold);

        for (var repeat = 0; repeat < 2; repeat++)
        {
            Assert.Empty(await warm.KeepWarmStatesAsync([first, second], Cancellation));
            await EventuallyAsync(async () => Assert.Equal(ResourceKind.WarmState, Assert.Single(await provider.ListOwnedAsync(Cancellation)).Kind));
            Assert.Equal(before.Count + 1, (await ListEverythingAsync(Cancellation)).Count);
        }

        // Another installation neither sees nor removes it, nor starts from it.
        var others = NewInstallation();
        await using (var them = Open(others))
        {
            Assert.Empty(await them.ListOwnedAsync(Cancellation));
            await ((IWarmStartAbility)them).KeepWarmStatesAsync([], Cancellation);
        }

        for (var repeat = 0; repeat < 2; repeat++)
        {
            await CreateAsync(provider, first);
            Assert.Equal(MachineStart.FromState, await warm.ReadStartAsync(first.Reference, Cancellation));
        }

        var usual = NewMachine(installation);
        await CreateAsync(provider, usual);
        Assert.Null(await warm.ReadStartAsync(usual.Reference, Cancellation));

        // Machines do not stand on it.
        await warm.KeepWarmStatesAsync([], Cancellation);
        await EventuallyAsync(async () => Assert.DoesNotContain(await provider.ListOwnedAsync(Cancellation), resource => resource.Kind == ResourceKind.WarmState));
        await AwaitPowerAsync(provider, first, PowerState.Running);
        await DestroyAsync(provider, first);
        await DestroyAsync(provider, usual);
        await EventuallyAsync(async () => Assert.Equal(Sorted(before), Sorted(await ListEverythingAsync(Cancellation))));
    });

    [Fact]
    public Task Warm_states_cut_off_at_any_wire_call_are_finished_by_the_next() => WithAsync<IWarmStartAbility>(async (warm, provider, installation) =>
    {
        if (WhyWarmStatesAreNotCut is { } why)
        {
            AssertSentence(why);
            return;
        }

        var machine = NewWarm(installation);
        await ForEachCutAsync(1, async cut =>
        {
            var wasCut = await CutAsync(installation, cut, harmed => ((IWarmStartAbility)harmed).KeepWarmStatesAsync([machine], Cancellation));
            await warm.KeepWarmStatesAsync([machine], Cancellation);
            await EventuallyAsync(async () => Assert.Single(await provider.ListOwnedAsync(Cancellation)));
            wasCut |= await CutAsync(installation, cut, harmed => ((IWarmStartAbility)harmed).KeepWarmStatesAsync([], Cancellation));
            await warm.KeepWarmStatesAsync([], Cancellation);
            await EventuallyAsync(async () => Assert.Empty(await provider.ListOwnedAsync(Cancellation)));
            return wasCut;
        });
    });

    private MachineSpec NewWarm(LabPortal.Domain.InstallationId installation) => Remember(NewGuest(installation) with { WarmStart = true });
}
