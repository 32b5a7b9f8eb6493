using LabPortal.Data.Pools;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Pools;
using LabPortal.Providers.Simulated;
using LabPortal.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using NodaTime;
using Xunit;

namespace LabPortal.Operations.Tests.Workflows;

/// <summary>When no operation begins on a pool, though it has slots: its circuit breaker, its account's rate, a provider that asks for a pause, a host's own limit.</summary>
public sealed class GateLaws(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task After_some_faults_in_a_row_nothing_begins_but_one_that_tries_and_its_answer_lets_all_in(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        for (var fault = 1; fault < PoolBreaker.MostFaults; fault++) Assert.Null(await FaultAsync(house));
        Assert.True((await TakeAsync(house)).Given);
        var open = Assert.NotNull(await FaultAsync(house));
        Assert.Equal(house.Now + PoolBreaker.PauseAfter(PoolBreaker.MostFaults), open);

        // What was under way says nothing new.
        Assert.Null(await FaultAsync(house));
        var closed = await TakeAsync(house);
        Assert.Equal((false, GateReason.Breaker, open), (closed.Given, closed.Closed?.Reason, closed.Closed?.Until));
        var sick = (await PoolAsync(house))!;
        Assert.True(sick.IsSick);
        Assert.Contains("5 times in a row: the wire is dead", Assert.Single(sick.Problems).What, StringComparison.Ordinal);

        house.Clock.Advance(TimeSpan.FromSeconds(5));
        Assert.True((await TakeAsync(house)).Given);
        closed = await TakeAsync(house);
        Assert.Equal(house.Now + Duration.FromSeconds(10), closed.Closed?.Until);
        Assert.True(await house.Database.WriteAsync(session => GateStore.AnsweredAsync(session, house.Pool.Id), Cancellation));
        Assert.True((await TakeAsync(house)).Given);
        Assert.False((await PoolAsync(house))!.IsSick);
    }

    [Fact]
    public void A_breaker_stays_open_for_twice_as_long_each_time_and_never_longer_than_five_minutes()
        => Assert.Equal([5, 10, 20, 40, 80, 160, 300, 300], Enumerable.Range(PoolBreaker.MostFaults, 8).Select(faults => (int)PoolBreaker.PauseAfter(faults).TotalSeconds));

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task An_answer_between_two_faults_begins_the_row_anew(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        for (var fault = 0; fault < 3 * PoolBreaker.MostFaults; fault++)
        {
            Assert.Null(await FaultAsync(house));
            if (fault % 2 == 1) Assert.False(await house.Database.WriteAsync(session => GateStore.AnsweredAsync(session, house.Pool.Id), Cancellation));
        }
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_lab_on_a_pool_that_is_silent_for_a_while_waits_and_says_why_and_comes_to_be_ready(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine, """{"bootSeconds": 1}""");
        using var worker = new Worker(house);
        await house.World.ScriptAsync(new ScriptedFault(Deed.Fail) { Verb = WireVerb.CreateDisk, Times = ScriptedFault.Always }, Cancellation);
        var labs = new List<Lab>();
        for (var i = 0; i < 3; i++) labs.Add(await house.RequestAsync(machines: 2));
        await PassAsync(house, worker, 30);
        Assert.True((await PoolAsync(house))!.IsSick);
        var late = await house.RequestAsync(machines: 1);
        await PassAsync(house, worker, 2);
        Assert.Equal(0, await CreatesAsync(house, late));
        Assert.Equal("placement.wait", (await house.RunAsync(late.Id)).Problem?.Code);

        await house.World.ForgetScriptAsync(Cancellation);
        await PassAsync(house, worker, 200);
        foreach (var lab in labs.Append(late)) Assert.Equal(LabState.Ready, (await house.LabAsync(lab.Id)).State);
        Assert.False((await PoolAsync(house))!.IsSick);
    }

    [Fact]
    public async Task A_good_check_closes_a_breaker_whose_time_is_over_and_wakes_who_waits()
    {
        await using var house = await House.BuildAsync(databases, Engine.Sqlite);
        using var worker = new Worker(house);
        var sweep = new PoolSweep(house.Database, house.Pools, house.Time, NullLogger<PoolSweep>.Instance);
        var ready = await house.ReadyAsync();
        for (var fault = 0; fault < PoolBreaker.MostFaults; fault++) await FaultAsync(house);
        await house.BeginAsync(ready, WorkflowNames.Restart);
        await AdvanceAsync(worker);
        Assert.Equal("run.pool-silent", (await house.RunAsync(ready.Id)).Problem?.Code);
        await sweep.CheckAsync(house.Pool.Id, Cancellation);
        Assert.True((await PoolAsync(house))!.IsSick);

        await house.Database.WriteAsync(session => session.ExecuteAsync("UPDATE runs SET due_at = @later WHERE waits_for IS NOT NULL", new { later = house.Now + Duration.FromHours(1) }), Cancellation);
        house.Clock.Advance(TimeSpan.FromSeconds(5));
        await sweep.CheckAsync(house.Pool.Id, Cancellation);
        Assert.False((await PoolAsync(house))!.IsSick);
        Assert.True((await house.RunAsync(ready.Id)).DueAt <= house.Now);
        await PassAsync(house, worker, 20);
        Assert.Equal(RunState.Done, (await house.RunAsync(ready.Id)).State);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Pools_of_one_account_share_its_rate_and_those_of_another_do_not(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        var (first, second, other) = (await AddAsync(house, "first", "subscription-1"), await AddAsync(house, "second", "subscription-1"), await AddAsync(house, "other", "subscription-2"));

        // Ten seconds' worth at once, then one in a second: in each pool it is the other's too.
        var began = house.Now;
        var given = 0;
        for (var passed = 0; passed < 30; passed++)
        {
            foreach (var pool in new[] { first, second, first, second })
            {
                if ((await TakeAsync(house, pool)).Given) given++;
            }

            house.Clock.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.Equal(Duration.FromSeconds(30), house.Now - began);
        Assert.InRange(given, 40 - 1, 40 + 1);
        var closed = Assert.NotNull(await LastAsync(first)).Closed!;
        Assert.Equal(GateReason.Rate, closed.Reason);
        Assert.InRange(closed.Until, house.Now, house.Now + Duration.FromSeconds(1));
        for (var i = 0; i < 10; i++) Assert.True((await TakeAsync(house, other)).Given);

        async Task<Taken?> LastAsync(PoolId pool)
        {
            Taken last;
            do last = await TakeAsync(house, pool);
            while (last.Given);
            return last;
        }
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_provider_that_asks_for_a_pause_gets_it_from_all_pools_of_the_account(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        var (first, second, other) = (await AddAsync(house, "first", "subscription-1"), await AddAsync(house, "second", "subscription-1"), await AddAsync(house, "other", null));
        await CloseAsync(house.Now + Duration.FromSeconds(30));
        await CloseAsync(house.Now + Duration.FromSeconds(3));
        foreach (var pool in new[] { first, second })
        {
            var closed = (await TakeAsync(house, pool)).Closed!;
            Assert.Equal((GateReason.Throttled, house.Now + Duration.FromSeconds(30)), (closed.Reason, closed.Until));
        }

        Assert.True((await TakeAsync(house, other)).Given);
        house.Clock.Advance(TimeSpan.FromSeconds(30));
        Assert.True((await TakeAsync(house, first)).Given);

        Task CloseAsync(Instant until) => house.Database.WriteAsync(async session =>
        {
            await GateStore.CloseAccountAsync(session, first, until);
            return 0;
        }, Cancellation);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_host_has_no_more_operations_at_once_than_its_own_limit_and_the_others_of_the_pool_go_on(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine, """{"createSeconds": 20, "bootSeconds": 1}""", new PoolLimits(100, 100, OperationsPerHost: 2));
        using var worker = new Worker(house);
        var lab = await house.RequestAsync(machines: 10);
        var most = new Dictionary<string, long>();
        for (var second = 0; second < 300 && (await house.LabAsync(lab.Id)).State != LabState.Ready; second++)
        {
            await PassAsync(house, worker, 1);
            foreach (var host in await house.Database.ReadAsync(session => SlotStore.ListAsync(session, house.Pool.Id), Cancellation) is { } slots
                ? slots.Where(slot => slot.Kind == "operation").GroupBy(slot => slot.Host!) : [])
                most[host.Key] = Math.Max(most.GetValueOrDefault(host.Key), host.Count());
        }

        Assert.Equal(LabState.Ready, (await house.LabAsync(lab.Id)).State);
        Assert.Equal([("h1", 2L), ("h2", 2L)], most.OrderBy(pair => pair.Key).Select(pair => (pair.Key, pair.Value)));
    }

    private static Task<Pool?> PoolAsync(House house) => house.Database.ReadAsync(session => PoolStore.FindAsync(session, house.Pool.Id), Cancellation);

    private static Task<Instant?> FaultAsync(House house) => house.Database.WriteAsync(session => GateStore.FaultedAsync(session, house.Pool.Id, "the wire is dead", house.Now), Cancellation);

    private static Task<Taken> TakeAsync(House house, PoolId? pool = null) => house.Database.WriteAsync(
        session => SlotStore.TryTakeAsync(session, pool ?? house.Pool.Id, [SlotKind.Operation], new RunId(Guid.NewGuid()), "t", house.Now), Cancellation);

    private static Task<PoolId> AddAsync(House house, string name, string? account) => house.Database.WriteAsync(async session =>
    {
        var pool = house.Pool with { Id = new PoolId(Guid.NewGuid()), Name = name, Account = account, Limits = new PoolLimits(1000, 1000, OperationsPerMinute: 60) };
        await PoolStore.SaveAsync(session, pool);
        return pool.Id;
    }, Cancellation);

    private static Task<int> CreatesAsync(House house, Lab lab) => house.Database.ReadAsync(
        session => session.FindAsync<int>("SELECT count(*) FROM journal WHERE step = 'create' AND run_id IN (SELECT id FROM runs WHERE lab_id = @Id)", new { lab.Id }), Cancellation);

    private static async Task PassAsync(House house, Worker worker, int seconds)
    {
        for (var passed = 0; passed < 2 * seconds; passed++)
        {
            house.Clock.Advance(TimeSpan.FromMilliseconds(500));
            await AdvanceAsync(worker);
        }
    }

    private static async Task AdvanceAsync(Worker worker)
    {
        await worker.Lease.BeatAsync(Cancellation);
        await worker.Batch.AdvanceDueAsync(Cancellation);
    }
}
