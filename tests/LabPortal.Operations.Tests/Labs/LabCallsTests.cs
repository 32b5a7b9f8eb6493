using LabPortal.Data;
using LabPortal.Data.Labs;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.People;
using LabPortal.Domain.Quotas;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Labs;
using LabPortal.Testing;
using NodaTime;
using Xunit;

namespace LabPortal.Operations.Tests.Labs;

public sealed class LabCallsTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Of_64_requests_at_once_against_room_for_10_exactly_10_are_granted(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        for (var round = 0; round < 20; round++)
        {
            var ada = await labs.TeamAsync($"team{round}", ("team", "machines", 20));
            var outcomes = await Task.WhenAll(Enumerable.Range(0, 64).Select(_ => Task.Run(() => labs.Calls.RequestAsync(ada, LabsUnderTest.Pair($"team{round}"), null, Cancellation))));
            Assert.Equal(10, outcomes.Count(outcome => outcome.Ok));
            Assert.All(outcomes.Where(outcome => !outcome.Ok), outcome => Assert.Equal("quota.full", outcome.Refusal!.Code));
        }

        Assert.Equal(200, await labs.CountAsync("SELECT count(*) FROM labs"));
        Assert.Equal(200, await labs.CountAsync("SELECT count(*) FROM runs"));
        Assert.Equal(1000, await labs.CountAsync("SELECT count(*) FROM quota_holds"));
        Assert.Equal(1280, await labs.CountAsync("SELECT count(*) FROM audit"));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Every_offer_of_a_refusal_works_when_it_is_taken(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa", ("team", "machines", 3), ("person", "labs", 9));
        var booked = await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair() with { Start = labs.Now + Duration.FromHours(10) }, null, Cancellation);
        Assert.Equal(LabState.Scheduled, booked.Value.State);

        var asked = LabsUnderTest.Pair(hours: 20) with { Parameters = new Dictionary<string, string> { ["motd"] = "hi" } };
        var refusal = (await labs.Calls.RequestAsync(ada, asked, null, Cancellation)).Refusal!;
        Assert.Equal(("quota.full", "team.machines", 3L, 2L, 2L), (refusal.Code, refusal.Quota!.Rule, refusal.Quota.Limit, refusal.Quota.Held, refusal.Quota.Asked));
        Assert.Equal("Ada", Assert.Single(refusal.Quota.Holders).Owner);
        Assert.Equal(
            [("scope", (object)"team"), ("dimension", "machines"), ("limit", new Amount(Dimension.Machines, 3)), ("held", new Amount(Dimension.Machines, 2)), ("free", new Amount(Dimension.Machines, 1)), ("asked", new Amount(Dimension.Machines, 2))],
            Assert.Single(refusal.Errors!).Arguments!.Where(argument => argument.Name is not ("rule" or "at")));
        Assert.Equal([Offers.UntilBooking, Offers.Later, Offers.OtherBlueprint], refusal.Quota.Offers.Select(offer => offer.Code));
        foreach (var offer in refusal.Quota.Offers)
        {
            var taken = await labs.Calls.RequestAsync(ada, asked.Take(offer), null, Cancellation);
            Assert.True(taken.Ok, $"{offer.Code}: {taken.Refusal?.Code}");
            await labs.Database.WriteAsync(
                async session =>
                {
                    await session.ExecuteAsync("DELETE FROM quota_holds WHERE lab_id = @Id", new { taken.Value.Id });
                    await LabStore.SetStateAsync(session, taken.Value.Id, LabState.Failed);
                },
                Cancellation);
        }
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task The_same_key_and_request_give_the_same_lab_however_many_ask_at_once(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => Task.Run(() => labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(), "key", Cancellation))));
        Assert.Single(outcomes.Select(outcome => outcome.Value.Id).Distinct());
        Assert.Equal(1, await labs.CountAsync("SELECT count(*) FROM labs"));
        var other = await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(hours: 5), "key", Cancellation);
        Assert.Equal(RefusalKind.Mismatch, other.Refusal!.Kind);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Every_mistake_is_told_at_once_and_nothing_changes(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        await labs.TeamAsync("others");
        var outcome = await labs.Calls.RequestAsync(
            ada,
            new LabRequest
            {
                Blueprint = "pair", Team = "others", Name = "a\u0007", Pool = "nowhere", Parameters = new Dictionary<string, string> { ["motd"] = "too long", ["x"] = "1" },
                Lease = new LeaseRequest(73), Start = labs.Now - Duration.FromHours(1), Labels = new Dictionary<string, string> { [""] = "x" },
            },
            null, Cancellation);
        Assert.Equal(
            ["label.key", "lease.beyond-ceiling", "name.control-characters", "parameter.too-long", "parameter.unknown", "pool.unknown", "start.past", "team.unknown"],
            outcome.Refusal!.Errors!.Select(error => error.Code).Order());
        var lease = await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(hours: 0.01m), null, Cancellation);
        Assert.Equal("lease.too-short", Assert.Single(lease.Refusal!.Errors!).Code);
        Assert.Equal(0, await labs.CountAsync("SELECT count(*) FROM labs"));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task An_extension_never_counts_against_itself_and_never_passes_the_ceiling(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa", ("team", "machines", 2));
        var lab = (await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(), null, Cancellation)).Value;
        await labs.BecomeAsync(lab.Id, LabState.Ready);
        Assert.True((await labs.Calls.ExtendAsync(ada, lab.Id, new LeaseRequest(60), Cancellation)).Ok);
        await labs.BecomeAsync(lab.Id, LabState.Ready);
        Assert.Equal("lease.beyond-ceiling", Assert.Single((await labs.Calls.ExtendAsync(ada, lab.Id, new LeaseRequest(68.5m), Cancellation)).Refusal!.Errors!).Code);

        // Booked by somebody else right behind it: until then it may grow, and that is what is offered.
        await labs.Database.WriteAsync(session => session.ExecuteAsync("UPDATE quota_holds SET to_at = @To WHERE lab_id = @Id", new { To = labs.Now + Duration.FromHours(5), lab.Id }), Cancellation);
        Assert.True((await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair() with { Start = labs.Now + Duration.FromHours(20) }, null, Cancellation)).Ok);
        var refusal = (await labs.Calls.ExtendAsync(ada, lab.Id, new LeaseRequest(30), Cancellation)).Refusal!;
        var offer = Assert.Single(refusal.Quota!.Offers);
        Assert.True((await labs.Calls.ExtendAsync(ada, lab.Id, offer.TakeLease(), Cancellation)).Ok);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Each_verb_in_each_state_is_answered_as_the_table_of_a_labs_life_says(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa") with { IsAdmin = true };
        (RunState State, string Workflow)?[] lives = [null, (RunState.Running, WorkflowNames.Provision), (RunState.Undoing, WorkflowNames.Start), (RunState.Stuck, WorkflowNames.Stop), (RunState.Running, WorkflowNames.Revert), (RunState.Running, WorkflowNames.End)];
        foreach (var state in Enum.GetValues<LabState>())
        {
            foreach (var live in lives)
            {
                // What is refused changes nothing: the next verb is asked of the same lab.
                LabId? unchanged = null;
                foreach (var verb in Enum.GetValues<LabVerb>())
                {
                    var lab = unchanged ??= await LiveAsync(state, live);
                    var outcome = verb switch
                    {
                        LabVerb.Snapshot => await labs.Calls.SnapshotAsync(ada, lab, "two", Cancellation),
                        LabVerb.Revert => await labs.Calls.RevertAsync(ada, lab, "one", Cancellation),
                        LabVerb.DeleteSnapshot => await labs.Calls.DeleteSnapshotAsync(ada, lab, "one", Cancellation),
                        LabVerb.Extend => await labs.Calls.ExtendAsync(ada, lab, new LeaseRequest(1), Cancellation),
                        LabVerb.Abandon => await labs.Calls.AbandonAsync(ada, lab, "gone", Cancellation),
                        _ => await labs.Calls.AskAsync(ada, lab, verb, Cancellation),
                    };
                    Assert.Equal((state, live, verb, LabLife.WhyNot(state, LabHealth.Degraded, verb, live?.State, live?.Workflow)), (state, live, verb, outcome.Refusal?.Code));
                    if (outcome.Ok) unchanged = null;
                }
            }
        }

        async Task<LabId> LiveAsync(LabState state, (RunState State, string Workflow)? live)
        {
            var lab = (await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(), null, Cancellation)).Value.Id;
            await labs.BecomeAsync(lab, state);
            await HaveSnapshotAsync(labs, lab, "one");
            if (live is { } run)
            {
                await labs.Database.WriteAsync(session => session.ExecuteAsync(
                    "UPDATE runs SET state = @State, workflow = @Workflow WHERE lab_id = @lab", new { lab, State = run.State.Word(), run.Workflow }), Cancellation);
            }

            return lab;
        }
    }

    private static Task HaveSnapshotAsync(LabsUnderTest labs, LabId id, string name) => labs.Database.WriteAsync(
        async session =>
        {
            var lab = (await LabStore.FindAsync(session, id))!;
            await SnapshotStore.InsertAsync(session, new Snapshot
            {
                Id = new SnapshotId(Ids.New(labs.Now)), Lab = id, Name = name, State = SnapshotState.Taken, AskedBy = "Ada", AskedAt = labs.Now,
                Items = [.. lab.Machines.Select(machine => new SnapshotItem(machine.Id, machine.Generation, SnapshotItemState.Taken, null, false, null))],
            });
        },
        Cancellation);

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_feed_has_neither_gap_nor_repeat_wherever_it_resumes(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        var lab = (await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(), null, Cancellation)).Value;
        var last = lab.Version + 200;
        async Task<List<long>> FollowAsync(long after)
        {
            var versions = new List<long>();
            await foreach (var one in labs.Calls.EventsAsync(ada, lab.Id, after, Cancellation))
            {
                versions.Add(one.Version);
                if (one.Version == last) break;
            }

            return versions;
        }

        var (all, resumed) = (FollowAsync(0), FollowAsync(2));
        for (var i = 0; i < 200; i++)
        {
            await labs.Database.WriteAsync(
                session =>
                {
                    LabStore.AppendEvent(session, lab.Id, labs.Now, LabEventKind.Log, ("i", $"{i}"));
                    return Task.CompletedTask;
                },
                Cancellation);
        }

        Assert.Equal(Enumerable.Range(1, (int)last).Select(i => (long)i), await all.WaitAsync(TimeSpan.FromMinutes(5), Cancellation));
        Assert.Equal(Enumerable.Range(3, (int)last - 2).Select(i => (long)i), await resumed.WaitAsync(TimeSpan.FromMinutes(5), Cancellation));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_password_is_there_for_an_owner_without_keys_and_for_nobody_else(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        var lab = (await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(), null, Cancellation)).Value.Id;
        Assert.Equal(20, (await labs.Calls.RevealPasswordAsync(ada, lab, Cancellation)).Value.Length);
        Assert.True((await labs.Calls.FindAsync(ada, lab, Cancellation)).Value.HasPassword);
        Assert.False((await labs.Calls.FindAsync(ada with { Person = new PersonId(Guid.NewGuid()), IsAdmin = true }, lab, Cancellation)).Value.HasPassword);
        Assert.Equal(RefusalKind.Forbidden, (await labs.Calls.RevealPasswordAsync(ada with { Person = new PersonId(Guid.NewGuid()), IsAdmin = true }, lab, Cancellation)).Refusal!.Kind);
        Assert.Equal(RefusalKind.NotFound, (await labs.Calls.FindAsync((await labs.TeamAsync("others")), lab, Cancellation)).Refusal!.Kind);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_verb_on_one_machine_is_a_run_of_that_machine_alone(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        var bob = await labs.PersonAsync(new Team { Id = ada.Teams.Keys.Single(), Name = "qa", Zone = "Europe/Berlin" }, "Bob");
        var eve = await labs.TeamAsync("others");
        var lab = (await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(), null, Cancellation)).Value.Id;
        Task<Outcome<LabView>> AskAsync(Actor actor, string machine, LabVerb verb) => labs.Calls.AskMachineAsync(actor, lab, machine, verb, Cancellation);

        Assert.Equal(RefusalKind.Conflict, (await AskAsync(ada, "m1", LabVerb.Stop)).Refusal!.Kind);
        await labs.BecomeAsync(lab, LabState.Ready);
        Assert.Equal(RefusalKind.Forbidden, (await AskAsync(bob, "m1", LabVerb.Stop)).Refusal!.Kind);
        Assert.Equal(RefusalKind.NotFound, (await AskAsync(eve, "m1", LabVerb.Stop)).Refusal!.Kind);
        Assert.Equal(RefusalKind.NotFound, (await AskAsync(ada, "m3", LabVerb.Stop)).Refusal!.Kind);
        Assert.Equal("verb.not-for-machines", Assert.Single((await AskAsync(ada, "m1", LabVerb.End)).Refusal!.Errors!).Code);
        Assert.Equal(0, await labs.CountAsync("SELECT count(*) FROM runs WHERE workflow <> 'provision'"));

        var asked = (await AskAsync(ada, "m2", LabVerb.Restart)).Value;
        var run = (await labs.Database.ReadAsync(session => RunStore.LiveOfAsync(session, lab), Cancellation))!;
        Assert.Equal((WorkflowNames.Restart, "m2", "Ada"), (run.Workflow, run.Arguments[RunArguments.Machine], run.AskedBy));
        Assert.Equal((LabState.Ready, run.Id), (asked.State, asked.Run!.Id));
        Assert.Equal("lab.busy", (await AskAsync(ada, "m1", LabVerb.Restart)).Refusal!.Code);
        var manager = bob with { Teams = new Dictionary<TeamId, TeamRole> { [ada.Teams.Keys.Single()] = TeamRole.Manager } };
        await labs.BecomeAsync(lab, LabState.Ready);
        Assert.True((await AskAsync(manager, "m1", LabVerb.Stop)).Ok);
        Assert.Equal(2, await labs.CountAsync("SELECT count(*) FROM audit WHERE verb IN ('restart-lab', 'stop-lab') AND outcome = 'done'"));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Who_did_what_to_a_lab_is_told_to_those_who_see_it_and_from_where_to_those_who_read_the_audit(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa") with { Address = "10.0.0.7" };
        var bob = await labs.PersonAsync(new Team { Id = ada.Teams.Keys.Single(), Name = "qa", Zone = "Europe/Berlin" }, "Bob") with { Address = "10.0.0.8" };
        var lab = (await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(), null, Cancellation)).Value.Id;
        await labs.BecomeAsync(lab, LabState.Ready);
        labs.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(RefusalKind.Forbidden, (await labs.Calls.AskAsync(bob, lab, LabVerb.End, Cancellation)).Refusal!.Kind);
        labs.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.True((await labs.Calls.AskMachineAsync(ada, lab, "m2", LabVerb.Restart, Cancellation)).Ok);

        var lines = (await labs.Calls.DoneToAsync(bob, lab, null, 100, Cancellation)).Value.Items;
        Assert.Equal(["Ada request-lab done", "Bob end-lab actor.may-not", "Ada restart-lab done"], lines.Select(line => $"{line.Actor} {line.Verb} {line.Outcome}"));
        Assert.Equal("m2", lines[2].Detail["machine"]);
        Assert.Equal([null, "10.0.0.8", null], lines.Select(line => line.Address));
        Assert.Equal(["10.0.0.7", "10.0.0.8", "10.0.0.7"], (await labs.Calls.DoneToAsync(bob with { IsAuditor = true }, lab, null, 100, Cancellation)).Value.Items.Select(line => line.Address));
        Assert.Equal(RefusalKind.NotFound, (await labs.Calls.DoneToAsync(await labs.TeamAsync("others"), lab, null, 100, Cancellation)).Refusal!.Kind);
    }

    [Fact]
    public void What_a_guest_prints_cannot_steer_a_terminal_or_a_page()
        => Assert.Equal("a<1b>[31m<202e>\n" + new string('x', 2000) + "…", LabCalls.Visible([.. "a\u001b[31m\u202e\r\n"u8, .. Enumerable.Repeat((byte)'x', 5000)]));
}
