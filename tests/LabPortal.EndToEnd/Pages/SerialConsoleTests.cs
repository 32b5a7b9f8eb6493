using LabPortal.Testing;
using Microsoft.Playwright;

namespace LabPortal.EndToEnd.Pages;

/// <summary>A real guest's serial port in the browser: signed in to, watched from a second page, and hostile.</summary>
[Collection(typeof(WithRealGuests))]
public sealed class SerialConsoleTests(RealGuests guests)
{
    private const float Patience = 5 * 60_000;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_is_typed_on_one_page_is_seen_on_the_other_and_nothing_that_a_guest_prints_leaves_its_terminal()
    {
        using var folder = new TestFolder();
        await File.WriteAllTextAsync(folder["apply.yaml"], guests.Yaml(), Cancellation);
        await using var portal = await PortalProcess.StartAsync(folder["data"], applyFile: folder["apply.yaml"]);
        using var playwright = await Playwright.CreateAsync();
        await using var browser = await Chromium.LaunchAsync(playwright);
        await using var context = await browser.NewContextAsync(new() { BaseURL = portal.Address.ToString(), ViewportSize = new() { Width = 1440, Height = 900 } });
        context.SetDefaultTimeout(Chromium.Patience);
        var page = await context.NewPageAsync();
        await FirstAdmin.SetUpAsync(page, portal);
        await page.RequestAsync("tiny", Patience);
        await page.Button("Show the password").ClickAsync();
        var password = await page.Locator("code.secret").InnerTextAsync();
        await page.GetByRole(AriaRole.Link, new() { Name = "Console", Exact = true }).ClickAsync();
        await page.ArrivesAsync("**/console");
        var address = page.Url;

        // What was printed before anybody looked, and the prompt that waits there.
        await Screen(page).Sees().ToContainTextAsync("ssh ready host=", new() { Timeout = Patience });
        await page.GetByText("You type.").Sees().ToBeVisibleAsync();
        await Screen(page).Sees().ToContainTextAsync("login:");
        await TypeAsync(page, "root\n", "Password:");
        await TypeAsync(page, password.Trim() + "\n", "#");

        var watching = await context.NewPageAsync();
        await watching.GotoAsync(address);
        await Screen(watching).Sees().ToContainTextAsync("Password:", new() { Timeout = Patience });
        await watching.GetByText("types.").First.Sees().ToBeVisibleAsync();
        await page.Locator("[role=status] .tag").Sees().ToHaveCountAsync(2);
        await TypeAsync(page, "echo seen-$((6*7))\n", "seen-42");
        await Screen(watching).Sees().ToContainTextAsync("seen-42");
        await watching.Button("Take over").ClickAsync();
        await watching.GetByText("You type.").Sees().ToBeVisibleAsync();
        await TypeAsync(watching, "echo two-$((40+4))\n", "two-44");
        await Screen(page).Sees().ToContainTextAsync("two-44");

        // Titles, windows, links, clipboards, questions to the terminal, markup, and a line without end.
        var asked = 0;
        page.Dialog += (_, dialog) => { asked++; _ = dialog.DismissAsync(); };
        var title = await page.TitleAsync();
        await TypeAsync(watching, "printf '\\033]0;evil\\007\\033[8;200;400t\\033]52;c;ZXZpbA==\\007\\033]8;;javascript:alert(1)\\007link\\033]8;;\\007\\033[c\\033[6n<img src=x onerror=alert(1)>\\n'; head -c 200000 /dev/zero | tr '\\0' x; echo; echo still-$((50+5))\n", "still-55");
        await Screen(page).Sees().ToContainTextAsync("still-55", new() { Timeout = Patience });
        Assert.Equal(title, await page.TitleAsync());
        Assert.Equal((0, 0), (asked, await page.Locator(".terminal img").CountAsync()));
        await page.Locator("h1").Sees().ToBeVisibleAsync();
        await page.HoldAsync("serial console");

        // The keyboard comes out of the terminal, and a console that is left is taken up again.
        await page.Locator(".xterm-helper-textarea").FocusAsync();
        await page.Keyboard.PressAsync("Control+]");
        Assert.Equal("Back to the lab", await page.EvaluateAsync<string>("document.activeElement.innerText"));
        await page.Keyboard.PressAsync("Enter");
        await page.ArrivesAsync("**/labs/*");
        await watching.Locator("[role=status] .tag").Sees().ToHaveCountAsync(1);
        await page.GotoAsync(address);
        await Screen(page).Sees().ToContainTextAsync("still-55");

        await watching.GotoAsync(address[..address.IndexOf("/machines", StringComparison.Ordinal)]);
        await watching.EndAsync();
        await page.GetByText("The machine closed the line").Sees().ToBeVisibleAsync();
        await guests.HoldsNothingAsync(patience: TimeSpan.FromMinutes(2));
    }

    private static ILocator Screen(IPage page) => page.Locator(".xterm-rows");

    /// <summary>As somebody at a keyboard does who waits for the answer. A guest that is busy may have missed the first key.</summary>
    private static async Task TypeAsync(IPage page, string text, string answer)
    {
        await page.Locator(".xterm-helper-textarea").FocusAsync();
        await page.Keyboard.TypeAsync(text);
        await Screen(page).Sees().ToContainTextAsync(answer, new() { Timeout = Patience });
    }
}
