using System.Diagnostics;
using System.Text.Json.Nodes;
using LabPortal.EndToEnd.Pages;
using LabPortal.Testing;
using Microsoft.Playwright;

namespace LabPortal.EndToEnd;

/// <summary>What becomes of labs, and of everybody else, while a real libvirtd is full, dead or hanging.</summary>
[Collection(typeof(WithRealGuests))]
public sealed class PoolInTroubleTests(RealGuests guests, ITestOutputHelper output) : IAsyncLifetime
{
    private const string Pool = RealGuests.Pool;
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(5);

    /// <summary>Nobody who asks the portal something waits for a pool that hangs: this is less than a call to one may take.</summary>
    private static readonly TimeSpan s_answer = TimeSpan.FromSeconds(25);

    private readonly TestFolder _folder = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_lab_on_a_full_disk_waits_says_so_and_goes_on_when_there_is_room()
    {
        const string Small = "small";
        await guests.Libvirt.AddSmallPoolAsync(Small, Cancellation);
        await using var portal = await PortalProcess.StartAsync(_folder["data"]);
        using var client = portal.Client();
        (await client.ApplyAsync(guests.Yaml(Small), cancellation: Cancellation)).Must(200);
        await ChecksAsync(client, "healthy");

        // Full before the first volume: the portal learns it from the failing create, or where it looked at the host just before, from what that has.
        await guests.Libvirt.FillAsync(Small, Cancellation);
        var lab = await RequestAsync(client);
        var waiting = await UntilAsync(client, lab, now => Problem(now) is not null);
        output.WriteLine($"full before the first volume: {Problem(waiting)}");
        Assert.Matches("full|has 0 GiB of disk", Problem(waiting));
        Assert.Equal("provisioning", (string)waiting["state"]!);
        Assert.Equal(1, await HeldAsync(client));
        // What a create that is tried again has just begun is taken back within moments.
        await guests.HoldsNothingAsync(Small, s_patience);
        await guests.Libvirt.MakeRoomAsync(Small, Cancellation);
        await ChecksAsync(client, "healthy");

        // Full again while the guest boots: it is held until the disk is full, then QEMU stops it at its first write.
        var guest = await guests.FirstAsync(s_patience);
        await guests.Libvirt.VirshAsync(Cancellation, "suspend", guest);
        await guests.Libvirt.FillAsync(Small, Cancellation);
        await guests.Libvirt.VirshAsync(Cancellation, "resume", guest);
        var paused = await UntilAsync(client, lab, now => Problem(now)?.Contains("disk cannot be written", StringComparison.Ordinal) == true);
        output.WriteLine($"full while the guest boots: {Problem(paused)}");
        await guests.Libvirt.MakeRoomAsync(Small, Cancellation);
        await guests.Libvirt.VirshAsync(Cancellation, "resume", guest);
        var ready = await client.WaitForAsync(lab, "ready", s_patience, Cancellation);
        Assert.Null(Problem(ready));
        Assert.Equal(1, await guests.RunningAsync());
        await SnapshotAsync(client, lab, guest, Small);

        await EndAsync(client, lab);
        await guests.HoldsNothingAsync(Small);
        Assert.Equal(0, await HeldAsync(client));
    }

    /// <summary>Full once more: a snapshot comes to nothing, with a sentence, and the lab goes on; with room again it is taken under the same name.</summary>
    private async Task SnapshotAsync(PortalClient client, string lab, string guest, string storagePool)
    {
        var named = new JsonObject { ["name"] = "kept" };
        await guests.Libvirt.FillAsync(storagePool, Cancellation);
        var asked = await client.PostAsync($"labs/{lab}/snapshot", named.DeepClone().AsObject(), Cancellation);
        // Refused at once where the portal has looked at the host meanwhile; else its provider is the one that finds out.
        var why = asked.Code == 409 ? (string)asked.Body!["detail"]! : Problem(await client.WaitForAsync(lab, "ready", s_patience, Cancellation));
        output.WriteLine($"a snapshot on a full disk: {asked.Code} {why}");
        Assert.Contains("has no room for", why, StringComparison.Ordinal);
        Assert.Empty((await client.GetAsync($"labs/{lab}/snapshots", Cancellation)).Must(200)["items"].AsArray());
        Assert.Equal("", (await guests.Libvirt.VirshAsync(Cancellation, "snapshot-list", guest, "--name")).Trim());
        Assert.Equal("ok", (string)(await client.WaitForAsync(lab, "ready", s_patience, Cancellation))["health"]!);
        Assert.Equal(1, await guests.RunningAsync());

        await guests.Libvirt.MakeRoomAsync(storagePool, Cancellation);
        await ChecksAsync(client, "healthy");
        for (var since = Stopwatch.GetTimestamp(); (await client.PostAsync($"labs/{lab}/snapshot", named.DeepClone().AsObject(), Cancellation)).Code != 202; await Task.Delay(200, Cancellation))
            Assert.True(Stopwatch.GetElapsedTime(since) < s_patience, "The portal never saw that there is room again.");
        await client.WaitForAsync(lab, "ready", s_patience, Cancellation);
        Assert.Equal("taken", (string)Assert.Single((await client.GetAsync($"labs/{lab}/snapshots", Cancellation)).Must(200)["items"].AsArray())!["state"]!);
        Assert.NotEqual("", (await guests.Libvirt.VirshAsync(Cancellation, "snapshot-list", guest, "--name")).Trim());
    }

    [Fact]
    public async Task A_libvirtd_that_dies_costs_a_lab_nothing_but_time()
    {
        await using var portal = await PortalProcess.StartAsync(_folder["data"]);
        using var client = portal.Client();
        (await client.ApplyAsync(guests.Yaml(), cancellation: Cancellation)).Must(200);
        await ChecksAsync(client, "healthy");

        var lab = await RequestAsync(client);
        await BeingMadeAsync(client, lab);
        await guests.Libvirt.KillAsync(Cancellation);
        var waiting = await UntilAsync(client, lab, now => Problem(now) is not null);
        output.WriteLine($"dead while it is built: {Problem(waiting)}");
        Assert.Contains("here", Problem(waiting), StringComparison.Ordinal);
        guests.Libvirt.Revive();
        var ready = await client.WaitForAsync(lab, "ready", s_patience, Cancellation);
        Assert.Null(Problem(ready));
        Assert.Equal(1, (int)ready["machines"]!.AsArray().Single()!["generation"]!);
        Assert.Equal(1, await guests.RunningAsync());
        Assert.Equal(1, (await client.GetAsync($"pools/{Pool}/resources", Cancellation)).Must(200).Body!.AsArray().Count(resource => (string)resource!["kind"]! == "machine"));

        await guests.Libvirt.KillAsync(Cancellation);
        (await client.PostAsync($"labs/{lab}/end", cancellation: Cancellation)).Must(202);
        var ending = await UntilAsync(client, lab, now => Problem(now) is not null);
        output.WriteLine($"dead while it ends: {Problem(ending)}");
        Assert.Equal("ending", (string)ending["state"]!);
        Assert.Contains("here", Problem(ending), StringComparison.Ordinal);
        Assert.Equal(1, await HeldAsync(client));
        guests.Libvirt.Revive();
        await client.WaitForAsync(lab, "ended", s_patience, Cancellation);
        await guests.HoldsNothingAsync();
        Assert.Equal(0, await HeldAsync(client));
    }

    [Fact]
    public async Task While_a_libvirtd_hangs_everything_else_answers()
    {
        await File.WriteAllTextAsync(_folder["apply.yaml"], $$"""
            {{guests.Yaml()}}
            ---
            kind: Pool
            name: pretend
            provider: simulated
            settings: { seed: 7, createSeconds: 0.05, bootSeconds: 0.1, hosts: 4, hostCpu: 64, hostMemoryMiB: 131072 }
            """, Cancellation);
        await using var portal = await PortalProcess.StartAsync(_folder["data"], applyFile: _folder["apply.yaml"]);
        using var client = portal.Client();
        using var playwright = await Playwright.CreateAsync();
        await using var browser = await Chromium.LaunchAsync(playwright);
        await using var context = await browser.NewContextAsync(new() { BaseURL = portal.Address.ToString() });
        context.SetDefaultTimeout(Chromium.Patience);
        var page = await context.NewPageAsync();
        await FirstAdmin.SetUpAsync(page, portal);
        await ChecksAsync(client, "healthy");

        var lab = await RequestAsync(client);
        await BeingMadeAsync(client, lab);
        await guests.Libvirt.FreezeAsync(Cancellation);
        try
        {
            var hung = Stopwatch.StartNew();
            var listing = client.GetAsync($"pools/{Pool}/resources", Cancellation);
            var other = await RequestAsync(client, "pretend");
            await client.WaitForAsync(other, "ready", s_patience, Cancellation);
            output.WriteLine($"another lab on another pool was ready after {hung.Elapsed.TotalSeconds:F1} s");

            foreach (var path in new[] { "labs", $"labs/{lab}", "pools", $"pools/{Pool}", "blueprints", "runs", "orphans", "teams/qa/quota", "me" })
                (await InTimeAsync(path, () => client.GetAsync(path, Cancellation))).Must(200);
            (await InTimeAsync("quotes", () => client.PostAsync("quotes", Request(Pool), Cancellation))).Must(200);
            foreach (var path in new[] { "/catalogue", "/catalogue/tiny", "/labs", $"/labs/{lab}", "/operations", "/pools", "/teams", "/teams/qa", "/people", "/profile" })
                await InTimeAsync(path, () => ShowsAsync(page, path));

            var problem = (await listing).Must(503);
            output.WriteLine($"its resources ended after {hung.Elapsed.TotalSeconds:F1} s at the latest: {(string)problem["detail"]!}");
            Assert.Contains("did not answer", (string)problem["detail"]!, StringComparison.Ordinal);
            await EndAsync(client, other);
        }
        finally
        {
            await guests.Libvirt.ThawAsync(CancellationToken.None);
        }

        var ready = await client.WaitForAsync(lab, "ready", s_patience, Cancellation);
        Assert.Equal(1, (int)ready["machines"]!.AsArray().Single()!["generation"]!);
        Assert.Equal(1, await guests.RunningAsync());
        await EndAsync(client, lab);
        await guests.HoldsNothingAsync();
    }

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public ValueTask DisposeAsync()
    {
        if (PrivateLibvirt.WhyNot is null) guests.Libvirt.Revive();
        _folder.Dispose();
        return ValueTask.CompletedTask;
    }

    /// <summary>In the browser, with all that it loads.</summary>
    private static async Task<string> ShowsAsync(IPage page, string path)
    {
        await page.GotoAsync(path);
        var patience = (float)s_answer.TotalMilliseconds;
        await Assertions.Expect(page.Locator("main h1").First).ToBeVisibleAsync(new() { Timeout = patience });
        await Assertions.Expect(page.Locator(".wait")).ToHaveCountAsync(0, new() { Timeout = patience });
        Assert.Equal(path, new Uri(page.Url).AbsolutePath);
        return path;
    }

    private static JsonObject Request(string pool)
        => new() { ["blueprint"] = "tiny", ["team"] = "qa", ["pool"] = pool, ["lease"] = new JsonObject { ["hours"] = 1 } };

    private static async Task<string> RequestAsync(PortalClient client, string pool = Pool) => (string)(await client.PostAsync("labs", Request(pool), Cancellation)).Must(202)["id"]!;

    private static async Task EndAsync(PortalClient client, string lab)
    {
        (await client.PostAsync($"labs/{lab}/end", cancellation: Cancellation)).Must(202);
        await client.WaitForAsync(lab, "ended", s_patience, Cancellation);
    }

    private static async Task ChecksAsync(PortalClient client, string state)
        => Assert.Equal(state, (string)(await client.PostAsync($"pools/{Pool}/check", cancellation: Cancellation)).Must(200)["state"]!);

    private static async Task<long> HeldAsync(PortalClient client)
        => (long)(await client.GetAsync("teams/qa/quota", Cancellation)).Must(200).Body!.AsArray().Single(line => (string)line!["dimension"]! == "labs")!["held"]!;

    private static string? Problem(JsonNode lab) => (string?)lab["run"]?["problem"];

    /// <summary>In the middle of the calls that make its machine.</summary>
    private static async Task BeingMadeAsync(PortalClient client, string lab)
    {
        await UntilAsync(client, lab, now => (string?)now["run"]?["step"] is not (null or "place"));
        await Task.Delay(150, Cancellation);
    }

    private static async Task<JsonNode> UntilAsync(PortalClient client, string lab, Func<JsonNode, bool> seen)
    {
        var since = Stopwatch.GetTimestamp();
        while (true)
        {
            var now = (await client.GetAsync($"labs/{lab}", Cancellation)).Must(200).Body!;
            if (seen(now)) return now;
            if (Stopwatch.GetElapsedTime(since) > s_patience) throw new TimeoutException(now.ToJsonString());
            await Task.Delay(50, Cancellation);
        }
    }

    private async Task<T> InTimeAsync<T>(string what, Func<Task<T>> ask)
    {
        var clock = Stopwatch.StartNew();
        var answer = await ask();
        output.WriteLine($"{what}: {clock.Elapsed.TotalSeconds:F2} s");
        Assert.True(clock.Elapsed < s_answer, $"{what} took {clock.Elapsed.TotalSeconds:F1} s");
        return answer;
    }
}
