using Microsoft.Playwright;
using LabPortal.Testing;

namespace LabPortal.EndToEnd.Pages;

/// <summary>The first admin comes in by the link in the log.</summary>
internal static class FirstAdmin
{
    public const string Email = "ada@example.org";
    public const string Password = "seven green lanterns by the lake";

    public static async Task OpenAsync(IPage page, PortalProcess portal)
    {
        for (var i = 0; i < 600 && portal.SetupLink is null; i++) await Task.Delay(100, TestContext.Current.CancellationToken);
        await page.GotoAsync(portal.SetupLink ?? throw new InvalidOperationException("No setup link in the log."));
    }

    public static async Task SetUpAsync(IPage page, PortalProcess portal)
    {
        await OpenAsync(page, portal);
        await page.FillAsync("#Name", "Ada Lovelace");
        await page.FillAsync("#Email", Email);
        await page.FillAsync("#Password", Password);
        await page.FillAsync("#Again", Password);
        await page.ClickAsync("button[type=submit]");
        await page.ArrivesAsync("**/labs");
    }
}
