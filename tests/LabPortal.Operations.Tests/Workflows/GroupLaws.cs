using LabPortal.Data.Pools;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Workflows;
using LabPortal.Testing;
using NodaTime;
using Xunit;

namespace LabPortal.Operations.Tests.Workflows;

/// <summary>
/// Who waits for whose locks. On PostgreSQL only: on SQLite one transaction excludes all others. The locks are the test's own, so that what
/// must not wait can be told from what must.
/// </summary>
public sealed class GroupLaws(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_group_passes_over_what_somebody_has_locked_commits_the_rest_at_once_and_writes_the_locked_alone_afterwards()
    {
        await using var house = await BuildAsync();
        using var worker = new Worker(house);
        var turns = await ClaimAsync(house, worker, 6);
        await using var somebody = await Somebody.LocksTheLabAsync(house, turns[3].Claim.Lab);

        // Both of the writers are kept busy until the other four are one group.
        var saves = new List<Task<TurnState>>();
        await using (await Somebody.LocksAllRunsAsync(house))
        {
            foreach (var turn in turns)
            {
                saves.Add(worker.Writer.SaveAsync(turn, null));
                if (saves.Count <= 2) await Somebody.WaitsAsync(house, saves.Count);
            }
        }

        await Task.WhenAll(saves.Where((_, i) => i != 3)).WaitAsync(Patience.Most, Cancellation);
        Assert.False(saves[3].IsCompleted);
        await somebody.LetGoAsync();
        await saves[3].WaitAsync(Patience.Most, Cancellation);
        var by = await TransactionsAsync(house);
        Assert.Equal(by[turns[2].Claim.Id], by[turns[4].Claim.Id]);
        Assert.Equal(by[turns[2].Claim.Id], by[turns[5].Claim.Id]);
        Assert.DoesNotContain(by[turns[3].Claim.Id], by.Where(other => other.Key != turns[3].Claim.Id).Select(other => other.Value));
    }

    [Fact]
    public async Task Locked_turns_that_come_one_by_one_hold_up_nobody_either()
    {
        await using var house = await BuildAsync();
        using var worker = new Worker(house);
        var turns = await ClaimAsync(house, worker, 4);
        await using var one = await Somebody.LocksTheLabAsync(house, turns[0].Claim.Lab);
        await using var two = await Somebody.LocksTheLabAsync(house, turns[1].Claim.Lab);
        var first = worker.Writer.SaveAsync(turns[0], null);
        await Somebody.WaitsAsync(house, 1);
        var second = worker.Writer.SaveAsync(turns[1], null);
        await Somebody.WaitsAsync(house, 2);
        foreach (var turn in turns[2..]) await worker.Writer.SaveAsync(turn, null).WaitAsync(Patience.Most, Cancellation);
        Assert.False(first.IsCompleted || second.IsCompleted);
        await one.LetGoAsync();
        await first.WaitAsync(Patience.Most, Cancellation);
        Assert.False(second.IsCompleted);
        await two.LetGoAsync();
        await second.WaitAsync(Patience.Most, Cancellation);
    }

    [Fact]
    public async Task Two_who_take_slots_of_each_others_pools_are_told_that_they_are_busy_and_neither_waits()
    {
        await using var house = await BuildAsync();
        var other = house.Pool with { Id = new PoolId(Guid.NewGuid()), Name = "other" };
        await house.Database.WriteAsync(session => PoolStore.SaveAsync(session, other), Cancellation);
        var (here, there) = (new TaskCompletionSource(), new TaskCompletionSource());
        var (left, right) = (new TaskCompletionSource(), new TaskCompletionSource());
        var both = Task.WhenAll(TakeAsync(house.Pool.Id, other.Id, here, there.Task, left, right.Task), TakeAsync(other.Id, house.Pool.Id, there, here.Task, right, left.Task));
        Assert.All(await both.WaitAsync(Patience.Most, Cancellation), taken => Assert.Equal((Taken.All, Taken.Busy), taken));
        Assert.Equal(Taken.All, await house.Database.WriteAsync(session => SlotStore.TryTakeAsync(session, other.Id, [SlotKind.Boot], new RunId(Guid.NewGuid()), "t", house.Now), Cancellation));

        Task<(Taken, Taken)> TakeAsync(PoolId first, PoolId second, TaskCompletionSource has, Task otherHas, TaskCompletionSource asked, Task otherAsked) => house.Database.WriteAsync(
            async session =>
            {
                await Somebody.MayIdleAsync(session);
                var run = new RunId(Guid.NewGuid());
                var mine = await SlotStore.TryTakeAsync(session, first, [SlotKind.Operation], run, "t", house.Now);
                has.TrySetResult();
                await otherHas;
                var others = await SlotStore.TryTakeAsync(session, second, [SlotKind.Operation], run, "t", house.Now);
                asked.TrySetResult();
                await otherAsked;
                return (mine, others);
            },
            Cancellation);
    }

    [Fact]
    public async Task A_turn_that_finds_its_pool_busy_is_given_back_for_a_moment_and_waits_for_nobody()
    {
        await using var house = await BuildAsync();
        var lab = await house.ReadyAsync();
        var run = await house.BeginAsync(lab, WorkflowNames.Restart);
        using var worker = new Worker(house);
        await worker.Lease.BeatAsync(Cancellation);
        await using (await Somebody.LocksThePoolAsync(house, house.Pool.Id))
        {
            await worker.Batch.AdvanceDueAsync(Cancellation).WaitAsync(Patience.Most, Cancellation);
            var waiting = await house.RunAsync(lab.Id);
            Assert.Equal((run.Id, RunState.Running, null), (waiting.Id, waiting.State, waiting.Worker));
            Assert.InRange(waiting.DueAt - house.Now, Duration.FromMilliseconds(1), Duration.FromMilliseconds(50));
            Assert.DoesNotContain(await house.JournalAsync(run.Id), entry => entry.Step == "restart");
        }

        await Law.Of[WorkflowNames.Restart].HoldsDoneAsync(house, lab, await worker.DriveAsync(lab.Id));
    }

    [Fact]
    public async Task Placements_wait_for_their_pool_beside_the_groups()
    {
        await using var house = await BuildAsync();
        var lab = await house.ReadyAsync();
        using var worker = new Worker(house);
        await worker.Lease.BeatAsync(Cancellation);
        var (placing, waiting) = (new List<Lab>(), new List<Task>());
        await using (await Somebody.LocksThePoolAsync(house, house.Pool.Id))
        {
            // More of them than groups are written at once.
            for (var i = 1; i <= 3; i++)
            {
                placing.Add(await house.RequestAsync(machines: 1));
                waiting.Add(worker.Batch.AdvanceDueAsync(Cancellation));
                await Somebody.WaitsAsync(house, i);
            }

            await house.BeginAsync(lab, WorkflowNames.Stop);
            Assert.Equal((WorkflowNames.Stop, RunState.Done), await worker.DriveAsync(lab.Id).WaitAsync(Patience.Most, Cancellation) is var run ? (run.Workflow, run.State) : default);
            Assert.DoesNotContain(waiting, batch => batch.IsCompleted);
        }

        await Task.WhenAll(waiting).WaitAsync(Patience.Most, Cancellation);
        foreach (var placed in placing) Assert.Equal(RunState.Done, (await worker.DriveAsync(placed.Id)).State);
    }

    /// <summary>What waits for a lock here waits for as long as the test has it.</summary>
    private Task<House> BuildAsync() => House.BuildAsync(databases, Engine.Postgres, connection: "Command Timeout=600");

    /// <summary>Turns that were claimed and have written nothing yet.</summary>
    private static async Task<List<Turn>> ClaimAsync(House house, Worker worker, int number)
    {
        for (var i = 0; i < number; i++) await house.RequestAsync();
        await worker.Lease.BeatAsync(Cancellation);
        var claims = await worker.ClaimAsync(number);
        Assert.Equal(number, claims.Count);
        return [.. claims.Select(worker.Turn)];
    }

    /// <summary>By which transaction each run's intentions were written.</summary>
    private static async Task<Dictionary<RunId, string>> TransactionsAsync(House house) => (await house.Database.ReadAsync(
        session => session.QueryAsync<Written>("SELECT DISTINCT run_id AS run, xmin::text AS by FROM journal"), Cancellation)).ToDictionary(row => row.Run, row => row.By);

    private sealed class Written
    {
        public RunId Run { get; init; }
        public string By { get; init; } = "";
    }
}
