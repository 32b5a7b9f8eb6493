using Microsoft.Playwright;

namespace LabPortal.EndToEnd.Pages;

/// <summary>The system's browser, with nothing that calls home.</summary>
internal static class Chromium
{
    /// <summary>As long as a loaded machine may need; what never comes fails all the same.</summary>
    public const float Patience = 90_000;

    // One for the whole process: here, so that it does not depend on which test was first.
    static Chromium() => Assertions.SetDefaultExpectTimeout(Patience);

    public static Task<IBrowser> LaunchAsync(IPlaywright playwright) => playwright.Chromium.LaunchAsync(new()
    {
        ExecutablePath = "/usr/bin/chromium",
        Args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    });
}
