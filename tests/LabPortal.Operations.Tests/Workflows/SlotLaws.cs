using LabPortal.Data.Labs;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.People;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Catalogue;
using LabPortal.Operations.Workflows;
using LabPortal.Providers;
using LabPortal.Testing;
using NodaTime;
using Xunit;

namespace LabPortal.Operations.Tests.Workflows;

/// <summary>Runs that wait until their pool has a slot for them.</summary>
public sealed class SlotLaws(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Who_frees_a_slot_wakes_the_oldest_run_of_the_team_that_has_the_fewest(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine, """{"bootSeconds": 100}""", new PoolLimits(100, 2));
        using var worker = new Worker(house);
        var labs = new List<Lab>();
        for (var i = 0; i < 5; i++)
        {
            labs.Add(await house.RequestAsync(machines: 1));
            await AdvanceAsync(worker);
            house.Clock.Advance(TimeSpan.FromSeconds(2));
        }

        // The first two boot, the others wait; the last is another team's.
        var other = new TeamId(Guid.NewGuid());
        await house.Database.WriteAsync(session => session.ExecuteAsync("UPDATE runs SET team_id = @other WHERE lab_id = @Id", new { other, labs[4].Id }), Cancellation);
        await PassAsync(TimeSpan.FromSeconds(60));
        Assert.Equal([0, 1], await BootingAsync());
        Assert.All(await Task.WhenAll(labs[2..].Select(lab => house.RunAsync(lab.Id))), run => Assert.InRange(run.DueAt, house.Now + Duration.FromSeconds(1), house.Now + Duration.FromSeconds(30)));

        await house.EndAsync(labs[0].Id);
        Assert.Equal([4], await DueAsync());
        await AdvanceAsync(worker);
        Assert.Equal([1, 4], await BootingAsync());

        // The second's guest gets up, while nobody's own time to look has come.
        var later = house.Now + Duration.FromHours(1);
        Assert.Equal(2, await house.Database.WriteAsync(session => session.ExecuteAsync("UPDATE runs SET due_at = @later WHERE waits_for IS NOT NULL", new { later }), Cancellation));
        await PassAsync(TimeSpan.FromSeconds(50));
        Assert.Equal(LabState.Ready, (await house.LabAsync(labs[1].Id)).State);
        Assert.Equal([2, 4], await BootingAsync());
        Assert.Equal(later, (await house.RunAsync(labs[3].Id)).DueAt);

        async Task<IEnumerable<int>> BootingAsync() => await WhereAsync(async run => await house.Database.ReadAsync(
            session => session.FindAsync<int>("SELECT count(*) FROM pool_slots WHERE run_id = @Id AND kind = 'boot'", new { run.Id }), Cancellation) > 0);

        Task<IEnumerable<int>> DueAsync() => WhereAsync(run => Task.FromResult(run.Workflow == WorkflowNames.Provision && run.State.IsLive() && run.DueAt <= house.Now));

        async Task<IEnumerable<int>> WhereAsync(Func<Run, Task<bool>> isSo)
        {
            var found = new List<int>();
            for (var i = 0; i < labs.Count; i++)
            {
                if (await isSo(await house.RunAsync(labs[i].Id))) found.Add(i);
            }

            return found;
        }

        async Task PassAsync(TimeSpan time)
        {
            for (var passed = TimeSpan.Zero; passed < time; passed += TimeSpan.FromSeconds(1))
            {
                house.Clock.Advance(TimeSpan.FromSeconds(1));
                await AdvanceAsync(worker);
            }
        }
    }

    [Theory, InlineData(Engine.Sqlite, 200), InlineData(Engine.Postgres, 60)]
    public async Task Many_labs_that_boot_two_at_once_are_claimed_few_times_each_and_leave_no_slot_idle(Engine engine, int labs)
    {
        await using var house = await House.BuildAsync(databases, engine, """{"bootSeconds": 1}""", new PoolLimits(100, 2));
        using var worker = new Worker(house);
        var began = house.Now;
        for (var i = 0; i < labs; i++) await house.RequestAsync(machines: 1);
        for (var round = 0; ; round++)
        {
            Assert.True(round < 10_000, "The labs do not come to an end.");
            await AdvanceAsync(worker);
            var due = await house.Database.ReadAsync(session => RunStore.NextDueAsync(session, worker.Lease.Id, [], [], house.Workflows.Keys), Cancellation);
            if (due is null) break;
            house.Clock.Advance(TimeSpan.FromMilliseconds(Math.Clamp((due.Value - house.Now).TotalMilliseconds, 1, 5000)));
        }

        var ready = await house.Database.ReadAsync(session => session.FindAsync<int>("SELECT count(*) FROM labs WHERE state = 'ready'"), Cancellation);
        var claims = await house.Database.ReadAsync(session => session.FindAsync<int>("SELECT sum(token) FROM runs"), Cancellation);
        TestContext.Current.TestOutputHelper?.WriteLine($"{claims} claims, {(house.Now - began).TotalSeconds} s");
        Assert.Equal(labs, ready);
        Assert.InRange(claims, labs, 20 * labs);
        // A boot is seen one look after it is over at the latest; and a run that was passed over may be the last.
        Assert.InRange(house.Now - began, Duration.FromSeconds(labs / 2), Duration.FromSeconds(labs / 2 * 1.6));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_run_that_was_cancelled_or_is_over_waits_for_no_slot_and_another_is_woken(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine, limits: new PoolLimits(100, 1));
        using var worker = new Worker(house);
        var stranger = await OccupyAsync(house, SlotKind.Boot);
        var labs = new List<Lab>();
        for (var i = 0; i < 3; i++) labs.Add(await WaitingAsync(house, worker));
        await house.EndAsync(labs[0].Id);
        var cancelled = await house.RunAsync(labs[1].Id);
        await house.Database.WriteAsync(session => Runs.RequestCancelAsync(session, cancelled, house.Now), Cancellation);
        Assert.Equal(1, await house.Database.ReadAsync(session => session.FindAsync<int>("SELECT count(*) FROM runs WHERE waits_for IS NOT NULL"), Cancellation));
        await FreeAsync(house, stranger);
        Assert.True(await IsDueAsync(house, labs[2]));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_fault_of_a_run_that_has_no_slot_wakes_nobody(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine, limits: new PoolLimits(100, 1));
        var ready = await house.ReadyAsync();
        await OccupyAsync(house, SlotKind.Boot);
        using var worker = new Worker(house, Wrapped.Failing(WorkflowNames.Stop, "stop", after: false));
        var waiting = await WaitingAsync(house, worker);
        var claims = (await house.RunAsync(waiting.Id)).Token;
        var stop = await house.BeginAsync(ready, WorkflowNames.Stop);
        await AdvanceAsync(worker);
        Assert.Contains(await house.JournalAsync(stop.Id), entry => entry is { Step: "stop", State: JournalState.Failed });
        Assert.Equal(claims, (await house.RunAsync(waiting.Id)).Token);
    }

    [Fact]
    public async Task What_a_transaction_frees_locks_no_run_of_another_lab_before_its_end()
    {
        await using var house = await House.BuildAsync(databases, Engine.Postgres, """{"bootSeconds": 100}""", new PoolLimits(100, 1));
        using var worker = new Worker(house);
        var booting = await house.RequestAsync(machines: 1);
        await AdvanceAsync(worker);
        var waiting = await WaitingAsync(house, worker);
        var run = await house.RunAsync(waiting.Id);
        await house.Database.WriteAsync(
            async session =>
            {
                await house.Runs.EndAsync(session, (await LabStore.LockAsync(session, booting.Id))!, "Ada", house.Now);
                Assert.Equal(run.Id, await house.Database.WriteAsync(other => other.FindAsync<RunId>("SELECT id FROM runs WHERE id = @Id FOR UPDATE SKIP LOCKED", new { run.Id }), Cancellation));
            },
            Cancellation);
        Assert.True(await IsDueAsync(house, waiting));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_large_lab_leaves_a_slot_to_the_one_machine_of_another_team_and_goes_on_by_itself(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine, """{"bootSeconds": 1}""", new PoolLimits(100, 2));
        using var worker = new Worker(house);
        var began = house.Now;
        var large = await house.RequestAsync(machines: 20);
        await AdvanceAsync(worker);
        Assert.Equal(2, await CreatesAsync(house, large));
        var small = await house.RequestAsync(machines: 1);
        await MoveAsync(house, small);
        await AdvanceAsync(worker);
        await SleepAsync(house, small);
        while (await CreatesAsync(house, small) == 0) await NextAsync(house, worker);
        Assert.InRange(await CreatesAsync(house, large), 2, 4);
        while ((await house.LabAsync(large.Id)).State != LabState.Ready) await NextAsync(house, worker);
        Assert.Equal(LabState.Ready, (await house.LabAsync(small.Id)).State);
        Assert.InRange(house.Now - began, Duration.FromSeconds(10), Duration.FromSeconds(21));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_slot_is_not_left_for_long_to_a_run_that_nobody_claims(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine, """{"bootSeconds": 1}""", new PoolLimits(100, 2));
        using var worker = new Worker(house);
        var began = house.Now;
        var large = await house.RequestAsync(machines: 6);
        await AdvanceAsync(worker);
        var unknown = await house.RequestAsync(machines: 1);
        await MoveAsync(house, unknown);
        await AdvanceAsync(worker);
        await SleepAsync(house, unknown);
        await house.Database.WriteAsync(session => session.ExecuteAsync("UPDATE runs SET version = 99 WHERE lab_id = @Id", new { unknown.Id }), Cancellation);
        while ((await house.LabAsync(large.Id)).State != LabState.Ready) await NextAsync(house, worker);
        Assert.Equal(0, await CreatesAsync(house, unknown));
        Assert.InRange(house.Now - began, Duration.FromSeconds(3), Duration.FromSeconds(10));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Who_finds_one_of_two_slots_leaves_it_to_a_run_that_needs_it_alone(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine, limits: new PoolLimits(1, 1));
        using var worker = new Worker(house);
        var ready = await house.ReadyAsync();
        await OccupyAsync(house, SlotKind.Operation);
        var boot = await OccupyAsync(house, SlotKind.Boot);

        // One needs both, the other only a boot; the first is the older.
        var both = await WaitingAsync(house, worker);
        await house.BeginAsync(ready, WorkflowNames.Restart);
        await AdvanceAsync(worker);
        await SleepAsync(house, ready);
        await FreeAsync(house, boot);
        Assert.True(await IsDueAsync(house, both));
        Assert.False(await IsDueAsync(house, ready));
        await AdvanceAsync(worker);
        Assert.Contains(await house.JournalAsync((await house.RunAsync(ready.Id)).Id), entry => entry.Step == "restart");
        Assert.Equal(0, await CreatesAsync(house, both));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Who_lets_a_pool_do_more_at_once_wakes_as_many_as_there_are_slots_more(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine, limits: new PoolLimits(100, 1));
        using var worker = new Worker(house);
        await OccupyAsync(house, SlotKind.Boot);
        var labs = new List<Lab>();
        for (var i = 0; i < 3; i++) labs.Add(await WaitingAsync(house, worker));
        var calls = new CatalogueCalls(house.Database, house.Time, ProviderKinds.All);
        var admin = new Actor { Person = null, Name = "Ada", Channel = Channel.Session, IsAdmin = true };
        var applied = await calls.ApplyAsync(
            admin, "kind: Pool\nname: sim\nprovider: simulated\nsettings: {}\nlimits: { operationsAtOnce: 100, bootsAtOnce: 3 }\n", false, false, Cancellation);
        Assert.Equal(["Pool/sim"], applied.Value.Changed);
        var due = await Task.WhenAll(labs.Select(lab => IsDueAsync(house, lab)));
        Assert.Equal([true, true, false], due);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_run_that_is_done_and_still_has_a_slot_gives_it_to_who_waits(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine, limits: new PoolLimits(100, 1));
        using var worker = new Worker(house);
        var ready = await house.ReadyAsync();
        var last = await house.BeginAsync(ready, WorkflowNames.Stop);
        Assert.Equal(Taken.All, await house.Database.WriteAsync(session => SlotStore.TryTakeAsync(session, house.Pool.Id, [SlotKind.Boot], last.Id, "of an earlier step", house.Now), Cancellation));
        await TurnAtAsync(house.Now + Duration.FromHours(1));
        var waits = await WaitingAsync(house, worker);
        await TurnAtAsync(house.Now);
        while ((await house.RunAsync(ready.Id)).State.IsLive()) await NextAsync(house, worker);
        Assert.True(await IsDueAsync(house, waits) || await CreatesAsync(house, waits) > 0);

        Task TurnAtAsync(Instant due) => house.Database.WriteAsync(session => session.ExecuteAsync("UPDATE runs SET due_at = @due WHERE id = @Id", new { due, last.Id }), Cancellation);
    }

    private static Task<int> CreatesAsync(House house, Lab lab) => house.Database.ReadAsync(
        session => session.FindAsync<int>("SELECT count(*) FROM journal WHERE step = 'create' AND run_id IN (SELECT id FROM runs WHERE lab_id = @Id)", new { lab.Id }), Cancellation);

    /// <summary>The lab's run is another team's.</summary>
    private static Task MoveAsync(House house, Lab lab) => house.Database.WriteAsync(
        session => session.ExecuteAsync("UPDATE runs SET team_id = @Team WHERE lab_id = @Id", new { Team = new TeamId(Guid.NewGuid()), lab.Id }), Cancellation);

    /// <summary>To whatever is due next, and that is done.</summary>
    private static async Task NextAsync(House house, Worker worker)
    {
        var due = await house.Database.ReadAsync(session => RunStore.NextDueAsync(session, worker.Lease.Id, [], [], house.Workflows.Keys), Cancellation);
        Assert.NotNull(due);
        house.Clock.Advance(TimeSpan.FromMilliseconds(Math.Clamp((due.Value - house.Now).TotalMilliseconds, 1, 5000)));
        Assert.True(house.Now < Instant.FromUtc(2026, 3, 1, 10, 0), "It does not come to an end.");
        await AdvanceAsync(worker);
    }

    /// <summary>Slots that nobody of the house has.</summary>
    private static async Task<RunId> OccupyAsync(House house, params SlotKind[] kinds)
    {
        var stranger = new RunId(Guid.NewGuid());
        Assert.Equal(Taken.All, await house.Database.WriteAsync(session => SlotStore.TryTakeAsync(session, house.Pool.Id, kinds, stranger, "t", house.Now), Cancellation));
        return stranger;
    }

    private static Task FreeAsync(House house, RunId run) => house.Database.WriteAsync(session => SlotStore.FreeAsync(session, run, house.Now), Cancellation);

    /// <summary>A lab that waits for a slot, and whose own time to look does not come.</summary>
    private static async Task<Lab> WaitingAsync(House house, Worker worker)
    {
        var lab = await house.RequestAsync(machines: 1);
        await AdvanceAsync(worker);
        await SleepAsync(house, lab);
        return lab;
    }

    /// <summary>Its own time to look is far.</summary>
    private static async Task SleepAsync(House house, Lab lab) => Assert.Equal(1, await house.Database.WriteAsync(
        session => session.ExecuteAsync("UPDATE runs SET due_at = @later WHERE waits_for IS NOT NULL AND lab_id = @Id", new { lab.Id, later = house.Now + Duration.FromHours(1) }), Cancellation));

    private static async Task<bool> IsDueAsync(House house, Lab lab) => (await house.RunAsync(lab.Id)).DueAt <= house.Now;

    private static async Task AdvanceAsync(Worker worker)
    {
        await worker.Lease.BeatAsync(Cancellation);
        await worker.Batch.AdvanceDueAsync(Cancellation);
    }
}
