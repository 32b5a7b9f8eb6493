using System.Diagnostics;
using Microsoft.Playwright;

namespace LabPortal.EndToEnd.Pages;

/// <summary>The pages in a real browser, on the simulated pool.</summary>
[Collection(typeof(InOneBrowser))]
public sealed class PagesTests(PortalInBrowser portal)
{
    [Theory]
    [InlineData("light", 1440, 900)]
    [InlineData("dark", 390, 844)]
    public async Task Every_page_is_free_of_axe_violations_and_fits_its_window(string theme, int width, int height)
    {
        var page = await portal.OpenAsync(theme, width, height);
        var lab = $"/labs/{await page.RequestAsync()}";
        foreach (var address in new[] { "/labs", "/labs?whose=all&state=any", lab, $"{lab}/machines/web/console", "/catalogue", "/catalogue/pair", "/operations", "/blueprints", "/blueprints/pair", "/new-blueprint", "/images", "/images/tiny", "/sizes", "/quotas", "/settings", "/audit", "/audit?who=nobody-at-all", "/profile", "/people", "/teams", "/teams/qa", "/labs/00000000-0000-0000-0000-000000000000", "/nowhere" })
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
