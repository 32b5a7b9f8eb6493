using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using LabPortal.Data;
using LabPortal.EndToEnd.Pages;
using LabPortal.Testing;
using Microsoft.Playwright;

namespace LabPortal.EndToEnd.Telemetry;

/// <summary>What the portal tells machines about itself: metrics, traces, and the ids in its log.</summary>
public sealed partial class TelemetryTests(TestDatabases databases)
{
    private const string Trace = "0af7651916cd43dd8448eb211c80319c";
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(5);
    private static readonly string s_folder = Path.Combine(Repository.Root, "infra", "observability");

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Every_metric_that_the_dashboard_the_rules_and_the_table_name_is_there_names_no_lab_and_nobody_and_is_told_to_no_stranger()
    {
        using var folder = new TestFolder();
        await File.WriteAllTextAsync(folder["apply.yaml"], SimulatedCatalogue.Yaml(), Cancellation);
        await using var portal = await PortalProcess.StartAsync(folder["data"], applyFile: folder["apply.yaml"]);
        using var client = portal.Client();
        Assert.Equal(HttpStatusCode.OK, await ReadAsync(portal));
        Assert.Equal(HttpStatusCode.Forbidden, await ReadAsync(portal, forwarded: "203.0.113.9"));
        Assert.Equal(HttpStatusCode.Forbidden, await ReadAsync(portal, token: PortalProcess.AdminToken, forwarded: "203.0.113.9"));
        // By its time, so that a lease has its moment: a time that a busy machine does not miss while it is still being asked.
        var clock = Stopwatch.StartNew();
        (await client.PostAsync("quotes", Request(), Cancellation)).Must(200);
        var asked = Request();
        asked["name"] = "unmistakable";
        asked["start"] = (DateTimeOffset.UtcNow + TimeSpan.FromSeconds(2) + (10 * clock.Elapsed)).ToString("O");
        var id = (string)(await client.PostAsync("labs", asked, Cancellation)).Must(202)["id"]!;
        await client.WaitForAsync(id, "ready", cancellation: Cancellation);
        (await client.PostAsync($"labs/{id}/start", cancellation: Cancellation)).Must(409);

        string[] named =
        [
            .. Names(string.Join('\n', Questions(await DashboardAsync()))),
            .. Names(await File.ReadAllTextAsync(Path.Combine(s_folder, "rules.yaml"), Cancellation)),
            .. Names(await File.ReadAllTextAsync(Path.Combine(Repository.Root, "src", "LabPortal.Web", "Hosting", "README.md"), Cancellation)),
        ];
        Assert.True(named.Length > 40, string.Join(", ", named));
        var metrics = "";
        await UntilAsync(
            async () =>
            {
                metrics = await ScrapeAsync(portal);
                var there = SampleName().Matches(metrics).SelectMany(match => new[] { match.Value, HistogramPart().Replace(match.Value, "") }).ToHashSet();
                return named.Except(there).ToArray() is { Length: > 0 } missing ? $"missing: {string.Join(", ", missing)}" : null;
            });

        Assert.Equal(1, Sum(metrics, "labportal_labs", "state=\"ready\""));
        Assert.Equal(0, Sum(metrics, "labportal_labs", "state=\"provisioning\""));
        Assert.Equal(1, Sum(metrics, "labportal_runs_finished_total", "workflow=\"provision\"", "state=\"done\""));
        Assert.Equal(1, Sum(metrics, "labportal_lab_time_to_ready_seconds_count", "pool=\"pretend\"", "blueprint=\"pair\""));
        Assert.Equal(1, Sum(metrics, "labportal_lease_lateness_seconds_count", "deed=\"begin\""));
        Assert.Equal(1, Sum(metrics, "labportal_pool_state", "pool=\"pretend\"", "state=\"healthy\""));
        Assert.Equal(1, Sum(metrics, "labportal_refusals_total", "kind=\"conflict\""));
        Assert.DoesNotContain(id, metrics, StringComparison.Ordinal);
        Assert.DoesNotContain("unmistakable", metrics, StringComparison.Ordinal);
        Assert.DoesNotContain((string)(await client.GetAsync($"labs/{id}", Cancellation)).Must(200)["owner"]!, metrics, StringComparison.Ordinal);
        var (_, output, error) = await Tool.TypeAsync(string.Concat(metrics.Split('\n').Where(line => line.Contains("labportal_", StringComparison.Ordinal)).Select(line => line + "\n")), Cancellation, "promtool", "check", "metrics");
        Assert.Equal("", output + error);

        // What a panel groups by or picks is a label of what it asks for.
        Assert.All(Questions(await DashboardAsync()), question =>
        {
            var metric = MetricName().Match(question).Value;
            var samples = metrics.Split('\n').Where(line => line.StartsWith(metric + "{", StringComparison.Ordinal)).ToList();
            Assert.All(Labels(question), label => Assert.True(samples.Exists(line => Regex.IsMatch(line, $"[{{,]{label}=\"")), $"{metric} has no label {label}: {question}"));
        });
    }

    [Fact]
    public async Task The_dashboard_is_laid_out_as_Grafana_wants_it_and_asks_what_Prometheus_understands()
    {
        var dashboard = await DashboardAsync();
        var panels = dashboard["panels"]!.AsArray();
        Assert.Equal("labportal", (string)dashboard["uid"]!);
        Assert.Equal(panels.Count, panels.Select(panel => (int)panel!["id"]!).Distinct().Count());
        Assert.All(panels, panel => Assert.Contains((string)panel!["type"]!, (string[])["timeseries", "stat", "table", "bargauge"]));
        var cells = panels.Select(panel => panel!["gridPos"]!).SelectMany(place =>
            from x in Enumerable.Range((int)place["x"]!, (int)place["w"]!)
            from y in Enumerable.Range((int)place["y"]!, (int)place["h"]!)
            select (x, y)).ToList();
        Assert.Equal(cells.Count, cells.Distinct().Count());
        Assert.All(cells, cell => Assert.InRange(cell.x, 0, 23));
        Assert.Equal(["datasource/prometheus"], dashboard["templating"]!["list"]!.AsArray().Select(variable => $"{variable!["type"]}/{variable["query"]}"));
        foreach (var panel in panels)
        {
            var targets = panel!["targets"]!.AsArray();
            Assert.Equal(targets.Count, targets.Select(target => (string)target!["refId"]!).Distinct().Count());
            Assert.All(targets.Append(panel), asks => Assert.Equal(("prometheus", "${datasource}"), ((string)asks!["datasource"]!["type"]!, (string)asks["datasource"]!["uid"]!)));
        }

        // JSON is YAML, and Prometheus reads a question in a rule as a panel asks it.
        using var folder = new TestFolder();
        var rules = new JsonArray([.. Questions(dashboard).Select((question, number) => new JsonObject { ["record"] = $"panel:{number}", ["expr"] = question })]);
        await File.WriteAllTextAsync(folder["panels.yaml"], new JsonObject { ["groups"] = new JsonArray(new JsonObject { ["name"] = "panels", ["rules"] = rules }) }.ToJsonString(), Cancellation);
        await Tool.RunAsync(Cancellation, "promtool", "check", "rules", folder["panels.yaml"]);
    }

    [Fact]
    public async Task Promtool_accepts_the_rules_and_their_own_tests()
    {
        await Tool.RunAsync(Cancellation, "promtool", "check", "rules", Path.Combine(s_folder, "rules.yaml"));
        await Tool.RunAsync(Cancellation, "promtool", "test", "rules", Path.Combine(s_folder, "rules.test.yaml"));
    }

    [Fact]
    public async Task Metrics_are_for_the_networks_and_the_token_that_are_set_whoever_forwards()
    {
        using var folder = new TestFolder();
        var more = new Dictionary<string, string> { ["LabPortal__Metrics__Token"] = "scrape-me-if-you-can", ["LabPortal__Metrics__AllowedNetworks__0"] = "192.0.2.0/24" };
        await using var closed = await PortalProcess.StartAsync(folder["data"], more: more);
        Assert.Equal(HttpStatusCode.Unauthorized, await ReadAsync(closed));
        Assert.Equal(HttpStatusCode.Unauthorized, await ReadAsync(closed, token: "scrape-me"));
        Assert.Equal(HttpStatusCode.OK, await ReadAsync(closed, token: "scrape-me-if-you-can"));
        Assert.Equal(HttpStatusCode.OK, await ReadAsync(closed, token: "scrape-me-if-you-can", forwarded: "203.0.113.9"));
    }

    [Fact]
    public async Task A_run_is_one_trace_from_the_call_to_the_provider_and_two_nodes_agree_on_the_installation()
    {
        using var folder = new TestFolder();
        // The guest boots for longer than a turn stays, also where the turn before it was slow.
        await File.WriteAllTextAsync(folder["apply.yaml"], SimulatedCatalogue.Yaml(createSeconds: 0.5, bootSeconds: 3) + Away, Cancellation);
        await using var receiver = await OtlpReceiver.StartAsync(Cancellation);
        var more = new Dictionary<string, string>
        {
            ["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.Address,
            ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf",
            ["OTEL_BSP_SCHEDULE_DELAY"] = "200",
        };
        var database = await databases.CreateSettingAsync(Engine.Postgres);
        await using var one = await PortalProcess.StartAsync(folder["data"], database, folder["apply.yaml"], more: more);
        await using var two = await PortalProcess.StartAsync(folder["data"], database, folder["apply.yaml"], more: more);
        using var client = one.Client();

        var asked = (await client.SendAsync(HttpMethod.Post, "labs", JsonContent.Create(Request()), Cancellation, ("traceparent", $"00-{Trace}-b7ad6b7169203331-01"))).Must(202);
        await client.WaitForAsync((string)asked["id"]!, "ready", cancellation: Cancellation);

        await UntilAsync(() => Task.FromResult(WhatLacks([.. receiver.Spans.Where(span => span.Trace == Trace)])));
        await UntilAsync(async () =>
        {
            var (first, second) = (await ScrapeAsync(one), await ScrapeAsync(two));
            var ready = (Sum(first, "labportal_labs", "state=\"ready\""), Sum(second, "labportal_labs", "state=\"ready\""));
            var finished = Sum(first + second, "labportal_runs_finished_total", "workflow=\"provision\"");
            return ready == (1, 1) && finished == 1 ? null : $"ready: {ready}, finished: {finished}";
        });

        // The same for what is clicked on a page.
        using var playwright = await Playwright.CreateAsync();
        await using var browser = await Chromium.LaunchAsync(playwright);
        await using var context = await browser.NewContextAsync(new() { BaseURL = one.Address.ToString() });
        context.SetDefaultTimeout(Chromium.Patience);
        var page = await context.NewPageAsync();
        // The link of the node that started last counts; the session is one of both.
        await FirstAdmin.SetUpAsync(page, two);
        await page.GotoAsync($"/labs/{asked["id"]}");
        await page.EndAsync();
        await UntilAsync(() => Task.FromResult(WhatAClickLacks([.. receiver.Spans])));

        // A circuit is open for as long as its page is.
        await CircuitsAsync(1);
        var another = await context.NewPageAsync();
        await another.GotoAsync("/labs");
        await CircuitsAsync(2);
        await page.GotoAsync("about:blank");
        await CircuitsAsync(1);

        await using var data = Database.Open(database);
        await HoldWhatIsDueAndLeftAsync(data, one, two, client, (string)asked["id"]!);

        // A page that cannot even be begun.
        await data.WriteAsync(session => session.ExecuteAsync("ALTER TABLE one_time_links RENAME TO mislaid"), Cancellation);
        var broken = await page.GotoAsync(new Uri(one.Address, "invitation/x").ToString());
        Assert.Equal(500, broken!.Status);
        await page.HoldInBothThemesAsync("a page that broke");
        await data.WriteAsync(session => session.ExecuteAsync("ALTER TABLE mislaid RENAME TO one_time_links"), Cancellation);

        async Task CircuitsAsync(int open) => await UntilAsync(async () => Sum(await ScrapeAsync(one), "labportal_circuits") is var there && there == open ? null : $"{there} circuits, not {open}");

        // The id of a problem is the one that its log lines have.
        var problem = (await client.GetAsync("pools/away/resources", Cancellation)).Must(503);
        var quoted = (string)problem["traceId"]!;
        Assert.Matches("^[0-9a-f]{32}$", quoted);
        await UntilAsync(() => Task.FromResult(one.Log.Contains($"TraceId:{quoted}", StringComparison.Ordinal) ? null : $"no {quoted} in the log:\n{one.Log}"));
    }

    /// <summary>A due run that nobody takes ages until it is gone; orphans are as many as are listed. Every node says so.</summary>
    private static async Task HoldWhatIsDueAndLeftAsync(Database data, PortalProcess one, PortalProcess two, PortalClient client, string lab)
    {
        // Of a version that no build here knows, so that all leave it alone.
        var since = Stopwatch.StartNew();
        await data.WriteAsync(async session =>
        {
            await session.ExecuteAsync("""
                INSERT INTO runs (id, lab_id, team_id, workflow, version, state, asked_by, created_at, due_at, since)
                SELECT '00000000-0000-7000-8000-000000000001', id, team_id, 'provision', 999, 'running', 'nobody', @Past, @Past, @Past FROM labs WHERE id = @lab
                """, new { Past = (DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() - 600_000) * 1000, lab });
            // Of the pool that cannot be reached, so that no listing says that they are gone.
            await session.ExecuteAsync("""
                INSERT INTO orphans (id, pool_id, kind, external_id, name, owner_id, generation, state, first_seen_at, last_seen_at)
                SELECT '00000000-0000-7000-8000-00000000000' || n, pools.id, 'machine', 'x' || n, 'left-' || n, '00000000-0000-7000-8000-000000000009', n, CASE n WHEN 1 THEN 'listed' WHEN 2 THEN 'deleting' WHEN 3 THEN 'gone' ELSE 'adopted' END, n, n
                FROM pools, generate_series(1, 4) AS n WHERE pools.name = 'away'
                """);
        }, Cancellation);
        var listed = (await client.GetAsync("orphans?pool=away", Cancellation)).Must(200)["items"]!.AsArray().Count;
        Assert.Equal(2, listed);
        var ages = new List<double>();
        foreach (var node in new[] { one, two })
        {
            await UntilAsync(async () =>
            {
                var metrics = await ScrapeAsync(node);
                var (age, due, left) = (Sum(metrics, "labportal_queue_age_seconds"), Sum(metrics, "labportal_runs_due"), Sum(metrics, "labportal_orphans", "pool=\"away\""));
                ages.Add(age);
                return age > 600 && due == 1 && left == listed ? null : $"age {age}, due {due}, orphans {left}";
            });
        }

        var first = ages[^1];
        await UntilAsync(async () => Sum(await ScrapeAsync(two), "labportal_queue_age_seconds") > first ? null : $"not older than {first}");
        Assert.True(first < 601 + since.Elapsed.TotalSeconds, $"{first}");
        await data.WriteAsync(session => session.ExecuteAsync("DELETE FROM runs WHERE version = 999; DELETE FROM orphans WHERE owner_id = '00000000-0000-7000-8000-000000000009'"), Cancellation);
        await UntilAsync(async () => await ScrapeAsync(one) is var metrics && (Sum(metrics, "labportal_queue_age_seconds"), Sum(metrics, "labportal_orphans", "pool=\"away\"")) is (0, 0) ? null : "still due or left");
    }

    /// <summary>A pool whose provider cannot be reached.</summary>
    private const string Away = """

        ---
        kind: Pool
        name: away
        provider: libvirt
        settings: { hosts: [{ name: here, uri: "qemu:///system?socket=/nowhere/at/all" }] }
        """;

    private static string? WhatLacks(IReadOnlyList<Span> spans)
    {
        string Told(string what) => $"{what}:\n{string.Join('\n', spans)}";
        bool IsIn(Span span, string parent) => spans.Any(other => other.Id == span.Parent && other.Name == parent);
        if (spans.SingleOrDefault(span => span.Parent == "b7ad6b7169203331") is not { } call) return Told("no call");
        if (spans.SingleOrDefault(span => span.Name == "run") is not { } run || run.Parent != call.Id) return Told("no run in the call");
        var turns = spans.Where(span => span.Name == "turn").ToList();
        if (turns.Count < 2 || turns.Any(turn => turn.Parent != run.Id)) return Told("not several turns in the run");
        if (spans.Count(span => span.Name == "create" && IsIn(span, "turn")) < 2) return Told("no step for each machine in a turn");
        return spans.Count(span => span.Name == "ensure exists" && IsIn(span, "create")) == 2 ? null : Told("not a call to the provider for each machine");
    }

    private static string? WhatAClickLacks(IReadOnlyList<Span> spans)
    {
        string Told(string what) => $"{what}:\n{string.Join('\n', spans)}";
        bool IsClick(Span span) => span is { Name: "click", Parent: "" };
        if (spans.SingleOrDefault(span => span.Name == "run" && spans.Any(click => IsClick(click) && click.Id == span.Parent)) is not { } run) return Told("no run in a click");
        if (!spans.Any(span => span.Name == "turn" && span.Parent == run.Id)) return Told("no turn in the run");
        return spans.Count(span => span.Name == "ensure gone" && span.Trace == run.Trace) >= 2 ? null : Told("not a call to the provider for each machine");
    }

    private static JsonObject Request() => new() { ["blueprint"] = "pair", ["team"] = "qa", ["lease"] = new JsonObject { ["hours"] = 1 } };

    private static async Task<string> ScrapeAsync(PortalProcess portal)
    {
        using var http = new HttpClient { BaseAddress = portal.Address };
        return await http.GetStringAsync("/metrics", Cancellation);
    }

    private static async Task<HttpStatusCode> ReadAsync(PortalProcess portal, string? token = null, string? forwarded = null)
    {
        using var http = new HttpClient { BaseAddress = portal.Address };
        using var request = new HttpRequestMessage(HttpMethod.Get, "/metrics");
        if (token is not null) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        if (forwarded is not null) request.Headers.Add("X-Forwarded-For", forwarded);
        using var answer = await http.SendAsync(request, Cancellation);
        return answer.StatusCode;
    }

    private static async Task UntilAsync(Func<Task<string?>> lacks)
    {
        var since = Stopwatch.GetTimestamp();
        while (await lacks() is { } still)
        {
            if (Stopwatch.GetElapsedTime(since) > s_patience) throw new TimeoutException(still);
            await Task.Delay(500, Cancellation);
        }
    }

    private static double Sum(string metrics, string name, params string[] labels) => metrics.Split('\n')
        .Where(line => line.StartsWith(name + "{", StringComparison.Ordinal) && labels.All(label => line.Contains(label, StringComparison.Ordinal)))
        .Sum(line => double.Parse(line[(line.LastIndexOf('}') + 1)..].Trim().Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture));

    private static async Task<JsonNode> DashboardAsync() => JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(s_folder, "dashboard.json"), Cancellation))!;

    /// <summary>What its panels ask. Grafana fills in how far back a rate looks.</summary>
    private static IReadOnlyList<string> Questions(JsonNode dashboard) => [.. Texts(dashboard, "expr").Select(text => text.Replace("$__rate_interval", "5m", StringComparison.Ordinal))];

    private static IEnumerable<string> Labels(string question) =>
        GroupedBy().Matches(question).SelectMany(match => match.Groups["labels"].Value.Split(',', StringSplitOptions.TrimEntries))
            .Concat(Picked().Matches(question).Select(match => match.Groups["label"].Value)).Distinct();

    private static IEnumerable<string> Names(string text) => MetricName().Matches(text).Select(match => match.Value).Distinct();

    private static IEnumerable<string> Texts(JsonNode node, string name) => node switch
    {
        JsonObject fields => fields.SelectMany(field => field.Key == name ? [(string)field.Value!] : field.Value is null ? [] : Texts(field.Value, name)),
        JsonArray items => items.SelectMany(item => Texts(item!, name)),
        _ => [],
    };

    [GeneratedRegex(@"\b(labportal|http_server|dotnet)_[a-z_]*[a-z]\b", RegexOptions.ExplicitCapture)]
    private static partial Regex MetricName();

    [GeneratedRegex("^[a-z_]+(?=[{ ])", RegexOptions.Multiline)]
    private static partial Regex SampleName();

    [GeneratedRegex(@"\bby \((?<labels>[^)]*)\)", RegexOptions.ExplicitCapture)]
    private static partial Regex GroupedBy();

    [GeneratedRegex(@"[{,]\s*(?<label>[a-z_]+)\s*(=|!=|=~|!~)""", RegexOptions.ExplicitCapture)]
    private static partial Regex Picked();

    [GeneratedRegex("_bucket$")]
    private static partial Regex HistogramPart();
}
