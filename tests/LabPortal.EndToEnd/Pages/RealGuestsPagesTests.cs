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

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_first_admin_adds_a_key_requests_two_machines_signs_in_to_them_and_ends_them()
    {
        using var folder = new TestFolder();
        await File.WriteAllTextAsync(folder["apply.yaml"], guests.Yaml(), Cancellation);
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

        await page.GotoAsync("/catalogue/pair");
        await Assertions.Expect(page.GetByText("Quota after this request")).ToBeVisibleAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Request this lab" }).ClickAsync();
        await page.ArrivesAsync("**/labs/*");
        // The page is not touched: what happens comes to it.
        await Assertions.Expect(page.Locator(".head .chip")).ToHaveTextAsync("Ready", new() { Timeout = Patience });
        await Assertions.Expect(page.Locator("article.machine .chip", new() { HasTextString = "Running" })).ToHaveCountAsync(2);
        Assert.Equal(2, await guests.RunningAsync());

        foreach (var machine in await page.Locator("article.machine").AllAsync())
        {
            var name = (await machine.Locator("h2").InnerTextAsync()).Trim();
            var command = await machine.Locator("code", new() { HasTextString = "ssh root@" }).InnerTextAsync();
            Assert.Equal(name, await key.RunAsync("root", command.Trim()["ssh root@".Length..], 22, "hostname"));
        }

        await page.GetByRole(AriaRole.Button, new() { Name = "Extend" }).ClickAsync();
        await page.GetByRole(AriaRole.Dialog).GetByRole(AriaRole.Button, new() { Name = "Extend" }).ClickAsync();
        await Assertions.Expect(page.Locator(".lease .big")).ToContainTextAsync("7 h 5");

        await page.GetByRole(AriaRole.Button, new() { Name = "End", Exact = true }).ClickAsync();
        await page.GetByRole(AriaRole.Dialog).GetByRole(AriaRole.Button, new() { Name = "End", Exact = true }).ClickAsync();
        await Assertions.Expect(page.Locator(".head .chip")).ToHaveTextAsync("Ended", new() { Timeout = Patience });
        await guests.HoldsNothingAsync();
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
