using System.Text.Json.Nodes;
using Deque.AxeCore.Commons;
using LabPortal.Testing;
using Microsoft.Playwright;

namespace LabPortal.EndToEnd.Pages;

/// <summary>Tests that walk through one portal's pages one after the other.</summary>
[CollectionDefinition]
public sealed class InOneBrowser : ICollectionFixture<PortalInBrowser>;

/// <summary>Somebody beside the first admin: a session for the browser, and the API by a token of theirs.</summary>
public sealed record Somebody(string Email, string Session, PortalClient Client);

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
    private readonly List<(Xunit.Sdk.ITest? Test, IBrowserContext Context)> _open = [];
    private string _session = null!;
    private Task<Somebody>? _requester;
    private Task<Somebody>? _auditor;

    public TestFolder Folder { get; } = new();
    public PortalProcess Portal { get; private set; } = null!;
    public PortalClient Client { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        var file = Folder["catalogue.yaml"];
        await File.WriteAllTextAsync(file, SimulatedCatalogue.Yaml() + More);
        // Everybody who signs in here comes from one address, and a test may play the proxy.
        Portal = await PortalProcess.StartAsync(
            Folder["data"], applyFile: file, more: new Dictionary<string, string> { ["LabPortal__Limits__SignInsPerMinute"] = "60", ["LabPortal__Limits__CallsPerSecond"] = "1000", ["LabPortal__TrustedProxies__0"] = "127.0.0.1" });
        Client = Portal.Client();
        _playwright = await Playwright.CreateAsync();
        _browser = await Chromium.LaunchAsync(_playwright);
        _session = await SetUpAsync();
    }

    /// <summary>A member of the team <c>readers</c>, and nothing else.</summary>
    public Task<Somebody> RequesterAsync() => _requester ??= JoinAsync("rita@example.org", "Rita Reader", new JsonObject { ["team"] = "readers", ["role"] = "requester" });

    /// <summary>An auditor who is in no team.</summary>
    public Task<Somebody> AuditorAsync() => _auditor ??= JoinAsync("otto@example.org", "Otto Auditor", new JsonObject { ["auditor"] = true });

    public async Task<IPage> OpenAsync(string theme = "light", int width = 1440, int height = 900, bool signedIn = true, Somebody? who = null)
    {
        // These tests go one after the other: what an earlier one left open would follow every change until the end.
        var test = TestContext.Current.Test;
        foreach (var (_, old) in _open.Where(open => open.Test != test).ToList()) await old.CloseAsync();
        _open.RemoveAll(open => open.Test != test);

        var context = await _browser.NewContextAsync(new() { BaseURL = Portal.Address.ToString(), StorageState = who?.Session ?? (signedIn ? _session : null), ViewportSize = new() { Width = width, Height = height } });
        _open.Add((test, context));
        context.SetDefaultTimeout(Chromium.Patience);
        await context.AddCookiesAsync([new() { Name = "labportal-theme", Value = theme, Url = Portal.Address.ToString() }]);
        return await context.NewPageAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (_browser is not null) await _browser.DisposeAsync();
        _playwright?.Dispose();
        foreach (var joined in new[] { _requester, _auditor })
        {
            if (joined is { IsCompletedSuccessfully: true }) (await joined).Client.Dispose();
        }

        Client?.Dispose();
        if (Portal is not null) await Portal.DisposeAsync();
        Folder.Dispose();
    }

    /// <summary>Is invited over the API, chooses a password, and makes a token on the own page.</summary>
    private async Task<Somebody> JoinAsync(string email, string name, JsonObject grants)
    {
        var cancellation = TestContext.Current.CancellationToken;
        if (grants.ContainsKey("team")) (await Client.PostAsync("teams", new JsonObject { ["name"] = (string)grants["team"]!, ["zone"] = "Europe/Berlin" }, cancellation)).Must(201);
        (grants["email"], grants["name"]) = (email, name);
        var link = (string)(await Client.PostAsync("invitations", grants, cancellation)).Must(200)["address"]!;
        var page = await OpenAsync(signedIn: false);
        await using var context = page.Context;
        await page.GotoAsync(link);
        await page.FillAsync("#Password", FirstAdmin.Password);
        await page.FillAsync("#Again", FirstAdmin.Password);
        await page.ClickAsync("button[type=submit]");
        await page.ArrivesAsync("**/labs");
        await page.GotoAsync("/profile");
        await page.FillAsync("#token-name", "walks");
        await page.Button("Make a token").ClickAsync();
        var token = await page.Locator(".copy code").InnerTextAsync();
        await page.GetByText("It is shown this once").Or(page.Locator(".rows li", new() { HasTextString = "walks" })).First.Sees().ToBeVisibleAsync();
        return new Somebody(email, await context.StorageStateAsync(), new PortalClient(Portal.Address, token));
    }

    /// <summary>The first admin signs up; the session's cookies come back.</summary>
    private async Task<string> SetUpAsync()
    {
        var page = await OpenAsync(signedIn: false);
        await using var context = page.Context;
        await FirstAdmin.OpenAsync(page, Portal);
        await page.HoldInBothThemesAsync("setup");
        await FirstAdmin.SetUpAsync(page, Portal);
        return await context.StorageStateAsync();
    }
}

/// <summary>What somebody does and sees on a page.</summary>
internal static class OnPage
{
    private static readonly string s_axe = new BundledAxeScriptProvider().GetScript();

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
        await page.LivesAsync();
    }

    /// <summary>A page that stands with the first answer takes keys and clicks a moment later; whatever must not come too early waits here. Plain pages never live.</summary>
    public static Task LivesAsync(this IPage page) => page.Locator("main[aria-busy]").Sees().ToHaveCountAsync(0, new() { Timeout = Chromium.Patience });

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

    /// <summary>A plain page, which takes its colours from its own attribute or, without one of its own, from the browser.</summary>
    public static async Task HoldInBothThemesAsync(this IPage page, string what)
    {
        foreach (var (theme, scheme) in new[] { ("light", ColorScheme.Light), ("dark", ColorScheme.Dark) })
        {
            await page.EmulateMediaAsync(new() { ColorScheme = scheme });
            await page.EvaluateAsync("theme => { if (document.documentElement.dataset.theme !== 'system') document.documentElement.dataset.theme = theme; }", theme);
            await page.HoldAsync($"{what}, {theme}");
        }
    }

    /// <summary>No axe violation, and nothing wider than the window.</summary>
    public static async Task HoldAsync(this IPage page, string what)
    {
        await page.LivesAsync();
        // Messages fade in, and out while axe looks: what is half transparent has no contrast. What is wrong for good is so at the next look, too.
        string[] violations;
        var looks = 0;
        do
        {
            await page.EvaluateAsync("""
                Promise.all(document.getAnimations().filter(one => one.playState === 'running' && one.effect.getComputedTiming().endTime !== Infinity).map(one => one.finished.catch(() => null))).then(() => true)
                """);
            // In the page itself, which has no frames: axe's own client ends each look in a tab, and so a process, of its own, and what is right it tells element by element.
            if (!await page.EvaluateAsync<bool>("'axe' in window")) await page.EvaluateAsync($"{s_axe}; true");
            violations = await page.EvaluateAsync<string[]>("axe.run(document, { resultTypes: ['violations'] }).then(told => told.violations.map(found => `${found.id} ${found.nodes[0]?.html}`))");
        }
        while (violations.Length > 0 && ++looks < 3);
        Assert.True(violations.Length == 0, $"{what}: {string.Join("; ", violations)}");
        Assert.False(await page.EvaluateAsync<bool>("document.documentElement.scrollWidth > innerWidth"), $"{what} is wider than its window.");
    }
}
