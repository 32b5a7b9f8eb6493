using LabPortal.Data.Audit;
using LabPortal.Domain;
using LabPortal.Domain.Audit;
using LabPortal.Domain.People;
using LabPortal.Operations.Audit;
using LabPortal.Testing;
using NodaTime;
using Xunit;

namespace LabPortal.Operations.Tests.Audit;

public sealed class AuditCallsTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Paging_by_key_gives_every_line_once_newest_first(Engine engine)
    {
        await using var database = await databases.CreateAsync(engine);
        var time = new People.SetTime();
        var admin = Actor.Portal("sweep");
        for (var i = 0; i < 25; i++)
        {
            await database.WriteAsync(session => AuditStore.AppendAsync(
                session, admin, "end-lab", i % 5 == 0 ? "pool" : "lab", $"{i}", null, AuditStore.Done, new Dictionary<string, string> { ["n"] = $"{i}" }, time.Now(), time), Cancellation);
            time.Move(Duration.FromMilliseconds(1));
        }

        var calls = new AuditCalls(database, time);
        var seen = new List<string>();
        string? after = null;
        do
        {
            var page = (await calls.ListAsync(admin, new(), 10, after, Cancellation)).Value;
            seen.AddRange(page.Items.Select(line => line.Detail["n"]));
            after = page.Next;
        }
        while (after is not null);
        Assert.Equal(Enumerable.Range(0, 25).Reverse().Select(i => $"{i}"), seen);
        Assert.Equal(5, (await calls.ListAsync(admin, new() { ObjectKind = "pool" }, 50, null, Cancellation)).Value.Items.Count);
        Assert.Single((await calls.ListAsync(admin, new() { ObjectKind = "lab", ObjectId = "7" }, 50, null, Cancellation)).Value.Items);
        Assert.Equal(RefusalKind.Forbidden, (await calls.ListAsync(admin with { IsAdmin = false }, new(), 1, null, Cancellation)).Refusal!.Kind);
        Assert.Equal("page.key", (await calls.ListAsync(admin, new(), 1, "'; DROP", Cancellation)).Refusal!.Errors![0].Code);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_refusal_of_a_name_that_is_much_too_long_is_in_the_audit_shortened(Engine engine)
    {
        await using var portal = await People.PortalPeople.CreateAsync(databases, engine);
        var ada = await portal.ActorAsync(await portal.JoinAsync("ada@example.org"));
        var random = new Random(1);
        var name = string.Concat(Enumerable.Range(0, 20_000).Select(_ => (char)random.Next(0x4e00, 0x9fff)));
        Assert.Equal(RefusalKind.Forbidden, (await portal.Calls.CreateTeamAsync(ada, name, "UTC", Cancellation)).Refusal!.Kind);
        var line = (await new AuditCalls(portal.Database, portal.Time).ListAsync(portal.Admin, new() { ObjectKind = "team" }, 10, null, Cancellation)).Value.Items.Single(line => line.Outcome == "actor.may-not");
        Assert.Equal(name[..199] + "…", line.ObjectId);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Whoever_hangs_up_while_he_is_refused_is_in_the_audit_all_the_same(Engine engine)
    {
        await using var database = await databases.CreateAsync(engine);
        var time = new People.SetTime();
        using var connection = new CancellationTokenSource();
        var refused = await new AuditedWrite(database, time).DoAsync<int>(Actor.Portal("test"), new AuditDraft("begin-console", "machine", "7"), async (_, _) =>
        {
            await connection.CancelAsync();
            return Refusal.Conflict("console.used");
        }, connection.Token);
        Assert.Equal("console.used", refused.Refusal?.Code);
        Assert.Equal(["console.used"], (await new AuditCalls(database, time).ListAsync(Actor.Portal("test"), new(), 10, null, Cancellation)).Value.Items.Select(line => line.Outcome));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_search_finds_by_actor_verb_object_and_time_and_an_export_gives_the_same_lines(Engine engine)
    {
        await using var portal = await People.PortalPeople.CreateAsync(databases, engine);
        var ada = await portal.ActorAsync(await portal.JoinAsync("ada_l@example.org"));
        portal.Time.Move(Duration.FromHours(1));
        await portal.Database.WriteAsync(
            session => AuditStore.AppendAsync(session, Actor.Portal("Été"), "end-lab", "lab", "7", null, "Öde", new Dictionary<string, string>(), portal.Time.Now(), portal.Time), Cancellation);
        Assert.Equal(["Öde"], await OutcomesAsync(new() { Who = "éTÉ" }));
        var start = portal.Time.Now();
        Assert.Equal(RefusalKind.Forbidden, (await portal.Calls.CreateTeamAsync(ada, "welders", "Europe/Berlin", Cancellation)).Refusal!.Kind);
        portal.Time.Move(Duration.FromHours(1));
        var middle = portal.Time.Now();
        Assert.True((await portal.Calls.CreateTeamAsync(portal.Admin, "welders", "Europe/Berlin", Cancellation)).Ok);
        portal.Time.Move(Duration.FromHours(1));

        Assert.Equal(["actor.may-not"], await OutcomesAsync(new() { Who = "ADA_L@", What = "create" }));
        Assert.Equal(["actor.may-not"], await OutcomesAsync(new() { Who = ada.Person.ToString(), From = start }));
        Assert.Equal(["done", "actor.may-not"], await OutcomesAsync(new() { ObjectKind = "team", Object = "WELD" }));
        Assert.Equal(["done"], await OutcomesAsync(new() { What = "create-team", From = middle }));
        Assert.Equal(["actor.may-not"], await OutcomesAsync(new() { What = "create-team", From = start, To = middle }));
        Assert.Empty(await OutcomesAsync(new() { From = portal.Time.Now() }));
        // What means something in LIKE is a character like any other.
        Assert.Empty(await OutcomesAsync(new() { Object = "w_lders" }));
        Assert.Empty(await OutcomesAsync(new() { What = "%" }));
        Assert.NotEmpty(await OutcomesAsync(new() { ObjectKind = "person", Object = "Ada" }));

        var export = await portal.Audit.ExportAsync(portal.Admin, new() { Object = "welders" }, Cancellation);
        Assert.Equal(["done", "actor.may-not"], await export.Value.Lines.Select(line => line.Outcome).ToListAsync(Cancellation));
        var told = (await portal.Audit.ListAsync(portal.Admin, new() { What = "export" }, 10, null, Cancellation)).Value.Items;
        Assert.Equal(("done", "welders"), (Assert.Single(told).Outcome, told[0].Detail["object"]));

        async Task<IEnumerable<string>> OutcomesAsync(AuditFilter filter) => (await portal.Audit.ListAsync(portal.Admin, filter, 50, null, Cancellation)).Value.Items.Select(line => line.Outcome);
    }

    [Fact]
    public async Task Only_admins_and_auditors_read_the_audit_and_everybody_reads_what_they_did()
    {
        await using var portal = await People.PortalPeople.CreateAsync(databases, Engine.Sqlite);
        var ada = await portal.ActorAsync(await portal.JoinAsync("ada@example.org"));

        Assert.Equal(RefusalKind.Forbidden, (await portal.Audit.ListAsync(ada, new(), 10, null, Cancellation)).Refusal!.Kind);
        Assert.Equal(RefusalKind.Forbidden, (await portal.Audit.ExportAsync(ada, new(), Cancellation)).Refusal!.Kind);
        Assert.True((await portal.Audit.ListAsync(ada with { IsAuditor = true }, new(), 10, null, Cancellation)).Ok);
        var own = (await portal.Audit.OwnAsync(ada, 50, null, Cancellation)).Value.Items;
        // To want the whole audit and be refused is a deed too.
        Assert.Contains(own, line => (line.Verb, line.Outcome) == ("export-audit", "actor.may-not"));
        Assert.All(own, line => Assert.Equal(ada.Person, line.Person));
    }

    [Fact]
    public async Task What_one_did_to_a_lab_that_one_may_not_see_does_not_tell_its_name()
    {
        await using var portal = await People.PortalPeople.CreateAsync(databases, Engine.Sqlite);
        var ada = await portal.ActorAsync(await portal.JoinAsync("ada@example.org"));
        var bob = await portal.ActorAsync(await portal.JoinAsync("bob@example.org"));
        await portal.Database.WriteAsync(
            session => AuditStore.AppendAsync(session, ada, "end-lab", "person", bob.Person.ToString()!, null, "not-found", new Dictionary<string, string>(), portal.Time.Now(), portal.Time), Cancellation);

        Assert.Null((await portal.Audit.OwnAsync(ada, 1, null, Cancellation)).Value.Items[0].ObjectName);
        Assert.Equal("Ada", (await portal.Audit.ListAsync(portal.Admin, new() { Who = "ada@" }, 1, null, Cancellation)).Value.Items[0].ObjectName);
    }

    [Fact]
    public async Task An_export_reads_on_over_many_pages_and_more_than_the_most_is_refused_whole()
    {
        await using var database = await databases.CreateAsync(Engine.Sqlite);
        var time = new People.SetTime();
        var admin = Actor.Portal("sweep");
        await WriteAsync(1_201);
        var calls = new AuditCalls(database, time);

        var lines = await (await calls.ExportAsync(admin, new() { ObjectKind = "lab" }, Cancellation)).Value.Lines.Select(line => line.ObjectId).ToListAsync(Cancellation);

        Assert.Equal(Enumerable.Range(0, 1_201).Reverse().Select(i => $"{i}"), lines);
        await WriteAsync(AuditCalls.MostExported - 1_200);
        Assert.Equal("audit.too-many", (await calls.ExportAsync(admin, new() { ObjectKind = "lab" }, Cancellation)).Refusal!.Code);

        Task WriteAsync(int count) => database.WriteAsync(async session =>
        {
            for (var i = 0; i < count; i++) await AuditStore.AppendAsync(session, admin, "end-lab", "lab", $"{i}", null, AuditStore.Done, new Dictionary<string, string>(), time.Now(), time);
        }, Cancellation);
    }
}
