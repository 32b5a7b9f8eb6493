using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Bunit;
using LabPortal.Data;
using LabPortal.Data.Labs;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using LabPortal.Domain.People;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Catalogue;
using LabPortal.Operations.Labs;
using LabPortal.Operations.Pools;
using LabPortal.Operations.Quotas;
using LabPortal.Operations.Workflows;
using LabPortal.Testing;
using LabPortal.Web.Features.Blueprints;
using LabPortal.Web.Features.Labs;
using LabPortal.Web.Features.Pools;
using LabPortal.Web.Features.Quotas;
using LabPortal.Web.Texts;
using Microsoft.Extensions.DependencyInjection;
using NodaTime;

namespace LabPortal.Web.Tests.Features;

/// <summary>Panels of pages.</summary>
public sealed partial class PartsTests
{
    [Fact]
    public void Fields_of_a_schema_read_back_what_was_there_and_what_is_typed()
    {
        Setting[] schema =
        [
            new("seed", SettingKind.Integer, "Seed", "", Default: 7), new("mode", SettingKind.Text, "Mode", "", OneOf: ["fast", "slow"]), new("safe", SettingKind.Boolean, "Safe", "", Default: true),
            new("password", SettingKind.Secret, "Password", ""), new("hosts", SettingKind.List, "Hosts", "", Items: [new("uri", SettingKind.Text, "Address", "", Required: true)]),
        ];
        var kept = new JsonObject { ["env"] = "SECRET" };
        var drafts = SettingDraft.Of(schema, new JsonObject { ["seed"] = 3, ["password"] = kept.DeepClone(), ["hosts"] = new JsonArray(new JsonObject { ["uri"] = "one" }, new JsonObject { ["uri"] = "two" }) });
        var fields = Render<SettingFields>(parameters => parameters.Add(part => part.Drafts, drafts).Add(part => part.Path, "settings").Add(part => part.Wrong, field => field == "settings.hosts[1].uri" ? "No such host." : null));

        Assert.Equal("3", fields.Find("#settings-seed").GetAttribute("value"));
        Assert.Equal(["", "fast", "slow"], fields.FindAll("#settings-mode option").Select(option => option.GetAttribute("value")));
        // A secret is never shown, only where it is; and the mistake stands at its own entry.
        var secret = fields.Find("#settings-password");
        Assert.Equal(("password", Say.SecretKept), (secret.GetAttribute("type"), secret.GetAttribute("placeholder")));
        Assert.True(string.IsNullOrEmpty(secret.GetAttribute("value")));
        Assert.Contains("env SECRET", fields.Markup, StringComparison.Ordinal);
        Assert.Equal("true", fields.Find("#settings-hosts-1--uri").GetAttribute("aria-invalid"));
        Assert.NotEqual("true", fields.Find("#settings-hosts-0--uri").GetAttribute("aria-invalid"));

        fields.Find("#settings-seed").Change("");
        fields.Find("#settings-safe").Change("false");
        fields.FindAll("fieldset button")[0].Click();
        fields.FindAll("fieldset button")[^1].Click();
        fields.Find("#settings-hosts-1--uri").Change("three");
        Assert.True(JsonNode.DeepEquals(
            new JsonObject { ["safe"] = false, ["password"] = kept.DeepClone(), ["hosts"] = new JsonArray(new JsonObject { ["uri"] = "two" }, new JsonObject { ["uri"] = "three" }) }, SettingDraft.Read(drafts)), SettingDraft.Read(drafts).ToJsonString());
        secret.Change("another");
        Assert.Equal("another", (string)SettingDraft.Read(drafts)["password"]!);
    }

    [Fact]
    public async Task Versions_are_compared_the_newest_with_the_one_before_until_others_are_picked()
    {
        await ApplyAsync(SimulatedCatalogue.Yaml());
        foreach (var title in new[] { "First", "Second", "Third" })
            await ApplyAsync($$"""
                kind: Blueprint
                name: grown
                title: {{title}}
                machines: [{ name: one, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1 }]
                lease: { default: 4h, max: 72h, grace: 0 }
                """);
        var versions = (await _portal.Services.GetRequiredService<CatalogueCalls>().VersionsAsync(await ActorAsync(), "grown", Cancellation)).Value;
        var many = Enumerable.Range(1, 12).Select(i => new BlueprintLabView(new LabId(Guid.NewGuid()), $"lab-{i}", "qa", "ready")).ToList();
        var panel = Render<VersionsPanel>(parameters => parameters.Add(part => part.Name, "grown").Add(part => part.Versions, [versions[0] with { Labs = many }, .. versions.Skip(1)]));

        panel.WaitForAssertion(() => Assert.Equal(["title: Second", "title: Third"], Changed()), s_patience);
        Assert.Equal(10, panel.FindAll(".linked").Count);
        Assert.Contains(2.Count(Say.LabsMoreOne, Say.LabsMoreMany), panel.Markup, StringComparison.Ordinal);
        panel.FindAll("select")[0].Change("1");
        panel.WaitForAssertion(() => Assert.Equal(["title: First", "title: Third"], Changed()), s_patience);
        panel.FindAll("select")[1].Change("1");
        panel.WaitForAssertion(() => Assert.Contains(Say.CompareSame, panel.Markup, StringComparison.Ordinal), s_patience);
        // There is nothing to compare one with.
        Assert.Empty(Render<VersionsPanel>(parameters => parameters.Add(part => part.Name, "grown").Add(part => part.Versions, [versions[0]])).FindAll("select"));

        string[] Changed() => [.. panel.FindAll(".diff .removed, .diff .added").Select(line => line.TextContent[(line.TextContent.IndexOf("title", StringComparison.Ordinal))..])];
    }

    [Fact]
    public void A_pool_is_tried_by_admins_and_by_one_trial_at_a_time()
    {
        Assert.Equal((1, false), Deed(s_admin));
        Assert.Equal((1, true), Deed(s_admin, Trial(RunState.Running)));
        Assert.Equal((1, false), Deed(s_admin, Trial(RunState.Done), Trial(RunState.Running)));
        Assert.Equal((0, false), Deed(s_member with { IsAuditor = true }, Trial(RunState.Done)));
        var failed = Panel(s_admin, Trial(RunState.Undone) with { Problem = new Reason("run.abandoned", ("reason", "<b>tired</b>"), ("workflow", "try")) });
        Assert.Contains("<b>tired</b>", failed.Find(".note").TextContent, StringComparison.Ordinal);
        Assert.DoesNotContain("<b>tired", failed.Markup, StringComparison.Ordinal);

        (int, bool) Deed(Actor actor, params RunView[] trials)
        {
            var buttons = Panel(actor, trials).FindAll(".deeds button");
            return (buttons.Count, buttons is [var one] && one.HasAttribute("disabled"));
        }

        IRenderedComponent<TrialPanel> Panel(Actor actor, params RunView[] trials) => Render<TrialPanel>(parameters => parameters.AddCascadingValue(actor).Add(part => part.Pool, Pool).Add(part => part.Trials, trials));
    }

    [Fact]
    public void A_team_shows_its_limits_a_few_of_its_people_until_all_are_wanted_and_deeds_to_whom_they_are_for()
    {
        var people = Enumerable.Range(0, 30).Select(i => new PersonUseView(new PersonId(Guid.NewGuid()), $"Somebody {i}", new Dictionary<string, long> { ["labs"] = 1 }, [])).ToList();
        var team = new TeamUseView("qa", false, [new("labs", 40, 2, 30), new("cpu", null, null, 60)], people);
        var use = Use(s_admin, team);
        Assert.Contains(Say.HeldOf.With(("held", "30"), ("limit", "40")), use.Find("[aria-label]").InnerHtml, StringComparison.Ordinal);
        Assert.Contains(Say.QuotaNoLimit.With(("held", "60")), use.Markup, StringComparison.Ordinal);
        Assert.Equal(20, use.FindAll("details").Count);
        use.FindAll("button")[^1].Click();
        Assert.Equal(30, use.FindAll("details").Count);

        Assert.Contains(Say.QuotaEditNamed.With(("team", "qa")), use.Markup, StringComparison.Ordinal);
        var declared = Use(s_admin, team with { Declared = true, People = [] });
        Assert.Contains(Say.DetachNamed.With(("name", "qa")), declared.Markup, StringComparison.Ordinal);
        Assert.DoesNotContain(Say.QuotaEditNamed.With(("team", "qa")), declared.Markup, StringComparison.Ordinal);
        Assert.Contains(Say.QuotaNobody, declared.Markup, StringComparison.Ordinal);
        Assert.Empty(Use(s_member, team with { People = [] }).FindAll("button"));

        IRenderedComponent<TeamUse> Use(Actor actor, TeamUseView of) => Render<TeamUse>(parameters => parameters.AddCascadingValue(actor).Add(part => part.Team, of));
    }

    [Fact]
    public async Task A_long_history_is_shown_from_its_end_and_read_on_when_what_is_there_was_shown()
    {
        Services.AddSingleton(_portal.Services.GetRequiredService<LabCalls>());
        var lab = await RunningAsync();
        var events = Enumerable.Range(1, 60).Select(i => new LabEvent(lab.Id, i, SystemClock.Instance.GetCurrentInstant() + Duration.FromMinutes(i), LabEventKind.State, new Dictionary<string, string> { ["state"] = "ready" })).ToList();
        var (past, asked) = (new Past<LabEvent>(events, More: true), 0);
        var history = Render<LabHistory>(parameters => parameters.Add(part => part.Lab, lab).Add(part => part.Events, past).Add(part => part.Earlier, () => asked++));

        Assert.Equal(40, history.FindAll("li").Count);
        history.Find(".pager button").Click();
        Assert.Equal((60, 0), (history.FindAll("li").Count, asked));
        history.Find(".pager button").Click();
        Assert.Equal(1, asked);
        // What was before came; now who asked for the lab is told, too, and there is no more.
        history.Render(parameters => parameters.Add(part => part.Events, new Past<LabEvent>([events[0] with { Version = 0, At = lab.RequestedAt }, .. events], More: false)));
        Assert.Equal(61, history.FindAll("li:not(.did)").Count);
        Assert.Single(history.FindAll("li.did"));
        Assert.Empty(history.FindAll(".pager"));
    }

    [Fact]
    public async Task Steps_that_were_only_under_way_take_no_room_in_what_is_read_of_a_history()
    {
        var (labs, lab) = (_portal.Services.GetRequiredService<LabCalls>(), await RunningAsync());
        await TellAsync("nothing", LabEventKind.Log);
        foreach (var state in new[] { "done", "doing", "failed", "waiting", "undone", "undoing" }) await TellAsync(state, LabEventKind.Step);

        var actor = await ActorAsync();
        var last = (await labs.HistoryAsync(actor, lab.Id, null, 3, Cancellation)).Value;
        Assert.Equal(["done", "failed", "undone"], last.Items.Select(happened => happened.Data["state"]));
        var before = (await labs.HistoryAsync(actor, lab.Id, last.Items[0].Version, 200, Cancellation)).Value;
        Assert.Equal("nothing", before.Items[^1].Data["state"]);
        Assert.True(last.More && before.Items.All(LabWords.IsHistory));

        // What a value looks like does not count.
        Task TellAsync(string state, LabEventKind kind) => _portal.Services.GetRequiredService<Database>().WriteAsync(
            session =>
            {
                LabStore.AppendEvent(session, lab.Id, s_noon, kind, ("step", "\",\"state\":\"done\""), ("state", state));
                return Task.CompletedTask;
            },
            Cancellation);
    }

    [Fact]
    public async Task Who_did_what_to_a_lab_is_read_to_its_beginning_page_by_page()
    {
        var (labs, lab) = (_portal.Services.GetRequiredService<LabCalls>(), await RunningAsync());
        var actor = await ActorAsync();
        // Refused or done, it is told.
        foreach (var hours in new[] { 1m, 1000m }) await labs.ExtendAsync(actor, lab.Id, new LeaseRequest(hours, null), Cancellation);
        using var client = _portal.CreateClient();
        client.DefaultRequestHeaders.Authorization = new("Bearer", "a-token-for-tests");

        var (verbs, next) = (new List<string>(), "");
        do
        {
            var page = (await client.GetFromJsonAsync<JsonObject>($"/api/v1/labs/{lab.Id}/audit?limit=2{next}", Cancellation))!;
            Assert.InRange(page["items"]!.AsArray().Count, 1, 2);
            verbs.AddRange(page["items"]!.AsArray().Select(line => (string)line!["verb"]!));
            next = (string?)page["next"] is { } after ? $"&after={after}" : "";
        }
        while (next.Length > 0);
        Assert.Equal(["extend-lab", "extend-lab", "request-lab"], verbs);
        Assert.Equal(HttpStatusCode.BadRequest, (await client.GetAsync(new Uri($"/api/v1/labs/{lab.Id}/audit?after=x", UriKind.Relative), Cancellation)).StatusCode);
    }

    [Fact]
    public async Task What_disks_take_is_not_told_any_more_once_a_run_is_changing_it()
    {
        Services.AddSingleton(_portal.Services.GetRequiredService<LabCalls>());
        Services.AddSingleton(_portal.Services.GetRequiredService<LabDisks>());
        Services.AddScoped<LabDeeds>();
        var (labs, lab, actor) = (_portal.Services.GetRequiredService<LabCalls>(), await RunningAsync(), await ActorAsync());
        Assert.True((await labs.SnapshotAsync(actor, lab.Id, "first", Cancellation)).Ok);
        await foreach (var _ in labs.EventsAsync(actor, lab.Id, 0, Cancellation))
        {
            lab = (await labs.FindAsync(actor, lab.Id, Cancellation)).Value;
            if (lab.Run?.State.IsLive() != true && (await labs.SnapshotsAsync(actor, lab.Id, Cancellation)).Value is [{ State: SnapshotState.Taken }]) break;
        }

        var panel = Render<SnapshotPanel>(parameters => parameters.Add(part => part.Lab, lab));
        panel.WaitForAssertion(() => Assert.Single(panel.FindAll("section")), s_patience);
        panel.Render(parameters => parameters.Add(part => part.Lab, lab with { Version = lab.Version + 1, Run = Trial(RunState.Running) }));
        panel.WaitForAssertion(() => Assert.Empty(panel.FindAll("section")), s_patience);
        Assert.Single(panel.FindAll("article"));
    }

    internal static RunView Trial(RunState state) => new()
    {
        Id = new RunId(Guid.NewGuid()), Lab = new LabId(Guid.Empty), LabName = "try", Team = "", Workflow = WorkflowNames.Try, State = state, Step = null, StepsDone = 0, StepsTotal = 0, Since = s_noon, AskedBy = "Ada",
        Problem = null, CreatedAt = s_noon, FinishedAt = null, DueAt = null, WaitsFor = null, TraceId = null,
    };

    internal static PoolView Pool { get; } = new()
    {
        Id = new PoolId(Guid.Empty), Name = "pretend", Provider = "simulated", State = "healthy", Problems = [], CheckedAt = null, Labels = [], Limits = new PoolLimits(), OperationsNow = 0, BootsNow = 0, Hosts = [], Images = [], Declared = false,
    };
}
