using System.Text.Json.Nodes;
using LabPortal.Data.Labs;
using LabPortal.Data.Pools;
using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Costs;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Pools;
using LabPortal.Testing;
using NodaTime;
using Xunit;

namespace LabPortal.Operations.Tests.Pools;

public sealed class PlacingTests(TestDatabases databases)
{
    private readonly Placing _placing = new();

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Sixty_four_labs_at_once_never_overcommit_a_host(Engine engine)
    {
        var cancellation = TestContext.Current.CancellationToken;
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, cancellation);

        // Room for 2 x 3 x 3 machines by memory, and more by processor.
        foreach (var name in (string[])["a", "b"]) await portal.AddPoolAsync(name, new JsonObject { ["hosts"] = 3, ["hostCpu"] = 8, ["hostMemoryMiB"] = 3072 + 512 }, cancellation);
        var labs = new List<Lab>();
        for (var i = 0; i < 64; i++) labs.Add(await portal.AddLabAsync(cancellation));

        var placed = await Task.WhenAll(labs.Select(lab => Task.Run(() => PlaceAsync(portal, lab, 1, cancellation))));

        Assert.Equal(18, placed.Count(place => place.Pool is not null));
        Assert.All(placed.Where(place => place.Pool is null), place => Assert.True(place.CanWait && place.WhyNot!.Code == "placement.wait"));
        var held = await portal.Database.ReadAsync(CapacityStore.ListHeldAsync, cancellation);
        Assert.Equal(6, held.Count);
        Assert.All(held, host => Assert.Equal((3, 3072), (host.Machines, (int)host.MemoryMiB)));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Placing_a_generation_again_gives_the_same_place_and_holds_it_once(Engine engine)
    {
        var cancellation = TestContext.Current.CancellationToken;
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, cancellation);
        await portal.AddPoolAsync("a", new JsonObject { ["hosts"] = 2 }, cancellation);
        var lab = await portal.AddLabAsync(cancellation);

        var first = await PlaceAsync(portal, lab, 1, cancellation);
        var again = await PlaceAsync(portal, lab, 1, cancellation);

        Assert.Equal((first.Pool, first.Host, first.Why), (again.Pool, again.Host, again.Why));
        Assert.Contains("Chosen: a/h1", first.Why);
        Assert.Equal(1, Assert.Single(await portal.Database.ReadAsync(CapacityStore.ListHeldAsync, cancellation)).Machines);

        await portal.Database.WriteAsync(session => Placing.ReleaseAsync(session, lab.Machines[0].Id, 1, PoolsUnderTest.Now), cancellation);
        Assert.Empty(await portal.Database.ReadAsync(CapacityStore.ListHeldAsync, cancellation));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_host_that_said_it_is_full_is_not_asked_again(Engine engine)
    {
        var cancellation = TestContext.Current.CancellationToken;
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, cancellation);
        var pool = await portal.AddPoolAsync("a", new JsonObject { ["hosts"] = 2 }, cancellation);
        var lab = await portal.AddLabAsync(cancellation);

        var second = await portal.Database.WriteAsync(session => _placing.PlaceAsync(session, lab, lab.Machines[0], 2, [(pool.Id, "h1")], PoolsUnderTest.Now), cancellation);
        Assert.Equal("h2", second.Host);
        var third = await portal.Database.WriteAsync(session => _placing.PlaceAsync(session, lab, lab.Machines[0], 3, [(pool.Id, null)], PoolsUnderTest.Now), cancellation);
        Assert.Equal((null, true), (third.Pool, third.CanWait));
        Assert.Contains("a said that it is full", third.Why.Replace("/h1", "").Replace("/h2", ""));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_disk_is_waited_for_where_it_was_large_enough_once_and_nowhere_else(Engine engine)
    {
        var cancellation = TestContext.Current.CancellationToken;
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, cancellation);
        var pool = await portal.AddPoolAsync("a", new JsonObject { ["hosts"] = 1 }, cancellation);
        var lab = await portal.AddLabAsync(cancellation);

        // Two looks, as what was seen before the last one counts too.
        for (var look = 0; look < 2; look++) await SeeAsync("h1");
        Assert.Equal((null, true, "placement.wait"), await PlaceAsync(portal, lab, 1, cancellation) is var lost ? (lost.Pool, lost.CanWait, lost.WhyNot?.Code) : default);

        // The host that was large enough is taken out of the pool; the other never was.
        await SeeAsync("h2");
        Assert.Equal((null, false, "placement.nowhere"), await PlaceAsync(portal, lab, 1, cancellation) is var gone ? (gone.Pool, gone.CanWait, gone.WhyNot?.Code) : default);

        Task SeeAsync(string host) => portal.Database.WriteAsync(
            session => PoolStore.SaveHostsAsync(session, pool.Id, [new HostCapacity(host, 64, 1 << 20, 0, 0, null, null)], PoolsUnderTest.Now), cancellation);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_quote_names_price_and_wait_and_writes_nothing(Engine engine)
    {
        var cancellation = TestContext.Current.CancellationToken;
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, cancellation);
        var cheap = await portal.AddPoolAsync("cheap", new JsonObject { ["hosts"] = 1, ["hostMemoryMiB"] = 2048 }, cancellation, pool => pool with { Prices = new PriceList("EUR", 0.01m, 0, 0) });
        await portal.AddPoolAsync("dear", [], cancellation, pool => pool with { Prices = new PriceList("EUR", 0.05m, 0, 0) });
        var now = PoolsUnderTest.Now;
        var two = (MachineNeed[])[new("tiny", "1", 1, 1024, 1), new("tiny", "1", 1, 1024, 1)];
        Task<IReadOnlyList<PoolConsidered>> ConsiderAsync(IReadOnlyList<MachineNeed> machines)
            => portal.Database.ReadAsync(session => _placing.ConsiderAsync(session, new PlacementRules([], []), machines, null, now), cancellation);

        var before = await ConsiderAsync(two);
        Assert.All(before, pool => Assert.Null(pool.ReadyBy));
        Assert.Equal([("cheap", true, 20_000L), ("dear", false, 100_000L)], before.Select(pool => (pool.Name, pool.Chosen, pool.PricePerHour!.Value.Millionths)));

        // 25 builds: only the last 20 count, whose median is 15.5 s.
        await portal.Database.WriteAsync(async session =>
        {
            for (var i = 1; i <= 25; i++) await BuildStore.AppendAsync(session, cheap.Id, "tiny", Duration.FromSeconds(i), now + Duration.FromSeconds(i), TimeProvider.System);
        }, cancellation);
        Assert.Equal(now + Duration.FromSeconds(15.5), (await ConsiderAsync(two))[0].ReadyBy);

        // Three do not fit in one pool: both are chosen, each with its part of the price.
        var three = await ConsiderAsync([.. two, two[0]]);
        Assert.Equal([("cheap", true, 20_000L), ("dear", true, 50_000L)], three.Select(pool => (pool.Name, pool.Chosen, pool.PricePerHour!.Value.Millionths)));
        Assert.Empty(await portal.Database.ReadAsync(CapacityStore.ListHeldAsync, cancellation));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_machine_is_placed_with_the_room_of_the_snapshot_that_is_taken_at_ready(Engine engine)
    {
        var cancellation = TestContext.Current.CancellationToken;
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, cancellation);
        await portal.AddPoolAsync("a", new JsonObject { ["hosts"] = 1, ["hostDiskGiB"] = 5 }, cancellation);
        var (first, second, plain) = (await WithSnapshotAsync(), await WithSnapshotAsync(), await portal.AddLabAsync(cancellation));
        Assert.NotNull((await PlaceAsync(portal, first, 1, cancellation)).Pool);
        Assert.Equal((3, 1), await HeldAsync());

        // 2 GiB are left: no room for the next machine with its snapshot, and room for one without.
        var no = await PlaceAsync(portal, second, 1, cancellation);
        Assert.Equal((null, true), (no.Pool, no.CanWait));
        Assert.Contains("3 GiB", no.Why, StringComparison.Ordinal);
        Assert.NotNull((await PlaceAsync(portal, plain, 1, cancellation)).Pool);

        // Placed anew, it holds it there and not twice.
        await portal.Database.WriteAsync(session => Placing.ReleaseAsync(session, first.Machines[0].Id, 1, PoolsUnderTest.Now), cancellation);
        Assert.Equal((1, 1), await HeldAsync());
        Assert.NotNull((await PlaceAsync(portal, first, 2, cancellation)).Pool);
        Assert.Equal((4, 2), await HeldAsync());

        async Task<(long, int)> HeldAsync() => Assert.Single(await portal.Database.ReadAsync(CapacityStore.ListHeldAsync, cancellation)) is var held ? (held.DiskGiB, held.Machines) : default;

        async Task<Lab> WithSnapshotAsync()
        {
            var lab = await portal.AddLabAsync(cancellation);
            await portal.Database.WriteAsync(session => SnapshotStore.InsertAsync(session, new Snapshot
            {
                Id = new SnapshotId(Guid.NewGuid()), Lab = lab.Id, Name = Snapshot.Clean, State = SnapshotState.Taking, AskedBy = "Ada", AskedAt = PoolsUnderTest.Now,
                Items = [.. lab.Machines.Select(machine => new SnapshotItem(machine.Id, 0, SnapshotItemState.Taking, null, false, null) { RoomGiB = Snapshot.RoomOf(machine.DiskGiB, machine.MemoryMiB, runs: true) })],
            }), cancellation);
            return lab;
        }
    }

    private Task<Placed> PlaceAsync(PoolsUnderTest portal, Lab lab, int generation, CancellationToken cancellation)
        => portal.Database.WriteAsync(session => _placing.PlaceAsync(session, lab, lab.Machines[0], generation, [], PoolsUnderTest.Now), cancellation);
}
