using LabPortal.Testing;
using Microsoft.Playwright;

namespace LabPortal.EndToEnd.Pages;

/// <summary>A first admin's first lab, in the browser alone, with real guests: from the link in the log to nothing left.</summary>
[Collection(typeof(WithRealGuests))]
public sealed class RealGuestsPagesTests(RealGuests guests)
{
    private const float Patience = 5 * 60_000;

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
        context.SetDefaultTimeout(60_000);
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
}
