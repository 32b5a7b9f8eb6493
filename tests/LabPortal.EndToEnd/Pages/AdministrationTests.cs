using System.Net.Http.Headers;
using System.Net.Http.Json;
using Microsoft.Playwright;

namespace LabPortal.EndToEnd.Pages;

/// <summary>What admins see and do beside the labs.</summary>
[Collection(typeof(InOneBrowser))]
public sealed class AdministrationTests(PortalInBrowser portal)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_audit_is_searched_by_its_address_and_what_is_found_is_exported()
    {
        var page = await portal.OpenAsync();
        await page.GotoAsync("/teams");
        await page.FillAsync("#team-name", "auditees");
        await page.Button("Make the team").ClickAsync();
        await page.ArrivesAsync("**/teams/auditees");

        await page.GotoAsync("/audit");
        await page.GetByLabel("Object: name or id").FillAsync("AUDITEES");
        await page.Keyboard.PressAsync("Enter");
        await page.ArrivesAsync("**/audit?object=AUDITEES");
        var row = page.Locator("tbody tr");
        await row.Sees().ToHaveCountAsync(1);
        await row.Sees().ToContainTextAsync("Create team");
        await row.Sees().ToContainTextAsync("Ada Lovelace");
        await page.GetByLabel("Kind of object").SelectOptionAsync("lab");
        await page.GetByText("No such line").Sees().ToBeVisibleAsync();
        await page.GoBackAsync();
        await row.Sees().ToHaveCountAsync(1);
        // Tomorrow is not yet.
        await page.GotoAsync("/audit?object=auditees&from=2999-01-01");
        await page.GetByText("No such line").Sees().ToBeVisibleAsync();

        await page.GotoAsync("/audit?object=auditees");
        foreach (var (link, file, begins) in new[] { ("Export CSV", "audit.csv", "at,actor,"), ("Export JSON lines", "audit.jsonl", "{") })
        {
            var download = await page.RunAndWaitForDownloadAsync(() => page.GetByRole(AriaRole.Link, new() { Name = link }).ClickAsync());
            Assert.Equal(file, download.SuggestedFilename);
            var text = await File.ReadAllTextAsync(await download.PathAsync(), Cancellation);
            Assert.StartsWith(begins, text, StringComparison.Ordinal);
            Assert.Contains("create-team", text, StringComparison.Ordinal);
        }

        await page.GotoAsync("/profile");
        await page.GetByRole(AriaRole.Region, new() { Name = "What you did" }).Sees().ToContainTextAsync("Export audit");
    }

    [Fact]
    public async Task The_audit_over_the_api_is_a_page_or_a_file_by_content_type_and_for_those_alone_who_may()
    {
        using var accepting = new HttpRequestMessage(HttpMethod.Get, "audit?kind=catalogue");
        accepting.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("text/csv"));
        using var file = await portal.Client.Http.SendAsync(accepting, Cancellation);
        Assert.Equal("text/csv", file.Content.Headers.ContentType?.MediaType);
        Assert.Contains("apply-catalogue", await file.Content.ReadAsStringAsync(Cancellation), StringComparison.Ordinal);

        var first = (await portal.Client.GetAsync("audit?limit=1", Cancellation)).Must(200);
        var second = (await portal.Client.GetAsync($"audit?limit=1&after={(string)first["next"]!}", Cancellation)).Must(200);
        Assert.True(string.CompareOrdinal((string)second["items"][0]!["id"]!, (string)first["items"][0]!["id"]!) < 0);
        var wrong = (await portal.Client.GetAsync("audit?from=yesterday&to=&limit=0", Cancellation)).Must(400);
        Assert.Equal(["from", "limit"], wrong.Errors.Keys.Order());

        // The file for browsers takes a session and no token.
        using var stranger = await portal.Client.Http.GetAsync(new Uri(portal.Portal.Address, "/audit/export"), Cancellation);
        Assert.Equal(System.Net.HttpStatusCode.Redirect, stranger.StatusCode);
    }

    [Fact]
    public async Task The_jobs_dashboard_is_for_admins_and_works_under_the_portals_own_policy_also_behind_a_proxy()
    {
        var page = await portal.OpenAsync();
        var (complaints, refused) = (new List<string>(), new List<string>());
        page.Context.Console += (_, message) => { if (message.Type == "error") complaints.Add(message.Text); };
        page.Context.Response += (_, answer) => { if (answer.Status >= 400) refused.Add($"{answer.Status} {answer.Url}"); };
        await page.GotoAsync("/operations");
        var jobs = await page.Context.RunAndWaitForPageAsync(() => page.GetByRole(AriaRole.Link, new() { Name = "Background jobs" }).ClickAsync());
        await jobs.Locator("h1").Sees().ToBeVisibleAsync();
        // Its numbers are asked for again and again: a call that was let through came back.
        await jobs.WaitForResponseAsync(answer => answer.Url.EndsWith("/jobs/stats", StringComparison.Ordinal) && answer.Ok, new() { Timeout = Chromium.Patience });
        await jobs.GotoAsync("/jobs/servers");
        await jobs.Locator("tbody tr").Sees().ToHaveCountAsync(1);
        Assert.Empty(complaints);
        Assert.Empty(refused);

        var mine = page.Context.APIRequest;
        var pages = await mine.GetAsync("/labs");
        var direct = await mine.GetAsync("/jobs");
        Assert.Equal(pages.Headers["content-security-policy"], direct.Headers["content-security-policy"]);
        Assert.Contains("script-src 'self';", direct.Headers["content-security-policy"], StringComparison.Ordinal);
        Assert.Contains("\"/jobs/servers\"", await direct.TextAsync(), StringComparison.Ordinal);
        var proxied = await (await mine.GetAsync("/jobs", new() { Headers = [new("X-Forwarded-Prefix", "/lab-portal")] })).TextAsync();
        Assert.Contains("\"/lab-portal/jobs/servers\"", proxied, StringComparison.Ordinal);
        Assert.DoesNotContain("\"/jobs/", proxied, StringComparison.Ordinal);

        var stranger = await portal.OpenAsync(signedIn: false);
        await stranger.GotoAsync("/jobs");
        await stranger.ArrivesAsync("**/sign-in?ReturnUrl=**");
    }

    [Fact]
    public async Task Settings_are_decided_on_their_page_each_mistake_at_its_field_and_what_the_configuration_says_is_only_shown()
    {
        async Task<string?> PerPersonAsync() => (string?)(await portal.Client.GetAsync("settings?limit=200", Cancellation)).Must(200)["items"].AsArray().Single(setting => (string)setting!["name"]! == "consoles-per-person")!["value"];
        var page = await portal.OpenAsync();
        await page.GotoAsync("/settings");
        var form = page.GetByRole(AriaRole.Form, new() { Name = "Decided here" });
        // The tests' portal is configured to let many sign in.
        await page.GetByRole(AriaRole.Region, new() { Name = "Sign-in" }).Sees().ToContainTextAsync("LabPortal:Limits:SignInsPerMinute");
        await form.GetByLabel("Tries to sign in").Sees().ToHaveCountAsync(0);
        await form.GetByLabel("Consoles of one person at one node").FillAsync("0");
        await form.GetByLabel("Inner hosts that webhooks may go to").FillAsync("no host");
        await form.Button("Save").ClickAsync();
        await form.GetByText("This has to be from 1 to").Sees().ToBeVisibleAsync();
        await form.GetByText("no host is no host").Sees().ToBeVisibleAsync();
        await page.HoldAsync("settings with mistakes");
        Assert.Equal("20", await PerPersonAsync());

        await form.GetByLabel("Consoles of one person at one node").FillAsync("9");
        await form.GetByLabel("Inner hosts that webhooks may go to").FillAsync("");
        await form.Button("Save").ClickAsync();
        await page.GetByText("Saved").First.Sees().ToBeVisibleAsync();
        Assert.Equal("9", await PerPersonAsync());
        await form.Button("Back to defaults").ClickAsync();
        await form.GetByLabel("Consoles of one person at one node").Sees().ToHaveValueAsync("");
        Assert.Equal("20", await PerPersonAsync());
    }

    [Fact]
    public async Task Limits_of_a_team_are_changed_in_the_tree_by_keyboard_and_those_of_a_declared_one_after_detaching_it()
    {
        (await portal.Client.ApplyAsync("kind: Team\nname: turners\nzone: Europe/Berlin\nquota: { labs: 4 }\n", cancellation: Cancellation)).Must(200);
        var page = await portal.OpenAsync();
        await page.GotoAsync("/quotas");
        var team = page.GetByRole(AriaRole.Region, new() { Name = "turners" });
        await team.Sees().ToContainTextAsync("0 of 4");
        await team.GetByRole(AriaRole.Button, new() { Name = "Change limits of turners" }).Sees().ToHaveCountAsync(0);
        (await portal.Client.SendAsync(HttpMethod.Put, "teams/turners/quota", JsonContent.Create(new { quota = new { labs = 9 } }), Cancellation)).Must(409);
        await team.GetByRole(AriaRole.Button, new() { Name = "Detach turners" }).ClickAsync();
        await page.Asked().Button("Detach").ClickAsync();

        await page.GetByText("turners is the portal’s own now.").Sees().ToBeVisibleAsync();
        await page.ReloadAsync();
        await team.GetByRole(AriaRole.Button, new() { Name = "Change limits of turners" }).Sees().ToBeVisibleAsync();
        await page.TabToAsync("Change limits of turners");
        await page.Keyboard.PressAsync("Enter");
        await page.Asked().GetByLabel("Labs: Whole team").FillAsync("many");
        await page.Asked().Button("Save limits").ClickAsync();
        await page.Asked().GetByRole(AriaRole.Alert).Sees().ToBeVisibleAsync();
        await page.HoldAsync("limits");
        await page.Asked().GetByLabel("Labs: Whole team").FillAsync("6");
        await page.Asked().GetByLabel("Labs: Each person").FillAsync("2");
        await page.Asked().Button("Save limits").ClickAsync();
        await team.Sees().ToContainTextAsync("0 of 6 · 2 each person");

        var quota = (await portal.Client.GetAsync("teams/turners/quota", Cancellation)).Must(200);
        Assert.Equal(6, (int)quota.Body![0]!["limit"]!);
        (await portal.Client.SendAsync(HttpMethod.Put, "teams/turners/quota", JsonContent.Create(new { quota = new { labs = 9, cpu = 8 } }), Cancellation)).Must(200);
        await page.ReloadAsync();
        await team.Sees().ToContainTextAsync("0 of 9");

        // The team's own page has the same way out.
        (await portal.Client.ApplyAsync("kind: Team\nname: carvers\nzone: Europe/Berlin\n", cancellation: Cancellation)).Must(200);
        await page.GotoAsync("/teams/carvers");
        await page.GetByText("This team is declared in a file").Sees().ToBeVisibleAsync();
        await page.GetByLabel("Person", new() { Exact = true }).Sees().ToHaveCountAsync(0);
        await page.Button("Detach carvers").ClickAsync();
        await page.HoldAsync("detaching a team");
        await page.Asked().Button("Detach").ClickAsync();
        await page.GetByLabel("Person", new() { Exact = true }).Sees().ToBeVisibleAsync();
        await page.GetByText("This team is declared in a file").Sees().ToHaveCountAsync(0);
        var listed = (await portal.Client.GetAsync("quotas?limit=200", Cancellation)).Must(200)["items"].AsArray().Single(item => (string)item!["team"]! == "turners")!;
        Assert.False((bool)listed["declared"]!);
    }

    [Fact]
    public async Task The_tree_shows_who_holds_what_with_which_lab()
    {
        var page = await portal.OpenAsync();
        var lab = await page.RequestAsync();
        await page.GotoAsync("/quotas");
        var team = page.GetByRole(AriaRole.Region, new() { Name = "qa", Exact = true });
        await team.Locator("summary", new() { HasTextString = "Ada Lovelace" }).ClickAsync();
        await team.Locator($"a[href='labs/{lab}']").Sees().ToBeVisibleAsync();
        await page.HoldAsync("quotas, open");
        await page.GotoAsync($"/labs/{lab}");
        await page.EndAsync();
    }
}
