using System.Globalization;
using System.Text.Json.Nodes;
using Microsoft.Data.Sqlite;
using Microsoft.Playwright;
using LabPortal.Testing;

namespace LabPortal.EndToEnd.Pages;

/// <summary>Whole ways that somebody goes through the pages.</summary>
[Collection(typeof(InOneBrowser))]
public sealed class WalksTests(PortalInBrowser portal)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Somebody_who_was_invited_sets_a_password_forgets_it_and_signs_in_with_a_new_one()
    {
        const string Email = "grace@example.org", First = "a nanosecond of copper wire", Second = "the moth in relay seventy", Third = "a ship in harbour is safe";
        var admin = await portal.OpenAsync();
        await admin.GotoAsync("/teams");
        await admin.FillAsync("#team-name", "welders");
        await admin.Button("Make the team").ClickAsync();
        await admin.ArrivesAsync("**/teams/welders");
        await admin.GotoAsync("/people");
        await admin.Button("Invite somebody").ClickAsync();
        await admin.FillAsync("#invite-email", Email);
        await admin.FillAsync("#invite-name", "Grace Hopper");
        await admin.SelectOptionAsync("#invite-team", "welders");
        await admin.Asked().Button("Make the link").ClickAsync();
        var invitation = await admin.Locator(".copy code").InnerTextAsync();

        var grace = await portal.OpenAsync(signedIn: false);
        await grace.GotoAsync(invitation);
        await grace.HoldInBothThemesAsync("invitation");
        Assert.Equal("Grace Hopper", await grace.InputValueAsync("#Name"));
        await SetPasswordAsync(grace, First, again: "something else entirely");
        await grace.GetByText("The two are not the same.").Sees().ToBeVisibleAsync();
        await SetPasswordAsync(grace, First);
        await grace.ArrivesAsync("**/labs");

        // A link works once.
        await grace.Context.ClearCookiesAsync();
        await grace.GotoAsync(invitation);
        await grace.GetByText("This link does not work").Sees().ToBeVisibleAsync();
        await grace.HoldInBothThemesAsync("a link that was used");

        var row = admin.Locator("tr", new() { HasTextString = Email });
        await admin.ReloadAsync();
        await row.Button("Reset link").ClickAsync();
        var reset = await admin.Locator(".copy code").InnerTextAsync();
        await grace.GotoAsync(reset);
        await grace.HoldInBothThemesAsync("reset");
        await SetPasswordAsync(grace, Second);
        await grace.ArrivesAsync("**/labs");
        await grace.Context.ClearCookiesAsync();

        await SignInAsync(grace, Email, First);
        await grace.GetByText("The e-mail address or the password is not right.").Sees().ToBeVisibleAsync();
        await SignInAsync(grace, Email, Second);
        await grace.ArrivesAsync("**/labs");
        await grace.GetByText("No lab yet").Sees().ToBeVisibleAsync();
        await admin.ReloadAsync();
        await row.Sees().ToContainTextAsync("welders · Requester");

        // Another role, out of the team, in again.
        await admin.GotoAsync("/teams/welders");
        var role = admin.GetByLabel("Role of Grace Hopper");
        await role.SelectOptionAsync("Manager");
        await admin.GetByText("Saved.").First.Sees().ToBeVisibleAsync();
        await admin.ReloadAsync();
        await role.Sees().ToHaveValueAsync("Manager");
        await admin.Button("Remove").ClickAsync();
        await role.Sees().ToHaveCountAsync(0);
        await admin.GetByLabel("Person", new() { Exact = true }).SelectOptionAsync(new SelectOptionValue { Label = "Grace Hopper" });
        await admin.Button("Add").ClickAsync();
        await role.Sees().ToHaveValueAsync("Requester");

        // A password that somebody changes is the only one from then on; the session that changed it is over, too.
        await grace.GotoAsync("/profile");
        await grace.FillAsync("#password-current", Second);
        await grace.FillAsync("#password-next", Third);
        await grace.FillAsync("#password-again", Third);
        await grace.Button("Change the password").ClickAsync();
        await grace.ArrivesAsync("**/sign-in");
        await SignInAsync(grace, Email, Third);
        await grace.ArrivesAsync("**/labs");

        // Disabled: out at once, and not let in; enabled: let in.
        await admin.GotoAsync("/people");
        await row.Button("Disable").ClickAsync();
        await admin.Asked().Button("Disable").ClickAsync();
        await row.Button("Enable").Sees().ToBeVisibleAsync();
        await grace.GotoAsync("/labs");
        await grace.ArrivesAsync("**/sign-in**");
        await SignInAsync(grace, Email, Third);
        await grace.GetByText("The e-mail address or the password is not right.").Sees().ToBeVisibleAsync();
        await row.Button("Enable").ClickAsync();
        await row.Button("Disable").Sees().ToBeVisibleAsync();
        await SignInAsync(grace, Email, Third);
        await grace.ArrivesAsync("**/labs");
    }

    [Fact]
    public async Task A_password_is_shown_when_it_is_asked_for_and_the_history_says_who_asked()
    {
        var page = await portal.OpenAsync();
        await page.RequestAsync("solo");
        await page.Locator(".secret").Sees().ToHaveCountAsync(0);
        await page.Button("Show the password").ClickAsync();
        await page.Locator(".secret").Sees().ToBeVisibleAsync();
        Assert.Equal(20, (await page.Locator(".secret").InnerTextAsync()).Length);

        await page.GetByRole(AriaRole.Tab, new() { Name = "History" }).ClickAsync();
        var did = page.Locator(".history .did");
        await did.First.Sees().ToContainTextAsync("Ada Lovelace had the password shown.");
        await did.First.Sees().ToContainTextAsync("in the portal, from 127.0.0.1");
        await did.Last.Sees().ToContainTextAsync("Ada Lovelace requested the lab.");
        // What was done stands right under what came of it.
        await page.Locator(".history li").Last.Sees().ToContainTextAsync("Ada Lovelace requested the lab.");
        await page.EndAsync();
        await did.First.Sees().ToContainTextAsync("Ada Lovelace ended the lab.");
    }

    [Theory]
    [InlineData("light", 1440, 900)]
    [InlineData("dark", 390, 844)]
    public async Task Snapshots_are_taken_reverted_to_and_deleted_and_a_lab_is_reset_to_clean(string theme, int width, int height)
    {
        var page = await portal.OpenAsync(theme, width, height);
        var lab = await page.RequestAsync("resettable");

        // What it has of its own: the same in every copy.
        var (web, db) = (Machine("web"), Machine("db"));
        await web.Sees().ToContainTextAsync("inner 10.0.0.10");
        await web.GetByText("ssh root@").Sees().ToBeVisibleAsync();
        await db.Sees().ToContainTextAsync("inner 10.0.0.20");
        await db.Sees().ToContainTextAsync("Console only");
        await db.GetByText("ssh root@").Sees().ToHaveCountAsync(0);
        var networks = page.Locator("section.card", new() { Has = page.GetByRole(AriaRole.Heading, new() { Name = "Networks" }) });
        await networks.Sees().ToContainTextAsync("10.0.0.0/24");
        await networks.Sees().ToContainTextAsync("tcp 22 5000-6000");
        await page.HoldAsync("networks");
        ILocator Machine(string name) => page.Locator("article.machine", new() { Has = page.GetByRole(AriaRole.Heading, new() { Name = name, Exact = true }) });

        await page.Button("Reset to clean").ClickAsync();
        await page.Asked().Sees().ToContainTextAsync("Everything that was written on them since is lost");
        await page.HoldAsync("reset to clean");
        await page.Asked().Button("Reset to clean").ClickAsync();
        await page.GetByText("is being reset.").First.Sees().ToBeVisibleAsync();
        await portal.Client.WaitForAsync(lab, "ready", cancellation: Cancellation);
        await page.Locator("#main").Button("Reset to clean").Sees().ToBeVisibleAsync(new() { Timeout = Chromium.Patience });

        await page.GetByRole(AriaRole.Tab, new() { Name = "Snapshots" }).ClickAsync();
        var clean = page.Locator("article.machine", new() { Has = page.GetByRole(AriaRole.Heading, new() { Name = "clean" }) });
        await clean.Locator(".chip").Sees().ToHaveTextAsync("Whole");
        await clean.Sees().ToContainTextAsync("web · with memory");
        await page.GetByText("web · 128 MiB of 3 GiB").Sees().ToBeVisibleAsync();

        await page.Button("Snapshot").ClickAsync();
        await page.FillAsync("#snapshot-name", "before the upgrade");
        await page.Asked().Button("Take a snapshot").ClickAsync();
        await page.Asked().GetByText("letters, digits, dots, dashes and underscores, and begins").Sees().ToBeVisibleAsync();
        await page.HoldAsync("a wrong name of a snapshot");
        await page.FillAsync("#snapshot-name", "before-upgrade");
        await page.Asked().Button("Take a snapshot").ClickAsync();
        var mine = page.Locator("article.machine", new() { Has = page.GetByRole(AriaRole.Heading, new() { Name = "before-upgrade" }) });
        await mine.Locator(".chip").Sees().ToHaveTextAsync("Whole", new() { Timeout = Chromium.Patience });
        await page.HoldAsync("snapshots");

        await mine.Button("Revert").ClickAsync();
        await page.Asked().Sees().ToContainTextAsync("Everything that was written on its machines since then is lost");
        await page.Asked().Button("Revert").ClickAsync();
        await page.GetByText("The lab goes back to before-upgrade.").First.Sees().ToBeVisibleAsync();
        await portal.Client.WaitForAsync(lab, "ready", cancellation: Cancellation);
        foreach (var each in new[] { mine, clean })
        {
            await each.Button("Delete").ClickAsync();
            await page.Asked().Button("Delete").ClickAsync();
            await each.Sees().ToHaveCountAsync(0, new() { Timeout = Chromium.Patience });
        }

        await page.GetByText("No snapshots").Sees().ToBeVisibleAsync();
        await page.HoldAsync("no snapshots");
        await page.Button("Reset to clean").Sees().ToHaveCountAsync(0);
        await page.GetByRole(AriaRole.Tab, new() { Name = "History" }).ClickAsync();
        await page.Locator(".history").Sees().ToContainTextAsync("Ada Lovelace reverted the lab to the snapshot before-upgrade.");
        await page.EndAsync();
    }

    [Fact]
    public async Task What_is_left_over_is_listed_left_to_people_or_deleted()
    {
        var page = await portal.OpenAsync();
        // On the pool whose world is written to below, whatever others a walk has made.
        var asked = JsonNode.Parse("""{"blueprint":"pair","team":"qa","pool":"pretend"}""")!;
        var lab = (string)(await portal.Client.PostAsync("labs", asked, Cancellation)).Must(202)["id"]!;
        await page.GotoAsync($"/labs/{lab}");
        await page.StateAsync("Ready", Chromium.Patience);
        var (kept, deleted) = await LeaveBehindAsync(lab, generation: 7);
        var (left, gone) = await LeaveBehindAsync(lab, generation: 8);
        // An edited pool is looked at at once.
        (await portal.Client.ApplyAsync(SimulatedCatalogue.Yaml().Replace("operationsAtOnce: 16", "operationsAtOnce: 15", StringComparison.Ordinal), cancellation: Cancellation)).Must(200);

        await page.GotoAsync("/operations");
        var orphans = page.GetByRole(AriaRole.Region, new() { Name = "Orphans" });
        await Row(kept).Sees().ToBeVisibleAsync(new() { Timeout = Chromium.Patience });
        await Row(deleted).Sees().ToContainTextAsync("Left over");
        await page.HoldAsync("operations with orphans");

        await Row(kept).Button("Leave it").ClickAsync();
        await page.Asked().Button("Back").ClickAsync();
        await Row(kept).Button("Leave it").ClickAsync();
        await page.Asked().Button("Leave it").ClickAsync();
        await Row(kept).Sees().ToHaveCountAsync(0);
        await Row(deleted).Button("Delete").ClickAsync();
        await page.Asked().Button("Delete").ClickAsync();
        await Row(deleted).Sees().ToHaveCountAsync(0, new() { Timeout = Chromium.Patience });

        // The same by the command line.
        var listed = JsonNode.Parse(await LabAsync("orphans", "--output", "json"))!["items"]!.AsArray();
        await LabAsync("orphans", "adopt", IdOf(left));
        await LabAsync("orphans", "delete", IdOf(gone), "--yes");
        await Row(left).Sees().ToHaveCountAsync(0);
        await Row(gone).Sees().ToHaveCountAsync(0, new() { Timeout = Chromium.Patience });

        var names = (await portal.Client.GetAsync("pools/pretend/resources", Cancellation)).Must(200).Body!.AsArray().Select(resource => (string)resource!["name"]!).ToList();
        Assert.Contains(kept, names);
        Assert.Contains(left, names);
        Assert.Empty(names.Intersect([deleted, gone]));
        await page.GotoAsync($"/labs/{lab}");
        await page.StateAsync("Ready");
        await page.EndAsync();

        string IdOf(string name) => (string)listed.Single(orphan => (string)orphan!["name"]! == name && (string)orphan["kind"]! == "machine")!["id"]!;
        ILocator Row(string name) => orphans.Locator("tr", new() { HasTextRegex = new(System.Text.RegularExpressions.Regex.Escape(name) + @"\s*machine") });
    }

    [Fact]
    public async Task An_offer_of_a_refusal_is_taken_by_a_click_and_leads_to_a_lab()
    {
        var page = await portal.OpenAsync();
        await page.GotoAsync("/catalogue/solo?team=small");
        await page.GetByText("Quota after this request").Sees().ToBeVisibleAsync();
        await page.Button("Request this lab").ClickAsync();
        await page.ArrivesAsync("**/labs/*");
        await page.StateAsync("Ready");
        var first = page.Url;

        await page.GotoAsync("/catalogue/pair?team=small");
        await page.GetByText("The quota is full").Sees().ToBeVisibleAsync();
        await page.GetByText("The team’s quota of machines is full. Asked for: 2; left: 1 of 2.").Sees().ToBeVisibleAsync();
        await page.HoldAsync("refusal");
        await page.Button("“One small Linux machine” fits").ClickAsync();
        await page.ArrivesAsync("**/catalogue/solo?team=small");
        Assert.Equal("small", await page.Locator("#team").InputValueAsync());
        await page.GetByText("Quota after this request").Sees().ToBeVisibleAsync();
        await page.Button("Request this lab").ClickAsync();
        await page.ArrivesAsync("**/labs/*");
        await page.StateAsync("Ready");
        await page.EndAsync();

        // A later start is offered too; it stays in the form.
        await page.GotoAsync("/catalogue/pair?team=small");
        await page.GetByRole(AriaRole.Button, new() { NameRegex = new("^From .* on it fits$") }).ClickAsync();
        await page.GetByText("The quota is full").Sees().ToHaveCountAsync(0);
        await page.Button("Request this lab").ClickAsync();
        await page.ArrivesAsync("**/labs/*");
        await page.StateAsync("Scheduled");
        await page.EndAsync();
        await page.GotoAsync(first);
        await page.EndAsync();
    }

    [Fact]
    public async Task A_start_and_an_end_that_are_typed_are_those_that_the_lab_gets()
    {
        const string Typed = "yyyy-MM-dd'T'HH:mm";
        var start = new DateTimeOffset(DateTime.Today.AddDays(1).AddHours(10.5));
        var page = await portal.OpenAsync();
        await page.GotoAsync("/catalogue/solo?team=qa");
        await page.Button("Until a time").ClickAsync();
        await page.FillAsync("#lease-until", start.AddHours(2).ToString(Typed, CultureInfo.InvariantCulture));
        await page.GetByText("More choices").ClickAsync();
        await page.FillAsync("#start", start.ToString(Typed, CultureInfo.InvariantCulture));
        await page.Button("Request this lab").ClickAsync();
        await page.ArrivesAsync("**/labs/*");
        await page.StateAsync("Scheduled");

        var lease = (await portal.Client.GetAsync($"labs/{page.Url.Split('/')[^1]}", Cancellation)).Must(200)["lease"]!;
        Assert.Equal((start, start.AddHours(2)), (lease["start"]!.GetValue<DateTimeOffset>(), lease["end"]!.GetValue<DateTimeOffset>()));
        await page.EndAsync();
    }

    [Fact]
    public async Task What_is_wrong_in_a_request_is_said_at_its_field_and_the_cursor_goes_there()
    {
        var page = await portal.OpenAsync();
        await page.GotoAsync("/catalogue/pair?team=qa");
        await page.GetByText("Quota after this request").Sees().ToBeVisibleAsync();
        await page.FillAsync("#lease-hours", "900");
        await page.Button("Request this lab").ClickAsync();

        await page.GetByText("This blueprint allows 72 hours in all; ask for less.").Sees().ToBeVisibleAsync();
        await page.Locator("#lease-hours").Sees().ToBeFocusedAsync();
        await page.HoldAsync("request with a mistake");
    }

    [Fact]
    public async Task A_webhook_is_refused_with_a_sentence_added_and_removed()
    {
        var page = await portal.OpenAsync();
        await page.GotoAsync("/teams/qa");
        await page.GetByText("No webhook yet").Sees().ToBeVisibleAsync();
        await page.FillAsync("#webhook-address", "http://169.254.169.254/latest");
        await page.Button("Add the webhook").ClickAsync();
        await page.GetByText("The address must begin with https://.").Sees().ToBeVisibleAsync();
        await page.FillAsync("#webhook-address", "https://hooks.example.org/t/AbC");
        await page.Button("Add the webhook").ClickAsync();
        await page.Locator(".secret").Sees().ToBeVisibleAsync();
        Assert.Equal(43, (await page.Locator(".secret").InnerTextAsync()).Length);
        await page.HoldAsync("webhook");

        await page.GetByText("No webhook yet").Sees().ToHaveCountAsync(0);
        await page.ReloadAsync();
        var row = page.Locator(".rows li", new() { HasTextString = "https://hooks.example.org/t/AbC" });
        await row.Sees().ToContainTextAsync("Nothing sent yet");
        await page.Locator(".secret").Sees().ToHaveCountAsync(0);
        await row.Button("Remove").ClickAsync();
        await page.Asked().Sees().ToContainTextAsync("Notices no longer go to hooks.example.org");
        await page.Asked().Button("Remove").ClickAsync();
        await row.Sees().ToHaveCountAsync(0);
        await page.GetByText("No webhook yet").Sees().ToBeVisibleAsync();
        Assert.Empty((await portal.Client.GetAsync("teams/qa/webhooks", Cancellation)).Must(200)["items"]!.AsArray());
    }

    [Fact]
    public async Task An_image_is_imported_to_every_host_that_lacks_it()
    {
        var file = portal.Folder["tiny.raw"];
        await File.WriteAllBytesAsync(file, new byte[3 << 20], Cancellation);
        var page = await portal.OpenAsync();
        await page.GotoAsync("/pools/annex");
        var pool = page.GetByRole(AriaRole.Region, new() { Name = "annex" });
        // Other walks may have made other images.
        var tiny = pool.Locator(".images li", new() { HasTextString = "tiny" });
        await tiny.GetByText("on every host").Sees().ToBeVisibleAsync();
        await tiny.Locator(".chip").Sees().ToHaveTextAsync("Missing");
        await pool.Button("Import tiny into annex").ClickAsync();
        await page.FillAsync("#import-file", "tiny.raw");
        await page.Asked().Button("Import").ClickAsync();
        await page.GetByText("Give the full path of the file.").Sees().ToBeVisibleAsync();
        await page.FillAsync("#import-file", file + ".not");
        await page.Asked().Button("Import").ClickAsync();
        await page.GetByText("There is no file").Sees().ToBeVisibleAsync();
        await page.FillAsync("#import-file", "/etc/hostname");
        await page.Asked().Button("Import").ClickAsync();
        await page.GetByText("Images are imported from these folders").Sees().ToBeVisibleAsync();
        await page.HoldAsync("import");
        await page.FillAsync("#import-file", file);
        await page.Asked().Button("Import").ClickAsync();

        await page.GetByText("The import of tiny has begun.").Sees().ToBeVisibleAsync();
        // All there folds the list away.
        await pool.GetByText(new System.Text.RegularExpressions.Regex(@"\b(\d+) of \1 there")).Sees().ToBeVisibleAsync(new() { Timeout = Chromium.Patience });
        await pool.Button("Import tiny into annex").Sees().ToHaveCountAsync(0);
        await pool.Button("Check now").ClickAsync();
        await page.GetByText("annex was checked.").Sees().ToBeVisibleAsync();

        // What was there from the beginning nobody has read yet.
        await page.GotoAsync("/pools/pretend");
        await page.Locator("summary", new() { HasTextString = "Images" }).ClickAsync();
        await page.Button("Read digest of tiny in pretend").ClickAsync();
        await page.GetByText("The reading of tiny has begun.").Sees().ToBeVisibleAsync();
        await page.Locator(".images .mono", new() { HasTextString = "sha256:" }).First.Sees().ToBeVisibleAsync(new() { Timeout = Chromium.Patience });
        await page.Button("Read digest of tiny in pretend").Sees().ToHaveCountAsync(0);
    }

    [Fact]
    public async Task A_lab_is_had_extended_and_ended_by_keyboard_alone()
    {
        var page = await portal.OpenAsync(signedIn: false);
        await page.GotoAsync("/catalogue");
        await page.ArrivesAsync("**/sign-in**");
        await page.TabToAsync("E-mail address");
        await page.Keyboard.TypeAsync(FirstAdmin.Email);
        await page.TabToAsync("Password");
        await page.Keyboard.TypeAsync(FirstAdmin.Password);
        await page.TabToAsync("Sign in");
        await page.Keyboard.PressAsync("Enter");
        await page.ArrivesAsync("**/catalogue");
        await page.GetByRole(AriaRole.Heading, new() { Name = "One small Linux machine" }).Sees().ToBeVisibleAsync();

        await page.TabToAsync("Request One small Linux machine");
        await page.Keyboard.PressAsync("Enter");
        await page.GetByRole(AriaRole.Region, new() { Name = "What this means" }).Sees().ToBeVisibleAsync();
        await page.TabToAsync("Request this lab");
        await page.Keyboard.PressAsync("Space");
        await page.ArrivesAsync("**/labs/*");
        await page.StateAsync("Ready");

        await page.TabToAsync("Extend");
        await page.Keyboard.PressAsync("Enter");
        await page.Asked().Sees().ToBeVisibleAsync();
        await page.TabToAsync("Extend", within: "[role=dialog]");
        await page.Keyboard.PressAsync("Enter");
        await page.Asked().Sees().ToHaveCountAsync(0);
        await page.Locator(".lease .big").Sees().ToContainTextAsync("7 h 5");
        await page.Button("End").Sees().ToBeEnabledAsync();

        // Escape leaves the question and nothing is done; then it is answered.
        await page.TabToAsync("End");
        await page.Keyboard.PressAsync("Space");
        await page.Asked().Sees().ToBeVisibleAsync();
        await page.TabToAsync("Back", within: "[role=dialog]");
        await page.Keyboard.PressAsync("Escape");
        await page.Asked().Sees().ToHaveCountAsync(0);
        await page.StateAsync("Ready");
        await page.TabToAsync("End");
        await page.Keyboard.PressAsync("Space");
        await page.Asked().Sees().ToBeVisibleAsync();
        await page.TabToAsync("End", within: "[role=dialog]");
        await page.Keyboard.PressAsync("Enter");
        await page.StateAsync("Ended");
        await page.WalkRoundAsync();
    }

    private static async Task SetPasswordAsync(IPage page, string password, string? again = null)
    {
        await page.FillAsync("#Password", password);
        await page.FillAsync("#Again", again ?? password);
        await page.ClickAsync("button[type=submit]");
    }

    private static async Task SignInAsync(IPage page, string email, string password)
    {
        await page.GotoAsync("/sign-in");
        await page.FillAsync("#Email", email);
        await page.FillAsync("#Password", password);
        await page.ClickAsync("button[type=submit]");
    }

    /// <summary>
    /// As a worker that woke late would: another generation of both machines at the provider, that no run knows of. Gives their names.
    /// </summary>
    private async Task<(string First, string Second)> LeaveBehindAsync(string lab, int generation)
    {
        var machines = (await portal.Client.GetAsync("pools/pretend/resources", Cancellation)).Must(200).Body!.AsArray().OfType<JsonObject>()
            .Where(resource => (string?)resource["lab"] == lab && (string)resource["kind"]! == "machine").Select(resource => (string)resource["name"]!)
            .Where(name => name.EndsWith("-g1", StringComparison.Ordinal)).ToList();
        Assert.Equal(2, machines.Count);
        await using var world = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = Path.Combine(portal.Folder["data"], "simulated-pretend.world"), Pooling = false }.ToString());
        await world.OpenAsync(Cancellation);
        foreach (var machine in machines)
        {
            using var copy = world.CreateCommand();
            copy.CommandText = """
                INSERT INTO resources (name, kind, external_id, host, cpu, memory_mib, disk_gib, host_name, image, made_at, ready_at, booted_at)
                SELECT replace(name, '-g1', $generation), kind, external_id || $generation, host, cpu, memory_mib, disk_gib, host_name, image, made_at, ready_at, booted_at
                FROM resources WHERE name = $machine OR name LIKE $machine || '.%'
                """;
            copy.Parameters.AddWithValue("$machine", machine);
            copy.Parameters.AddWithValue("$generation", $"-g{generation}");
            Assert.InRange(await copy.ExecuteNonQueryAsync(Cancellation), 1, 9);
        }

        return (Left(machines[0]), Left(machines[1]));

        string Left(string name) => name.Replace("-g1", $"-g{generation}", StringComparison.Ordinal);
    }

    private Task<string> LabAsync(params string[] arguments) => Tool.RunAsync(
        Cancellation, "env", [$"LAB_URL={portal.Portal.Address}", $"LAB_TOKEN={PortalProcess.AdminToken}", "dotnet", CommandLineTests.Lab, .. arguments]);
}
