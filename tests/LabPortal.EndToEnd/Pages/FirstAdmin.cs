using Microsoft.Playwright;

namespace LabPortal.EndToEnd.Pages;

/// <summary>The first admin comes in by the link in the log.</summary>
internal static class FirstAdmin
{
    private const string Password = "seven green lanterns by the lake";

    public static async Task SetUpAsync(IPage page, PortalProcess portal)
    {
        for (var i = 0; i < 100 && portal.SetupLink is null; i++) await Task.Delay(100, TestContext.Current.CancellationToken);
        await page.GotoAsync(portal.SetupLink ?? throw new InvalidOperationException("No setup link in the log."));
        await page.FillAsync("#Name", "Ada Lovelace");
        await page.FillAsync("#Email", "ada@example.org");
        await page.FillAsync("#Password", Password);
        await page.FillAsync("#Again", Password);
        await page.ClickAsync("button[type=submit]");
        // Its load event may have come before anybody waited for it.
        await page.WaitForURLAsync("**/labs", new() { WaitUntil = WaitUntilState.Commit });
        await Assertions.Expect(page.Locator("main h1")).ToBeVisibleAsync(new() { Timeout = 60_000 });
    }
}
