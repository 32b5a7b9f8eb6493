using Bunit;
using LabPortal.Data;
using LabPortal.Data.People;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using LabPortal.Domain.People;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Catalogue;
using LabPortal.Operations.Labs;
using LabPortal.Operations.People;
using LabPortal.Operations.Pools;
using LabPortal.Operations.Quotas;
using LabPortal.Testing;
using LabPortal.Web.Features.Consoles;
using LabPortal.Web.Features.Leases;
using LabPortal.Web.Features.People;
using LabPortal.Web.Features.Pools;
using LabPortal.Web.Features.Quotas;
using LabPortal.Web.Features.Shell;
using LabPortal.Web.Hosting;
using LabPortal.Web.Texts;
using Microsoft.AspNetCore.Components;
using Microsoft.AspNetCore.Components.Authorization;
using Microsoft.Extensions.DependencyInjection;
using MudBlazor;
using MudBlazor.Services;
using NodaTime;

namespace LabPortal.Web.Tests.Features;

/// <summary>Parts of pages that decide something, drawn alone; what they call is a whole portal.</summary>
public sealed partial class PartsTests : BunitContext, IClassFixture<TestPortal>, IAsyncLifetime
{
    private static readonly Instant s_noon = Instant.FromUtc(2026, 7, 1, 12, 0);
    private static readonly Actor s_member = new() { Person = new PersonId(Guid.Empty), Name = "Grace", Channel = Channel.Session };
    private static readonly Actor s_admin = s_member with { IsAdmin = true };
    private readonly TestPortal _portal;
    private readonly Signed _signed = new();
    private readonly Microsoft.Extensions.Time.Testing.FakeTimeProvider _clock = new(s_noon.ToDateTimeOffset());

    public PartsTests(TestPortal portal)
    {
        _portal = portal;
        JSInterop.Mode = JSRuntimeMode.Loose;
        Services.AddMudServices();
        Services.AddSingleton<TimeProvider>(_clock);
        Services.AddSingleton<AuthenticationStateProvider>(_signed);
        foreach (var calls in new[] { typeof(PeopleCalls), typeof(PoolCalls), typeof(QuotaCalls), typeof(CatalogueCalls) }) Services.AddSingleton(calls, portal.Services.GetRequiredService(calls));
        Services.AddScoped<Browser>();
        Services.AddScoped<Ticker>();
        Services.AddScoped<Caller>();
        Services.AddScoped<Commands>();
    }

    private static CancellationToken Cancellation => Xunit.TestContext.Current.CancellationToken;

    private PeopleCalls People => _portal.Services.GetRequiredService<PeopleCalls>();

    /// <summary>Who clicks is an admin, who signed up anew for each test.</summary>
    public async ValueTask InitializeAsync() => _signed.As = await JoinAsync($"admin-{Guid.NewGuid():n}@example.org", "Ada", admin: true);

    [Fact]
    public void Who_types_is_asked_to_give_or_keep_and_nobody_else_is()
    {
        var answers = new List<string>();
        var room = new ConsoleRoomNote(1, true, 1, 2, false, false, [new(1, "Ada"), new(2, "<b>Grace</b>")]);
        var line = Render<ConsoleRoomLine>(parameters => parameters.Add(part => part.Room, room).Add(part => part.Ask, answers.Add));
        foreach (var answer in new[] { 0, 1 }) line.FindAll("button")[answer].Click();

        Assert.Equal(["give", "keep"], answers);
        Assert.Contains("<b>Grace</b>", line.Find("[role=status]").TextContent, StringComparison.Ordinal);
        Assert.Empty(line.FindAll("b"));
        line.Render(parameters => parameters.Add(part => part.Room, room with { You = 2 }));
        Assert.Empty(line.FindAll("button"));
        Assert.Single(line.FindAll("[data-types]"));
    }

    [Fact]
    public void Who_asked_in_vain_is_told_so_and_who_lost_a_piece_of_what_was_shown_too()
    {
        var room = new ConsoleRoomNote(2, true, 1, null, false, false, [new(1, "Ada"), new(2, "Grace")]);
        var line = Render<ConsoleRoomLine>(parameters => parameters.Add(part => part.Room, room));
        var plain = line.Markup;
        line.Render(parameters => parameters.Add(part => part.Room, room with { Kept = true }));
        Assert.Contains("Ada", line.Markup[plain.Length..], StringComparison.Ordinal);
        line.Render(parameters => parameters.Add(part => part.Room, room with { Skipped = true }));
        Assert.Contains(Say.ConsoleSkipped, line.Markup, StringComparison.Ordinal);
        Assert.DoesNotContain(Say.ConsoleSkipped, plain, StringComparison.Ordinal);
    }

    [Fact]
    public void An_image_that_is_not_the_same_on_all_hosts_is_said_to_differ_with_who_has_which()
    {
        var (first, second) = (Present("one", "sha256:aa"), Present("two", "sha256:bb"));
        var differing = Images(s_admin, first, second);
        Assert.Contains(Say.DigestsDiffer, differing.Markup, StringComparison.Ordinal);
        Assert.Contains(differing.FindAll(".mono"), line => line.TextContent == "sha256:bb · two");

        var same = Images(s_admin, first, Present("two", "sha256:aa"));
        Assert.DoesNotContain(Say.DigestsDiffer, same.Markup, StringComparison.Ordinal);
        Assert.Single(same.FindAll(".mono"));
        Assert.Empty(same.FindAll("button"));

        static ImagePresenceView Present(string host, string digest) => new("tiny", "1", host, "present", digest, false, 100, 100, null);
    }

    [Fact]
    public void An_image_on_its_way_shows_how_far_it_is_and_only_who_may_can_fetch_what_lacks()
    {
        ImagePresenceView[] images = [new("tiny", "1", "one", "importing", null, false, 200 << 20, 50 << 20, null), new("tiny", "1", "two", "missing", null, false, 0, 0, "nowhere")];
        var bar = Images(s_admin, images).Find(".load");
        Assert.Contains("50 MiB", bar.GetAttribute("aria-label"), StringComparison.Ordinal);
        Assert.Contains("one", bar.GetAttribute("aria-label"), StringComparison.Ordinal);
        Assert.Single(Images(s_admin, images).FindAll("button"));
        Assert.Empty(Images(s_member, images).FindAll("button"));
        // Who cannot fetch it is told instead what the provider says.
        Assert.Contains("nowhere", Images(s_member, images).Markup, StringComparison.Ordinal);
    }

    [Fact]
    public void Orphans_are_decided_on_once_and_by_admins_alone()
    {
        OrphanView[] orphans = [Orphan("listed"), Orphan("adopted"), Orphan("deleting")];
        Assert.Equal(2, Table(s_admin).FindAll("tbody button").Count);
        Assert.Equal(2, Table(s_admin).FindAll("tbody tr")[0].QuerySelectorAll("button").Length);
        Assert.Empty(Table(s_member with { IsAuditor = true }).FindAll("tbody button"));
        Assert.Empty(Table(s_admin).FindAll("script"));

        IRenderedComponent<OrphanTable> Table(Actor actor) => Render<OrphanTable>(parameters => parameters.AddCascadingValue(actor).Add(table => table.Orphans, new Page<OrphanView>(orphans, null)));
        static OrphanView Orphan(string state) => new(Guid.NewGuid(), "pretend", "machine", "x", "<script>alert(1)</script>", null, null, "qa", 1, "host", state, s_noon, s_noon, null);
    }

    [Fact]
    public async Task Who_is_put_into_a_team_requests_in_it_and_who_cannot_be_is_not_offered()
    {
        var (actor, name) = (await ActorAsync(), $"team-{Guid.NewGuid():n}"[..12]);
        var (inside, out_, gone) = (await JoinAsync($"in-{name}@example.org", "In"), await JoinAsync($"out-{name}@example.org", "Out"), await JoinAsync($"gone-{name}@example.org", "Gone"));
        Assert.True((await People.SetDisabledAsync(actor, gone.Person, true, Cancellation)).Ok);
        Assert.True((await People.CreateTeamAsync(actor, name, "Europe/Berlin", Cancellation)).Ok);
        var team = (await People.SetMemberAsync(actor, name, inside.Person, TeamRole.Manager, Cancellation)).Value;
        var changed = 0;
        var panel = Render<MembersPanel>(parameters => parameters.AddCascadingValue(actor).Add(part => part.Team, team).Add(part => part.Changed, () => changed++));

        panel.WaitForAssertion(() => Assert.Contains(out_.Person.ToString(), panel.Markup, StringComparison.Ordinal), TimeSpan.FromMinutes(1));
        var offered = panel.FindAll("select")[^1];
        var ids = offered.QuerySelectorAll("option").Select(option => option.GetAttribute("value")).ToList();
        Assert.Contains(out_.Person.ToString(), ids);
        Assert.DoesNotContain(inside.Person.ToString(), ids);
        Assert.DoesNotContain(gone.Person.ToString(), ids);
        offered.Change(out_.Person.ToString());
        panel.FindAll("button")[^1].Click();
        panel.WaitForAssertion(() => Assert.Equal(1, changed), TimeSpan.FromMinutes(1));
        var members = (await People.TeamAsync(actor, name, Cancellation)).Value.Members;
        Assert.Equal(TeamRole.Requester, members.Single(member => member.Person == out_.Person).Role);

        // A declared team, and somebody who may not: names alone.
        foreach (var (who, declared) in new[] { (actor, true), (s_member, false) })
        {
            var plain = Render<MembersPanel>(parameters => parameters.AddCascadingValue(who).Add(part => part.Team, team with { Declared = declared }));
            Assert.Empty(plain.FindAll("select, button"));
            Assert.Contains("In", plain.Find("tbody").TextContent, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Who_was_chosen_and_is_no_longer_offered_is_not_added_and_a_search_that_breaks_is_said()
    {
        var (actor, name) = (await ActorAsync(), $"team-{Guid.NewGuid():n}"[..12]);
        var team = (await People.CreateTeamAsync(actor, name, "Europe/Berlin", Cancellation)).Value;
        var sought = new PersonId(Guid.NewGuid());
        await _portal.Services.GetRequiredService<Database>().WriteAsync(
            async session =>
            {
                foreach (var i in Enumerable.Range(0, 51))
                    await PersonStore.AddAsync(session, new Person { Id = i == 50 ? sought : new PersonId(Guid.NewGuid()), Name = $"Zoe {i}", Email = $"zoe{i}@{name}.example.org", CreatedAt = s_noon });
            },
            Cancellation);
        var changed = 0;
        var panel = Render<MembersPanel>(parameters => parameters.AddCascadingValue(actor).Add(part => part.Team, team).Add(part => part.Changed, () => changed++));
        panel.WaitForAssertion(() => Assert.Equal(51, panel.FindAll("option").Count), s_patience);

        panel.Find("select").Change(panel.FindAll("option")[1].GetAttribute("value"));
        panel.Find("[type=search]").Change($"zoe50@{name}");
        panel.WaitForAssertion(() => Assert.Equal(["", sought.ToString()], panel.FindAll("option").Select(option => option.GetAttribute("value"))), s_patience);
        panel.FindAll("button")[^1].Click();
        panel.Find("select").Change(sought.ToString());
        panel.FindAll("button")[^1].Click();
        panel.WaitForAssertion(() => Assert.Equal(1, changed), s_patience);
        Assert.Equal([sought], (await People.TeamAsync(actor, name, Cancellation)).Value.Members.Select(member => member.Person));

        _signed.Fault = new TimeoutException("The database is away.");
        panel.Find("[type=search]").Change("zoe");
        panel.WaitForAssertion(() => Assert.Contains(Say.PageBroke, panel.Find(".note").TextContent, StringComparison.Ordinal), s_patience);
        _signed.Fault = null;
        panel.Render(parameters => parameters.Add(part => part.Team, team));
        panel.WaitForAssertion(() => Assert.Empty(panel.FindAll(".note")), s_patience);
    }

    [Fact]
    public void Links_to_other_pages_of_a_list_keep_the_filter_that_was_chosen_last()
    {
        var navigation = Services.GetRequiredService<NavigationManager>();
        navigation.NavigateTo("/labs?state=ready");
        var pager = Render<Pager>(parameters => parameters.Add(part => part.After, "a").Add(part => part.Next, "b"));
        navigation.NavigateTo("/labs?state=ended&after=a");
        pager.WaitForAssertion(
            () => Assert.Equal(["http://localhost/labs?state=ended", "http://localhost/labs?state=ended&after=b"], pager.FindAll("a").Select(link => link.GetAttribute("href"))), s_patience);
    }

    [Fact]
    public void A_lease_says_what_comes_next_whatever_state_its_lab_is_in()
    {
        var lease = new Lease { Start = s_noon - Duration.FromHours(1), End = s_noon + Duration.FromHours(3), Grace = Duration.FromHours(24), Zone = "UTC" };
        Assert.Contains("width:25%", Line(LabState.Ready, lease), StringComparison.Ordinal);
        Assert.DoesNotContain(Say.LeaseDeletedAtEnd, Line(LabState.Ready, lease), StringComparison.Ordinal);
        Assert.Contains(Say.LeaseDeletedAtEnd, Line(LabState.Ready, lease with { Grace = Duration.Zero }), StringComparison.Ordinal);
        Assert.Contains(Say.LeaseGraceText, Line(LabState.Grace, lease), StringComparison.Ordinal);
        Assert.Contains(Say.LeaseEndingText, Line(LabState.Ending, lease), StringComparison.Ordinal);
        Assert.Contains(Say.LeaseOver, Line(LabState.Ended, lease), StringComparison.Ordinal);
        Assert.Contains(Say.LeaseCountsFromReady, Line(LabState.Provisioning, lease with { End = null, Length = Duration.FromHours(4) }), StringComparison.Ordinal);
        // Longer than it should have: full, and not more.
        Assert.Contains("width:100%", Line(LabState.Ready, lease with { End = s_noon - Duration.FromMinutes(1) }), StringComparison.Ordinal);

        string Line(LabState state, Lease of) => Render<LeaseLine>(parameters => parameters.Add(line => line.Lab, Lab(state, of))).Markup;
    }

    [Fact]
    public async Task A_pool_is_drained_after_who_is_affected_was_shown()
    {
        await ApplyAsync(SimulatedCatalogue.Yaml());
        AffectedLabView[] affected = [new(new LabId(Guid.NewGuid()), "<i>mine</i>", "ready", "qa", "Grace", null, [new("web", "running", "host-1"), new("db", "pending", null)])];
        var dialog = await ShowAsync<PoolModeDialog>(new DialogParameters<PoolModeDialog> { { part => part.Pool, "pretend" }, { part => part.Mode, PoolMode.Draining }, { part => part.Affected, affected } });

        Assert.Contains("<i>mine</i>", dialog.Find(".affected").TextContent, StringComparison.Ordinal);
        Assert.Contains("web (host-1), db", dialog.Find(".affected").TextContent, StringComparison.Ordinal);
        Assert.Contains(Say.DrainText, dialog.Markup, StringComparison.Ordinal);
        Assert.Equal("healthy", await StateAsync());
        dialog.FindAll("button")[^1].Click();
        dialog.WaitForAssertion(() => Assert.Empty(dialog.FindAll(".affected")), TimeSpan.FromMinutes(1));
        Assert.Equal("draining", await StateAsync());

        async Task<string> StateAsync()
        {
            var found = (await _portal.Services.GetRequiredService<PoolCalls>().FindAsync(s_admin, "pretend", Cancellation)).Value.State;
            return found == "draining" ? found : "healthy";
        }
    }

    [Fact]
    public async Task A_limit_that_is_no_number_is_told_at_its_field_and_nothing_is_saved_until_all_are()
    {
        var (actor, name) = (await ActorAsync(), $"team-{Guid.NewGuid():n}"[..12]);
        Assert.True((await People.CreateTeamAsync(actor, name, "Europe/Berlin", Cancellation)).Ok);
        var dialog = await ShowAsync<QuotaDialog>(new DialogParameters<QuotaDialog> { { part => part.Team, await UseAsync() } });
        dialog.Find("#quota-labs").Change("7");
        dialog.Find("#personQuota-cpu").Change("many");
        dialog.FindAll("button")[^1].Click();
        dialog.WaitForAssertion(() => Assert.Equal("true", dialog.Find("#personQuota-cpu").GetAttribute("aria-invalid")), TimeSpan.FromMinutes(1));
        Assert.NotEqual("true", dialog.Find("#quota-labs").GetAttribute("aria-invalid"));
        Assert.All((await UseAsync()).Use, line => Assert.Null(line.Limit));

        dialog.Find("#personQuota-cpu").Change("2");
        dialog.FindAll("button")[^1].Click();
        dialog.WaitForAssertion(() => Assert.Empty(dialog.FindAll("#quota")), TimeSpan.FromMinutes(1));
        var saved = (await UseAsync()).Use;
        Assert.Equal((7, 2), (saved.Single(line => line.Dimension == "labs").Limit, saved.Single(line => line.Dimension == "cpu").PersonLimit));

        async Task<TeamUseView> UseAsync() => (await _portal.Services.GetRequiredService<QuotaCalls>().TreeAsync(actor, name, 1, null, Cancellation)).Items.Single(team => team.Team == name);
    }

    private IRenderedComponent<ImageTable> Images(Actor actor, params ImagePresenceView[] images) => Render<ImageTable>(parameters => parameters.AddCascadingValue(actor).Add(table => table.Pool, new PoolView
    {
        Id = new PoolId(Guid.Empty),
        Name = "pretend",
        Provider = "simulated",
        State = "healthy",
        Problems = [],
        CheckedAt = null,
        Labels = [],
        Limits = new PoolLimits(),
        OperationsNow = 0,
        BootsNow = 0,
        Hosts = [.. images.Select(image => new HostView(image.Host, 1, 0, 1, 0, 1, 0, 1, 0, null, null))],
        Images = images,
        Declared = false,
    }));

    private static LabView Lab(LabState state, Lease lease) => new()
    {
        Id = new LabId(Guid.Empty),
        Name = "lab",
        Blueprint = "pair",
        BlueprintTitle = "Pair",
        BlueprintVersion = 1,
        TeamId = new TeamId(Guid.Empty),
        Team = "qa",
        OwnerId = new PersonId(Guid.Empty),
        Owner = "Ada",
        Labels = new Dictionary<string, string>(),
        Parameters = new Dictionary<string, string>(),
        State = state,
        Health = LabHealth.Ok,
        Reason = null,
        Version = 1,
        Lease = lease,
        RequestedAt = lease.Start,
        ReadyAt = lease.Start,
        EndedAt = state == LabState.Ended ? s_noon : null,
        Machines = [],
        Run = null,
        Verbs = [],
        HasClean = false,
        HasPassword = false,
        Usage = new UsageView(0, null),
    };

    private async Task<IRenderedComponent<MudDialogProvider>> ShowAsync<TDialog>(DialogParameters<TDialog> parameters) where TDialog : IComponent
    {
        var provider = Render<MudDialogProvider>();
        await provider.InvokeAsync(() => Services.GetRequiredService<IDialogService>().ShowAsync<TDialog>(null, parameters));
        return provider;
    }

    private async Task ApplyAsync(string yaml)
    {
        var applied = await _portal.Services.GetRequiredService<CatalogueCalls>().ApplyAsync(Actor.Portal("test"), yaml, false, false, Cancellation);
        Assert.True(applied.Ok, applied.Refusal is { } refusal ? Commands.Told(refusal) : "");
    }

    private async Task<SignedIn> JoinAsync(string email, string name, bool admin = false)
    {
        var link = (await People.InviteAsync(Actor.Portal("test"), email, name, null, null, admin, false, Cancellation)).Value;
        return (await People.UseLinkAsync(link.Token, name, null, "a long good sentence", null, Cancellation)).Value;
    }

    private async Task<Actor> ActorAsync() => (await People.ActorOfAsync(_signed.As!.Person, _signed.As.Stamp, null, null, Cancellation))!;

    private sealed class Signed : AuthenticationStateProvider
    {
        public SignedIn? As { get; set; }
        public Exception? Fault { get; set; }

        /// <summary>Nobody is told who asks before that.</summary>
        public Task Until { get; set; } = Task.CompletedTask;

        public override async Task<AuthenticationState> GetAuthenticationStateAsync()
        {
            await Until;
            return Fault is not null ? throw Fault : new AuthenticationState(Callers.Principal(As!, "session"));
        }
    }
}
