using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using LabPortal.Operations.Labs;
using LabPortal.Operations.People;
using LabPortal.Operations.Tests.Labs;
using LabPortal.Testing;
using Microsoft.Extensions.Time.Testing;
using NodaTime;
using Xunit;

namespace LabPortal.Operations.Tests.Leases;

/// <summary>Labs that live only while somebody says that they are wanted.</summary>
public sealed class HeartbeatTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private static LabRequest Kept(decimal minutes = 20, decimal hours = 4) => LabsUnderTest.Pair() with { Lease = new LeaseRequest(hours, HeartbeatMinutes: minutes) };

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Where_no_beat_comes_for_the_term_the_lab_ends_in_every_state_and_its_owner_is_warned_and_told(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa", ("team", "labs", 3));
        var ready = (await labs.Calls.RequestAsync(ada, Kept(), null, Cancellation)).Value.Id;
        var building = (await labs.Calls.RequestAsync(ada, Kept(), null, Cancellation)).Value.Id;
        var scheduled = (await labs.Calls.RequestAsync(ada, Kept() with { Start = labs.Now + Duration.FromHours(2) }, null, Cancellation)).Value.Id;
        await labs.BecomeAsync(ready, LabState.Ready);
        var sweep = labs.Sweep();
        await sweep.PassAsync(Cancellation);

        await PassForAsync(labs, sweep, Duration.FromMinutes(10));
        Assert.Equal(3, (await NoticesAsync(labs, ada)).Count(code => code == "heartbeat.is-missing"));
        await PassForAsync(labs, sweep, Duration.FromMinutes(10) - Duration.FromSeconds(10));
        foreach (var lab in new[] { ready, building, scheduled }) Assert.NotEqual(LabState.Ending, await StateAsync(labs, ada, lab));
        Assert.Equal(3, await labs.CountAsync("SELECT count(*) FROM quota_holds WHERE to_at IS NOT NULL AND dimension = 'labs'"));

        await PassForAsync(labs, sweep, Duration.FromSeconds(10));
        foreach (var lab in new[] { ready, building, scheduled }) Assert.Equal(LabState.Ending, await StateAsync(labs, ada, lab));
        // The quota is held until the end is confirmed, as at every end.
        Assert.Equal(3, await labs.CountAsync("SELECT count(*) FROM quota_holds WHERE to_at IS NULL AND dimension = 'labs'"));
        Assert.Equal(3, await labs.CountAsync("SELECT count(*) FROM events WHERE data LIKE '%heartbeat.missed%'"));
        Assert.Equal(3, (await NoticesAsync(labs, ada)).Count(code => code == "heartbeat.ended-by"));
        Assert.Equal("heartbeat.is-missing", (await NoticesAsync(labs, ada)).Except(["heartbeat.ended-by"]).Single());
        Assert.Equal("lab.ending-already", (await labs.Calls.BeatAsync(ada, ready, Cancellation)).Refusal!.Code);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Beats_keep_a_lab_to_the_end_of_its_lease_and_not_a_moment_longer(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        var lab = (await labs.Calls.RequestAsync(ada, Kept(minutes: 5, hours: 1), null, Cancellation)).Value.Id;
        await labs.BecomeAsync(lab, LabState.Ready);
        var end = (await labs.Calls.FindAsync(ada, lab, Cancellation)).Value.Lease.End!.Value;
        var sweep = labs.Sweep();
        while (labs.Now < end)
        {
            Assert.Equal(end, (await labs.Calls.BeatAsync(ada, lab, Cancellation)).Value.Lease.End);
            Assert.Equal(0, await labs.CountAsync("SELECT count(*) FROM runs WHERE workflow = 'stop'"));
            await PassForAsync(labs, sweep, Duration.FromMinutes(2));
        }

        Assert.Equal(1, await labs.CountAsync("SELECT count(*) FROM runs WHERE workflow = 'stop' AND arguments LIKE '%grace%'"));
        Assert.DoesNotContain("heartbeat.is-missing", await NoticesAsync(labs, ada));
        // Nor does a beat hold up the deletion at the end of grace.
        await labs.BecomeAsync(lab, LabState.Grace);
        while (labs.Now < end + Duration.FromHours(1))
        {
            await labs.Calls.BeatAsync(ada, lab, Cancellation);
            await PassForAsync(labs, sweep, Duration.FromMinutes(2));
        }

        Assert.Equal(LabState.Ending, await StateAsync(labs, ada, lab));
        Assert.Contains("lease.deletion-begun", await NoticesAsync(labs, ada));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Time_in_which_the_portal_was_away_is_nobodys_silence(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        var lab = (await labs.Calls.RequestAsync(ada, Kept(minutes: 5), null, Cancellation)).Value.Id;
        await labs.BecomeAsync(lab, LabState.Ready);
        var sweep = labs.Sweep();
        await PassForAsync(labs, sweep, Duration.FromMinutes(4));

        // It stood still with its database; then it was stopped and started again.
        foreach (var after in new[] { sweep, labs.Sweep() })
        {
            labs.Time.Advance(TimeSpan.FromHours(1));
            await PassForAsync(labs, after, Duration.FromMinutes(5) - Duration.FromSeconds(5));
            Assert.Equal(LabState.Ready, await StateAsync(labs, ada, lab));
        }

        sweep = labs.Sweep();
        labs.Time.Advance(TimeSpan.FromMinutes(30));
        await PassForAsync(labs, sweep, Duration.FromMinutes(5));
        Assert.Equal(LabState.Ending, await StateAsync(labs, ada, lab));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Who_may_extend_a_lab_may_tie_it_and_let_it_go_which_is_audited_and_a_beat_is_not(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        var stranger = await labs.TeamAsync("other");
        var lab = (await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(), null, Cancellation)).Value.Id;
        await labs.BecomeAsync(lab, LabState.Ready);

        Assert.Equal("heartbeat.not-tied", (await labs.Calls.BeatAsync(ada, lab, Cancellation)).Refusal!.Code);
        Assert.Equal("heartbeat.not-tied", (await labs.Calls.LetGoAsync(ada, lab, Cancellation)).Refusal!.Code);
        foreach (var minutes in new[] { 0m, 0.9m, -5m, 1440.1m }) Assert.Equal("heartbeat.range", Assert.Single((await labs.Calls.TieAsync(ada, lab, minutes, Cancellation)).Refusal!.Errors!).Code);
        Assert.Equal("lease.heartbeatMinutes", Assert.Single((await labs.Calls.RequestAsync(ada, Kept(minutes: 0), null, Cancellation)).Refusal!.Errors!).Field);

        var tied = (await labs.Calls.TieAsync(ada, lab, 1.5m, Cancellation)).Value.Lease.Heartbeat;
        Assert.Equal(new Heartbeat(Duration.FromSeconds(90), labs.Now), tied);
        var lines = await labs.CountAsync("SELECT count(*) FROM audit");
        labs.Time.Advance(TimeSpan.FromSeconds(30));
        Assert.Equal(labs.Now, (await labs.Calls.BeatAsync(ada, lab, Cancellation)).Value.Lease.Heartbeat!.BeatAt);
        Assert.Equal(lines, await labs.CountAsync("SELECT count(*) FROM audit"));
        Assert.Equal(RefusalKind.NotFound, (await labs.Calls.BeatAsync(stranger, lab, Cancellation)).Refusal!.Kind);
        Assert.Equal(RefusalKind.NotFound, (await labs.Calls.TieAsync(stranger, lab, 5, Cancellation)).Refusal!.Kind);
        Assert.Null((await labs.Calls.LetGoAsync(ada, lab, Cancellation)).Value.Lease.Heartbeat);
        Assert.Equal(2, await labs.CountAsync("SELECT count(*) FROM audit WHERE verb IN ('tie-to-heartbeat', 'let-go-of-heartbeat') AND outcome = 'done'"));

        var sweep = labs.Sweep();
        await PassForAsync(labs, sweep, Duration.FromMinutes(5));
        Assert.Equal(LabState.Ready, await StateAsync(labs, ada, lab));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_pass_that_stands_still_in_the_middle_hears_first_and_ends_nobody(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        var lab = (await labs.Calls.RequestAsync(ada, Kept(minutes: 5), null, Cancellation)).Value.Id;
        await labs.BecomeAsync(lab, LabState.Ready);
        await PassForAsync(labs, labs.Sweep(), Duration.FromMinutes(1));

        // Between each two looks at the clock of one pass the process may stand still for an hour; then beats could not be taken.
        for (var reads = 1; reads <= 4; reads++)
        {
            var clock = new StandsStill(labs.Time, reads);
            await labs.Sweep(clock).PassAsync(Cancellation);
            // A pass looks twice at least; else this shows nothing.
            Assert.True(clock.Stood || reads > 1);
            Assert.Equal(LabState.Ready, await StateAsync(labs, ada, lab));
        }
    }

    /// <summary>As the portal does it: a look every few seconds.</summary>
    private static async Task PassForAsync(LabsUnderTest labs, Operations.Leases.LeaseSweep sweep, Duration length)
    {
        for (var end = labs.Now + length; ;)
        {
            await sweep.PassAsync(Cancellation);
            if (labs.Now >= end) return;
            labs.Time.Advance(Duration.Min(end - labs.Now, Duration.FromSeconds(10)).ToTimeSpan());
        }
    }

    private static async Task<LabState> StateAsync(LabsUnderTest labs, Domain.People.Actor actor, LabId lab) => (await labs.Calls.FindAsync(actor, lab, Cancellation)).Value.State;

    private static async Task<IReadOnlyList<string>> NoticesAsync(LabsUnderTest labs, Domain.People.Actor actor)
        => [.. (await new NoticeCalls(labs.Database, labs.Time).ListAsync(actor, 100, null, Cancellation)).Items.Select(notice => notice.Code)];

    /// <summary>The same clock; before one of its reads an hour goes by.</summary>
    private sealed class StandsStill(FakeTimeProvider clock, int before) : TimeProvider
    {
        private int _reads;

        public bool Stood => _reads > before;

        public override DateTimeOffset GetUtcNow()
        {
            if (++_reads == before + 1) clock.Advance(TimeSpan.FromHours(1));
            return clock.GetUtcNow();
        }
    }
}
