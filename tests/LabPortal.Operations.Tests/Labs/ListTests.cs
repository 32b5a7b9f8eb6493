using LabPortal.Data.Labs;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.People;
using LabPortal.Operations.Labs;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Operations.Tests.Labs;

public sealed class ListTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Pages_have_neither_gap_nor_repeat_while_labs_come_and_change(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        var made = new List<LabId>();
        for (var i = 0; i < 23; i++) made.Add(await RequestAsync(labs, ada, $"lab {i}"));

        var seen = new List<LabId>();
        var pages = 0;
        string? after = null;
        do
        {
            var page = await labs.Calls.ListAsync(ada, new LabFilter(), 5, after, Cancellation);
            seen.AddRange(page.Items.Select(lab => lab.Id));
            after = page.Next;
            pages++;
            // A newer lab belongs before the first page; one that changes stays where it is.
            await RequestAsync(labs, ada, "newer");
            await labs.Database.WriteAsync(session => LabStore.SetStateAsync(session, seen[0], LabState.Failed), Cancellation);
        }
        while (after is not null);

        Assert.Equal(5, pages);
        Assert.Equal(Enumerable.Reverse(made), seen);
        Assert.Empty((await labs.Calls.ListAsync(ada, new LabFilter(), 5, made[0].ToString(), Cancellation)).Items);
        Assert.Single((await labs.Calls.ListAsync(ada, new LabFilter(), 0, null, Cancellation)).Items);
        Assert.Equal(28, (await labs.Calls.ListAsync(ada, new LabFilter(), int.MaxValue, "' OR 1=1", Cancellation)).Items.Count);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Each_filter_gives_what_it_names_and_all_together_what_all_name(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        var team = ada.Teams.Keys.Single();
        var bob = await labs.PersonAsync(new Team { Id = team, Name = "qa", Zone = "Europe/Berlin" }, "Bob");
        var (ready, percent, plain) = (await RequestAsync(labs, ada, "Ready 100%"), await RequestAsync(labs, ada, "a_b!"), await RequestAsync(labs, ada, "axb 1000"));
        var bobs = await RequestAsync(labs, bob, "READY too", "single");
        await labs.BecomeAsync(ready, LabState.Ready);
        await labs.BecomeAsync(bobs, LabState.Stopped);

        async Task<IEnumerable<LabId>> NamesAsync(LabFilter filter) => (await labs.Calls.ListAsync(ada, filter, 50, null, Cancellation)).Items.Select(lab => lab.Id);
        Assert.Equal([bobs, plain, percent, ready], await NamesAsync(new LabFilter()));
        Assert.Equal([bobs, ready], await NamesAsync(new LabFilter { States = [LabState.Ready, LabState.Stopped] }));
        Assert.Equal([bobs], await NamesAsync(new LabFilter { Owner = bob.Person }));
        Assert.Equal([bobs], await NamesAsync(new LabFilter { Blueprint = "single" }));
        Assert.Equal([bobs, ready], await NamesAsync(new LabFilter { Text = "reAdy" }));
        Assert.Equal([ready], await NamesAsync(new LabFilter { Text = "0%" }));
        Assert.Equal([percent], await NamesAsync(new LabFilter { Text = "a_b" }));
        Assert.Equal([percent], await NamesAsync(new LabFilter { Text = "b!" }));
        Assert.Empty(await NamesAsync(new LabFilter { Text = "'" }));
        Assert.Equal([bobs, plain, percent, ready], await NamesAsync(new LabFilter { Team = team }));
        Assert.Empty(await NamesAsync(new LabFilter { Team = new TeamId(Guid.NewGuid()) }));
        Assert.Equal([ready], await NamesAsync(new LabFilter { Text = "ready", Owner = ada.Person, States = [LabState.Ready], Team = team, Blueprint = "pair" }));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Everybody_sees_their_teams_and_their_own_labs_and_no_filter_shows_more(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        var eve = await labs.TeamAsync("others");
        var bob = await labs.PersonAsync(new Team { Id = ada.Teams.Keys.Single(), Name = "qa", Zone = "Europe/Berlin" }, "Bob");
        var adas = await RequestAsync(labs, ada, "ada's");
        var eves = await RequestAsync(labs, eve, "eve's", team: "others");

        async Task<IEnumerable<LabId>> SeesAsync(Actor actor, LabFilter? filter = null) => (await labs.Calls.ListAsync(actor, filter ?? new LabFilter(), 50, null, Cancellation)).Items.Select(lab => lab.Id);
        Assert.Equal([adas], await SeesAsync(bob));
        Assert.Equal([eves], await SeesAsync(eve));
        Assert.Equal([eves, adas], await SeesAsync(eve with { IsAdmin = true }));
        Assert.Equal([eves, adas], await SeesAsync(eve with { IsAuditor = true }));
        // Who left the team still sees what is theirs.
        Assert.Equal([adas], await SeesAsync(ada with { Teams = new Dictionary<TeamId, TeamRole>() }));
        Assert.Empty(await SeesAsync(bob with { Teams = new Dictionary<TeamId, TeamRole>() }));
        Assert.Equal([eves], await SeesAsync(eve, new LabFilter { SeenTeams = null, Caller = ada.Person }));
        Assert.Equal([eves], await SeesAsync(eve, new LabFilter { SeenTeams = [.. ada.Teams.Keys] }));
        Assert.Empty(await SeesAsync(eve, new LabFilter { Team = ada.Teams.Keys.Single() }));
        Assert.Empty((await labs.Calls.ListAsync(bob, new LabFilter(), 50, null, Cancellation)).Items.Single().Verbs);
    }

    /// <summary>Each a millisecond later than the one before: that is what ids are sorted by.</summary>
    private static async Task<LabId> RequestAsync(LabsUnderTest labs, Actor actor, string name, string blueprint = "pair", string team = "qa")
    {
        labs.Time.Advance(TimeSpan.FromMilliseconds(1));
        return (await labs.Calls.RequestAsync(actor, LabsUnderTest.Pair(team) with { Name = name, Blueprint = blueprint }, null, Cancellation)).Value.Id;
    }
}
