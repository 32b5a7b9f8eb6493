using Bunit;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Consoles;
using LabPortal.Operations.Labs;
using LabPortal.Operations.People;
using LabPortal.Operations.Workflows;
using LabPortal.Testing;
using LabPortal.Web.Features.Labs;
using LabPortal.Web.Features.Leases;
using LabPortal.Web.Features.Machines;
using LabPortal.Web.Features.People;
using LabPortal.Web.Features.Shell;
using LabPortal.Web.Features.Workflows;
using LabPortal.Web.Texts;
using Microsoft.AspNetCore.Components;
using Microsoft.Extensions.DependencyInjection;
using MudBlazor;
using NodaTime;

namespace LabPortal.Web.Tests.Features;

/// <summary>What people have and are given, and what they ask for in a dialog.</summary>
public sealed partial class PartsTests
{
    [Fact]
    public async Task A_token_is_shown_this_once_and_is_gone_after_it_was_asked_about()
    {
        var (dialogs, panel) = (Render<MudDialogProvider>(), Render<TokensPanel>());
        panel.Find("#token-days").Change("999");
        panel.Button(Say.TokenAdd).Click();
        panel.WaitForAssertion(() => Assert.NotNull(panel.Wrong("#token-name")), s_patience);
        Assert.NotNull(panel.Wrong("#token-days"));

        panel.Find("#token-name").Change("<b>nightly</b>");
        panel.Find("#token-days").Change("3");
        panel.Button(Say.TokenAdd).Click();
        panel.WaitForAssertion(() => Assert.Single(panel.FindAll("li")), s_patience);
        Assert.Equal("<b>nightly</b>", panel.Find("li strong").TextContent);
        var text = panel.Find("code").TextContent;
        Assert.NotNull(await People.ActorOfTokenAsync(text, null, null, Cancellation));
        Assert.Empty(Render<TokensPanel>().FindAll("code"));

        // Who thinks better of it keeps the token, and its text.
        panel.Button(Say.Remove).Click();
        Answer(dialogs, yes: false);
        Assert.Equal(text, panel.Find("code").TextContent);
        panel.Button(Say.Remove).Click();
        Answer(dialogs, yes: true);
        panel.WaitForAssertion(() => Assert.Empty(panel.FindAll("li, code")), s_patience);
        Assert.Null(await People.ActorOfTokenAsync(text, null, null, Cancellation));
    }

    [Fact]
    public async Task A_key_that_is_none_stays_in_its_field_with_the_mistake()
    {
        var (dialogs, panel) = (Render<MudDialogProvider>(), Render<KeysPanel>());
        panel.Find("#key").Change("ssh-ed25519 nonsense");
        panel.Button(Say.KeyAdd).Click();
        panel.WaitForAssertion(() => Assert.NotNull(panel.Wrong("#key")), s_patience);
        Assert.Equal("ssh-ed25519 nonsense", panel.Find("#key").GetAttribute("value"));

        panel.Find("#key").Change("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDE5qUwRsXEsbgHZvQpgQEkYtVNmAiWsgUWJx0tEzB2n ada@desk");
        panel.Button(Say.KeyAdd).Click();
        panel.WaitForAssertion(() => Assert.Single(panel.FindAll("li")), s_patience);
        Assert.Null(panel.Wrong("#key"));
        Assert.True(string.IsNullOrEmpty(panel.Find("#key").GetAttribute("value")));
        panel.Button(Say.Remove).Click();
        Answer(dialogs, yes: true);
        panel.WaitForAssertion(() => Assert.Empty(panel.FindAll("li")), s_patience);
        Assert.Empty((await People.KeysAsync(await ActorAsync(), Cancellation)).Value);
    }

    [Fact]
    public void Passwords_that_differ_are_told_without_a_call_a_wrong_one_at_its_field_and_a_new_one_signs_in_anew()
    {
        var panel = Render<PasswordPanel>();
        Fill("a long good sentence", "another long sentence", "another wrong sentence");
        Assert.NotNull(panel.Wrong("#password-again"));
        Assert.Null(panel.Wrong("#password-current"));

        Fill("not what it was", "short", "short");
        panel.WaitForAssertion(() => Assert.NotNull(panel.Wrong("#password-current")), s_patience);
        Assert.NotNull(panel.Wrong("#password-next"));
        Assert.Null(panel.Wrong("#password-again"));

        Fill("a long good sentence", "another long sentence", "another long sentence");
        panel.WaitForAssertion(() => Assert.EndsWith("/sign-in", Services.GetRequiredService<NavigationManager>().Uri, StringComparison.Ordinal), s_patience);

        void Fill(string current, string next, string again)
        {
            foreach (var (field, text) in new[] { ("current", current), ("next", next), ("again", again) }) panel.Find($"#password-{field}").Change(text);
            panel.Button(Say.PasswordChangeDeed).Click();
        }
    }

    [Fact]
    public async Task An_invitation_marks_what_is_wrong_and_gives_its_link_to_who_made_it()
    {
        var provider = Render<MudDialogProvider>();
        var shown = await provider.InvokeAsync(() => Services.GetRequiredService<IDialogService>().ShowAsync<InviteDialog>());
        provider.Find("#invite-email").Change("nobody");
        provider.Find("#invite-name").Change(new string('x', 500));
        provider.Button(Say.InviteDeed).Click();
        provider.WaitForAssertion(() => Assert.NotNull(provider.Wrong("#invite-email")), s_patience);
        Assert.NotNull(provider.Wrong("#invite-name"));

        var email = $"new-{Guid.NewGuid():n}@example.org";
        provider.Find("#invite-email").Change($" {email} ");
        provider.Find("#invite-name").Change("");
        provider.Button(Say.InviteDeed).Click();
        var invited = Assert.IsType<InviteDialog.Invited>((await shown.Result.WaitAsync(s_patience, Cancellation))!.Data);
        Assert.Equal(email, invited.Email);
        Assert.True((await People.LookAtLinkAsync(invited.Link.Token, Cancellation)).Ok);
    }

    [Fact]
    public async Task Who_is_to_become_an_admin_is_asked_about_and_who_only_looks_on_is_not()
    {
        var person = await JoinAsync($"roles-{Guid.NewGuid():n}@example.org", "Grace");
        var provider = await OpenAsync();
        provider.FindAll("[type=checkbox]")[1].Change(true);
        provider.Button(Say.RolesSave).Click();
        provider.WaitForAssertion(() => Assert.Empty(provider.FindAll("[type=checkbox]")), s_patience);
        Assert.Equal((false, true), await RolesAsync());

        provider = await OpenAsync();
        provider.FindAll("[type=checkbox]")[0].Change(true);
        provider.Button(Say.RolesSave).Click();
        provider.WaitForAssertion(() => Assert.Contains(Say.AdminGiveConfirmText, provider.Markup, StringComparison.Ordinal), s_patience);
        Answer(provider, yes: false);
        Assert.Equal((false, true), await RolesAsync());
        provider.Button(Say.RolesSave).Click();
        Answer(provider, yes: true);
        provider.WaitForAssertion(() => Assert.Empty(provider.FindAll("[type=checkbox]")), s_patience);
        Assert.Equal((true, true), await RolesAsync());

        async Task<IRenderedComponent<MudDialogProvider>> OpenAsync()
            => await ShowAsync<RolesDialog>(new DialogParameters<RolesDialog> { { part => part.Person, (await People.PersonAsync(await ActorAsync(), person.Person.ToString(), Cancellation)).Value } });

        async Task<(bool, bool)> RolesAsync()
        {
            var found = (await People.PersonAsync(await ActorAsync(), person.Person.ToString(), Cancellation)).Value;
            return (found.IsAdmin, found.IsAuditor);
        }
    }

    [Fact]
    public async Task The_secret_of_a_webhook_stays_in_sight_until_the_webhook_is_removed()
    {
        var calls = _portal.Services.GetRequiredService<WebhookCalls>();
        Services.AddSingleton(calls);
        var (actor, team) = (await ActorAsync(), $"team-{Guid.NewGuid():n}"[..12]);
        Assert.True((await People.CreateTeamAsync(actor, team, "Europe/Berlin", Cancellation)).Ok);
        IRenderedComponent<WebhooksPanel>? panel = null;
        var dialogs = Render<MudDialogProvider>();
        panel = Render<WebhooksPanel>(parameters => parameters.Add(part => part.Team, team).Add(part => part.Changed, ReadAsync));
        panel.Find("#webhook-address").Change("ftp://example.org");
        panel.Button(Say.WebhookAdd).Click();
        panel.WaitForAssertion(() => Assert.NotNull(panel.Wrong("#webhook-address")), s_patience);

        panel.Find("#webhook-address").Change("https://example.org/hooks/1");
        panel.Button(Say.WebhookAdd).Click();
        panel.WaitForAssertion(() => Assert.Single(panel.FindAll("li")), s_patience);
        var secret = panel.Find("code").TextContent;
        panel.Button(Say.Remove).Click();
        dialogs.WaitForAssertion(() => Assert.Contains("example.org", dialogs.Markup, StringComparison.Ordinal), s_patience);
        Answer(dialogs, yes: false);
        Assert.Equal(secret, panel.Find("code").TextContent);
        panel.Button(Say.Remove).Click();
        Answer(dialogs, yes: true);
        panel.WaitForAssertion(() => Assert.Empty(panel.FindAll("li, code")), s_patience);
        Assert.Empty((await calls.ListAsync(actor, team, Cancellation)).Value);

        async Task ReadAsync()
        {
            var now = (await calls.ListAsync(actor, team, Cancellation)).Value;
            await panel!.InvokeAsync(() => panel!.Render(parameters => parameters.Add(part => part.Webhooks, now)));
        }
    }

    [Fact]
    public void A_lab_in_trouble_says_why_as_text_and_offers_the_way_on_to_whom_it_is_open()
    {
        Services.AddSingleton(_portal.Services.GetRequiredService<LabCalls>());
        Services.AddScoped<LabDeeds>();
        var why = new Reason("run.abandoned", ("reason", "<i>tired</i>"), ("workflow", "provision"));
        var lab = Lab(LabState.Provisioning, Lease) with { Run = Trial(RunState.Stuck) with { Problem = why } };
        var stuck = Trouble(lab with { Verbs = [LabVerb.Retry, LabVerb.Abandon] });
        Assert.Equal([Look.OfVerb(LabVerb.Retry), Look.OfVerb(LabVerb.Abandon)], stuck.Buttons());
        Assert.Contains("<i>tired</i>", stuck.Find("[role=alert]").TextContent, StringComparison.Ordinal);
        Assert.Empty(stuck.FindAll("i"));
        var looksOn = Trouble(lab);
        Assert.Empty(looksOn.Buttons());
        Assert.Contains(Say.StuckWait, looksOn.Markup, StringComparison.Ordinal);

        Assert.Contains(Say.RunWaits, Trouble(lab with { Run = Trial(RunState.Running) with { Problem = why } }).Markup, StringComparison.Ordinal);
        var failed = Trouble(lab with { State = LabState.Failed, Run = null, Reason = why, Blueprint = "a b" });
        Assert.Contains(Say.FailedTitle, failed.Markup, StringComparison.Ordinal);
        Assert.Equal("catalogue/a%20b", failed.Find("a").GetAttribute("href"));
        var degraded = Trouble(lab with { State = LabState.Ready, Run = null, Reason = why });
        Assert.Contains(Say.DegradedTitle, degraded.Markup, StringComparison.Ordinal);
        Assert.Empty(degraded.FindAll("a"));
        Assert.Empty(Trouble(lab with { State = LabState.Ready, Run = null }).Markup.Trim());

        IRenderedComponent<LabTrouble> Trouble(LabView of) => Render<LabTrouble>(parameters => parameters.Add(part => part.Lab, of));
    }

    [Fact]
    public async Task What_a_dialog_of_a_lab_cannot_do_is_told_in_it_and_it_stays_open()
    {
        Services.AddSingleton(_portal.Services.GetRequiredService<LabCalls>());
        var lab = await RunningAsync();
        var snapshot = await ShowAsync<SnapshotDialog>(new DialogParameters<SnapshotDialog> { { part => part.Lab, lab } });
        snapshot.Find("#snapshot-name").Change("");
        snapshot.Button(Say.SnapshotDeed).Click();
        snapshot.WaitForAssertion(() => Assert.NotNull(snapshot.Wrong("#snapshot-name")), s_patience);

        var extend = await ShowAsync<ExtendDialog>(new DialogParameters<ExtendDialog> { { part => part.Lab, lab } });
        extend.Find("input[type=number]").Input("1000");
        extend.Button(Say.ExtendDeed).Click();
        extend.WaitForAssertion(() => Assert.Contains(extend.FindAll("[aria-invalid=true], .note"), _ => true), s_patience);
        Assert.Equal(lab.Lease.End, (await _portal.Services.GetRequiredService<LabCalls>().FindAsync(await ActorAsync(), lab.Id, Cancellation)).Value.Lease.End);
        extend.Find("input[type=number]").Input("1");
        extend.Button(Say.ExtendDeed).Click();
        extend.WaitForAssertion(() => Assert.DoesNotContain(Say.ExtendTitle.With(("name", lab.Name)), extend.Markup, StringComparison.Ordinal), s_patience);
    }

    [Fact]
    public async Task A_machine_offers_the_verbs_of_its_state_and_the_ways_in_that_its_pool_has()
    {
        Services.AddSingleton(_portal.Services.GetRequiredService<LabCalls>());
        Services.AddSingleton(_portal.Services.GetRequiredService<ConsoleCalls>());
        Services.AddScoped<LabDeeds>();
        var lab = await RunningAsync();
        var machine = lab.Machines[0];
        var card = Card(machine);
        card.WaitForAssertion(() => Assert.Contains(card.FindAll("a"), way => way.GetAttribute("href") == $"labs/{lab.Id}/machines/{machine.Name}/console"), s_patience);
        // The lab's own buttons stop a lab of one machine.
        Assert.DoesNotContain(Look.OfVerb(LabVerb.Stop), card.Buttons());

        var stopped = Card(machine with { State = MachineState.Stopped }, lab with { Verbs = [LabVerb.Start, LabVerb.Stop] });
        Assert.Equal([Look.OfVerb(LabVerb.Start)], stopped.Buttons());
        Assert.Empty(stopped.FindAll("a"));
        var told = Card(machine with { Start = MachineStart.Cold("<u>no room</u>"), Access = [new("ssh", "address", "10.0.0.9", 2222, "root", null), new("rdp", "address", "10.0.0.9", 3389, "x", null)] });
        Assert.Contains("ssh -p 2222 root@10.0.0.9", told.Markup, StringComparison.Ordinal);
        Assert.Single(told.FindAll("code:not(.tag)"));
        Assert.Contains("<u>no room</u>", told.Find(".machine").TextContent, StringComparison.Ordinal);
        Assert.Empty(told.FindAll("u"));

        IRenderedComponent<MachineCard> Card(MachineView of, LabView? inside = null) => Render<MachineCard>(parameters => parameters.Add(part => part.Lab, inside ?? lab).Add(part => part.Machine, of));
    }

    [Fact]
    public async Task A_log_that_was_asked_for_before_another_machine_was_chosen_is_not_shown_under_that_ones_name()
    {
        Services.AddSingleton(_portal.Services.GetRequiredService<LabCalls>());
        var lab = await RunningAsync();
        var until = new TaskCompletionSource();
        _signed.Until = until.Task;
        var log = Render<SerialLog>(parameters => parameters.Add(part => part.Lab, lab with { Machines = [lab.Machines[0], lab.Machines[0] with { Name = "gone" }] }));
        log.Find("select").Change("gone");
        until.SetResult();
        log.WaitForAssertion(() => Assert.Contains(Say.SerialLogNone, log.Markup, StringComparison.Ordinal), s_patience);
        Assert.Empty(log.FindAll("pre"));

        log.Find("select").Change(lab.Machines[0].Name);
        log.WaitForAssertion(() => Assert.Single(log.FindAll("pre")), s_patience);
    }

    [Fact]
    public void A_run_tells_where_its_machines_are_and_a_trace_only_where_there_is_one()
    {
        var run = Trial(RunState.Running) with { LabName = "<s>try</s>" };
        var plain = Render<RunFacts>(parameters => parameters.Add(part => part.Run, run));
        Assert.Single(plain.FindAll("code"));
        Assert.DoesNotContain(Say.Over, plain.Texts("dt"));
        Assert.Equal("<s>try</s>", plain.Find("dd a").TextContent);
        var over = Render<RunFacts>(parameters => parameters.Add(part => part.Run, run with { TraceId = "abc", FinishedAt = s_noon }));
        Assert.Equal(["abc"], over.Texts("code").Skip(1));
        Assert.Contains(Say.Over, over.Texts("dt"));
    }

    private static Lease Lease { get; } = new() { Start = s_noon - Duration.FromHours(1), End = s_noon + Duration.FromHours(3), Grace = Duration.FromHours(24), Zone = "UTC" };

    /// <summary>What is asked before something that cannot be taken back.</summary>
    private static void Answer(IRenderedComponent<MudDialogProvider> dialogs, bool yes)
    {
        dialogs.WaitForAssertion(() => Assert.NotEmpty(dialogs.FindComponents<ConfirmDialog>()), s_patience);
        dialogs.FindComponents<ConfirmDialog>()[^1].FindAll("button")[yes ? ^1 : ^2].Click();
        dialogs.WaitForAssertion(() => Assert.Empty(dialogs.FindComponents<ConfirmDialog>()), s_patience);
    }
}
