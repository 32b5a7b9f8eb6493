using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.People;
using LabPortal.Operations.Audit;
using LabPortal.Operations.Catalogue;
using LabPortal.Operations.Quotas;
using LabPortal.Operations.Tests.Labs;
using LabPortal.Testing;
using NodaTime;
using Xunit;

namespace LabPortal.Operations.Tests.Quotas;

public sealed class QuotaCallsTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_teams_quota_says_what_is_held_now_and_by_whom_from_now_on(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa", ("team", "labs", 5), ("team", "machines", 5), ("person", "labs", 3));
        var eve = await labs.TeamAsync("others", ("team", "labs", 7));
        var quotas = new QuotaCalls(labs.Database, labs.Time);
        var living = (await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair() with { Name = "now" }, null, Cancellation)).Value;
        var booked = (await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair() with { Name = "later", Start = labs.Now + Duration.FromHours(20) }, null, Cancellation)).Value;

        var views = (await quotas.OfTeamAsync(ada, "qa", Cancellation)).Value;
        Assert.Equal([("labs", 5, 1, 4), ("machines", 5, 2, 3)], views.Select(view => (view.Dimension, view.Limit, view.Held, view.Free)));
        var machines = views.Single(view => view.Dimension == "machines").Holds.OrderBy(hold => hold.From).ToList();
        Assert.Equal([(living.Id, "now", "Ada", 2L), (booked.Id, "later", "Ada", 2L)], machines.Select(hold => (hold.Lab, hold.LabName, hold.Owner, hold.Amount)));
        // Until the end of grace.
        Assert.Equal([labs.Now + Duration.FromHours(5), labs.Now + Duration.FromHours(25)], machines.Select(hold => hold.To!.Value));

        Assert.Empty((await quotas.OfTeamAsync(eve, "others", Cancellation)).Value.Single().Holds);
        Assert.Equal(RefusalKind.NotFound, (await quotas.OfTeamAsync(eve, "qa", Cancellation)).Refusal!.Kind);
        Assert.Equal((await quotas.OfTeamAsync(eve, "nowhere", Cancellation)).Refusal!.Code, (await quotas.OfTeamAsync(eve, "qa", Cancellation)).Refusal!.Code);
        Assert.Equal(2, (await quotas.OfTeamAsync(eve with { IsAuditor = true }, "qa", Cancellation)).Value.Count);

        // An end that is not confirmed holds on, without an end.
        Assert.True((await labs.Calls.AskAsync(ada, living.Id, LabVerb.End, Cancellation)).Ok);
        labs.Time.Advance(TimeSpan.FromHours(10));
        var still = (await quotas.OfTeamAsync(ada, "qa", Cancellation)).Value.Single(view => view.Dimension == "labs");
        Assert.Equal((1, null), (still.Held, still.Holds.Single(hold => hold.Lab == living.Id).To));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task What_each_person_may_hold_binds_each_alone_however_many_ask_at_once(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa", ("team", "labs", 50), ("person", "labs", 3));
        var bob = await labs.PersonAsync(new Team { Id = ada.Teams.Keys.Single(), Name = "qa", Zone = "Europe/Berlin" }, "Bob");

        var outcomes = await Task.WhenAll(Enumerable.Range(0, 24).Select(async i =>
        {
            var person = i % 2 == 0 ? ada : bob;
            return (person.Name, Outcome: await Task.Run(() => labs.Calls.RequestAsync(person, LabsUnderTest.Pair(), null, Cancellation)));
        }));

        Assert.Equal([("Ada", 3), ("Bob", 3)], outcomes.Where(one => one.Outcome.Ok).GroupBy(one => one.Name).Select(group => (group.Key, group.Count())).Order());
        foreach (var (name, outcome) in outcomes.Where(one => !one.Outcome.Ok))
        {
            var quota = outcome.Refusal!.Quota!;
            Assert.Equal(("person.labs", 3L, 3L, 1L), (quota.Rule, quota.Limit, quota.Held, quota.Asked));
            Assert.All(quota.Holders, holder => Assert.Equal(name, holder.Owner));
        }
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task The_tree_shows_each_team_its_people_and_their_labs_and_only_what_the_caller_may_see(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa", ("team", "labs", 5), ("person", "labs", 3));
        await labs.TeamAsync("others");
        var quotas = new QuotaCalls(labs.Database, labs.Time);
        var living = (await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair() with { Name = "now" }, null, Cancellation)).Value;
        await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair() with { Name = "later", Start = labs.Now + Duration.FromHours(20) }, null, Cancellation);

        var all = (await quotas.TreeAsync(ada with { IsAuditor = true }, null, 10, null, Cancellation)).Items;
        Assert.Equal(["others", "qa"], all.Select(team => team.Team));
        Assert.Empty(all[0].People);
        Assert.Equal([("labs", 5L, 3L, 1L), ("machines", null, null, 2L)], all[1].Use.Take(2).Select(use => (use.Dimension, use.Limit, use.PersonLimit, use.Held)));
        var person = Assert.Single(all[1].People);
        Assert.Equal(("Ada", 1L, 2L), (person.Name, person.Held["labs"], person.Held["machines"]));
        Assert.Equal(["now", "later"], person.Labs.OrderBy(lab => lab.From).Select(lab => lab.Name));
        Assert.Equal((living.Id, 2L), (person.Labs.MinBy(lab => lab.From)!.Lab, person.Labs[0].Amounts["machines"]));
        Assert.Equal(["qa"], (await quotas.TreeAsync(ada, null, 10, null, Cancellation)).Items.Select(team => team.Team));
        var first = await quotas.TreeAsync(ada with { IsAuditor = true }, null, 1, null, Cancellation);
        Assert.Equal(("others", "others"), (Assert.Single(first.Items).Team, first.Next));
        var last = await quotas.TreeAsync(ada with { IsAuditor = true }, null, 1, first.Next, Cancellation);
        Assert.Equal(("qa", null), (Assert.Single(last.Items).Team, last.Next));
        Assert.Equal(["others"], (await quotas.TreeAsync(ada with { IsAuditor = true }, "OTH", 10, null, Cancellation)).Items.Select(team => team.Team));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Limits_that_are_set_bind_the_next_request_and_leave_what_is_held(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa", ("team", "cpu", 100));
        var admin = Actor.Portal("admin");
        var quotas = new QuotaCalls(labs.Database, labs.Time);
        Assert.True((await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(), null, Cancellation)).Ok);

        Assert.Equal(RefusalKind.Forbidden, (await quotas.SetLimitsAsync(ada, "qa", Only("labs", "9"), Only(), null, Cancellation)).Refusal!.Kind);
        var wrong = (await quotas.SetLimitsAsync(admin, "qa", Only("lobs", "9"), Only("labs", "-1"), null, Cancellation)).Refusal!;
        Assert.Equal(["quota.lobs", "personQuota.labs"], wrong.Errors!.Select(error => error.Field));
        var set = (await quotas.SetLimitsAsync(admin, "qa", Only("machines", "1"), Only("labs", ""), null, Cancellation)).Value;

        // What is not named is unlimited; two machines stay held where one is allowed.
        Assert.Equal([("machines", (long?)1L, 2L)], set.Use.Where(use => use.Limit is not null || use.PersonLimit is not null).Select(use => (use.Dimension, use.Limit, use.Held)));
        Assert.Equal("team.machines", (await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(), null, Cancellation)).Refusal!.Quota!.Rule);
        Assert.Equal("quota.changed-meanwhile", (await quotas.SetLimitsAsync(admin, "qa", Only("cpu", "1"), Only(), [.. set.Use.Select(use => use with { Limit = 7 })], Cancellation)).Refusal!.Code);
        Assert.True((await quotas.SetLimitsAsync(admin, "qa", Only("machines", "1"), Only(), set.Use, Cancellation)).Ok);
        var told = (await new AuditCalls(labs.Database, labs.Time).ListAsync(admin, new() { What = "set-quota" }, 10, null, Cancellation)).Value.Items;
        Assert.Equal(["done", "quota.changed-meanwhile", "done", "actor.may-not"], told.Select(line => line.Outcome));
        Assert.Equal(("machines 1", "none"), (told[0].Detail["quota"], told[0].Detail["personQuota"]));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Of_several_admins_who_save_limits_at_once_one_sets_them_and_the_others_are_told(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        await labs.TeamAsync("qa", ("team", "cpu", 100));
        var (admin, quotas) = (Actor.Portal("admin"), new QuotaCalls(labs.Database, labs.Time));
        var seen = Assert.Single((await quotas.TreeAsync(admin, null, 10, null, Cancellation)).Items).Use;

        var saved = await Task.WhenAll(Enumerable.Range(1, 6).Select(many => Task.Run(
            async () => (Many: many, Outcome: await quotas.SetLimitsAsync(admin, "qa", Only("labs", $"{many}"), Only("labs", $"{many}"), seen, Cancellation)))));

        var set = Assert.Single(saved, one => one.Outcome.Ok).Many;
        Assert.All(saved.Where(one => !one.Outcome.Ok), one => Assert.Equal("quota.changed-meanwhile", one.Outcome.Refusal!.Code));
        var now = Assert.Single((await quotas.TreeAsync(admin, null, 10, null, Cancellation)).Items).Use.Where(use => use.Limit is not null || use.PersonLimit is not null);
        Assert.Equal([("labs", (long?)set, (long?)set)], now.Select(use => (use.Dimension, use.Limit, use.PersonLimit)));
    }

    [Fact]
    public async Task Limits_of_a_declared_team_are_set_only_after_it_is_detached()
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, Engine.Sqlite);
        var admin = Actor.Portal("admin");
        var catalogue = new CatalogueCalls(labs.Database, labs.Time, []);
        Assert.True((await catalogue.ApplyAsync(admin, "kind: Team\nname: declared\nzone: Europe/Berlin\nquota: { labs: 1 }\n", false, false, Cancellation)).Ok);
        var quotas = new QuotaCalls(labs.Database, labs.Time);

        Assert.Equal("object.declared", (await quotas.SetLimitsAsync(admin, "declared", Only("labs", "2"), Only(), null, Cancellation)).Refusal!.Code);
        Assert.True((await catalogue.DetachAsync(admin, "team", "declared", Cancellation)).Ok);
        Assert.Equal(2, (await quotas.SetLimitsAsync(admin, "declared", Only("labs", "2"), Only(), null, Cancellation)).Value.Use[0].Limit);
    }

    private static Dictionary<string, string> Only(string? dimension = null, string amount = "") => dimension is null ? [] : new() { [dimension] = amount };
}
