using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using NodaTime;
using Xunit;

namespace LabPortal.Providers.Tests;

/// <summary>What a provider holds that takes snapshots. That a guest's own files come back is seen where guests are (<c>LibvirtGuests</c>, <c>SimulatedWorldLaws</c>).</summary>
public abstract partial class ProviderConformance
{
    [Fact]
    public Task Snapshots_taking_twice_leaves_one_and_the_machine_as_it_is() => WithAsync<ISnapshotAbility>(async (snapshots, provider, installation) =>
    {
        var machine = NewMachine(installation);
        await RunAsync(provider, machine);
        var before = await OfAsync(machine);
        var taken = await snapshots.ReadDiskBytesAsync(machine.Reference, Cancellation);
        if (WhySnapshotsHaveNoMemory is null) Assert.NotNull(taken);
        var (running, stopped) = (NewSnapshot(), NewSnapshot());
        var asked = TimeProvider.System.Now();
        for (var repeat = 0; repeat < 2; repeat++)
        {
            await snapshots.TakeSnapshotAsync(machine.Reference, running, Cancellation);
            await AwaitPowerAsync(provider, machine, PowerState.Running);
            await SeeAsync(snapshots, machine, running);
        }

        // The memory is on its disk, where it is kept.
        if (WhySnapshotsHaveNoMemory is null) Assert.True(await snapshots.ReadDiskBytesAsync(machine.Reference, Cancellation) > taken);
        await ((IPowerAbility)provider).StopAsync(machine.Reference, StopMode.Hard, Cancellation);
        await AwaitPowerAsync(provider, machine, PowerState.Stopped);
        for (var repeat = 0; repeat < 2; repeat++)
        {
            await snapshots.TakeSnapshotAsync(machine.Reference, stopped, Cancellation);
            await AwaitPowerAsync(provider, machine, PowerState.Stopped);
            await SeeAsync(snapshots, machine, running, stopped);
        }

        var seen = (await snapshots.ListSnapshotsAsync(machine.Reference, Cancellation)).ToDictionary(each => each.Snapshot);
        Assert.Equal((WhySnapshotsHaveNoMemory is null, true), (seen[running].WithMemory, seen[running].Runs));
        Assert.Equal((false, false), (seen[stopped].WithMemory, seen[stopped].Runs));
        Assert.All(seen.Values, each => Assert.InRange(each.TakenAt, asked - Duration.FromMinutes(1), TimeProvider.System.Now() + Duration.FromMinutes(1)));

        // Each is a resource of its own at the peer, under a name that follows from its owner; and nothing else was added.
        Assert.Equal(before, (await OfAsync(machine)).Where(resource => resource.Kind != ResourceKind.Snapshot));
        await EventuallyAsync(async () =>
        {
            var listed = (await provider.ListOwnedAsync(Cancellation)).Where(resource => resource.Kind == ResourceKind.Snapshot).ToList();
            Assert.Equal(new[] { running, stopped }.Select(machine.Owner.SnapshotName).Order(), listed.Select(resource => resource.Name).Order());
            Assert.All(listed, resource => Assert.Equal((machine.Owner.Machine!.Value.Value, 1), (resource.Id, resource.Generation)));
        });
    });

    [Fact]
    public Task Snapshots_reverting_leads_to_the_same_power_however_often_and_from_wherever() => WithAsync<ISnapshotAbility>(async (snapshots, provider, installation) =>
    {
        var machine = NewMachine(installation);
        var power = (IPowerAbility)provider;
        await RunAsync(provider, machine);
        var (running, stopped) = (NewSnapshot(), NewSnapshot());
        await snapshots.TakeSnapshotAsync(machine.Reference, running, Cancellation);
        await power.StopAsync(machine.Reference, StopMode.Hard, Cancellation);
        await AwaitPowerAsync(provider, machine, PowerState.Stopped);
        await snapshots.TakeSnapshotAsync(machine.Reference, stopped, Cancellation);

        foreach (var (snapshot, to) in new[] { (running, PowerState.Running), (running, PowerState.Running), (stopped, PowerState.Stopped), (stopped, PowerState.Stopped), (running, PowerState.Running) })
        {
            await snapshots.RevertAsync(machine.Reference, snapshot, Cancellation);
            await AwaitPowerAsync(provider, machine, to);
            await SeeAsync(snapshots, machine, running, stopped);
        }

        // And it is the same machine as before: it obeys.
        await power.RestartAsync(machine.Reference, Cancellation);
        await AwaitPowerAsync(provider, machine, PowerState.Running);
    });

    [Fact]
    public Task Snapshots_are_deleted_one_by_one_twice_or_with_their_machine() => WithAsync<ISnapshotAbility>(async (snapshots, provider, installation) =>
    {
        var machine = NewMachine(installation);
        var before = await ListEverythingAsync(Cancellation);
        await snapshots.DeleteSnapshotAsync(machine.Reference, NewSnapshot(), Cancellation);
        await RunAsync(provider, machine);
        var (first, second, third) = (NewSnapshot(), NewSnapshot(), NewSnapshot());
        foreach (var snapshot in new[] { first, second, third }) await snapshots.TakeSnapshotAsync(machine.Reference, snapshot, Cancellation);
        for (var repeat = 0; repeat < 2; repeat++)
        {
            await snapshots.DeleteSnapshotAsync(machine.Reference, first, Cancellation);
            await SeeAsync(snapshots, machine, second, third);
        }

        await AwaitPowerAsync(provider, machine, PowerState.Running);
        await snapshots.RevertAsync(machine.Reference, second, Cancellation);
        await AwaitPowerAsync(provider, machine, PowerState.Running);
        await DestroyAsync(provider, machine);
        await EventuallyAsync(async () => Assert.Equal(Sorted(before), Sorted(await ListEverythingAsync(Cancellation))));
        await EventuallyAsync(async () => Assert.Empty(await provider.ListOwnedAsync(Cancellation)));
        await snapshots.DeleteSnapshotAsync(machine.Reference, third, Cancellation);
    });

    [Fact]
    public Task Snapshots_of_what_is_not_there_are_rejected() => WithAsync<ISnapshotAbility>(async (snapshots, provider, installation) =>
    {
        var machine = NewMachine(installation);
        foreach (var deed in new Func<Task>[]
        {
            () => snapshots.TakeSnapshotAsync(machine.Reference, NewSnapshot(), Cancellation),
            () => snapshots.RevertAsync(machine.Reference, NewSnapshot(), Cancellation),
            () => snapshots.ListSnapshotsAsync(machine.Reference, Cancellation),
            () => snapshots.ReadDiskBytesAsync(machine.Reference, Cancellation),
        })
        {
            Assert.Equal(FaultKind.Rejected, Sentence(await Assert.ThrowsAsync<ProviderFault>(deed)).Kind);
        }

        await RunAsync(provider, machine);
        var of = NewSnapshot();
        await snapshots.TakeSnapshotAsync(machine.Reference, of, Cancellation);
        Assert.Equal(FaultKind.Rejected, Sentence(await Assert.ThrowsAsync<ProviderFault>(() => snapshots.RevertAsync(machine.Reference, NewSnapshot(), Cancellation))).Kind);
        await AwaitPowerAsync(provider, machine, PowerState.Running);

        // Another generation is another machine, and finds none of this one's.
        var next = Remember(machine with { Owner = machine.Owner with { Generation = 2 } });
        await RunAsync(provider, next);
        Assert.Empty(await snapshots.ListSnapshotsAsync(next.Reference, Cancellation));
        await Assert.ThrowsAsync<ProviderFault>(() => snapshots.RevertAsync(next.Reference, of, Cancellation));
    });

    [Fact]
    public Task Snapshots_cut_off_at_any_wire_call_are_finished_by_the_next() => WithAsync<ISnapshotAbility>(async (snapshots, provider, installation) =>
    {
        var machine = NewMachine(installation);
        await RunAsync(provider, machine);
        var kept = NewSnapshot();
        await snapshots.TakeSnapshotAsync(machine.Reference, kept, Cancellation);
        await ForEachCutAsync(1, async cut =>
        {
            var snapshot = NewSnapshot();
            var wasCut = await CutAsync(installation, cut, harmed => ((ISnapshotAbility)harmed).TakeSnapshotAsync(machine.Reference, snapshot, Cancellation));
            await snapshots.TakeSnapshotAsync(machine.Reference, snapshot, Cancellation);
            await SeeAsync(snapshots, machine, kept, snapshot);
            wasCut |= await CutAsync(installation, cut, harmed => ((ISnapshotAbility)harmed).RevertAsync(machine.Reference, snapshot, Cancellation));
            await snapshots.RevertAsync(machine.Reference, snapshot, Cancellation);
            await AwaitPowerAsync(provider, machine, PowerState.Running);
            await SeeAsync(snapshots, machine, kept, snapshot);
            wasCut |= await CutAsync(installation, cut, harmed => ((ISnapshotAbility)harmed).DeleteSnapshotAsync(machine.Reference, snapshot, Cancellation));
            await snapshots.DeleteSnapshotAsync(machine.Reference, snapshot, Cancellation);
            await SeeAsync(snapshots, machine, kept);
            return wasCut;
        });
    });

    private static SnapshotId NewSnapshot() => new(Ids.New(TimeProvider.System));

    private async Task RunAsync(IProvider provider, MachineSpec machine)
    {
        await CreateAsync(provider, machine);
        await AwaitPowerAsync(provider, machine, PowerState.Running);
    }

    /// <summary>The machine has exactly these, by its provider and by the peer itself.</summary>
    private Task SeeAsync(ISnapshotAbility snapshots, MachineSpec machine, params SnapshotId[] wanted) => EventuallyAsync(async () =>
    {
        var names = wanted.Select(machine.Owner.SnapshotName).Order().ToList();
        Assert.Equal(wanted.Select(id => id.Value).Order(), (await snapshots.ListSnapshotsAsync(machine.Reference, Cancellation)).Select(seen => seen.Snapshot.Value).Order());
        Assert.Equal(names, (await OfAsync(machine)).Where(resource => resource.Kind == ResourceKind.Snapshot).Select(resource => resource.Name).Order());
    });
}
