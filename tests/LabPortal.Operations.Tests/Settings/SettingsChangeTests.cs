using System.Text.Json.Nodes;
using LabPortal.Data;
using LabPortal.Domain;
using LabPortal.Domain.People;
using LabPortal.Operations.Audit;
using LabPortal.Operations.People;
using LabPortal.Operations.Settings;
using LabPortal.Operations.Tests.People;
using LabPortal.Testing;
using NodaTime;
using Xunit;

namespace LabPortal.Operations.Tests.Settings;

/// <summary>What admins decide for the whole installation while it runs.</summary>
public sealed class SettingsChangeTests(TestDatabases databases)
{
    private static readonly Actor s_admin = Actor.Portal("admin");

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task What_is_set_holds_at_once_here_soon_at_other_nodes_and_after_a_restart_and_can_be_taken_back(Engine engine)
    {
        await using var portal = await PortalPeople.CreateAsync(databases, engine);
        await Installation.EnsureAsync(portal.Database, portal.Time, Cancellation);
        var (here, there) = (portal.Settings, new LiveSettings([]));
        var change = new SettingsChange(portal.Database, here, portal.Time);

        Assert.True((await change.SetAsync(s_admin, Json("""{ "invitation-days": 0.5, "webhook-hosts": "builds.example, 10.0.0.5" }"""), null, Cancellation)).Ok);
        Assert.Equal(Duration.FromHours(12), here.Now.InvitationLife);
        Assert.Equal(portal.Time.Now() + Duration.FromHours(12), (await portal.Calls.InviteAsync(portal.Admin, "bob@example.org", null, null, null, false, false, Cancellation)).Value.ExpiresAt);
        await new SettingsSweep(portal.Database, there).RunAsync(Cancellation);
        Assert.Equal(["builds.example", "10.0.0.5"], there.Now.WebhookHosts);

        Assert.True((await change.SetAsync(s_admin, Json("""{ "invitation-days": null }"""), null, Cancellation)).Ok);
        await new SettingsSweep(portal.Database, there).RunAsync(Cancellation);
        Assert.Equal((Duration.FromDays(7), 2), (there.Now.InvitationLife, there.Now.WebhookHosts.Count));
        var lines = (await new AuditCalls(portal.Database, portal.Time).ListAsync(s_admin, new() { What = "administer-settings" }, 10, null, Cancellation)).Value.Items;
        Assert.Equal(["0.5 → (7)", "(7) → 0.5"], lines.Select(line => line.Detail["invitation-days"]));
        Assert.Equal("() → builds.example, 10.0.0.5", lines[1].Detail["webhook-hosts"]);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task All_mistakes_are_told_at_once_and_the_configuration_and_another_admin_win(Engine engine)
    {
        await using var portal = await PortalPeople.CreateAsync(databases, engine);
        await Installation.EnsureAsync(portal.Database, portal.Time, Cancellation);
        var live = new LiveSettings(Json("""{ "calls": 9 }"""));
        var change = new SettingsChange(portal.Database, live, portal.Time);

        var refused = await change.SetAsync(
            s_admin, Json("""{ "calls": 8, "sign-ins": 0, "console-idle": "long", "webhook-hosts": "fine, not a host", "metrics-networks": "10.0.0.0/99", "colour": 1 }"""), null, Cancellation);
        Assert.Equal(
            [("settings.calls", "setting.configured"), ("settings.colour", "setting.unknown"), ("settings.console-idle", "setting.not-a-number"),
             ("settings.metrics-networks", "setting.not-a-network"), ("settings.sign-ins", "setting.range"), ("settings.webhook-hosts", "setting.not-a-host")],
            refused.Refusal!.Errors!.Select(error => (error.Field, error.Code)).Order());
        Assert.Equal(RefusalKind.Forbidden, (await change.SetAsync(portal.Admin with { IsAdmin = false, IsAuditor = true }, [], null, Cancellation)).Refusal!.Kind);
        Assert.Equal((9, 20), (live.Now.CallsPerSecond, live.Now.SignInsPerMinute));

        // Two who saw the same: one is told. What nobody else touched may be set meanwhile.
        var seen = live.Set;
        Outcome<Done>[] both = await Task.WhenAll(new[] { 5, 6 }.Select(many => Task.Run(() => change.SetAsync(s_admin, new JsonObject { ["sign-ins"] = many }, seen, Cancellation))));
        Assert.Equal(["settings.changed-meanwhile"], both.Where(one => !one.Ok).Select(one => one.Refusal!.Code));
        Assert.True((await change.SetAsync(s_admin, Json("""{ "consoles-per-person": 3 }"""), seen, Cancellation)).Ok);
        Assert.Contains(live.Now.SignInsPerMinute, new[] { 5, 6 });

        // What an earlier or later build stored and this one cannot take is as if it were not there.
        await portal.Database.WriteAsync(session => Data.Settings.SettingStore.WriteAsync(session, Json("""{ "calls": 7, "sign-ins": -1, "moods": 3, "console-idle": 4 }""")), Cancellation);
        await live.ReadAsync(portal.Database, Cancellation);
        Assert.Equal((9, 20, 4.0), (live.Now.CallsPerSecond, live.Now.SignInsPerMinute, live.Now.ConsoleIdle.TotalMinutes));
    }

    /// <summary>The configuration's elements come with commas between, and with what YAML left at their ends.</summary>
    [Fact]
    public void A_long_list_is_taken_and_read_however_its_lines_are_broken()
    {
        var hosts = Enumerable.Range(100, 150).Select(number => $"builds-{number}.example").ToList();
        var values = new JsonObject { ["webhook-hosts"] = string.Join(",\n", hosts) + "\n", ["metrics-networks"] = "10.0.0.0/8\n, ::1/128\n" };
        Assert.True(((string)values["webhook-hosts"]!).Length > 2000);
        Assert.Empty(InstallationSettings.Check(values, ""));
        var settings = InstallationSettings.Of(values);
        Assert.Equal(hosts, settings.WebhookHosts);
        Assert.Equal(["10.0.0.0/8", "::1/128"], settings.MetricsNetworks.Select(network => network.ToString()));
        Assert.Equal(["setting.one-line"], InstallationSettings.Check(new JsonObject { ["webhook-hosts"] = string.Join(", ", hosts.Concat(hosts)) }, "").Select(error => error.Code));
    }

    private static JsonObject Json(string text) => (JsonObject)JsonNode.Parse(text)!;
}
