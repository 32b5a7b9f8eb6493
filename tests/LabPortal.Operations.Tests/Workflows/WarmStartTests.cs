using LabPortal.Data.Images;
using LabPortal.Data.Pools;
using LabPortal.Domain.Images;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Pools;
using LabPortal.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using NodaTime;
using Xunit;

namespace LabPortal.Operations.Tests.Workflows;

/// <summary>Machines that ask for a warm start: the first boots, the next does not, and what they start from comes and goes by itself.</summary>
public sealed class WarmStartTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task The_first_lab_starts_cold_and_says_why_and_the_next_warm_and_sooner(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine, """{"createSeconds": 1, "bootSeconds": 60}""");
        var sweep = new WarmStateSweep(house.Database, house.Pools, house.Identity, house.Time, NullLogger<WarmStateSweep>.Instance);
        await SweepAsync(house, sweep);
        Assert.Empty(await StatesAsync(house));

        var (first, cold) = await BuildAsync(house);
        Assert.All(first.Machines, machine => Assert.Equal(MachineStart.Cold("There is no warm state for this image and shape on this host yet; one is made."), machine.Start));
        Assert.True(cold >= Duration.FromSeconds(60), $"It took {cold}.");

        await SweepAsync(house, sweep);
        var states = await StatesAsync(house);
        Assert.Equal(first.Machines.Select(machine => machine.Host).Distinct().Count(), states.Count);
        await SweepAsync(house, sweep, passes: 3);
        Assert.Equal(states, await StatesAsync(house));

        await EndAsync(house, first);
        var (second, warm) = await BuildAsync(house);
        Assert.Equal(first.Machines.Select(machine => machine.Host).Order(), second.Machines.Select(machine => machine.Host).Order());
        Assert.All(second.Machines, machine => Assert.Equal(MachineStart.FromState, machine.Start));
        Assert.True(warm * 2 < cold, $"It took {warm}, and {cold} cold.");

        // They are the installation's: no orphan, and left where the lab ends.
        var orphans = new OrphanSweep(house.Database, house.Pools, house.Identity, house.Time, NullLogger<OrphanSweep>.Instance);
        await orphans.LookAsync(house.Pool.Id, Cancellation);
        Assert.Empty(await house.Database.ReadAsync(session => OrphanStore.PageAsync(session, null, 1, null), Cancellation));
        await EndAsync(house, second);
        await SweepAsync(house, sweep);
        Assert.Equal(states, await StatesAsync(house));

        // A week after the last lab nobody needs them any more.
        house.Clock.Advance(TimeSpan.FromDays(8));
        await SweepAsync(house, sweep);
        Assert.Empty(await StatesAsync(house));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task States_go_with_their_image_and_where_the_pool_keeps_none_and_no_lab_fails_for_it(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        var sweep = new WarmStateSweep(house.Database, house.Pools, house.Identity, house.Time, NullLogger<WarmStateSweep>.Instance);
        await BuildAsync(house);

        // A host whose disk is full gets none; what is there holds its memory's room.
        await house.Database.WriteAsync(session => session.ExecuteAsync("UPDATE pool_hosts SET disk_free_gib = 0"), Cancellation);
        await SweepAsync(house, sweep);
        Assert.Empty(await StatesAsync(house));
        Assert.Equal(0, await HeldAsync(house));
        await house.Database.WriteAsync(session => session.ExecuteAsync("UPDATE pool_hosts SET disk_free_gib = disk_gib"), Cancellation);
        await SweepAsync(house, sweep);
        Assert.NotEmpty(await StatesAsync(house));
        Assert.Equal((await StatesAsync(house)).Count, await HeldAsync(house));

        var tiny = (await house.Database.ReadAsync(session => ImageStore.FindCurrentAsync(session, "tiny"), Cancellation))!;
        await SaveAsync(tiny with { Warm = false });
        await SweepAsync(house, sweep);
        Assert.Empty(await StatesAsync(house));
        Assert.Equal(0, await HeldAsync(house));
        await SaveAsync(tiny);
        await SweepAsync(house, sweep);
        Assert.NotEmpty(await StatesAsync(house));

        house.Pool.Settings["warmStates"] = 0;
        await house.Database.WriteAsync(session => PoolStore.SaveAsync(session, house.Pool), Cancellation);
        await SweepAsync(house, sweep);
        Assert.Empty(await StatesAsync(house));
        var (lab, _) = await BuildAsync(house);
        Assert.All(lab.Machines, machine => Assert.Equal(MachineStart.Cold("The pool's settings keep no warm states."), machine.Start));

        Task SaveAsync(Image image) => house.Database.WriteAsync(session => ImageStore.SaveAsync(session, image, house.Now), Cancellation);
    }

    private static Task<long> HeldAsync(House house) => house.Database.ReadAsync(session => session.FindAsync<long>("SELECT CAST(coalesce(sum(disk_gib), 0) AS bigint) FROM warm_holds"), Cancellation);

    private static async Task<(Lab Lab, Duration Took)> BuildAsync(House house)
    {
        var began = house.Now;
        var lab = await house.RequestAsync(warmStart: true);
        using var worker = new Worker(house);
        Assert.Equal(RunState.Done, (await worker.DriveAsync(lab.Id)).State);
        return (await house.LabAsync(lab.Id), house.Now - began);
    }

    private static async Task EndAsync(House house, Lab lab)
    {
        await house.EndAsync(lab.Id);
        using var worker = new Worker(house);
        Assert.Equal(RunState.Done, (await worker.DriveAsync(lab.Id)).State);
    }

    /// <summary>A guest boots on the house's clock.</summary>
    private static async Task SweepAsync(House house, WarmStateSweep sweep, int passes = 1)
    {
        for (; passes > 0; passes--)
        {
            var pass = sweep.LookAsync(house.Pool.Id, Cancellation);
            while (!pass.IsCompleted)
            {
                house.Clock.Advance(TimeSpan.FromSeconds(1));
                await Task.Delay(5, Cancellation);
            }

            await pass;
        }
    }

    private static async Task<IReadOnlyList<string>> StatesAsync(House house)
        => [.. (await house.World.ResourcesAsync(Cancellation)).Where(resource => resource.Kind == ResourceKind.WarmState).Select(resource => resource.Name).Order()];
}
