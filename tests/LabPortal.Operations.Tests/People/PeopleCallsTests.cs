using LabPortal.Data.People;
using LabPortal.Domain;
using LabPortal.Domain.People;
using LabPortal.Operations.People;
using LabPortal.Testing;
using NodaTime;
using Xunit;

namespace LabPortal.Operations.Tests.People;

public sealed class PeopleCallsTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_right_password_signs_in_and_a_refusal_never_says_what_was_wrong(Engine engine)
    {
        await using var portal = await PortalPeople.CreateAsync(databases, engine);
        var signedIn = (await portal.Calls.SignInAsync("ROOT@example.org", PortalPeople.Password, null, Cancellation)).Value;
        Assert.True((await portal.ActorAsync(signedIn)).IsAdmin);
        var wrong = (await portal.Calls.SignInAsync("root@example.org", "not the password", null, Cancellation)).Refusal;
        var unknown = (await portal.Calls.SignInAsync("nobody@example.org", PortalPeople.Password, null, Cancellation)).Refusal;
        Assert.Equal("sign-in.failed", wrong!.Code);
        Assert.Equivalent(wrong, unknown, strict: true);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Five_failures_lock_for_five_minutes_even_the_right_password(Engine engine)
    {
        await using var portal = await PortalPeople.CreateAsync(databases, engine);
        for (var i = 0; i < 5; i++) Assert.False((await portal.Calls.SignInAsync("root@example.org", $"wrong guess {i}", null, Cancellation)).Ok);
        Assert.False((await portal.Calls.SignInAsync("root@example.org", PortalPeople.Password, null, Cancellation)).Ok);
        portal.Time.Move(Duration.FromMinutes(5) - Duration.FromSeconds(1));
        Assert.False((await portal.Calls.SignInAsync("root@example.org", PortalPeople.Password, null, Cancellation)).Ok);
        portal.Time.Move(Duration.FromSeconds(1));
        Assert.True((await portal.Calls.SignInAsync("root@example.org", PortalPeople.Password, null, Cancellation)).Ok);
        var lines = (await portal.Audit.ListAsync(portal.Admin, new() { ObjectKind = "person", ObjectId = portal.Admin.Person.ToString() }, 50, null, Cancellation)).Value.Items;
        Assert.Equal(2, lines.Count(line => line.Detail.GetValueOrDefault("why") == "locked"));
        Assert.Equal(5, lines.Count(line => line.Detail.GetValueOrDefault("why") == "wrong"));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Guesses_at_once_get_no_more_tries_than_guesses_in_a_row(Engine engine)
    {
        await using var portal = await PortalPeople.CreateAsync(databases, engine);
        await Task.WhenAll(Enumerable.Range(0, 12).Select(i => portal.Calls.SignInAsync("root@example.org", $"wrong guess {i}", null, Cancellation)));
        var lines = (await portal.Audit.ListAsync(portal.Admin, new() { ObjectKind = "person", ObjectId = portal.Admin.Person.ToString() }, 50, null, Cancellation)).Value.Items;
        Assert.Equal(5, lines.Count(line => line.Detail.GetValueOrDefault("why") == "wrong"));
        Assert.Equal(7, lines.Count(line => line.Detail.GetValueOrDefault("why") == "locked"));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_link_is_used_once_however_many_try_at_once(Engine engine)
    {
        await using var portal = await PortalPeople.CreateAsync(databases, engine);
        var link = (await portal.Calls.InviteAsync(portal.Admin, "ada@example.org", "Ada", null, null, false, false, Cancellation)).Value;
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => portal.Calls.UseLinkAsync(link.Token, null, null, PortalPeople.Password, null, Cancellation)));
        Assert.Single(outcomes, outcome => outcome.Ok);
        Assert.All(outcomes.Where(outcome => !outcome.Ok), outcome => Assert.Equal("link.not-valid", outcome.Refusal!.Code));
        Assert.Equal(2, (await portal.Calls.PeopleAsync(portal.Admin, new(), 10, null, Cancellation)).Value.Items.Count);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Links_expire_are_replaced_and_survive_wrong_input(Engine engine)
    {
        await using var portal = await PortalPeople.CreateAsync(databases, engine);
        var first = (await portal.Calls.InviteAsync(portal.Admin, "ada@example.org", null, null, null, false, false, Cancellation)).Value;
        var second = (await portal.Calls.InviteAsync(portal.Admin, "ada@example.org", null, null, null, false, false, Cancellation)).Value;
        Assert.False((await portal.Calls.LookAtLinkAsync(first.Token, Cancellation)).Ok);
        var bad = (await portal.Calls.UseLinkAsync(second.Token, " ", null, "password1234", null, Cancellation)).Refusal!;
        Assert.Equal(["password.common", "name.required"], bad.Errors!.Select(error => error.Code));
        Assert.Equal(["password.too-short", "name.required"], (await portal.Calls.UseLinkAsync(second.Token, null, null, "short", null, Cancellation)).Refusal!.Errors!.Select(error => error.Code));
        Assert.Equal("ada@example.org", (await portal.Calls.LookAtLinkAsync(second.Token, Cancellation)).Value.Email);
        portal.Time.Move(Duration.FromDays(7));
        Assert.Equal("link.not-valid", (await portal.Calls.UseLinkAsync(second.Token, "Ada", null, PortalPeople.Password, null, Cancellation)).Refusal!.Code);
        var hashes = await portal.Database.ReadAsync(session => session.QueryAsync<string>("SELECT token_hash FROM one_time_links"), Cancellation);
        Assert.DoesNotContain(second.Token, hashes);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task There_is_a_setup_link_only_until_an_admin_can_sign_in(Engine engine)
    {
        await using var portal = await PortalPeople.CreateAsync(databases, engine);
        Assert.Null(await portal.Calls.MakeSetupLinkAsync(Cancellation));
        Assert.Equal("person.yourself", (await portal.Calls.SetDisabledAsync(portal.Admin, portal.Admin.Person!.Value, true, Cancellation)).Refusal!.Code);
        var bootstrap = (await portal.Calls.ActorOfTokenAsync(PortalPeople.BootstrapToken, null, null, Cancellation))!;
        Assert.Equal("person.last-admin", (await portal.Calls.SetDisabledAsync(bootstrap, portal.Admin.Person!.Value, true, Cancellation)).Refusal!.Code);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_new_password_ends_the_sessions_of_the_old_one(Engine engine)
    {
        await using var portal = await PortalPeople.CreateAsync(databases, engine);
        var ada = await portal.JoinAsync("ada@example.org");
        var actor = await portal.ActorAsync(ada);
        Assert.Equal("password.wrong", (await portal.Calls.ChangePasswordAsync(actor, "what was it now", "another good sentence", Cancellation)).Refusal!.Errors![0].Code);
        Assert.True((await portal.Calls.ChangePasswordAsync(actor, PortalPeople.Password, "another good sentence", Cancellation)).Ok);
        Assert.Null(await portal.Calls.ActorOfAsync(ada.Person, ada.Stamp, null, null, Cancellation));
        Assert.Null(await portal.Calls.ActorOfAsync(ada.Person, null, null, null, Cancellation));
        var reset = (await portal.Calls.MakeResetLinkAsync(portal.Admin, ada.Person, Cancellation)).Value;
        var again = (await portal.Calls.UseLinkAsync(reset.Token, "Mallory", "mallory@example.org", "a third good sentence", null, Cancellation)).Value;
        Assert.Equal((ada.Person, "Ada"), (again.Person, again.Name));
        Assert.False((await portal.Calls.SignInAsync("ada@example.org", "another good sentence", null, Cancellation)).Ok);
        Assert.True((await portal.Calls.SignInAsync("ada@example.org", "a third good sentence", null, Cancellation)).Ok);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_disabled_person_is_out_at_once_by_every_way(Engine engine)
    {
        await using var portal = await PortalPeople.CreateAsync(databases, engine);
        var ada = await portal.JoinAsync("ada@example.org");
        var (_, text) = (await portal.Calls.AddTokenAsync(await portal.ActorAsync(ada), "ci", 30, Cancellation)).Value;
        Assert.True((await portal.Calls.SetDisabledAsync(portal.Admin, ada.Person, true, Cancellation)).Ok);
        Assert.Null(await portal.Calls.ActorOfAsync(ada.Person, ada.Stamp, null, null, Cancellation));
        Assert.Null(await portal.Calls.ActorOfTokenAsync(text, null, null, Cancellation));
        Assert.False((await portal.Calls.SignInAsync("ada@example.org", PortalPeople.Password, null, Cancellation)).Ok);
        Assert.True((await portal.Calls.SetDisabledAsync(portal.Admin, ada.Person, false, Cancellation)).Ok);
        Assert.Null(await portal.Calls.ActorOfAsync(ada.Person, ada.Stamp, null, null, Cancellation));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_token_works_until_it_expires_or_is_removed_and_shows_its_use(Engine engine)
    {
        await using var portal = await PortalPeople.CreateAsync(databases, engine);
        var ada = await portal.ActorAsync(await portal.JoinAsync("ada@example.org"));
        var (token, text) = (await portal.Calls.AddTokenAsync(ada, "ci", 2, Cancellation)).Value;
        Assert.Matches("^lp_[A-Za-z0-9_-]{43}$", text);
        Assert.Equal((ada.Person, Channel.Token, "ci"), await portal.Calls.ActorOfTokenAsync(text, null, null, Cancellation) is { } found ? (found.Person, found.Channel, found.TokenName) : default);
        var first = (await portal.Calls.TokensAsync(ada, Cancellation)).Value[0].LastUsedAt;
        portal.Time.Move(Duration.FromSeconds(59));
        await portal.Calls.ActorOfTokenAsync(text, null, null, Cancellation);
        Assert.Equal(first, (await portal.Calls.TokensAsync(ada, Cancellation)).Value[0].LastUsedAt);
        portal.Time.Move(Duration.FromSeconds(1));
        await portal.Calls.ActorOfTokenAsync(text, null, null, Cancellation);
        Assert.Equal(first + Duration.FromMinutes(1), (await portal.Calls.TokensAsync(ada, Cancellation)).Value[0].LastUsedAt);
        Assert.Equal(RefusalKind.NotFound, (await portal.Calls.RemoveTokenAsync(portal.Admin, token.Id, Cancellation)).Refusal!.Kind);
        portal.Time.Move(Duration.FromDays(2));
        Assert.Null(await portal.Calls.ActorOfTokenAsync(text, null, null, Cancellation));
        var (_, other) = (await portal.Calls.AddTokenAsync(ada, "other", 2, Cancellation)).Value;
        var id = (await portal.Calls.TokensAsync(ada, Cancellation)).Value.Single(candidate => candidate.Name == "other").Id;
        Assert.True((await portal.Calls.RemoveTokenAsync(ada, id, Cancellation)).Ok);
        Assert.Null(await portal.Calls.ActorOfTokenAsync(other, null, null, Cancellation));
        var stored = await portal.Database.ReadAsync(session => session.QueryAsync<string>("SELECT token_hash FROM api_tokens"), Cancellation);
        Assert.DoesNotContain(text, stored);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task The_bootstrap_token_acts_as_an_admin_whom_nobody_can_sign_in_as(Engine engine)
    {
        await using var portal = await PortalPeople.CreateAsync(databases, engine);
        var actors = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => portal.Calls.ActorOfTokenAsync(PortalPeople.BootstrapToken, null, null, Cancellation)));
        Assert.Single(actors.Select(actor => actor!.Person).Distinct());
        var bootstrap = actors[0]!;
        Assert.Equal((true, Channel.Bootstrap, "bootstrap"), (bootstrap.IsAdmin, bootstrap.Channel, bootstrap.Name));
        Assert.Equal([bootstrap.Person!.Value], (await portal.Calls.PeopleAsync(portal.Admin, new(), 10, null, Cancellation)).Value.Items.Where(person => person.IsPortal).Select(person => person.Id));
        Assert.Null(await portal.Calls.ActorOfAsync(bootstrap.Person!.Value, null, null, null, Cancellation));
        Assert.Equal("person.disabled", (await portal.Calls.MakeResetLinkAsync(portal.Admin, bootstrap.Person.Value, Cancellation)).Refusal!.Code);
        Assert.Equal("person.system", (await portal.Calls.SetDisabledAsync(portal.Admin, bootstrap.Person.Value, false, Cancellation)).Refusal!.Code);
        Assert.False((await portal.Calls.AddTokenAsync(bootstrap, "stay", 30, Cancellation)).Ok);
        Assert.Null(await portal.Calls.ActorOfTokenAsync(PortalPeople.BootstrapToken + "x", null, null, Cancellation));
        var unconfigured = new LabPortal.Operations.People.PeopleCalls(portal.Database, portal.Time, new(null), portal.Settings);
        Assert.Null(await unconfigured.ActorOfTokenAsync(PortalPeople.BootstrapToken, null, null, Cancellation));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Of_many_people_and_teams_a_page_is_read_at_a_time_and_each_is_met_once(Engine engine)
    {
        await using var portal = await PortalPeople.CreateAsync(databases, engine);
        var teams = Enumerable.Range(0, 120).Select(i => new Team { Id = new(Guid.CreateVersion7()), Name = $"team-{i:000}", Zone = "UTC" }).ToList();
        var people = Enumerable.Range(0, 500).Select(i => new Person { Id = new(Guid.CreateVersion7()), Name = i == 7 ? "Half_100%" : $"Somebody {i}", Email = $"p{i:000}@example.org", Disabled = i == 8, CreatedAt = default }).ToList();
        await portal.Database.WriteAsync(async session =>
        {
            foreach (var team in teams) await TeamStore.SaveAsync(session, team, default);
            foreach (var (i, person) in people.Index())
            {
                await PersonStore.AddAsync(session, person);
                await TeamStore.SetMemberAsync(session, new Membership(teams[i % teams.Count].Id, person.Id, TeamRole.Requester));
            }
        }, Cancellation);

        Assert.Equal(26, (await portal.Database.ReadAsync(session => PersonStore.PageAsync(session, new(), 26, null), Cancellation)).Count);
        Assert.Equal(26, (await portal.Database.ReadAsync(session => TeamStore.PageAsync(session, null, null, 26, null), Cancellation)).Count);
        var met = await AllAsync(25, async after => (await PeopleAsync(new(), 25, after))!);
        Assert.Equal([.. people.Select(person => person.Email), "root@example.org"], met.Select(person => person.Email));
        Assert.All(met.SkipLast(1).Index(), one => Assert.Equal($"team-{one.Index % 120:000}", Assert.Single(one.Item.Teams).Team));
        Assert.Equal(teams.Select(team => team.Name), (await AllAsync(50, after => portal.Calls.TeamsAsync(portal.Admin, null, 50, after, Cancellation))).Select(team => team.Name));
        Assert.Equal("page.unknown-key", (await portal.Calls.PeopleAsync(portal.Admin, new(), 25, "x", Cancellation)).Refusal!.Errors!.Single().Code);

        // A search means what was typed, whatever that is in SQL.
        Assert.Equal(["p007@example.org"], (await PeopleAsync(new() { Text = "f_100%" }, 9, null))!.Items.Select(person => person.Email));
        Assert.Equal(["p420@example.org"], (await PeopleAsync(new() { Text = "P420@" }, 9, null))!.Items.Select(person => person.Email));
        Assert.Equal(["team-110", "team-111"], (await portal.Calls.TeamsAsync(portal.Admin, "TEAM-11", 2, null, Cancellation)).Items.Select(team => team.Name));
        // Who could join is let in and not there.
        var could = await AllAsync(200, async after => (await PeopleAsync(new() { CouldJoin = teams[3].Id }, 200, after))!);
        Assert.Equal(people.Where((person, i) => !person.Disabled && i % 120 != 3).Select(person => person.Id).Append(portal.Admin.Person!.Value), could.Select(person => person.Id));
        // Members page through their own.
        var member = portal.Admin with { IsAdmin = false, Teams = new Dictionary<TeamId, TeamRole> { [teams[5].Id] = TeamRole.Requester, [teams[90].Id] = TeamRole.Manager } };
        Assert.Equal(["team-005", "team-090"], (await AllAsync(1, after => portal.Calls.TeamsAsync(member, null, 1, after, Cancellation))).Select(team => team.Name));
        Assert.Equal(["team-005", "team-090"], (await portal.Calls.TeamChoicesAsync(member, Cancellation)).Select(team => team.Name));

        async Task<Page<PersonView>?> PeopleAsync(PersonFilter filter, int limit, string? after) => (await portal.Calls.PeopleAsync(portal.Admin, filter, limit, after, Cancellation)).Value;

        static async Task<List<T>> AllAsync<T>(int limit, Func<string?, Task<Page<T>>> read)
        {
            var all = new List<T>();
            for (string? after = null; ;)
            {
                var page = await read(after);
                Assert.InRange(page.Items.Count, 1, limit);
                all.AddRange(page.Items);
                if ((after = page.Next) is null) return all;
            }
        }
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Members_see_their_team_others_do_not_and_only_admins_change_it(Engine engine)
    {
        await using var portal = await PortalPeople.CreateAsync(databases, engine);
        Assert.Equal(2, (await portal.Calls.CreateTeamAsync(portal.Admin, "Not A Name", "Mars/Olympus", Cancellation)).Refusal!.Errors!.Count);
        Assert.True((await portal.Calls.CreateTeamAsync(portal.Admin, "qa", "Europe/Berlin", Cancellation)).Ok);
        Assert.Equal("team.exists", (await portal.Calls.CreateTeamAsync(portal.Admin, "qa", "UTC", Cancellation)).Refusal!.Code);
        var signedIn = await portal.JoinAsync("ada@example.org", "qa", TeamRole.Requester);
        var ada = await portal.ActorAsync(signedIn);
        var eve = await portal.ActorAsync(await portal.JoinAsync("eve@example.org"));
        Assert.Equal("ada@example.org", Assert.Single((await portal.Calls.TeamAsync(ada, "qa", Cancellation)).Value.Members).Email);
        Assert.Equal(RefusalKind.NotFound, (await portal.Calls.TeamAsync(eve, "qa", Cancellation)).Refusal!.Kind);
        Assert.Empty((await portal.Calls.TeamsAsync(eve, null, 10, null, Cancellation)).Items);
        Assert.Equal(RefusalKind.Forbidden, (await portal.Calls.SetMemberAsync(ada, "qa", eve.Person!.Value, TeamRole.Manager, Cancellation)).Refusal!.Kind);
        Assert.Equal(RefusalKind.Forbidden, (await portal.Calls.PeopleAsync(ada, new(), 10, null, Cancellation)).Refusal!.Kind);
        Assert.True((await portal.Calls.SetMemberAsync(portal.Admin, "qa", ada.Person!.Value, null, Cancellation)).Ok);
        Assert.Equal(RefusalKind.NotFound, (await portal.Calls.TeamAsync(await portal.ActorAsync(signedIn), "qa", Cancellation)).Refusal!.Kind);
        var line = (await portal.Audit.ListAsync(portal.Admin, new() { ObjectKind = "team", ObjectId = "qa" }, 10, null, Cancellation)).Value.Items;
        Assert.Equal(["done", "actor.may-not"], line.Where(entry => entry.Verb == "set-member").Select(entry => entry.Outcome));
    }
}
