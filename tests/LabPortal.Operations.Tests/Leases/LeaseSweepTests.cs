using LabPortal.Data;
using LabPortal.Data.Leases;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Labs;
using LabPortal.Operations.Tests.Labs;
using LabPortal.Testing;
using NodaTime;
using NodaTime.Text;
using Xunit;

namespace LabPortal.Operations.Tests.Leases;

public sealed class LeaseSweepTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_lab_is_warned_stopped_and_deleted_at_its_times_and_its_owner_told_once_of_each(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        var lab = (await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(), null, Cancellation)).Value.Id;
        await labs.BecomeAsync(lab, LabState.Ready);
        Assert.Equal(0, await labs.Sweep().PassAsync(Cancellation));

        labs.Time.Advance(TimeSpan.FromHours(3));
        Assert.Equal(1, await labs.Sweep().PassAsync(Cancellation));
        labs.Time.Advance(TimeSpan.FromHours(1));
        Assert.Equal(1, await labs.Sweep().PassAsync(Cancellation));
        Assert.Equal(1, await labs.CountAsync("SELECT count(*) FROM runs WHERE workflow = 'stop' AND arguments LIKE '%grace%'"));
        labs.Time.Advance(TimeSpan.FromSeconds(2));
        await labs.Sweep().PassAsync(Cancellation);
        Assert.Equal(1, await labs.CountAsync("SELECT count(*) FROM runs WHERE workflow = 'stop'"));

        // The stop still runs when grace is over: the end waits for nobody.
        labs.Time.Advance(TimeSpan.FromHours(1));
        await labs.Sweep().PassAsync(Cancellation);
        Assert.Equal(LabState.Ending, (await labs.Calls.FindAsync(ada, lab, Cancellation)).Value.State);
        Assert.Equal(1, await labs.CountAsync("SELECT count(*) FROM quota_holds WHERE to_at IS NULL AND dimension = 'labs'"));
        var calls = new Operations.People.NoticeCalls(labs.Database, labs.Time);
        var notices = (await calls.ListAsync(ada, 10, null, Cancellation)).Items;
        Assert.Equal(["lease.deletion-begun", "lease.end-is-near", "lease.grace-begun"], notices.Select(notice => notice.Code).Order());
        // By pages they are the same ones, and the last page says that it is.
        var first = await calls.ListAsync(ada, 2, null, Cancellation);
        var rest = await calls.ListAsync(ada, 2, Guid.Parse(first.Next!), Cancellation);
        Assert.Equal(notices.Select(notice => notice.Id), first.Items.Concat(rest.Items).Select(notice => notice.Id));
        Assert.Null(rest.Next);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_scheduled_lab_begins_at_its_start(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        var lab = (await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair() with { Start = labs.Now + Duration.FromHours(2) }, null, Cancellation)).Value.Id;
        labs.Time.Advance(TimeSpan.FromHours(2));
        await labs.Sweep().PassAsync(Cancellation);
        var view = (await labs.Calls.FindAsync(ada, lab, Cancellation)).Value;
        Assert.Equal((LabState.Provisioning, WorkflowNames.Provision), (view.State, view.Run!.Workflow));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Many_that_are_due_at_once_are_each_ended_once_by_whichever_sweep(Engine engine)
    {
        // Several of a sweep's portions.
        const int Copies = 1500;
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        var first = (await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(), null, Cancellation)).Value.Id;
        await labs.BecomeAsync(first, LabState.Grace);
        await labs.CopyAsync(first, Copies);
        await labs.Database.WriteAsync(session => session.ExecuteAsync("UPDATE runs SET state = 'done'"), Cancellation);
        labs.Time.Advance(TimeSpan.FromHours(10));
        var looked = await Task.WhenAll(Task.Run(() => labs.Sweep().PassAsync(Cancellation)), Task.Run(() => labs.Sweep().PassAsync(Cancellation)));
        Assert.Equal(Copies + 1, looked.Sum());
        Assert.Equal(Copies + 1, await labs.CountAsync("SELECT count(*) FROM runs WHERE workflow = 'end'"));
        Assert.Equal(Copies + 1, await labs.CountAsync("SELECT count(*) FROM labs WHERE state = 'ending' AND next_at IS NULL"));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_pass_reads_by_the_index_what_is_due_and_leaves_the_rest_alone(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        var first = (await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(), null, Cancellation)).Value.Id;
        await labs.BecomeAsync(first, LabState.Grace);
        await labs.CopyAsync(first, 4999);
        await labs.Database.WriteAsync(
            async session =>
            {
                await session.ExecuteAsync("UPDATE labs SET lease_end = lease_end + 86400000000, next_at = next_at + 86400000000, deed_at = deed_at + 86400000000 WHERE id NOT IN (SELECT id FROM labs ORDER BY id LIMIT 100)");
                await session.ExecuteAsync("ANALYZE labs");
            },
            Cancellation);
        labs.Time.Advance(TimeSpan.FromHours(10));

        var plan = await labs.Database.ReadAsync(session => PlanAsync(session, LeaseStore.Due(session.Dialect), new { now = labs.Now, limit = 100 }), Cancellation);
        Assert.Contains(engine == Engine.Sqlite ? "SEARCH labs USING INDEX labs_next (next_at<?)" : "Index Scan using labs_next on labs", plan, StringComparison.Ordinal);
        if (engine == Engine.Postgres) Assert.Contains("Index Cond: (next_at <=", plan, StringComparison.Ordinal);
        Assert.DoesNotContain("SORT", plan, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("TEMP B-TREE", plan, StringComparison.OrdinalIgnoreCase);

        Assert.Equal(100, await labs.Sweep().PassAsync(Cancellation));
        Assert.Equal(100, await labs.CountAsync("SELECT count(*) FROM runs WHERE workflow = 'end'"));
        Assert.Equal(4900, await labs.CountAsync("SELECT count(*) FROM labs WHERE state = 'grace' AND next_at IS NOT NULL"));
        Assert.Equal(0, await labs.Sweep().PassAsync(Cancellation));
    }

    public static TheoryData<Engine, string, string, string, string> Nights()
    {
        // Berlin goes back from 03:00 to 02:00 on 25 October 2026, and forward from 02:00 to 03:00 on 28 March 2027. All in UTC.
        (string From, string Start, string Stop, string Changes)[] nights =
        [
            ("2026-10-23T12:00", "08:00", "20:00", "stop 23T18:00, start 24T06:00, stop 24T18:00, start 25T07:00, stop 25T19:00, start 26T07:00"),
            ("2026-10-24T12:00", "08:00", "02:30", "stop 25T00:30, start 25T07:00, stop 26T01:30, start 26T07:00"),
            ("2027-03-27T12:00", "08:00", "02:30", "stop 28T01:00, start 28T06:00, stop 29T00:30, start 29T06:00"),
        ];
        var data = new TheoryData<Engine, string, string, string, string>();
        foreach (var night in nights)
        {
            foreach (var engine in Enum.GetValues<Engine>()) data.Add(engine, night.From, night.Start, night.Stop, night.Changes);
        }

        return data;
    }

    [Theory, MemberData(nameof(Nights))]
    public async Task A_lab_stops_and_starts_by_the_wall_clock_of_its_team_over_a_change_of_the_clocks(Engine engine, string from, string start, string stop, string changes)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        await labs.AddBlueprintAsync(new Blueprint
        {
            Name = "daily",
            Title = "Daily",
            Machines = [new MachineTemplate { Name = "one", Image = "tiny", Cpu = 1, MemoryMiB = 128, DiskGiB = 1 }],
            Lease = new LeaseRules(Duration.FromDays(10), Duration.FromDays(20), Duration.FromHours(1), new DailyHours(Time(start), Time(stop), [])),
        });
        labs.Time.Advance((InstantPattern.CreateWithInvariantCulture("uuuu-MM-dd'T'HH:mm").Parse(from).Value - labs.Now).ToTimeSpan());
        var lab = (await labs.Calls.RequestAsync(ada, new LabRequest { Blueprint = "daily", Team = "qa" }, null, Cancellation)).Value.Id;
        await labs.BecomeAsync(lab, LabState.Ready);

        var seen = new List<string>();
        while (seen.Count < changes.Split(", ").Length)
        {
            var next = Instants.FromMicroseconds(await labs.CountAsync("SELECT next_at FROM labs"));
            labs.Time.Advance((next - labs.Now).ToTimeSpan());
            await labs.Sweep().PassAsync(Cancellation);
            var run = await labs.Database.ReadAsync(session => RunStore.LiveOfAsync(session, lab), Cancellation);
            Assert.Equal("daily hours", run!.AskedBy);
            seen.Add($"{run.Workflow} {InstantPattern.CreateWithInvariantCulture("dd'T'HH:mm").Format(next)}");
            await labs.BecomeAsync(lab, run.Workflow == WorkflowNames.Stop ? LabState.Stopped : LabState.Ready);
        }

        Assert.Equal(changes.Split(", "), seen);
    }

    private static LocalTime Time(string text) => LocalTimePattern.CreateWithInvariantCulture("HH:mm").Parse(text).Value;

    private static async Task<string> PlanAsync(Session session, string sql, object parameters) => !session.Dialect.IsShared
        ? string.Join("\n", (await session.QueryAsync<SqlitePlan>($"EXPLAIN QUERY PLAN {sql}", parameters)).Select(line => line.Detail))
        : string.Join("\n", await session.QueryAsync<string>($"EXPLAIN {sql}", parameters));

    private sealed class SqlitePlan
    {
        public string Detail { get; init; } = "";
    }
}
