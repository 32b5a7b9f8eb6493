using Deque.AxeCore.Commons;
using Deque.AxeCore.Playwright;
using LabPortal.Testing;
using Microsoft.Playwright;

namespace LabPortal.EndToEnd.Pages;

/// <summary>Tests that walk through one portal's pages one after the other.</summary>
[CollectionDefinition]
public sealed class InOneBrowser : ICollectionFixture<PortalInBrowser>;

/// <summary>One portal on the simulated pool, one Chromium, and the first admin, who signed up by the link in the log.</summary>
public sealed class PortalInBrowser : IAsyncLifetime
{
    /// <summary>Beside what the API's tests apply: a pool that lacks an image, and a team with room for one lab.</summary>
    private const string More = """

        ---
        kind: Pool
        name: annex
        provider: simulated
        labels: [annex]
        settings: { seed: 7, hosts: 2, missingImages: [{ image: tiny }] }
        ---
        kind: Blueprint
        name: solo
        title: One small Linux machine
        machines: [{ name: one, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1 }]
        lease: { default: 4h, max: 72h, grace: 0 }
        ---
        kind: Blueprint
        name: resettable
        title: Two machines that can be reset
        networks: [{ name: inner, subnet: 10.0.0.0/24 }]
        machines:
          - { name: web, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1, cards: [{ network: shared }, { network: inner, address: 10.0.0.10 }] }
          - { name: db, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1, cards: [{ network: inner, address: 10.0.0.20 }] }
        firewall: [{ from: web, to: db, protocol: tcp, ports: [22, 5000-6000] }, { from: web, to: outside }]
        lease: { default: 4h, max: 72h, grace: 0 }
        snapshotAtReady: true
        ---
        kind: Team
        name: small
        zone: Europe/Berlin
        quota: { machines: 2 }
        """;

    private IPlaywright _playwright = null!;
    private IBrowser _browser = null!;
    private string _session = null!;

    public TestFolder Folder { get; } = new();
    public PortalProcess Portal { get; private set; } = null!;
    public PortalClient Client { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        var file = Folder["catalogue.yaml"];
        await File.WriteAllTextAsync(file, SimulatedCatalogue.Yaml() + More);
        // Everybody who signs in here comes from one address, and a test may play the proxy.
        Portal = await PortalProcess.StartAsync(
            Folder["data"], applyFile: file, more: new Dictionary<string, string> { ["LabPortal__Limits__SignInsPerMinute"] = "1000", ["LabPortal__TrustedProxies__0"] = "127.0.0.1" });
        Client = Portal.Client();
        _playwright = await Playwright.CreateAsync();
        _browser = await Chromium.LaunchAsync(_playwright);
        _session = await SetUpAsync();
    }

    public async Task<IPage> OpenAsync(string theme = "light", int width = 1440, int height = 900, bool signedIn = true)
    {
        var context = await _browser.NewContextAsync(new() { BaseURL = Portal.Address.ToString(), StorageState = signedIn ? _session : null, ViewportSize = new() { Width = width, Height = height } });
        context.SetDefaultTimeout(Chromium.Patience);
        await context.AddCookiesAsync([new() { Name = "labportal-theme", Value = theme, Url = Portal.Address.ToString() }]);
        return await context.NewPageAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (_browser is not null) await _browser.DisposeAsync();
        _playwright?.Dispose();
        Client?.Dispose();
        if (Portal is not null) await Portal.DisposeAsync();
        Folder.Dispose();
    }

    /// <summary>The first admin signs up; the session's cookies come back.</summary>
    private async Task<string> SetUpAsync()
    {
        var page = await OpenAsync(signedIn: false);
        await using var context = page.Context;
        await FirstAdmin.OpenAsync(page, Portal);
        await page.HoldAsync("setup");
        await FirstAdmin.SetUpAsync(page, Portal);
        return await context.StorageStateAsync();
    }
}

/// <summary>What somebody does and sees on a page.</summary>
internal static class OnPage
{
    public static ILocatorAssertions Sees(this ILocator locator) => Assertions.Expect(locator);

    public static ILocator Button(this IPage page, string name) => page.GetByRole(AriaRole.Button, new() { Name = name, Exact = true });

    public static ILocator Asked(this IPage page) => page.GetByRole(AriaRole.Dialog);

    public static ILocator Button(this ILocator within, string name) => within.GetByRole(AriaRole.Button, new() { Name = name, Exact = true });

    /// <summary>Waits until the page is at that address and shows its heading.</summary>
    public static async Task ArrivesAsync(this IPage page, string address)
    {
        // No more than the address is waited for: a load event may have come before anybody waited for it, and WaitForURL waits for one also where the address is right.
        var pattern = System.Text.RegularExpressions.Regex.Escape(address).Replace(@"\*\*", ".*", StringComparison.Ordinal).Replace(@"\*", "[^/]*", StringComparison.Ordinal);
        await Assertions.Expect(page).ToHaveURLAsync(new System.Text.RegularExpressions.Regex($"^{pattern}$"), new() { Timeout = Chromium.Patience });
        await page.Locator("h1").First.Sees().ToBeVisibleAsync(new() { Timeout = Chromium.Patience });
    }

    /// <summary>Asks for the blueprint as its form stands, and waits until the lab is ready. Gives the lab's id.</summary>
    public static async Task<string> RequestAsync(this IPage page, string blueprint = "pair", float patience = Chromium.Patience)
    {
        await page.GotoAsync($"/catalogue/{blueprint}?team=qa");
        await page.GetByText("Quota after this request").Sees().ToBeVisibleAsync();
        await page.Button("Request this lab").ClickAsync();
        await page.ArrivesAsync("**/labs/*");
        await page.StateAsync("Ready", patience);
        return page.Url.Split('/')[^1];
    }

    /// <summary>Waits until the lab of this page is in that state.</summary>
    public static Task StateAsync(this IPage page, string state, float patience = Chromium.Patience) => page.Locator(".head .chip").Sees().ToHaveTextAsync(state, new() { Timeout = patience });

    /// <summary>The lab of this page is ended, so that it takes nobody's room.</summary>
    public static async Task EndAsync(this IPage page)
    {
        await page.Button("End").ClickAsync();
        await page.Asked().Button("End").ClickAsync();
        await page.StateAsync("Ended");
    }

    /// <summary>No axe violation, and nothing wider than the window.</summary>
    public static async Task HoldAsync(this IPage page, string what)
    {
        // Messages fade in, and out while axe looks: what is half transparent has no contrast. What is wrong for good is so at the next look, too.
        AxeResultItem[] violations;
        var looks = 0;
        do
        {
            await page.EvaluateAsync("""
                Promise.all(document.getAnimations().filter(one => one.playState === 'running' && one.effect.getComputedTiming().endTime !== Infinity).map(one => one.finished.catch(() => null))).then(() => true)
                """);
            violations = (await page.RunAxe()).Violations;
        }
        while (violations.Length > 0 && ++looks < 3);
        Assert.True(violations.Length == 0, $"{what}: {string.Join("; ", violations.Select(found => $"{found.Id} {found.Nodes.FirstOrDefault()?.Html}"))}");
        Assert.False(await page.EvaluateAsync<bool>("document.documentElement.scrollWidth > innerWidth"), $"{what} is wider than its window.");
    }
}
