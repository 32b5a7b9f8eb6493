using System.Diagnostics;
using System.Net.Http.Json;
using Deque.AxeCore.Playwright;
using LabPortal.Testing;
using Microsoft.Playwright;
using Xunit;

namespace LabPortal.EndToEnd.Pages;

/// <summary>The pages in a real browser, on the simulated pool.</summary>
public sealed class PagesTests : IAsyncLifetime
{
    private const string Password = "seven green lanterns by the lake";
    private readonly TestFolder _folder = new();
    private PortalProcess _portal = null!;
    private IPlaywright _playwright = null!;
    private IBrowser _browser = null!;
    private string _session = null!;

    public async ValueTask InitializeAsync()
    {
        var file = _folder["catalogue.yaml"];
        await File.WriteAllTextAsync(file, Catalogue.Yaml());
        _portal = await PortalProcess.StartAsync(_folder["data"], applyFile: file);
        _playwright = await Playwright.CreateAsync();
        _browser = await Chromium.LaunchAsync(_playwright);
        Assertions.SetDefaultExpectTimeout(10_000);
        _session = await SetUpAsync();
    }

    [Theory]
    [InlineData("light", 1440, 900)]
    [InlineData("dark", 390, 844)]
    public async Task Every_page_is_free_of_axe_violations_and_fits_its_window(string theme, int width, int height)
    {
        var page = await OpenAsync(theme, width, height);
        await RequestAsync(page);
        var lab = new Uri(page.Url).AbsolutePath;
        foreach (var address in new[] { "/labs", "/labs?whose=all&state=any", lab, "/catalogue", "/catalogue/pair", "/operations", "/profile", "/people", "/teams", "/teams/qa", "/labs/00000000-0000-0000-0000-000000000000", "/nowhere" })
        {
            await page.GotoAsync(address);
            await Assertions.Expect(page.Locator("h1, .empty h2").First).ToBeVisibleAsync();
            Assert.True(await IsGoneAsync(page.Locator(".wait")), $"{address} still waits: {await page.Locator("main").InnerTextAsync()}");
            await HoldAsync(page, $"{address} {theme} {width}");
        }

        await page.GotoAsync("/sign-out");
        await HoldAsync(page, "sign-out");
        await page.GetByRole(AriaRole.Button, new() { Name = "Sign out" }).ClickAsync();
        await page.WaitForURLAsync("**/sign-in");
        await HoldAsync(page, "sign-in");
    }

    [Fact]
    public async Task A_lab_is_requested_watched_extended_and_ended_in_the_browser()
    {
        var page = await OpenAsync("light", 1440, 900);
        await RequestAsync(page);
        await Assertions.Expect(page.Locator("article.machine code", new() { HasTextString = "ssh root@" })).ToHaveCountAsync(2);

        await page.GetByRole(AriaRole.Button, new() { Name = "Extend" }).ClickAsync();
        await page.GetByRole(AriaRole.Dialog).GetByRole(AriaRole.Button, new() { Name = "Extend" }).ClickAsync();
        await Assertions.Expect(page.Locator(".lease .big")).ToContainTextAsync("7 h 5");

        await page.GetByRole(AriaRole.Button, new() { Name = "End", Exact = true }).ClickAsync();
        await page.GetByRole(AriaRole.Dialog).GetByRole(AriaRole.Button, new() { Name = "End", Exact = true }).ClickAsync();
        await Assertions.Expect(page.Locator(".head .chip")).ToHaveTextAsync("Ended", new() { Timeout = 30_000 });
        await page.GetByRole(AriaRole.Tab, new() { Name = "History" }).ClickAsync();
        await Assertions.Expect(page.Locator(".history")).ToContainTextAsync("Ending the lab: done.");
    }

    [Fact]
    public async Task What_somebody_else_does_to_a_lab_is_on_the_open_page_within_a_second()
    {
        var page = await OpenAsync("light", 1440, 900);
        await RequestAsync(page);
        var id = page.Url.Split('/')[^1];
        using var http = new HttpClient { BaseAddress = _portal.Address };
        http.DefaultRequestHeaders.Authorization = new("Bearer", PortalProcess.AdminToken);

        var answer = await http.PostAsJsonAsync($"api/v1/labs/{id}/stop", new { }, TestContext.Current.CancellationToken);
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
        var clock = Stopwatch.StartNew();
        await Assertions.Expect(page.GetByText("Stopping the lab")).ToBeVisibleAsync(new() { Timeout = 10_000 });

        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(1), $"It took {clock.Elapsed}.");
        await Assertions.Expect(page.Locator(".head .chip")).ToHaveTextAsync("Stopped", new() { Timeout = 30_000 });
    }

    [Fact]
    public async Task A_wrong_password_is_refused_without_saying_what_was_wrong()
    {
        await using var context = await _browser.NewContextAsync(new() { BaseURL = _portal.Address.ToString() });
        var page = await context.NewPageAsync();
        await page.GotoAsync("/labs");
        await page.WaitForURLAsync("**/sign-in?ReturnUrl=**");
        await page.FillAsync("#Email", "ada@example.org");
        await page.FillAsync("#Password", "not the password at all");
        await page.ClickAsync("button[type=submit]");

        await Assertions.Expect(page.GetByRole(AriaRole.Alert)).ToBeVisibleAsync();
        Assert.Contains("/sign-in", page.Url, StringComparison.Ordinal);
    }

    public async ValueTask DisposeAsync()
    {
        if (_browser is not null) await _browser.DisposeAsync();
        _playwright?.Dispose();
        if (_portal is not null) await _portal.DisposeAsync();
        _folder.Dispose();
    }

    /// <summary>The first admin by the link in the log; the session's cookies come back.</summary>
    private async Task<string> SetUpAsync()
    {
        for (var i = 0; i < 100 && _portal.SetupLink is null; i++) await Task.Delay(100);
        await using var context = await _browser.NewContextAsync();
        var page = await context.NewPageAsync();
        await page.GotoAsync(_portal.SetupLink ?? throw new InvalidOperationException("No setup link in the log."));
        await HoldAsync(page, "setup");
        await page.FillAsync("#Name", "Ada Lovelace");
        await page.FillAsync("#Email", "ada@example.org");
        await page.FillAsync("#Password", Password);
        await page.FillAsync("#Again", Password);
        await page.ClickAsync("button[type=submit]");
        await page.WaitForURLAsync("**/labs");
        return await context.StorageStateAsync();
    }

    private async Task<IPage> OpenAsync(string theme, int width, int height)
    {
        var context = await _browser.NewContextAsync(new() { BaseURL = _portal.Address.ToString(), StorageState = _session, ViewportSize = new() { Width = width, Height = height } });
        await context.AddCookiesAsync([new() { Name = "labportal-theme", Value = theme, Url = _portal.Address.ToString() }]);
        return await context.NewPageAsync();
    }

    private static async Task RequestAsync(IPage page)
    {
        await page.GotoAsync("/catalogue/pair");
        await Assertions.Expect(page.GetByText("Quota after this request")).ToBeVisibleAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Request this lab" }).ClickAsync();
        await page.WaitForURLAsync("**/labs/*");
        await Assertions.Expect(page.Locator(".head .chip")).ToHaveTextAsync("Ready", new() { Timeout = 60_000 });
    }

    private static async Task HoldAsync(IPage page, string what)
    {
        // Messages fade in: what is half transparent has no contrast yet.
        await page.WaitForTimeoutAsync(400);
        var violations = (await page.RunAxe()).Violations;
        Assert.True(violations.Length == 0, $"{what}: {string.Join("; ", violations.Select(found => $"{found.Id} {found.Nodes.FirstOrDefault()?.Html}"))}");
        Assert.False(await page.EvaluateAsync<bool>("document.documentElement.scrollWidth > innerWidth"), $"{what} is wider than its window.");
    }

    private static async Task<bool> IsGoneAsync(ILocator locator)
    {
        try
        {
            await Assertions.Expect(locator).ToHaveCountAsync(0);
            return true;
        }
        catch (PlaywrightException)
        {
            return false;
        }
    }
}
