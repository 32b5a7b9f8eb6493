using LabPortal.Data.Labs;
using LabPortal.Data.Migrations;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using LabPortal.Domain.Machines;
using LabPortal.Testing;
using NodaTime;
using Xunit;

[assembly: AssemblyFixture(typeof(TestDatabases))]

namespace LabPortal.Data.Tests.Labs;

public sealed class LabStoreTests(TestDatabases databases)
{
    private static readonly Instant s_now = Instant.FromUtc(2026, 3, 1, 9, 0);

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_lab_comes_back_as_it_was_written(Engine engine)
    {
        await using var database = await databases.CreateAsync(engine);
        var lab = await SomeLabAsync(database);
        var back = await database.ReadAsync(session => LabStore.FindAsync(session, lab.Id), TestContext.Current.CancellationToken);
        Assert.Equivalent(lab, back, strict: true);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Each_event_raises_the_version_by_one_and_signals_it(Engine engine)
    {
        await using var database = await databases.CreateAsync(engine);
        var cancellation = TestContext.Current.CancellationToken;
        var lab = await SomeLabAsync(database);
        using var heard = database.Signals.Subscribe(Signal.Labs);
        await Task.WhenAll(Enumerable.Range(0, 20).Select(i => database.WriteAsync(
            session =>
            {
                LabStore.AppendEvent(session, lab.Id, s_now, LabEventKind.Log, ("text", $"{i}"));
                return Task.CompletedTask;
            },
            cancellation)));
        var events = await database.ReadAsync(session => LabStore.EventsAsync(session, lab.Id, 0, 100), cancellation);
        Assert.Equal(Enumerable.Range(1, 20).Select(i => (long)i), events.Select(e => e.Version));
        var last = await database.ReadAsync(session => LabStore.LastEventsAsync(session, lab.Id, null, 3), cancellation);
        Assert.Equal([18L, 19L, 20L], last.Select(e => e.Version));
        Assert.Equal([16L, 17L], (await database.ReadAsync(session => LabStore.LastEventsAsync(session, lab.Id, 18, 2), cancellation)).Select(e => e.Version));
        Assert.Equal(20, (await heard.WaitAsync(TimeSpan.FromSeconds(5), cancellation)).Count);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_second_migration_changes_nothing(Engine engine)
    {
        await using var database = await databases.CreateAsync(engine);
        var lab = await SomeLabAsync(database);
        await SchemaMigration.ApplyAsync(database, TestContext.Current.CancellationToken);
        Assert.NotNull(await database.ReadAsync(session => LabStore.FindAsync(session, lab.Id), TestContext.Current.CancellationToken));
    }

    private static async Task<Lab> SomeLabAsync(Database database)
    {
        var (team, person, id) = (new TeamId(Guid.NewGuid()), new PersonId(Guid.NewGuid()), new LabId(Guid.NewGuid()));
        var lab = new Lab
        {
            Id = id,
            Name = "it's \"quoted\" \u202e",
            Blueprint = "pair",
            BlueprintVersion = 2,
            Team = team,
            Owner = person,
            State = LabState.Requested,
            Version = 0,
            Lease = new Lease { Start = s_now, Length = Duration.FromHours(4), Grace = Duration.FromHours(24), Zone = "Europe/Berlin" },
            Labels = new Dictionary<string, string> { ["a"] = "b" },
            RequestedAt = s_now,
            Machines =
            [
                new Machine
                {
                    Id = new MachineId(Guid.NewGuid()), Lab = id, Name = "web", State = MachineState.Pending, Generation = 0, Image = "tiny", ImageVersion = "1", Cpu = 1, MemoryMiB = 128,
                    DiskGiB = 1,
                },
            ],
        };
        await database.WriteAsync(
            async session =>
            {
                await session.ExecuteAsync("INSERT INTO teams (id, name, zone, created_at) VALUES (@team, 'qa', 'UTC', 0)", new { team });
                await session.ExecuteAsync("INSERT INTO people (id, name, email, created_at) VALUES (@person, 'Ada', 'ada@example.org', 0)", new { person });
                await LabStore.InsertAsync(session, lab);
            },
            TestContext.Current.CancellationToken);
        return lab;
    }
}
