using System.Net.Http.Json;
using System.Text.Json.Nodes;
using LabPortal.Testing;
using Microsoft.Data.Sqlite;
using Microsoft.Playwright;

namespace LabPortal.EndToEnd.Pages;

/// <summary>What admins see of runs and pools, and do about them.</summary>
[Collection(typeof(InOneBrowser))]
public sealed class OperationsTests(PortalInBrowser portal)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("light", 1440, 900)]
    [InlineData("dark", 390, 844)]
    public async Task A_stuck_run_shows_its_journal_and_is_tried_again_or_given_up(string theme, int width, int height)
    {
        var page = await portal.OpenAsync(theme, width, height);
        var lab = await page.RequestAsync("solo");
        var machine = (string)(await portal.Client.GetAsync($"labs/{lab}", Cancellation)).Must(200)["machines"][0]!["id"]!;
        await InWorldAsync(
            "INSERT INTO script (verb, subject, nth, times, moment, deed, fault, message) VALUES ('delete-machine', $machine, 1, 1000000, 0, 0, 2, 'It says <b>no</b>.')", ("$machine", machine));
        (await portal.Client.PostAsync($"labs/{lab}/end", cancellation: Cancellation)).Must(202);
        var run = await StuckAsync(lab);

        await page.GotoAsync("/operations");
        var row = page.GetByRole(AriaRole.Region, new() { Name = "Runs", Exact = true }).Locator("tr", new() { Has = page.Locator($"a[href='operations/runs/{run}']") });
        await row.Sees().ToContainTextAsync("It says <b>no</b>.");
        await row.GetByRole(AriaRole.Link).ClickAsync();
        await page.ArrivesAsync($"**/operations/runs/{run}");
        var journal = page.GetByRole(AriaRole.Region, new() { Name = "Journal" });
        await journal.Sees().ToContainTextAsync("Rejected. It says <b>no</b>.");
        await page.GetByRole(AriaRole.Region, new() { Name = "About this run" }).Sees().ToContainTextAsync("Trace id");
        await page.HoldAsync($"a stuck run {theme}");
        await page.Button("Try again").ClickAsync();
        await journal.Sees().ToContainTextAsync("attempt 2");
        await StuckAsync(lab);

        var one = (await portal.Client.GetAsync($"runs/{run}", Cancellation)).Must(200);
        Assert.Equal(["rejected", "rejected"], one["journal"].AsArray().Select(attempt => (string)attempt!["faultKind"]!));
        Assert.Matches("^[0-9a-f]{32}$", (string)one["traceId"]!);
        Assert.Equal("pretend", (string)one["machines"][0]!["pool"]!);
        Assert.Contains((await portal.Client.GetAsync("runs?phase=stuck", Cancellation)).Must(200)["items"].AsArray(), item => (string)item!["id"]! == run);
        Assert.DoesNotContain((await portal.Client.GetAsync("runs?phase=over&limit=200", Cancellation)).Must(200)["items"].AsArray(), item => (string)item!["id"]! == run);
        (await portal.Client.PostAsync($"runs/{run}/abandon", new JsonObject(), Cancellation)).Must(400);

        if (theme == "dark")
        {
            await page.Button("Give up").ClickAsync();
            await page.FillAsync("#abandon-reason", "the rack burned down");
            await page.HoldAsync("giving up");
            await page.Asked().Button("Give up").ClickAsync();
            await page.GetByText("given up. the rack burned down").First.Sees().ToBeVisibleAsync();
        }
        else
        {
            await InWorldAsync("DELETE FROM script");
            await page.Button("Try again").ClickAsync();
            await portal.Client.WaitForAsync(lab, "ended", cancellation: Cancellation);
            await page.Locator(".head .chip").Sees().ToHaveTextAsync("Done");
        }

        await InWorldAsync("DELETE FROM script");
        Assert.Equal("run.over", (string)(await portal.Client.PostAsync($"runs/{run}/retry", cancellation: Cancellation)).Must(409)["code"]!);
        await page.Button("Try again").Sees().ToHaveCountAsync(0);
        await page.GotoAsync("/operations?phase=over");
        await page.Locator($"a[href='operations/runs/{run}']").Sees().ToBeVisibleAsync();
    }

    /// <summary>A blueprint's title and all that a provider says: on every page that shows it, it is text, and it fits.</summary>
    [Fact]
    public async Task What_a_hostile_provider_says_is_text_on_every_page_and_in_every_answer()
    {
        var (page, dialogs) = (await portal.OpenAsync("dark", 390, 844), 0);
        page.Dialog += (_, dialog) => { dialogs++; _ = dialog.DismissAsync(); };
        var title = $"<img src=x {HostileStrings.Mark} onerror=alert(1)>{new string('x', 150)}";
        (await portal.Client.SendAsync(HttpMethod.Put, "blueprints/mean", JsonContent.Create(new JsonObject
        {
            ["title"] = title,
            ["description"] = title,
            ["machines"] = new JsonArray(new JsonObject { ["name"] = "one", ["image"] = "tiny", ["cpu"] = 1, ["memoryMiB"] = 128, ["diskGiB"] = 1 }),
            ["lease"] = new JsonObject { ["default"] = "1h", ["max"] = "2h", ["grace"] = "0" },
        }), Cancellation)).Must(200);
        // Its file ends a text at NUL.
        var said = HostileStrings.Everything.Replace("\0", "", StringComparison.Ordinal) + new string('x', 10_000);
        foreach (var verb in new[] { "create-machine", "delete-machine", "delete-disk" })
            await InWorldAsync("INSERT INTO script (verb, nth, times, moment, deed, fault, message) VALUES ($verb, 1, 1000000, 0, 0, 2, $said)", ("$verb", verb), ("$said", said));
        var lab = (string)(await portal.Client.PostAsync("labs", new JsonObject { ["blueprint"] = "mean", ["team"] = "qa", ["pool"] = "pretend" }, Cancellation)).Must(202)["id"]!;
        var run = await StuckAsync(lab);
        await InWorldAsync("INSERT INTO script (verb, nth, times, moment, deed, fault, message) VALUES ('check', 1, 1000000, 0, 0, 5, $said)", ("$said", said));
        (await portal.Client.PostAsync("pools/pretend/check", cancellation: Cancellation)).Must(200);

        (string Path, bool Tells)[] pages =
        [
            ($"/labs/{lab}", true), ("/labs", true), ("/operations", true), ($"/operations/runs/{run}", true), ("/pools", true), ("/pools/pretend", true), ("/catalogue", true), ("/catalogue/mean?team=qa", true),
            ("/blueprints", true), ("/blueprints/mean", false), ("/audit", false), ("/quotas", false), ("/", false),
        ];
        // Where the page is wider than its window: the innermost that reach out.
        const string Wide = "document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll('main *')].filter(one => one.getBoundingClientRect().right > innerWidth + 1 "
            + "&& ![...one.children].some(inner => inner.getBoundingClientRect().right > innerWidth + 1)).slice(0, 3).map(one => one.outerHTML.slice(0, 200)).concat(['wide'])";
        var wide = new List<string>();
        foreach (var (path, tells) in pages)
        {
            await page.GotoAsync(path);
            await page.Locator("h1").First.Sees().ToBeVisibleAsync();
            if (tells && path != "/labs") await page.Locator("main").Sees().ToContainTextAsync("onerror=alert(1)>");
            Assert.Equal(0, await page.Locator($"[{HostileStrings.Mark}]").CountAsync());
            wide.AddRange((await page.EvaluateAsync<string[]>(Wide)).Select(element => $"{path} {element}"));
            Assert.DoesNotMatch("[\u0000-\u0008\u001b\u202a-\u202e\u2066-\u2069]", await page.Locator("body").InnerTextAsync());
        }

        Assert.Empty(wide);
        Assert.Equal(0, dialogs);
        await page.GotoAsync($"/operations/runs/{run}");
        await page.HoldAsync("a run of a hostile provider");

        // Whoever reads the answers gets no more of it than people do, and what is cut says so.
        var notes = (await portal.Client.GetAsync($"runs/{run}", Cancellation)).Must(200)["journal"].AsArray().Select(attempt => (string?)attempt!["note"]).OfType<string>().Where(note => note.Length > 500).ToList();
        Assert.NotEmpty(notes);
        Assert.All(notes, note => Assert.Equal((true, '…'), (note.Length <= 2000, note[^1])));
        using var http = new HttpClient { BaseAddress = portal.Portal.Address };
        Assert.DoesNotContain(HostileStrings.Mark, await http.GetStringAsync("/metrics", Cancellation), StringComparison.Ordinal);
        Assert.DoesNotMatch("[\u0007\u001b\u202e]|(?m:^info: LabPortal$)", portal.Portal.Log);

        await InWorldAsync("DELETE FROM script");
        (await portal.Client.PostAsync("pools/pretend/check", cancellation: Cancellation)).Must(200);
        (await portal.Client.PostAsync($"runs/{run}/retry", cancellation: Cancellation)).Must(202);
        await portal.Client.WaitForAsync(lab, "failed", cancellation: Cancellation);
        await portal.Client.DeleteAsync("blueprints/mean", Cancellation);
    }

    [Theory]
    [InlineData("light", 1440, 900)]
    [InlineData("dark", 390, 844)]
    public async Task A_pool_is_made_by_a_form_tried_put_into_maintenance_and_changed(string theme, int width, int height)
    {
        var (page, name) = (await portal.OpenAsync(theme, width, height), $"made-{theme}");
        await page.GotoAsync("/pools");
        await page.GetByRole(AriaRole.Link, new() { Name = "New pool: simulated" }).ClickAsync();
        await page.ArrivesAsync("**/pools/new/simulated");
        await page.GetByLabel("Name", new() { Exact = true }).FillAsync("Not A Name");
        await page.GetByLabel("Hosts", new() { Exact = true }).FillAsync("many");
        await page.GetByLabel("Seconds to boot (s)").FillAsync("-1");
        await page.GetByLabel("Operations at once").FillAsync("0");
        await page.Button("Add to Missing images").ClickAsync();
        await page.Button("Make the pool").ClickAsync();
        // All at once: a name, a number, a range, a limit, and the required field of an entry.
        await page.GetByRole(AriaRole.Alert).Sees().ToHaveCountAsync(5);
        await page.HoldAsync($"mistakes of a pool {theme}");
        await page.GetByLabel("Name", new() { Exact = true }).FillAsync(name);
        await page.GetByLabel("Hosts", new() { Exact = true }).FillAsync("1");
        await page.GetByLabel("Seconds to boot (s)").FillAsync("0.2");
        await page.GetByLabel("Operations at once").FillAsync("3");
        await page.Button("Remove Missing images 1").ClickAsync();
        // What follows it moves up.
        await page.Button("Remove Missing images 1").Sees().ToHaveCountAsync(0);
        await page.Button("Make the pool").ClickAsync();
        await page.ArrivesAsync($"**/pools/{name}");
        await page.Locator("#main .chip").First.Sees().ToHaveTextAsync("Healthy", new() { Timeout = 60_000 });

        await page.Button("Maintenance").ClickAsync();
        await page.Asked().Sees().ToContainTextAsync("0 labs");
        await page.HoldAsync($"maintenance {theme}");
        await page.Asked().Button("Maintenance").ClickAsync();
        await page.Button("Take machines again").Sees().ToBeVisibleAsync();

        // Also while it takes no machines.
        await page.Button("Try it").ClickAsync();
        await page.Asked().GetByLabel("Image").SelectOptionAsync("tiny");
        await page.HoldAsync($"try it {theme}");
        await page.Asked().Button("Try it").ClickAsync();
        var trial = page.GetByRole(AriaRole.Region, new() { Name = "Try it" });
        await trial.Locator(".trials .chip").First.Sees().ToHaveTextAsync("Done", new() { Timeout = 60_000 });
        await trial.Sees().ToContainTextAsync("7 of 7");
        await page.HoldAsync($"a pool that was tried {theme}");
        Assert.Empty((await portal.Client.GetAsync($"pools/{name}/resources", Cancellation)).Must(200).Body!.AsArray());
        var run = (await portal.Client.GetAsync($"pools/{name}/trials", Cancellation)).Must(200)["items"][0]!;
        Assert.Equal(("try", "(portal)"), ((string)run["workflow"]!, (string)run["team"]!));
        Assert.DoesNotContain((await portal.Client.GetAsync("labs?limit=200", Cancellation)).Must(200)["items"].AsArray(), lab => (string)lab!["id"]! == (string)run["lab"]!);

        await page.Locator("#main").GetByRole(AriaRole.Link, new() { Name = "Settings", Exact = true }).ClickAsync();
        await page.ArrivesAsync($"**/pools/{name}/settings");
        await page.GetByLabel("Labels").FillAsync("fast, near");
        await page.Button("Save").ClickAsync();
        await page.ArrivesAsync($"**/pools/{name}");
        await page.GetByText("near").First.Sees().ToBeVisibleAsync();
        var settings = (await portal.Client.GetAsync($"pools/{name}/settings", Cancellation)).Must(200);
        Assert.Equal((1, 0.2, 3), ((int)settings["settings"]["hosts"]!, (double)settings["settings"]["bootSeconds"]!, (int)settings["limits"]["operationsAtOnce"]!));
        (await portal.Client.SendAsync(HttpMethod.Put, $"pools/{name}", JsonContent.Create(settings.Body), Cancellation)).Must(200);
    }

    [Fact]
    public async Task What_is_declared_is_read_only_until_it_is_detached_and_who_is_affected_is_shown_first()
    {
        (await portal.Client.ApplyAsync("kind: Pool\nname: rented\nprovider: simulated\nlabels: [rented]\n", cancellation: Cancellation)).Must(200);
        var page = await portal.OpenAsync();
        await page.GotoAsync("/pools/rented/settings");
        await page.GetByText("declared in a file").Sees().ToBeVisibleAsync();
        await page.GetByLabel("Labels").Sees().ToBeDisabledAsync();
        (await portal.Client.SendAsync(HttpMethod.Put, "pools/rented", JsonContent.Create(new { provider = "simulated" }), Cancellation)).Must(409);
        await page.Button("Detach").ClickAsync();
        await page.Asked().Button("Detach").ClickAsync();
        await page.GetByLabel("Labels").Sees().ToBeEnabledAsync();
        (await portal.Client.PostAsync("pools/rented/detach", cancellation: Cancellation)).Must(404);

        var lab = (string)(await portal.Client.PostAsync("labs", new JsonObject { ["blueprint"] = "solo", ["team"] = "qa", ["pool"] = "rented", ["name"] = "tenant" }, Cancellation)).Must(202)["id"]!;
        await portal.Client.WaitForAsync(lab, "ready", cancellation: Cancellation);
        await page.GotoAsync("/pools/rented");
        await page.Button("Drain").ClickAsync();
        await page.Asked().Sees().ToContainTextAsync("tenant");
        await page.HoldAsync("draining");
        await page.Asked().Button("Drain").ClickAsync();
        await page.Locator("#main .chip").First.Sees().ToHaveTextAsync("Draining");
        Assert.Equal(lab, (string)(await portal.Client.GetAsync("pools/rented/affected", Cancellation)).Must(200)["items"][0]!["lab"]!);
        (await portal.Client.PostAsync($"labs/{lab}/end", cancellation: Cancellation)).Must(202);
        await portal.Client.WaitForAsync(lab, "ended", cancellation: Cancellation);
    }

    private async Task<string> StuckAsync(string lab)
    {
        for (var i = 0; i < 600; i++)
        {
            var run = (await portal.Client.GetAsync($"labs/{lab}", Cancellation)).Must(200)["run"];
            if ((string)run["state"]! == "stuck") return (string)run["id"]!;
            await Task.Delay(100, Cancellation);
        }

        throw new TimeoutException("The run did not get stuck.");
    }

    private async Task InWorldAsync(string change, params (string Name, string Value)[] values)
    {
        await using var world = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = Path.Combine(portal.Folder["data"], "simulated-pretend.world"), Pooling = false }.ToString());
        await world.OpenAsync(Cancellation);
        using var command = world.CreateCommand();
        command.CommandText = change;
        foreach (var (name, value) in values) command.Parameters.AddWithValue(name, value);
        await command.ExecuteNonQueryAsync(Cancellation);
    }
}
