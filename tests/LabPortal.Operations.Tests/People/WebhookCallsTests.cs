using System.Text.Json.Nodes;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.People;
using LabPortal.Data.People;
using LabPortal.Operations.Settings;
using LabPortal.Operations.People;
using LabPortal.Operations.Tests.Labs;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Operations.Tests.People;

public sealed class WebhookCallsTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_webhook_is_made_by_managers_and_admins_and_its_secret_shown_once(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        var team = ada.Teams.Keys.Single();
        var manager = ada with { Teams = new Dictionary<TeamId, TeamRole> { [team] = TeamRole.Manager } };
        var eve = await labs.TeamAsync("others");
        var stranger = eve with { Teams = new Dictionary<TeamId, TeamRole> { [eve.Teams.Keys.Single()] = TeamRole.Manager } };
        var calls = Calls(labs);

        var made = (await calls.AddAsync(manager, "qa", "https://Hooks.example.org:8443/t/AbC?x=1", Cancellation)).Value;
        Assert.Equal("https://hooks.example.org:8443/t/AbC?x=1", made.Webhook.Address);
        Assert.Equal(43, made.Secret.Reveal().Length);
        Assert.DoesNotContain(made.Secret.Reveal(), made.ToString(), StringComparison.Ordinal);
        Assert.Equal(made.Secret.Reveal(), (await labs.Secrets.FindAsync($"webhook/{made.Webhook.Id}", Cancellation))!.Reveal());
        Assert.Equal(0, await labs.CountAsync($"SELECT count(*) FROM secrets WHERE protected LIKE '%{made.Secret.Reveal()}%'"));
        Assert.Equal(1, await labs.CountAsync("SELECT count(*) FROM audit WHERE verb = 'add-webhook' AND outcome = 'done' AND detail LIKE '%hooks.example.org%' AND detail NOT LIKE '%AbC%'"));
        Assert.Equal([made.Webhook], (await calls.ListAsync(manager, "qa", Cancellation)).Value);
        Assert.Equal([made.Webhook], (await calls.ListAsync(eve with { IsAdmin = true }, "qa", Cancellation)).Value);
        Assert.Equal("webhook.exists", (await calls.AddAsync(manager, "qa", "https://hooks.example.org:8443/t/AbC?x=1", Cancellation)).Refusal!.Code);

        foreach (var (actor, kind) in new[] { (ada, RefusalKind.Forbidden), (eve with { IsAuditor = true }, RefusalKind.Forbidden), (stranger, RefusalKind.NotFound) })
        {
            Assert.Equal(kind, (await calls.ListAsync(actor, "qa", Cancellation)).Refusal!.Kind);
            Assert.Equal(kind, (await calls.AddAsync(actor, "qa", "https://example.org/", Cancellation)).Refusal!.Kind);
            Assert.Equal(kind, (await calls.RemoveAsync(actor, "qa", made.Webhook.Id, Cancellation)).Refusal!.Kind);
        }

        // Another team's manager does not reach it through their own team.
        Assert.Equal(RefusalKind.NotFound, (await calls.RemoveAsync(stranger, "others", made.Webhook.Id, Cancellation)).Refusal!.Kind);
        Assert.True((await calls.RemoveAsync(manager, "qa", made.Webhook.Id, Cancellation)).Ok);
        Assert.Equal(RefusalKind.NotFound, (await calls.RemoveAsync(manager, "qa", made.Webhook.Id, Cancellation)).Refusal!.Kind);
        Assert.Empty((await calls.ListAsync(manager, "qa", Cancellation)).Value);
        Assert.Equal(0, await labs.CountAsync("SELECT count(*) FROM secrets"));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task What_a_team_is_told_goes_to_its_webhooks_and_a_team_goes_with_them(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        var team = ada.Teams.Keys.Single();
        var eve = await labs.TeamAsync("others") with { IsAdmin = true };
        var calls = Calls(labs);
        Assert.True((await calls.AddAsync(eve, "qa", "https://example.org/qa", Cancellation)).Ok);
        Assert.True((await calls.AddAsync(eve, "others", "https://example.org/others", Cancellation)).Ok);
        var lab = (await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(), null, Cancellation)).Value.Id;
        await labs.BecomeAsync(lab, LabState.Grace);
        labs.Time.Advance(TimeSpan.FromHours(9));
        await labs.Sweep().PassAsync(Cancellation);
        Assert.Equal(1, await labs.CountAsync("SELECT count(*) FROM outbox WHERE address = 'https://example.org/qa'"));
        Assert.Equal(1, await labs.CountAsync("SELECT count(*) FROM outbox"));

        await labs.Database.WriteAsync(session => TeamStore.DeleteAsync(session, eve.Teams.Keys.Single()), Cancellation);
        Assert.Equal(1, await labs.CountAsync("SELECT count(*) FROM webhooks"));
        Assert.Equal(1, await labs.CountAsync("SELECT count(*) FROM secrets WHERE name LIKE 'webhook/%'"));
        Assert.Equal(team, (await labs.Database.ReadAsync(session => session.FindAsync<TeamId>("SELECT team_id FROM webhooks"), Cancellation)));
    }

    [Theory]
    [InlineData("", "webhook.address"), InlineData("hooks", "webhook.address"), InlineData("/hook", "webhook.address"), InlineData("ftp://example.org/", "webhook.address")]
    [InlineData("file:///etc/passwd", "webhook.address"), InlineData("https://user:secret@example.org/", "webhook.address"), InlineData("https://example.org/#part", "webhook.address")]
    [InlineData("https://example.org/a b", "webhook.address"), InlineData("https://example.org/\r\nX: y", "webhook.address"), InlineData("javascript:alert(1)", "webhook.address")]
    [InlineData("http://example.org/", "webhook.https"), InlineData("https://127.0.0.1/", "webhook.inside"), InlineData("https://2130706433/", "webhook.inside"), InlineData("https://0x7f.1/", "webhook.inside")]
    [InlineData("https://localhost/", "webhook.inside"), InlineData("https://[::1]/", "webhook.inside"), InlineData("https://[::ffff:10.0.0.1]/", "webhook.inside")]
    [InlineData("https://169.254.169.254/latest/meta-data/", "webhook.inside"), InlineData("https://192.168.1.1:8443/", "webhook.inside")]
    [InlineData("https://example.org/hook", null), InlineData("http://Chat.Inside/hook", null), InlineData("https://10.0.0.7/hook", null), InlineData("https://bücher.example/hook", null)]
    public async Task An_address_leads_outside_by_https_or_to_a_host_that_an_admin_listed(string address, string? code)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, Engine.Sqlite);
        var admin = await labs.TeamAsync("qa") with { IsAdmin = true };
        var outcome = await Calls(labs, "chat.inside", "10.0.0.7").AddAsync(admin, "qa", address, Cancellation);
        Assert.Equal((code, code is null ? 1 : 0), (outcome.Refusal?.Errors!.Single().Code, await labs.CountAsync("SELECT count(*) FROM webhooks")));
    }

    [Fact]
    public async Task A_hostile_address_is_refused_or_says_on_one_line_where_it_leads()
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, Engine.Sqlite);
        var admin = await labs.TeamAsync("qa") with { IsAdmin = true };
        var (calls, added) = (Calls(labs), 0);
        foreach (var address in HostileStrings.Some(50).SelectMany(text => new[] { $"https://example.org/{text}", $"https://{text}.example.org/" }))
        {
            if ((await calls.AddAsync(admin, "qa", address, Cancellation)) is not { Ok: true, Value.Webhook: var webhook }) continue;
            Assert.Equal(webhook.Address, ForeignText.Of(webhook.Address));
            Assert.DoesNotContain(webhook.Address, letter => char.IsWhiteSpace(letter) || letter is '<' or '>' or '"');
            Assert.True((await calls.RemoveAsync(admin, "qa", webhook.Id, Cancellation)).Ok);
            added++;
        }

        Assert.InRange(added, 10, 300);
        Assert.Equal(0, await labs.CountAsync("SELECT count(*) FROM audit WHERE detail LIKE '%‮%' OR detail LIKE '%' || char(27) || '%'"));
    }

    private static WebhookCalls Calls(LabsUnderTest labs, params string[] hosts) => new(labs.Database, labs.Secrets, new LiveSettings(new JsonObject { ["webhook-hosts"] = string.Join(", ", hosts) }), labs.Time);
}
