using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using LabPortal.Testing;
using Microsoft.Playwright;
using static LabPortal.Bench.Figures;

namespace LabPortal.Bench;

/// <summary>
/// The list of 2,000 labs in Chromium: how soon its rows stand, and what each open page takes of the portal's memory. The latter against a plain table of
/// as many rows in the portal's own layout, which is what such a page costs here at the least (<c>layout</c>: the portal with one page more), and that is
/// what the aim is about; and, to tell what the layout costs, against the table alone on a bare page with no layout at all, and against MudBlazor's own
/// layout and table at their defaults, each in a host that has nothing else (<c>plain</c>). The portal is published, as <c>infra/run</c> starts it: a build's
/// output has browsers ask for each script and style every time.
/// </summary>
internal static class LabList
{
    private const int Labs = 2000;
    private const int Rows = 25;
    private const int Visits = 20;
    private const int Pages = 40;
    private const double MostMilliseconds = 300;
    private const double MostTimes = 1.5;
    private const string AllLabs = "labs?whose=all";

    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(15);
    private static readonly TimeSpan s_living = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan s_settling = TimeSpan.FromSeconds(3);
    private static readonly string s_portal = Path.Combine(Repository.Root, "artifacts/published/LabPortal.Web.dll");
    private static readonly string s_layout = Path.Combine(Repository.Root, "infra/bench/layout/bin", Repository.Configuration, "net10.0/LabPortal.Bench.Layout.dll");
    private static readonly string s_plain = Path.Combine(Repository.Root, "infra/bench/plain/bin", Repository.Configuration, "net10.0/LabPortal.Bench.Plain.dll");

    /// <summary>Since navigation began until the rows stand and a frame has been drawn with them.</summary>
    private static readonly string s_watch = $$"""
        window.stood = new Promise(done => new MutationObserver((_, watch) => {
          if (document.querySelectorAll('table.plain tbody tr').length < {{Rows}}) return;
          watch.disconnect();
          requestAnimationFrame(() => setTimeout(() => done(performance.now())));
        }).observe(document, { childList: true, subtree: true }));
        """;

    /// <summary>Since the click until rows stand of which none was there, and a frame has been drawn with them.</summary>
    private static readonly string s_click = $$"""
        selector => new Promise(done => {
          const rows = () => [...document.querySelectorAll('table.plain tbody tr a.main')].map(row => row.href);
          const before = new Set(rows()), link = document.querySelector(selector);
          const watch = new MutationObserver(() => {
            if (rows().length < {{Rows}} || rows().some(row => before.has(row))) return;
            watch.disconnect();
            requestAnimationFrame(() => setTimeout(() => done(performance.now() - since)));
          });
          watch.observe(document, { childList: true, subtree: true });
          const since = performance.now();
          link.click();
        })
        """;

    public static async Task<bool> RunAsync(CancellationToken cancellation)
    {
        using var folder = new TestFolder();
        await File.WriteAllTextAsync(folder["apply.yaml"], Yaml, cancellation);
        await using var portal = await PortalProcess.StartAsync(folder["data"], applyFile: folder["apply.yaml"], program: s_portal, more: Telling(folder["portal-heap"]));
        // Either in a process of its own: what one page gave back would count for the other.
        await using var plain = await PortalProcess.StartAsync(folder["plain"], program: s_plain, more: Telling(folder["plain-heap"]));
        await using var vendor = await PortalProcess.StartAsync(folder["vendor"], program: s_plain, more: Telling(folder["vendor-heap"]));
        await using var layout = await PortalProcess.StartAsync(folder["layout"], program: s_layout, more: new Dictionary<string, string>(Telling(folder["layout-heap"])) { ["ASPNETCORE_STATICWEBASSETS"] = Assets("runtime"), ["BENCH_ASSETS"] = Assets("endpoints") });
        await FillAsync(portal, cancellation);
        using var playwright = await Playwright.CreateAsync();
        await using var browser = await playwright.Chromium.LaunchAsync(new() { ExecutablePath = "/usr/bin/chromium", Args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"] });
        await using var context = await browser.NewContextAsync(new() { BaseURL = portal.Address.ToString(), ViewportSize = new() { Width = 1440, Height = 900 } });
        await SignUpAsync(context, portal, cancellation);

        var (cold, team, next) = await VisitAsync(context, cancellation);
        Console.WriteLine($"{Labs} labs, {Rows} rows stand after      p50        p95   of {Visits}");
        Say("from an address, a new circuit", cold);
        Say("a click from the empty list", team);
        Say("a click to the next page", next);

        var ours = await MemoryAsync(context, new Target(portal, AllLabs, "table.plain tbody tr button", folder["portal-heap"]), cancellation);
        // Sessions are cookies of a host, whatever the port: in a context of its own.
        await using var other = await browser.NewContextAsync(new() { BaseURL = layout.Address.ToString(), ViewportSize = new() { Width = 1440, Height = 900 } });
        await SignUpAsync(other, layout, cancellation);
        var same = await MemoryAsync(other, new Target(layout, "plain-table", "#live", folder["layout-heap"]), cancellation);
        var html = await MemoryAsync(context, new Target(plain, plain.Address.ToString(), "#live", folder["plain-heap"]), cancellation);
        var mud = await MemoryAsync(context, new Target(vendor, $"{vendor.Address}mud", "#live", folder["vendor-heap"]), cancellation);
        Console.WriteLine($"each of {Pages} open pages           living objects   ratio    resident memory   ratio");
        Say("the list of labs", ours, ours);
        Say("a plain table in the same layout", ours, same, $"   (aim: at most {MostTimes})");
        Say("a plain table on a bare page", ours, html);
        Say("MudBlazor's own layout and table", ours, mud);
        return new[] { cold, team, next }.All(took => Median(took) <= MostMilliseconds) && ours.Living <= MostTimes * same.Living && ours.Resident <= MostTimes * same.Resident;
    }

    private static void Say(string what, List<double> took) =>
        Console.WriteLine($"{what,-34} {Median(took),5:F0} ms   {At(took, 0.95),5:F0} ms   (aim: at most {MostMilliseconds} ms at p50)");

    private static void Say(string what, Memory ours, Memory theirs, string aim = "") =>
        Console.WriteLine($"{what,-34} {theirs.Living,8:F0} KiB   {ours.Living / theirs.Living,6:F2}   {theirs.Resident,8:F0} KiB     {ours.Resident / theirs.Resident,6:F2}{aim}");

    /// <summary>The host collects when it is asked to, and tells what is left.</summary>
    private static Dictionary<string, string> Telling(string socket) =>
        new() { ["DOTNET_STARTUP_HOOKS"] = s_plain, ["BENCH_HEAP"] = socket, ["LabPortal__Limits__CallsPerSecond"] = "100000" };

    private static string Assets(string list) => Path.ChangeExtension(PortalProcess.Program, $".staticwebassets.{list}.json");

    private static async Task FillAsync(PortalProcess portal, CancellationToken cancellation)
    {
        using var client = portal.Client();
        await Parallel.ForEachAsync(Enumerable.Range(0, Labs), new ParallelOptions { MaxDegreeOfParallelism = 8, CancellationToken = cancellation }, async (_, token) =>
            (await client.PostAsync("labs", JsonNode.Parse("""{"blueprint":"pretended","team":"qa","lease":{"hours":4}}"""), token)).Must(202));
        var clock = Stopwatch.StartNew();
        while ((await client.GetAsync("labs?state=requested,provisioning&limit=1", cancellation)).Must(200)["items"].AsArray().Count > 0)
        {
            if (clock.Elapsed > s_patience) throw new TimeoutException("The labs did not become ready.");
            await Task.Delay(1000, cancellation);
        }
    }

    private static async Task SignUpAsync(IBrowserContext context, PortalProcess portal, CancellationToken cancellation)
    {
        const string Password = "seven green lanterns by the lake";
        while (portal.SetupLink is null) await Task.Delay(100, cancellation);
        var page = await context.NewPageAsync();
        await page.GotoAsync(portal.SetupLink);
        await page.FillAsync("#Name", "Ada Lovelace");
        await page.FillAsync("#Email", "ada@example.org");
        await page.FillAsync("#Password", Password);
        await page.FillAsync("#Again", Password);
        await page.ClickAsync("button[type=submit]");
        await page.WaitForURLAsync("**/labs");
        await page.CloseAsync();
    }

    /// <summary>By an address as a bookmark has it; then, in the circuit that this began, by links. The first few warm the portal and the browser's cache, and do not count.</summary>
    private static async Task<(List<double> Cold, List<double> Team, List<double> Next)> VisitAsync(IBrowserContext context, CancellationToken cancellation)
    {
        var (cold, team, next) = (new List<double>(), new List<double>(), new List<double>());
        await context.AddInitScriptAsync(s_watch);
        for (var visit = -5; visit < Visits; visit++)
        {
            cancellation.ThrowIfCancellationRequested();
            var page = await context.NewPageAsync();
            await page.GotoAsync(AllLabs);
            var stood = await page.EvaluateAsync<double>("window.stood");
            // Until the page lives a link is a new address; that it follows links itself is said one answer later.
            await page.Locator("main:not([aria-busy])").WaitForAsync();
            await Task.Delay(s_living, cancellation);
            await page.ClickAsync(".choice a[href$='/labs']");
            await page.Locator(".empty").WaitForAsync();
            var clicked = await page.EvaluateAsync<double>(s_click, ".choice a[href*='whose=all']");
            var turned = await page.EvaluateAsync<double>(s_click, ".pager a[href*='after=']");
            await page.CloseAsync();
            if (visit < 0) continue;
            cold.Add(stood);
            team.Add(clicked);
            next.Add(turned);
        }

        return (cold, team, next);
    }

    /// <summary>In KiB for each page.</summary>
    private static async Task<Memory> MemoryAsync(IBrowserContext context, Target target, CancellationToken cancellation)
    {
        // What the first pages make for all that follow is no page's own.
        await OpenAsync(context, target, cancellation);
        var before = await MeasureAsync(target, cancellation);
        await OpenAsync(context, target, cancellation);
        var after = await MeasureAsync(target, cancellation);
        foreach (var page in context.Pages.ToList()) await page.CloseAsync();
        return new Memory((after.Living - before.Living) / Pages, (after.Resident - before.Resident) / Pages);
    }

    private static async Task OpenAsync(IBrowserContext context, Target target, CancellationToken cancellation)
    {
        for (var i = 0; i < Pages; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            var page = await context.NewPageAsync();
            await page.GotoAsync(target.Address);
            await page.Locator(target.Stands).First.WaitForAsync();
        }
    }

    private static async Task<Memory> MeasureAsync(Target target, CancellationToken cancellation)
    {
        await Task.Delay(s_settling, cancellation);
        using var asking = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await asking.ConnectAsync(new UnixDomainSocketEndPoint(target.Heap), cancellation);
        var told = new byte[sizeof(long)];
        await using (var answer = new NetworkStream(asking)) await answer.ReadExactlyAsync(told, cancellation);
        // proc(5), in KiB: what is no file's.
        var resident = File.ReadLines($"/proc/{target.Process.Id}/status").Single(line => line.StartsWith("RssAnon:", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2];
        return new Memory(BitConverter.ToInt64(told) / 1024.0, long.Parse(resident, CultureInfo.InvariantCulture));
    }

    private const string Yaml = """
        kind: Pool
        name: pretend
        provider: simulated
        settings: { seed: 7, createSeconds: 0, bootSeconds: 0, hosts: 4, hostCpu: 1000, hostMemoryMiB: 1048576, hostDiskGiB: 100000 }
        limits: { operationsAtOnce: 50, bootsAtOnce: 50 }
        ---
        kind: Image
        name: tiny
        os: linux
        bindings: { simulated: {} }
        ---
        kind: Blueprint
        name: pretended
        title: One pretended machine
        machines: [{ name: one, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1 }]
        lease: { default: 4h, max: 72h, grace: 24h }
        ---
        kind: Team
        name: qa
        zone: Etc/UTC
        quota: { labs: 10000, machines: 10000, cpu: 10000, memoryMiB: 10000000, diskGiB: 100000 }
        """;

    /// <summary>Where to go, what is there once the page lives, and where its process tells of its heap.</summary>
    private sealed record Target(PortalProcess Process, string Address, string Stands, string Heap);

    private readonly record struct Memory(double Living, double Resident);
}
