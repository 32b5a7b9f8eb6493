using System.Security.Cryptography;
using LabPortal.Testing;
using Microsoft.Playwright;

namespace LabPortal.EndToEnd.Pages;

/// <summary>A first admin's first lab, in the browser alone, with real guests: from the link in the log to nothing left.</summary>
[Collection(typeof(WithRealGuests))]
public sealed class RealGuestsPagesTests(RealGuests guests)
{
    private const float Patience = 5 * 60_000;

    /// <summary>The shortest lease that there is, with six seconds of grace.</summary>
    private const string Brief = """

        ---
        kind: Blueprint
        name: brief
        title: One machine for a minute
        machines: [{ name: one, image: tiny, size: tiny }]
        lease: { default: 1m, max: 1h, grace: 0.1m }
        """;

    /// <summary>The sample's pair, each on a network of the lab's own besides: every copy has the same addresses there.</summary>
    private const string Copies = """

        ---
        kind: Blueprint
        name: copies
        title: Two machines on a network of their own
        networks: [{ name: inner, subnet: 192.168.77.0/24 }]
        machines:
          - { name: web, image: tiny, size: tiny, cards: [{ network: shared }, { network: inner, address: 192.168.77.11 }] }
          - { name: db, image: tiny, size: tiny, cards: [{ network: shared }, { network: inner, address: 192.168.77.12 }] }
        lease: { default: 4h, max: 72h, grace: 24h }
        """;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_first_admin_adds_a_key_requests_two_copies_side_by_side_signs_in_to_their_machines_and_ends_them()
    {
        using var folder = new TestFolder();
        await File.WriteAllTextAsync(folder["apply.yaml"], guests.Yaml() + Copies, Cancellation);
        var key = await SshIdentity.MakeAsync(folder.Path);
        await using var portal = await PortalProcess.StartAsync(folder["data"], applyFile: folder["apply.yaml"]);
        using var playwright = await Playwright.CreateAsync();
        await using var browser = await Chromium.LaunchAsync(playwright);
        await using var context = await browser.NewContextAsync(new() { BaseURL = portal.Address.ToString(), ViewportSize = new() { Width = 1440, Height = 900 } });
        context.SetDefaultTimeout(Chromium.Patience);
        var page = await context.NewPageAsync();

        await FirstAdmin.SetUpAsync(page, portal);
        await page.GotoAsync("/profile");
        await page.FillAsync("#key", key.PublicKey);
        await page.GetByRole(AriaRole.Button, new() { Name = "Add the key" }).ClickAsync();
        await Assertions.Expect(page.Locator(".rows li", new() { HasTextString = "SHA256:" })).ToHaveCountAsync(1);
        await Assertions.Expect(page.Locator("#key")).ToHaveValueAsync("");

        var beside = await context.NewPageAsync();
        foreach (var each in new[] { page, beside })
        {
            await each.GotoAsync("/catalogue/copies");
            await Assertions.Expect(each.GetByText("Quota after this request")).ToBeVisibleAsync();
            await each.GetByRole(AriaRole.Button, new() { Name = "Request this lab" }).ClickAsync();
            await each.ArrivesAsync("**/labs/*");
        }

        var addresses = new List<Dictionary<string, string>>();
        foreach (var each in new[] { page, beside })
        {
            // The page is not touched: what happens comes to it.
            await Assertions.Expect(each.Locator(".head .chip")).ToHaveTextAsync("Ready", new() { Timeout = Patience });
            await Assertions.Expect(each.Locator("article.machine .chip", new() { HasTextString = "Running" })).ToHaveCountAsync(2);
            var found = new Dictionary<string, string>();
            foreach (var machine in await each.Locator("article.machine").AllAsync())
            {
                var name = (await machine.Locator("h2").InnerTextAsync()).Trim();
                found[name] = (await machine.Locator("code", new() { HasTextString = "ssh root@" }).InnerTextAsync()).Trim()["ssh root@".Length..];
                Assert.Equal(name, await key.RunAsync("root", found[name], 22, "hostname"));
            }

            addresses.Add(found);
        }

        Assert.Equal(4, await guests.RunningAsync());
        await SideBySideAsync(page, beside, key, addresses);

        await page.GetByRole(AriaRole.Button, new() { Name = "Extend" }).ClickAsync();
        await page.GetByRole(AriaRole.Dialog).GetByRole(AriaRole.Button, new() { Name = "Extend" }).ClickAsync();
        await Assertions.Expect(page.Locator(".lease .big")).ToContainTextAsync("7 h 5");

        foreach (var each in new[] { page, beside })
        {
            await each.Button("End").ClickAsync();
            await each.Asked().Button("End").ClickAsync();
        }

        foreach (var each in new[] { page, beside }) await each.StateAsync("Ended", Patience);
        await guests.HoldsNothingAsync();
    }

    /// <summary>From a terminal in each copy: at the same address each finds its own machine, and what only one of them has the other never reaches.</summary>
    private static async Task SideBySideAsync(IPage page, IPage beside, SshIdentity key, List<Dictionary<string, string>> addresses)
    {
        const string Card = "$(ip -4 -o addr show | awk '/ 192\\.168\\.77\\.1/{print $2}')";
        var neighbours = new List<string>();
        foreach (var (copy, n) in addresses.Select((copy, n) => (copy, n + 1)))
        {
            await key.RunAsync("root", copy["db"], 22, $"(while :; do echo copy-{n} | nc -l -p 7000; done) >/dev/null 2>&1 </dev/null &");
            neighbours.Add(await key.RunAsync("root", copy["web"], 22, $"arping -c 2 -I {Card} 192.168.77.12 | sed -n 's/.*\\[\\(.*\\)\\].*/\\1/p' | sort -u"));
        }

        // One answers, and another in each copy.
        Assert.All(neighbours, mac => Assert.Matches("^[0-9a-f:]{17}$", mac));
        Assert.Equal(2, neighbours.Distinct().Count());
        await key.RunAsync("root", addresses[1]["db"], 22, $"ip addr add 192.168.77.99/24 dev {Card}");

        var labs = new[] { page.Url, beside.Url };
        foreach (var (each, n) in new[] { (page, 0), (beside, 1) }) await each.GotoAsync($"{labs[n]}/machines/web/terminal");
        foreach (var (each, n) in new[] { (page, 1), (beside, 2) })
        {
            await each.GetByText("You type.").Sees().ToBeVisibleAsync(new() { Timeout = Patience });
            await SerialConsoleTests.TypeAsync(each, "until nc -w 5 192.168.77.12 7000; do sleep 1; done\n", $"copy-{n}");
            Assert.DoesNotContain($"copy-{3 - n}", await SerialConsoleTests.Screen(each).InnerTextAsync(), StringComparison.Ordinal);
        }

        await SerialConsoleTests.TypeAsync(beside, "until ping -c 1 -w 3 192.168.77.99 >/dev/null; do sleep 1; done; echo reached-$((1+1))\n", "reached-2");
        await SerialConsoleTests.TypeAsync(page, "ping -c 2 -w 3 192.168.77.99 >/dev/null || echo silence-$((1+1))\n", "silence-2");
        foreach (var (each, n) in new[] { (page, 0), (beside, 1) })
        {
            await each.GotoAsync(labs[n]);
            await each.StateAsync("Ready");
        }
    }

    [Fact]
    public async Task An_image_is_imported_and_a_lab_of_it_that_is_left_alone_is_gone_when_its_lease_is_over()
    {
        const string Storage = "fresh";
        var file = await TinyImage.FileAsync(Cancellation);
        var digest = Digest(await File.ReadAllBytesAsync(file, Cancellation));
        await guests.Libvirt.AddEmptyPoolAsync(Storage, Cancellation);
        using var folder = new TestFolder();
        await File.WriteAllTextAsync(folder["apply.yaml"], guests.Yaml(Storage) + Brief, Cancellation);
        await using var portal = await PortalProcess.StartAsync(folder["data"], applyFile: folder["apply.yaml"]);
        using var playwright = await Playwright.CreateAsync();
        await using var browser = await Chromium.LaunchAsync(playwright);
        await using var context = await browser.NewContextAsync(new() { BaseURL = portal.Address.ToString() });
        context.SetDefaultTimeout(Chromium.Patience);
        var page = await context.NewPageAsync();
        await FirstAdmin.SetUpAsync(page, portal);

        await page.GotoAsync($"/pools/{RealGuests.Pool}");
        var pool = page.GetByRole(AriaRole.Region, new() { Name = RealGuests.Pool });
        await pool.Button($"Import tiny into {RealGuests.Pool}").ClickAsync();
        await page.FillAsync("#import-file", file);
        await page.Asked().Button("Import").ClickAsync();
        await pool.Button($"Import tiny into {RealGuests.Pool}").Sees().ToHaveCountAsync(0, new() { Timeout = Patience });
        await pool.Locator(".images li", new() { HasTextString = "tiny" }).Locator(".chip").Sees().ToHaveTextAsync("There", new() { Timeout = Patience });
        Assert.Equal(digest, Digest(await DownloadAsync(Storage, PrivateLibvirt.ImageVolume, folder)));
        Assert.StartsWith(digest + " ", System.Text.Encoding.UTF8.GetString(await DownloadAsync(Storage, PrivateLibvirt.ImageDigest, folder)), StringComparison.Ordinal);

        // Nobody touches it from here on. It may be over before a busy machine comes to look whether it is ready.
        var ran = guests.FirstAsync(TimeSpan.FromMilliseconds(Patience));
        await page.GotoAsync("/catalogue/brief?team=qa");
        await page.GetByText("Quota after this request").Sees().ToBeVisibleAsync();
        await page.Button("Request this lab").ClickAsync();
        await page.ArrivesAsync("**/labs/*");
        await ran;
        await page.Locator(".bell .dot").Sees().ToHaveTextAsync("2", new() { Timeout = Patience });
        await page.StateAsync("Ended", Patience);
        await guests.HoldsNothingAsync(Storage);
        await page.Locator(".bell").ClickAsync();
        await page.Locator(".notices li").Last.Sees().ToContainTextAsync("is over and its machines are stopped");
        await page.Locator(".notices li").First.Sees().ToContainTextAsync("is being deleted");
    }

    private async Task<byte[]> DownloadAsync(string storagePool, string volume, TestFolder into)
    {
        await guests.Libvirt.VirshAsync(Cancellation, "vol-download", volume, into[volume], "--pool", storagePool);
        return await File.ReadAllBytesAsync(into[volume], Cancellation);
    }

    private static string Digest(byte[] bytes) => "sha256:" + Convert.ToHexStringLower(SHA256.HashData(bytes));
}
