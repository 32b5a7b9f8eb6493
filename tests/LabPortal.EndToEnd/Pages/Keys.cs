using Microsoft.Playwright;

namespace LabPortal.EndToEnd.Pages;

/// <summary>A page without a mouse.</summary>
internal static class Keys
{
    /// <summary>More stops than any page has.</summary>
    private const int Most = 80;

    /// <summary>
    /// Where the focus is: what the control is called, whether one sees that it has the focus, and whether it is within what was asked for.
    /// </summary>
    private const string Focused = """
        within => {
          const at = document.activeElement;
          if (!at || at === document.body) return { name: '', seen: true, inside: false, at: 0 };
          const labels = at.labels ? [...at.labels].map(label => label.innerText).join(' ') : '';
          const style = getComputedStyle(at);
          const box = at.getBoundingClientRect();
          const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
          // A heading takes the focus after a change of page and is no stop of the keyboard.
          const seen = at.tabIndex < 0 || (outlined && box.width > 0 && box.height > 0);
          window.stops ??= [];
          if (!window.stops.includes(at)) window.stops.push(at);
          return { name: (at.getAttribute('aria-label') ?? (labels || at.innerText)).trim(), seen, inside: !within || at.closest(within) !== null, at: window.stops.indexOf(at) + 1 };
        }
        """;

    private sealed record Stop
    {
        public string Name { get; init; } = "";
        public bool Seen { get; init; }
        public bool Inside { get; init; }
        public int At { get; init; }
    }

    /// <summary>Presses Tab until the control of that name has the focus. On its way every stop is seen, and the focus never stays where it is.</summary>
    public static async Task TabToAsync(this IPage page, string name, string? within = null)
    {
        var passed = new List<string>();
        await page.LivesAsync();
        var before = await page.EvaluateAsync<Stop>(Focused, within);
        for (var i = 0; i < Most; i++)
        {
            // What opens takes the focus by itself and may begin with what is looked for.
            if (before.Name == name && before.Inside) return;
            await page.Keyboard.PressAsync("Tab");
            var now = await page.EvaluateAsync<Stop>(Focused, within);
            Assert.True(now.Seen, $"One does not see that \"{now.Name}\" has the focus.");
            Assert.True(now.At == 0 || now.At != before.At, $"Tab does not leave \"{now.Name}\".");
            passed.Add(now.Name);
            before = now;
        }

        Assert.Fail($"Tab does not come to \"{name}\": {string.Join(" | ", passed)}");
    }

    /// <summary>Once round the whole page: the focus comes back to where it was, by way of more than one stop.</summary>
    public static async Task WalkRoundAsync(this IPage page)
    {
        await page.LivesAsync();
        await page.Keyboard.PressAsync("Tab");
        var first = await page.EvaluateAsync<Stop>(Focused, null);
        for (var i = 1; i < Most; i++)
        {
            await page.Keyboard.PressAsync("Tab");
            if ((await page.EvaluateAsync<Stop>(Focused, null)).At != first.At) continue;
            Assert.True(i > 3, "The focus goes round in a corner of the page.");
            return;
        }

        Assert.Fail("Tab does not come round.");
    }
}
