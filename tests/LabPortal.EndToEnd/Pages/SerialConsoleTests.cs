using System.Text.RegularExpressions;
using LabPortal.Testing;
using Microsoft.Playwright;

namespace LabPortal.EndToEnd.Pages;

/// <summary>A real guest's serial port, shell and screen in the browser: signed in to, watched from a second page, and hostile.</summary>
[Collection(typeof(WithRealGuests))]
public sealed class SerialConsoleTests(RealGuests guests)
{
    private const float Patience = 5 * 60_000;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_is_typed_on_one_page_is_seen_on_the_other_and_nothing_that_a_guest_prints_leaves_its_terminal()
    {
        using var folder = new TestFolder();
        await File.WriteAllTextAsync(folder["apply.yaml"], guests.Yaml() + RealGuests.Resettable, Cancellation);
        await using var portal = await PortalProcess.StartAsync(folder["data"], applyFile: folder["apply.yaml"]);
        using var playwright = await Playwright.CreateAsync();
        await using var browser = await Chromium.LaunchAsync(playwright);
        await using var context = await browser.NewContextAsync(new() { BaseURL = portal.Address.ToString(), ViewportSize = new() { Width = 1440, Height = 900 } });
        context.SetDefaultTimeout(Chromium.Patience);
        var page = await context.NewPageAsync();
        await FirstAdmin.SetUpAsync(page, portal);
        await page.RequestAsync("resettable", Patience);
        await page.Button("Show the password").ClickAsync();
        var password = await page.Locator("code.secret").InnerTextAsync();
        await page.GetByRole(AriaRole.Link, new() { Name = "Console", Exact = true }).ClickAsync();
        await page.ArrivesAsync("**/console");
        var address = page.Url;

        // What was printed before anybody looked, and the prompt that waits there.
        await Screen(page).Sees().ToContainTextAsync("ssh ready host=", new() { Timeout = Patience });
        await page.GetByText("You type.").Sees().ToBeVisibleAsync();
        await HearsAsync(page);
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

        await ScreenAndTerminalAsync(page, watching, address[..^"console".Length]);
        await AnotherHostKeyAndResetAsync(portal, page, address[..^"console".Length]);

        await watching.GotoAsync(address[..address.IndexOf("/machines", StringComparison.Ordinal)]);
        await watching.EndAsync();
        await page.GetByText("The machine closed the line").Sees().ToBeVisibleAsync(new() { Timeout = Patience });
        await guests.HoldsNothingAsync(patience: TimeSpan.FromMinutes(2));
    }

    /// <summary>The machine's picture beside its serial port, and a shell of the portal's: what is typed in one is seen in the other.</summary>
    private static async Task ScreenAndTerminalAsync(IPage page, IPage watching, string machine)
    {
        await page.GotoAsync(machine + "terminal");
        await page.GetByText("You type.").Sees().ToBeVisibleAsync(new() { Timeout = Patience });
        await TypeAsync(page, "echo shell-$((60+6)); stty size\n", "shell-66");
        await watching.GotoAsync(machine + "terminal");
        await Screen(watching).Sees().ToContainTextAsync("shell-66", new() { Timeout = Patience });
        var title = await watching.TitleAsync();
        await TypeAsync(page, "printf '\\033]0;evil\\007\\033]52;c;ZXZpbA==\\007<img src=x onerror=alert(1)>\\n'; head -c 200000 /dev/zero | tr '\\0' y; echo; echo shell-$((70+7))\n", "shell-77");
        await Screen(watching).Sees().ToContainTextAsync("shell-77", new() { Timeout = Patience });
        Assert.Equal((title, 0), (await watching.TitleAsync(), await watching.Locator(".terminal img").CountAsync()));
        await page.HoldAsync("terminal");

        // A picture with something in it; and what is written to it from the shell changes it for both.
        await watching.GotoAsync(machine + "screen");
        await watching.GetByText("You type.").Sees().ToBeVisibleAsync(new() { Timeout = Patience });
        var before = await PictureAsync(watching, different: "");
        await TypeAsync(page, "echo painted >/dev/tty1\n", "painted");
        var painted = await PictureAsync(watching, before);
        await watching.Locator(".terminal canvas").FocusAsync();
        await watching.Keyboard.TypeAsync("root");
        await PictureAsync(watching, painted);
        await watching.HoldAsync("screen");
        await watching.Locator(".terminal canvas").FocusAsync();
        await watching.Keyboard.PressAsync("Control+]");
        Assert.Equal("Back to the lab", await watching.EvaluateAsync<string>("document.activeElement.innerText"));
        await page.GotoAsync(machine + "screen");
        await page.GetByText("types.").First.Sees().ToBeVisibleAsync(new() { Timeout = Patience });
        await watching.Locator("[role=status] .tag").Sees().ToHaveCountAsync(2);
    }

    /// <summary>A machine that shows another host key than its own is refused with a sentence; reset to clean it is itself again, without what was written on it.</summary>
    private static async Task AnotherHostKeyAndResetAsync(PortalProcess portal, IPage page, string machine)
    {
        await page.GotoAsync(machine + "terminal");
        await page.GetByText("You type.").Sees().ToBeVisibleAsync(new() { Timeout = Patience });
        await TypeAsync(page, $"echo mine > /root/file; sync; {RealGuests.OtherHostKey}; echo changed-$((80+8))\n", "changed-88");
        await page.GotoAsync(machine + "terminal");
        await page.GetByText("SSH host key is not the one that it had before").Sees().ToBeVisibleAsync(new() { Timeout = Patience });
        Assert.Equal("", (await Screen(page).InnerTextAsync()).Trim());
        await page.HoldAsync("terminal of another host");

        var lab = machine[..machine.IndexOf("/machines", StringComparison.Ordinal)];
        await page.GotoAsync(lab);
        await page.Button("Reset to clean").ClickAsync();
        await page.Asked().Button("Reset to clean").ClickAsync();
        await page.GetByText("is being reset").First.Sees().ToBeVisibleAsync();
        using (var client = portal.Client()) await client.WaitForAsync(lab.Split('/')[^1], "ready", TimeSpan.FromMilliseconds(Patience), Cancellation);
        await page.Locator("#main").Button("Reset to clean").Sees().ToBeVisibleAsync(new() { Timeout = Patience });
        await page.GotoAsync(machine + "terminal");
        await page.GetByText("You type.").Sees().ToBeVisibleAsync(new() { Timeout = Patience });
        await TypeAsync(page, "test -e /root/file || echo clean-$((90+9))\n", "clean-99");
        await page.GotoAsync(machine + "screen");
        await page.GetByText("You type.").Sees().ToBeVisibleAsync(new() { Timeout = Patience });
    }

    /// <summary>What is on the canvas, once it is more than one colour and not <paramref name="different"/>.</summary>
    private static async Task<string> PictureAsync(IPage page, string different)
    {
        const string Read = "() => { const canvas = document.querySelector('.terminal canvas'); if (!canvas?.width) return ''; "
            + "const dots = new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer); "
            + "return new Set(dots).size > 1 ? canvas.toDataURL() : ''; }";
        var last = "";
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        limit.CancelAfter(TimeSpan.FromMilliseconds(Patience));
        while ((last = await page.EvaluateAsync<string>(Read)) == "" || last == different) await Task.Delay(200, limit.Token);
        return last;
    }

    internal static ILocator Screen(IPage page) => page.Locator(".xterm-rows");

    /// <summary>A getty throws away what was typed before it asked. So it is asked for its prompt until it gives one more.</summary>
    private static async Task HearsAsync(IPage page)
    {
        var twice = new Regex(@"login:[\s\S]*login:");
        for (var tries = 0; ; tries++)
        {
            await page.Locator(".xterm-helper-textarea").FocusAsync();
            await page.Keyboard.PressAsync("Enter");
            try
            {
                await Screen(page).Sees().ToHaveTextAsync(twice, new() { Timeout = 10_000 });
                return;
            }
            catch (PlaywrightException) when (tries < 20)
            {
            }
        }
    }

    /// <summary>As somebody at a keyboard does who waits for the answer.</summary>
    internal static async Task TypeAsync(IPage page, string text, string answer)
    {
        await page.Locator(".xterm-helper-textarea").FocusAsync();
        await page.Keyboard.TypeAsync(text);
        await Screen(page).Sees().ToContainTextAsync(answer, new() { Timeout = Patience });
    }
}
