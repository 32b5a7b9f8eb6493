using System.Diagnostics;
using LabPortal.Testing;
using Microsoft.Playwright;

namespace LabPortal.EndToEnd.Pages;

/// <summary>The pages in a real browser, on the simulated pool.</summary>
[Collection(typeof(InOneBrowser))]
public sealed class PagesTests(PortalInBrowser portal)
{
    /// <summary>Where axe looks, in both themes; several of one page where it can be quite different.</summary>
    private static readonly string[] s_looked =
    [
        "/labs", "/labs?whose=all&state=any", "/labs/{lab}", "/labs/{lab}/machines/web/console", "/labs/{lab}/machines/web/screen", "/labs/{lab}/machines/web/terminal", "/catalogue", "/catalogue/pair", "/operations", "/operations?phase=over", "/operations/runs/{run}",
        "/pools", "/pools/pretend", "/pools/pretend/settings", "/pools/new/libvirt", "/blueprints", "/blueprints/pair", "/new-blueprint", "/images", "/images/tiny", "/sizes", "/settings",
        "/quotas", "/audit", "/audit?who=nobody-at-all", "/profile", "/people", "/teams", "/teams/qa",
        "/labs/00000000-0000-0000-0000-000000000000", "/nowhere",
    ];

    /// <summary>Pages that only somebody without a session sees, or that only lead on: axe looks at them where a walk comes by.</summary>
    private static readonly string[] s_elsewhere = ["/", "/not-found", "/sign-in", "/sign-out", "/setup/{Token}", "/invitation/{Token}", "/reset/{Token}"];

    [Fact]
    public void Axe_looks_at_every_page_there_is()
    {
        var routes = Directory.EnumerateFiles(Path.Combine(Repository.Root, "src", "LabPortal.Web", "Features"), "*.razor", SearchOption.AllDirectories)
            .SelectMany(File.ReadLines).Where(line => line.StartsWith("@page ", StringComparison.Ordinal)).Select(line => line.Split('"')[1]).ToList();
        Assert.Contains("/labs/{Id:guid}", routes);

        // The plainest route that an address fits is its page's.
        var seen = s_looked.Select(address => routes.Where(route => Fits(route, address.Split('?')[0])).MinBy(route => route.Count(letter => letter == '{') + (route.Contains('*', StringComparison.Ordinal) ? 9 : 0)));
        Assert.Empty(routes.Except(seen.OfType<string>()).Except(s_elsewhere));
    }

    [Fact]
    public async Task Axe_tells_what_is_wrong_with_a_page_as_a_whole_and_with_its_parts()
    {
        var page = await portal.OpenAsync(signedIn: false);
        await page.SetContentAsync("<html><body><h2>no title, language, main or first heading</h2><img src='x'><p style='color: #aaa; background: #fff'>pale</p></body></html>");
        var found = await Assert.ThrowsAnyAsync<Xunit.Sdk.XunitException>(() => page.HoldAsync("all wrong"));
        Assert.All(["document-title", "html-has-lang", "landmark-one-main", "page-has-heading-one", "region", "image-alt", "color-contrast"], rule => Assert.Contains(rule, found.Message, StringComparison.Ordinal));
    }

    private static bool Fits(string route, string address)
        => System.Text.RegularExpressions.Regex.IsMatch(address, "^" + System.Text.RegularExpressions.Regex.Replace(route, @"\{(\*?)[^}]*\}", hole => hole.Groups[1].Length > 0 ? ".*" : "[^/]+") + "$");

    [Theory]
    [InlineData("light", 1440, 900)]
    [InlineData("dark", 390, 844)]
    public async Task Every_page_is_free_of_axe_violations_and_fits_its_window(string theme, int width, int height)
    {
        var page = await portal.OpenAsync(theme, width, height);
        var id = await page.RequestAsync();
        var run = (string)(await portal.Client.GetAsync($"labs/{id}", TestContext.Current.CancellationToken)).Must(200)["run"]["id"]!;
        var lab = $"/labs/{id}";
        foreach (var address in s_looked.Select(address => address.Replace("{lab}", id, StringComparison.Ordinal).Replace("{run}", run, StringComparison.Ordinal)))
        {
            await page.GotoAsync(address);
            await page.Locator("h1, .empty h2").First.Sees().ToBeVisibleAsync();
            Assert.True(await IsGoneAsync(page.Locator(".wait")), $"{address} still waits: {await page.Locator("main").InnerTextAsync()}");
            await page.HoldAsync($"{address} {theme} {width}");
        }

        await page.GotoAsync(lab);
        await page.GetByRole(AriaRole.Tab, new() { Name = "History" }).ClickAsync();
        await page.Locator(".history .did").First.Sees().ToBeVisibleAsync();
        await page.HoldAsync($"history {theme} {width}");
        await page.EndAsync();

        await page.GotoAsync("/sign-out");
        await page.HoldAsync("sign-out");
        await page.Button("Sign out").ClickAsync();
        await page.ArrivesAsync("**/sign-in");
        await page.HoldAsync("sign-in");
    }

    [Fact]
    public async Task The_list_of_labs_stands_in_the_first_answer_and_its_rows_never_leave_while_it_comes_to_life()
    {
        var page = await portal.OpenAsync();
        await page.RequestAsync("solo");
        var name = await page.Locator("h1").InnerTextAsync();

        var answer = await (await page.Context.APIRequest.GetAsync("/labs")).TextAsync();
        Assert.Contains(name, answer, StringComparison.Ordinal);
        Assert.Contains("aria-busy=\"true\"", answer, StringComparison.Ordinal);
        // What would do nothing yet cannot be pressed, nor typed into.
        var controls = System.Text.RegularExpressions.Regex.Matches(answer, "<(?:button|select|input)\\b[^>]*>");
        Assert.InRange(controls.Count, 6, int.MaxValue);
        Assert.All(controls, control => Assert.Contains(" disabled", control.Value, StringComparison.Ordinal));

        await page.AddInitScriptAsync("""
            window.lost = false;
            let stood = false;
            new MutationObserver(() => {
              const rows = document.querySelector('table.plain tbody tr') !== null && document.querySelector('.side a') !== null;
              lost ||= stood && !rows;
              stood ||= rows;
            }).observe(document, { childList: true, subtree: true });
            """);
        await page.GotoAsync("/labs");
        await page.LivesAsync();
        Assert.False(await page.EvaluateAsync<bool>("window.lost"), "The rows left and came again.");

        await page.Locator("tr", new() { HasTextString = name }).GetByRole(AriaRole.Button).ClickAsync();
        await page.GetByRole(AriaRole.Menuitem, new() { Name = "End", Exact = true }).ClickAsync();
        await page.Asked().Button("End").ClickAsync();
        await page.GetByText(name, new() { Exact = true }).Sees().ToHaveCountAsync(0);
    }

    [Fact]
    public async Task A_lab_is_requested_watched_extended_and_ended_in_the_browser()
    {
        var page = await portal.OpenAsync();
        await page.RequestAsync();
        await page.Locator("article.machine code", new() { HasTextString = "ssh root@" }).Sees().ToHaveCountAsync(2);

        await page.Button("Extend").ClickAsync();
        await page.Asked().Button("Extend").ClickAsync();
        await page.Locator(".lease .big").Sees().ToContainTextAsync("7 h 5");

        await page.EndAsync();
        await page.GetByRole(AriaRole.Tab, new() { Name = "History" }).ClickAsync();
        await page.Locator(".history").Sees().ToContainTextAsync("Ending the lab: done.");
    }

    [Fact]
    public async Task What_somebody_else_does_to_a_lab_is_on_the_open_page_long_before_it_would_look_by_itself()
    {
        var page = await portal.OpenAsync();
        var id = await page.RequestAsync();

        // A page looks by itself every 30 s. The quickest of a few: a moment in which the machine is busy with something else says nothing of the page.
        var took = new List<TimeSpan>();
        foreach (var (verb, says, state) in new[] { ("stop", "Stopping the lab", "Stopped"), ("start", "Starting the lab", "Ready"), ("stop", "Stopping the lab", "Stopped"), ("start", "Starting the lab", "Ready") })
        {
            (await portal.Client.PostAsync($"labs/{id}/{verb}", cancellation: TestContext.Current.CancellationToken)).Must(202);
            var clock = Stopwatch.StartNew();
            await page.GetByText(says).Or(page.Locator(".head .chip", new() { HasTextString = state })).First.Sees().ToBeVisibleAsync();
            took.Add(clock.Elapsed);
            await page.StateAsync(state);
            if (took.Min() < TimeSpan.FromSeconds(10)) break;
        }

        Assert.True(took.Min() < TimeSpan.FromSeconds(10), $"It took {string.Join(", ", took)}.");
        await page.EndAsync();
    }

    [Fact]
    public async Task A_wrong_password_is_refused_without_saying_what_was_wrong()
    {
        var page = await portal.OpenAsync(signedIn: false);
        await page.GotoAsync("/labs");
        await page.ArrivesAsync("**/sign-in?ReturnUrl=**");
        await page.FillAsync("#Email", FirstAdmin.Email);
        await page.FillAsync("#Password", "not the password at all");
        await page.ClickAsync("button[type=submit]");

        await page.GetByRole(AriaRole.Alert).Sees().ToBeVisibleAsync();
        Assert.Contains("/sign-in", page.Url, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_somebody_sees_who_tries_too_often_or_loses_the_portal_is_free_of_axe_violations_too()
    {
        // From an address of its own, so that nobody else waits for it.
        var page = await portal.OpenAsync(signedIn: false);
        await page.SetExtraHTTPHeadersAsync([new("X-Forwarded-For", "198.51.100.7")]);
        await page.GotoAsync("/sign-in");
        for (var i = 0; i < 80; i++) await page.Context.APIRequest.PostAsync("/sign-in", new() { Headers = [new("X-Forwarded-For", "198.51.100.7")] });
        await page.FillAsync("#Email", FirstAdmin.Email);
        await page.FillAsync("#Password", "anything");
        await page.ClickAsync("button[type=submit]");
        await page.GetByRole(AriaRole.Heading, new() { Name = "A little too often" }).Sees().ToBeVisibleAsync();
        await page.HoldInBothThemesAsync("too often");

        foreach (var theme in new[] { "light", "dark" })
        {
            var lost = await portal.OpenAsync(theme);
            await lost.GotoAsync("/profile");
            await lost.Locator("h1").First.Sees().ToBeVisibleAsync();
            await lost.EvaluateAsync("document.getElementById('components-reconnect-modal').showModal()");
            await lost.HoldAsync($"trying to connect, {theme}");
            await lost.EvaluateAsync("document.getElementById('components-reconnect-modal').classList.add('components-reconnect-failed')");
            await lost.HoldAsync($"connection gone, {theme}");
            await lost.EvaluateAsync("document.getElementById('components-reconnect-modal').close(); document.getElementById('blazor-error-ui').style.display = 'block'");
            await lost.HoldAsync($"a page that broke, {theme}");
        }
    }

    private static async Task<bool> IsGoneAsync(ILocator locator)
    {
        try
        {
            await locator.Sees().ToHaveCountAsync(0);
            return true;
        }
        catch (PlaywrightException)
        {
            return false;
        }
    }
}
