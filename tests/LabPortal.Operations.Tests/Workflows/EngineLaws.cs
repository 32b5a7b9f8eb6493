using LabPortal.Data.Labs;
using LabPortal.Data.Machines;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Workflows;
using LabPortal.Operations.Workflows.Steps;
using LabPortal.Providers.Simulated;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Operations.Tests.Workflows;

public sealed class EngineLaws(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_worker_past_its_lease_writes_nothing(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        var lab = await house.RequestAsync();
        using var late = new Worker(house);
        var claim = (await late.ClaimAsync())!;
        using var other = new Worker(house);
        var commits = 0;
        IReadOnlyList<JournalEntry>? written = null;

        // Stopped with the intention to create written; everything else happens before it goes on.
        using var stopped = new Worker(house, seam: moment =>
        {
            if (moment != TurnMoment.AfterCommit || ++commits != 3) return;
            other.Lease.BeatAsync(Cancellation).GetAwaiter().GetResult();
            house.Clock.Advance(TimeSpan.FromSeconds(21));
            other.DriveAsync(lab.Id).GetAwaiter().GetResult();
            written = house.JournalAsync(claim.Id).GetAwaiter().GetResult();
        });
        await house.Database.WriteAsync(session => RunStore.ReclaimAllAsync(session), Cancellation);
        claim = (await stopped.ClaimAsync())!;
        await Assert.ThrowsAsync<LeaseLost>(() => stopped.TurnAsync(claim));
        Assert.Equal(written, await house.JournalAsync(claim.Id));
        await Law.Of[WorkflowNames.Provision].HoldsDoneAsync(house, lab, await house.RunAsync(lab.Id));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_step_that_fails_for_good_while_its_worker_stops_is_taken_back_by_the_next(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        var lab = await house.RequestAsync();
        using var stopping = new CancellationTokenSource();
        using (var first = new Worker(house, Wrapped.In(WorkflowNames.Provision, step => step.Name != "boot" ? step : new Wrapped(step, async (_, _) =>
        {
            await stopping.CancelAsync();
            throw new ProviderFault(FaultKind.Rejected, "No, says the law.");
        }))))
        {
            await first.TurnUntilAsync((await first.ClaimAsync())!, stopping.Token);
        }

        var run = await house.RunAsync(lab.Id);
        Assert.Equal((RunState.Undoing, "run.step-failed", null), (run.State, run.Problem?.Code, run.Worker));
        using var next = new Worker(house);
        await Law.Of[WorkflowNames.Provision].HoldsUndoneAsync(house, lab, await next.DriveAsync(lab.Id));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_run_of_one_version_ends_under_the_next_and_an_unknown_one_is_left_alone(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine, """{"bootSeconds": 5}""");
        var lab = await house.RequestAsync();
        var v2 = new Workflow { Name = WorkflowNames.Provision, Version = 2, Steps = [new HandOver()] };
        using (var ignorant = new Worker(house, new RegisteredWorkflows([v2])))
        {
            Assert.Null(await ignorant.ClaimAsync());
            Assert.Equal("run.unknown-version", new RunViews(ignorant.Workflows).View(await house.RunAsync(lab.Id), "lab", "qa").Problem?.Code);
        }

        using (var first = new Worker(house)) await first.Batch.AdvanceDueAsync(Cancellation);
        using var next = new Worker(house, new RegisteredWorkflows([.. new RegisteredWorkflows().All, v2]));
        await house.Database.WriteAsync(RunStore.ReclaimAllAsync, Cancellation);
        var run = await next.DriveAsync(lab.Id);
        Assert.Equal(1, run.Version);
        await Law.Of[WorkflowNames.Provision].HoldsDoneAsync(house, lab, run);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_machine_that_finds_no_room_is_made_elsewhere_in_a_new_generation(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        var lab = await house.RequestAsync();
        await house.World.ScriptAsync(new ScriptedFault(Deed.Fail) { Verb = WireVerb.CreateMachine, Subject = lab.Machines[0].Id.ToString(), Fault = FaultKind.NoCapacity }, Cancellation);
        using var worker = new Worker(house);
        Assert.Equal(RunState.Done, (await worker.DriveAsync(lab.Id)).State);
        lab = await house.LabAsync(lab.Id);
        Assert.Equal([2, 1], lab.Machines.Select(machine => machine.Generation));
        Assert.Equal(10, (await house.ResourcesAsync(lab)).Count);
        var placed = await house.Database.ReadAsync(session => GenerationStore.ListAsync(session, lab.Machines[0].Id), Cancellation);
        Assert.Equal([(1, false), (2, true)], placed.Select(generation => (generation.Generation, generation.Held)));
        Assert.NotEqual(placed[0].Host, placed[1].Host);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Lost_replies_and_throttling_are_tried_again_and_double_nothing(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        var lab = await house.RequestAsync();
        await house.World.ScriptAsync(new ScriptedFault(Deed.Fail, Moment.AfterEffect) { Verb = WireVerb.CreateMachine, Times = 3 }, Cancellation);
        await house.World.ScriptAsync(new ScriptedFault(Deed.Fail) { Verb = WireVerb.CreateSeed, Fault = FaultKind.Throttled, RetryAfter = TimeSpan.FromSeconds(30) }, Cancellation);
        using var worker = new Worker(house);
        await Law.Of[WorkflowNames.Provision].HoldsDoneAsync(house, lab, await worker.DriveAsync(lab.Id));
        Assert.True(house.Now >= lab.RequestedAt + NodaTime.Duration.FromSeconds(30));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_cancelled_provision_leaves_a_clean_slate_and_says_so(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine, """{"bootSeconds": 60}""");
        var lab = await house.RequestAsync();
        using var worker = new Worker(house);
        await worker.Lease.BeatAsync(Cancellation);
        await worker.Batch.AdvanceDueAsync(Cancellation);
        Assert.Equal(10, (await house.ResourcesAsync(lab)).Count);
        await house.Database.WriteAsync(async session => await Runs.RequestCancelAsync(session, (await RunStore.LiveOfAsync(session, lab.Id))!, house.Now), Cancellation);
        var run = await worker.DriveAsync(lab.Id);
        await Law.Of[WorkflowNames.Provision].HoldsUndoneAsync(house, lab, run);
        Assert.Equal("lab.cancelled", (await house.LabAsync(lab.Id)).Reason?.Code);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task The_end_wins_over_a_run_that_is_being_turned(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        for (var at = 1; at < 8; at++)
        {
            var lab = await house.RequestAsync();
            var commits = 0;
            using var worker = new Worker(house, seam: moment =>
            {
                if (moment == TurnMoment.AfterCommit && ++commits == at) house.EndAsync(lab.Id).GetAwaiter().GetResult();
            });
            Assert.Equal((WorkflowNames.End, RunState.Done), await worker.DriveAsync(lab.Id) is var run ? (run.Workflow, run.State) : default);
            Assert.Equal(LabState.Ended, (await house.LabAsync(lab.Id)).State);
            Assert.Empty(await house.ResourcesAsync(lab));
            Assert.False(await house.HoldsAnythingAsync(lab));
        }
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task An_end_that_cannot_be_confirmed_keeps_its_holds_and_goes_on_when_the_pool_is_back(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        var lab = await house.ReadyAsync();
        foreach (var host in new[] { "h1", "h2" }) await house.World.HostIsAwayAsync(host, "no route", Cancellation);
        await house.EndAsync(lab.Id);
        using var worker = new Worker(house);
        await Assert.ThrowsAsync<InvalidOperationException>(() => worker.DriveAsync(lab.Id, most: 20));
        Assert.Equal(LabState.Ending, (await house.LabAsync(lab.Id)).State);
        Assert.True(await house.HoldsAnythingAsync(lab));
        foreach (var host in new[] { "h1", "h2" }) await house.World.HostIsAwayAsync(host, null, Cancellation);
        await Law.Of[WorkflowNames.End].HoldsDoneAsync(house, lab, await worker.DriveAsync(lab.Id));
    }

    [Theory, InlineData(Engine.Sqlite, 2, 4), InlineData(Engine.Postgres, 2, 4), InlineData(Engine.Sqlite, 3, 2), InlineData(Engine.Postgres, 3, 2)]
    public async Task No_more_operations_and_boots_at_once_than_the_pool_allows(Engine engine, int operations, int boots)
    {
        await using var house = await House.BuildAsync(databases, engine, """{"createSeconds": 3, "bootSeconds": 7, "deleteSeconds": 3}""", new PoolLimits(operations, boots));
        using var one = new Worker(house);
        using var two = new Worker(house);
        var labs = new List<Lab>();
        for (var i = 0; i < 4; i++) labs.Add(await house.RequestAsync());
        // One create is cut off after its effect: its machine boots all the same.
        await house.World.ScriptAsync(new ScriptedFault(Deed.Fail, Moment.AfterEffect) { Verb = WireVerb.CreateMachine, Nth = 2 }, Cancellation);
        await DriveAllAsync(LabState.Ready);
        foreach (var lab in labs) await house.BeginAsync(await house.LabAsync(lab.Id), WorkflowNames.Restart);
        await DriveAllAsync(LabState.Ready);
        foreach (var lab in labs) await house.BeginAsync(await house.LabAsync(lab.Id), WorkflowNames.Stop);
        await DriveAllAsync(LabState.Stopped);
        foreach (var lab in labs) await house.BeginAsync(await house.LabAsync(lab.Id), WorkflowNames.Start);
        await DriveAllAsync(LabState.Ready);
        foreach (var lab in labs) await house.EndAsync(lab.Id);
        await DriveAllAsync(LabState.Ended);

        var seen = (await house.World.HistoryAsync(Cancellation)).Where(call => call.Effect).ToLookup(call => call.Verb, call => call.At);
        Assert.Equal((8, 8, 8, 8), (seen["create-machine"].Count(), seen["restart"].Count(), seen["start"].Count(), seen["delete-machine"].Count()));
        Assert.Equal(boots, MostAtOnce([.. Spans("create-machine", 10), .. Spans("restart", 7), .. Spans("start", 7)]));
        Assert.Equal(operations, MostAtOnce([.. Spans("create-machine", 3), .. Spans("delete-machine", 3)]));

        IEnumerable<(NodaTime.Instant From, NodaTime.Instant To)> Spans(string verb, int seconds) => seen[verb].Select(at => (at, at + NodaTime.Duration.FromSeconds(seconds)));

        async Task DriveAllAsync(LabState state)
        {
            for (var round = 0; ; round++)
            {
                Assert.True(round < 1000, "The labs do not come to an end.");
                foreach (var worker in new[] { one, two }) await worker.Lease.BeatAsync(Cancellation);
                await Task.WhenAll(one.Batch.AdvanceDueAsync(Cancellation), two.Batch.AdvanceDueAsync(Cancellation));
                house.Clock.Advance(TimeSpan.FromMilliseconds(500));
                var runs = await Task.WhenAll(labs.Select(lab => house.RunAsync(lab.Id)));
                if (runs.All(run => !run.State.IsLive())) break;
            }

            foreach (var lab in labs) Assert.Equal(state, (await house.LabAsync(lab.Id)).State);
        }
    }

    private static int MostAtOnce(IReadOnlyList<(NodaTime.Instant From, NodaTime.Instant To)> spans)
        => spans.Max(span => spans.Count(other => other.From <= span.From && span.From < other.To));

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_lab_is_ready_within_300_ms_of_its_guests_in_the_first_20_s(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine, """{"bootSeconds": 19}""");
        using var worker = new Worker(house);
        var lab = await house.RequestAsync();
        var run = await worker.DriveAsync(lab.Id);
        var guests = (await house.World.HistoryAsync(Cancellation)).Where(call => call.Verb == "create-machine").Max(call => call.At) + NodaTime.Duration.FromSeconds(19);
        Assert.InRange(run.FinishedAt!.Value - guests, NodaTime.Duration.Zero, NodaTime.Duration.FromMilliseconds(300));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Claims_are_fair_between_teams(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        for (var i = 0; i < 20; i++) await house.RequestAsync();
        house.Clock.Advance(TimeSpan.FromSeconds(1));
        var late = await house.RequestAsync();
        var other = new TeamId(Guid.NewGuid());
        await house.Database.WriteAsync(session => session.ExecuteAsync("UPDATE runs SET team_id = @other WHERE lab_id = @Id", new { other, late.Id }), Cancellation);
        using var worker = new Worker(house);
        var claimed = await worker.ClaimAsync(2);
        Assert.Equal(2, claimed.Select(run => run.Team).Distinct().Count());
        Assert.All(claimed, run => Assert.Equal((worker.Lease.Id, 1L), (run.Worker, run.Token)));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_turn_that_only_looks_again_costs_one_commit_for_each_machine_and_one_to_begin(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine, """{"bootSeconds": 600}""");
        await house.RequestAsync();
        var commits = 0;
        using var worker = new Worker(house, seam: moment => commits += moment == TurnMoment.AfterCommit ? 1 : 0);
        await worker.Lease.BeatAsync(Cancellation);
        await worker.Batch.AdvanceDueAsync(Cancellation);
        house.Clock.Advance(TimeSpan.FromSeconds(2));
        await worker.Lease.BeatAsync(Cancellation);
        commits = 0;
        Assert.Equal(1, await worker.Batch.AdvanceDueAsync(Cancellation));
        Assert.Equal(3, commits);
    }
}
