using LabPortal.Data.Machines;
using LabPortal.Data.Pools;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Pools;
using LabPortal.Operations.Workflows;
using LabPortal.Providers.Simulated;
using LabPortal.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace LabPortal.Operations.Tests.Workflows;

/// <summary>What holds of a lab's own networks beyond the laws of the workflows, which build and end such labs.</summary>
public sealed class NetworkTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Networks_come_before_the_machines_and_go_after_them_and_a_machine_on_them_alone_needs_no_address(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine, """{"createSeconds": 1, "bootSeconds": 1, "deleteSeconds": 1, "settlingSeconds": 1}""");
        house.Isolated = true;
        var lab = await house.ReadyAsync();
        Assert.Equal(LabState.Ready, lab.State);
        Assert.Equal([("web", MachineState.Running, 1), ("db", MachineState.Running, 0)], lab.Machines.Select(machine => (machine.Name, machine.State, machine.Addresses.Count)));
        Assert.Equal(["inner"], lab.Networks);
        Assert.Equal(["shared", "inner", "inner"], lab.Machines.SelectMany(machine => machine.Cards).Select(card => card.Network));

        await house.EndAsync(lab.Id);
        using (var worker = new Worker(house)) Assert.Equal(RunState.Done, (await worker.DriveAsync(lab.Id)).State);
        var verbs = (await house.World.HistoryAsync(Cancellation)).Where(call => call.Effect).Select(call => call.Verb).ToList();
        Assert.Equal(("create-network", "delete-networks"), (verbs[0], verbs[^1]));
        Assert.Equal(1, verbs.Count(verb => verb == "create-network"));
        var count = await house.World.CountAsync(Cancellation);
        Assert.Equal((0, count.ResourcesMade), (count.ResourcesPresent, count.ResourcesRemoved));
        Assert.False(await house.HoldsAnythingAsync(lab));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task All_machines_go_to_one_host_that_has_room_for_all_or_wait_and_say_why(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        house.Isolated = true;
        await SetRoomAsync(house, ("h1", 1), ("h2", 2));
        var lab = await house.ReadyAsync();
        Assert.Equal(["h2", "h2"], lab.Machines.Select(machine => machine.Host));

        // One place on each host: enough for two machines, but not for two that belong together.
        await SetRoomAsync(house, ("h1", 1), ("h2", 3));
        var waiting = await house.RequestAsync();
        using var worker = new Worker(house);
        await worker.Lease.BeatAsync(Cancellation);
        await worker.Batch.AdvanceDueAsync(Cancellation);
        var run = await house.RunAsync(waiting.Id);
        Assert.Equal((RunState.Running, "networks", "placement.wait"), (run.State, run.Step, run.Problem?.Code));
        Assert.Contains("keep its machines on one host", run.Problem!.Arguments["why"], StringComparison.Ordinal);
        Assert.Contains("sim/h1 has 1 vCPU in all", run.Problem.Arguments["why"], StringComparison.Ordinal);
        Assert.Empty(await house.ResourcesAsync(waiting));
        Assert.All(waiting.Machines, machine => Assert.Empty(house.Database.ReadAsync(session => GenerationStore.ListAsync(session, machine.Id), Cancellation).GetAwaiter().GetResult()));

        await SetRoomAsync(house, ("h1", 1), ("h2", 4));
        Assert.Equal(RunState.Done, (await worker.DriveAsync(waiting.Id)).State);
        Assert.Equal(["h2", "h2"], (await house.LabAsync(waiting.Id)).Machines.Select(machine => machine.Host));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_machine_that_its_host_has_no_room_for_waits_there_for_it(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        house.Isolated = true;
        await house.World.ScriptAsync(new ScriptedFault(Deed.Fail) { Verb = WireVerb.CreateMachine, Fault = FaultKind.NoCapacity }, Cancellation);
        var lab = await house.ReadyAsync();
        Assert.Equal([1, 2], lab.Machines.Select(machine => machine.Generation).Order());
        Assert.Single(lab.Machines.Select(machine => machine.Host).Distinct());
    }

    [Fact]
    public async Task What_is_left_of_a_labs_networks_is_an_orphan_and_is_deleted_as_such()
    {
        await using var house = await House.BuildAsync(databases, Engine.Sqlite);
        house.Isolated = true;
        var lab = await house.ReadyAsync();
        await house.EndAsync(lab.Id);
        using (var worker = new Worker(house)) await worker.DriveAsync(lab.Id);

        // As a woken worker does, after the end was confirmed.
        var provider = (await house.Pools.OpenAsync(house.Pool.Id, Cancellation)).Provider;
        await ((INetworkAbility)provider).EnsureNetworksAsync(new LabNetworks(lab.OwnerIn(house.Identity.Installation), "h1", "late", ["inner"]), Cancellation);
        var sweep = new OrphanSweep(house.Database, house.Pools, house.Identity, house.Time, NullLogger<OrphanSweep>.Instance);
        await sweep.LookAsync(house.Pool.Id, Cancellation);
        var orphan = Assert.Single(await house.Database.ReadAsync(session => OrphanStore.OfPoolAsync(session, house.Pool.Id), Cancellation));
        Assert.Equal(("network", lab.Id.Value, lab.OwnerIn(house.Identity.Installation).NetworkName("inner")), (orphan.Kind, orphan.Owner, orphan.Name));
        await house.Database.WriteAsync(session => OrphanStore.SetStateAsync(session, orphan.Id, OrphanState.Deleting, null), Cancellation);
        await sweep.LookAsync(house.Pool.Id, Cancellation);
        Assert.Empty(await house.ResourcesAsync(lab));
        Assert.Empty(await house.Database.ReadAsync(session => OrphanStore.OfPoolAsync(session, house.Pool.Id), Cancellation));
    }

    private static Task SetRoomAsync(House house, params (string Host, int Cpu)[] hosts) => house.Database.WriteAsync(
        session => PoolStore.SaveHostsAsync(session, house.Pool.Id, [.. hosts.Select(host => new HostCapacity(host.Host, host.Cpu, 100_000, 1_000, 1_000, null, null))], house.Now), Cancellation);
}
