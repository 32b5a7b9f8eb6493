using Bunit;
using LabPortal.Domain.Labs;
using LabPortal.Operations.Consoles;
using LabPortal.Operations.Labs;
using LabPortal.Testing;
using LabPortal.Web.Features.Consoles;
using LabPortal.Web.Texts;
using Microsoft.AspNetCore.Components;
using Microsoft.Extensions.DependencyInjection;

namespace LabPortal.Web.Tests.Features;

/// <summary>The page of a console; its browser's part is what the script would say.</summary>
public sealed partial class PartsTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(1);

    [Fact]
    public void Who_may_not_into_a_machine_is_told_why_and_can_try_again_and_nothing_is_connected()
    {
        var (page, terminal) = Console(Guid.NewGuid());

        page.WaitForAssertion(() => Assert.Contains(Say.ConsoleAgain, page.Markup, StringComparison.Ordinal), s_patience);
        Assert.NotEmpty(page.FindAll(".note"));
        Assert.DoesNotContain(Say.ConsoleTakeOver, page.Markup, StringComparison.Ordinal);
        Assert.Empty(terminal.Invocations["connect"]);
    }

    [Fact]
    public async Task A_lost_console_is_connected_again_one_that_somebody_took_is_not_and_who_types_is_shown()
    {
        var (page, terminal) = Console((await RunningAsync()).Id.Value);
        var surface = page.FindComponent<ConsoleSurface>().Instance;
        page.WaitForAssertion(() => Assert.Single(terminal.Invocations["connect"]), s_patience);
        Assert.Contains("token=", (string)terminal.Invocations["connect"][0].Arguments[0]!, StringComparison.Ordinal);

        // Two are here, the other one types: this one asks for the keyboard, once.
        var room = new ConsoleRoomNote(1, true, 2, null, false, false, [new(1, "Ada"), new(2, "Grace")]);
        await page.InvokeAsync(() => surface.Told(room));
        page.FindAll("button").Single(button => button.TextContent.Contains(Say.ConsoleTakeOver, StringComparison.Ordinal)).Click();
        Assert.Equal("type", Assert.Single(terminal.Invocations["ask"]).Arguments[0]);
        await page.InvokeAsync(() => surface.Told(room with { Asks = 1 }));
        Assert.True(page.FindAll("button").Single(button => button.TextContent.Contains(Say.ConsoleAsked, StringComparison.Ordinal)).HasAttribute("disabled"));
        // Who types has nothing to ask for, and who may only watch neither.
        foreach (var other in new[] { room with { Types = 1 }, room with { MayType = false } })
        {
            await page.InvokeAsync(() => surface.Told(other));
            Assert.DoesNotContain(Say.ConsoleTakeOver, page.Markup, StringComparison.Ordinal);
        }

        // It is lost: said, and made again after a breath, with a way in of its own.
        var lost = page.InvokeAsync(() => surface.Closed(ConsoleEnd.Lost));
        page.WaitForAssertion(() => Assert.Contains(Say.ConsoleTrying, page.Markup, StringComparison.Ordinal), s_patience);
        Assert.Single(terminal.Invocations["connect"]);
        _clock.Advance(TimeSpan.FromSeconds(1));
        await lost;
        page.WaitForAssertion(() => Assert.Equal(2, terminal.Invocations["connect"].Count), s_patience);
        Assert.NotEqual(terminal.Invocations["connect"][0].Arguments[0], terminal.Invocations["connect"][1].Arguments[0]);
        Assert.DoesNotContain(Say.ConsoleTrying, page.Markup, StringComparison.Ordinal);

        // Open elsewhere: that stands until somebody wants otherwise.
        await page.InvokeAsync(() => surface.Closed(ConsoleEnd.Elsewhere));
        _clock.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(2, terminal.Invocations["connect"].Count);
        Assert.Contains(Say.ConsoleAgain, page.Markup, StringComparison.Ordinal);
        Assert.Contains(Say.ConsoleTakeOver, page.Markup, StringComparison.Ordinal);
    }

    private (IRenderedComponent<ConsolePage> Page, BunitJSModuleInterop Terminal) Console(Guid lab)
    {
        var module = JSInterop.SetupModule("./js/terminal.js");
        var terminal = module.SetupModule("open", _ => true);
        terminal.Mode = JSRuntimeMode.Loose;
        Services.AddSingleton(_portal.Services.GetRequiredService<ConsoleCalls>());
        Services.GetRequiredService<NavigationManager>().NavigateTo($"labs/{lab}/machines/one/console");
        return (Render<ConsolePage>(parameters => parameters.Add(page => page.Id, lab).Add(page => page.Name, "one")), terminal);
    }

    /// <summary>A lab of somebody who clicks here, with one machine that runs.</summary>
    private async Task<LabView> RunningAsync()
    {
        // A pool of its own: another test drains the usual one.
        await ApplyAsync($$"""
            {{SimulatedCatalogue.Yaml()}}
            ---
            kind: Pool
            name: apart
            provider: simulated
            settings: { seed: 8, createSeconds: 0, bootSeconds: 0 }
            ---
            kind: Blueprint
            name: alone
            title: One machine
            machines: [{ name: one, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1 }]
            lease: { default: 4h, max: 72h, grace: 0 }
            """);
        var labs = _portal.Services.GetRequiredService<LabCalls>();
        var actor = await ActorAsync();
        var lab = (await labs.RequestAsync(actor, new LabRequest { Blueprint = "alone", Team = "qa", Pool = "apart" }, null, Cancellation)).Value;
        await foreach (var _ in labs.EventsAsync(actor, lab.Id, 0, Cancellation))
        {
            if ((await labs.FindAsync(actor, lab.Id, Cancellation)).Value is { State: LabState.Ready } ready) return ready;
        }

        throw new InvalidOperationException("The lab can no longer be seen.");
    }
}
