using LabPortal.Data;
using LabPortal.Data.Blueprints;
using LabPortal.Data.Images;
using LabPortal.Data.People;
using LabPortal.Data.Pools;
using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Costs;
using LabPortal.Domain.Images;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using LabPortal.Domain.People;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Labs;
using LabPortal.Operations.Leases;
using LabPortal.Operations.People;
using LabPortal.Operations.Pools;
using LabPortal.Operations.Workflows;
using LabPortal.Testing;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using NodaTime;
using Xunit;

namespace LabPortal.Operations.Tests.Labs;

/// <summary>The calls on labs over a real database; nothing turns the runs that they begin.</summary>
internal sealed class LabsUnderTest : IAsyncDisposable
{
    private readonly OpenPools _pools;

    private LabsUnderTest(Database database)
    {
        Database = database;
        var workflows = new RegisteredWorkflows();
        Runs = new Runs(workflows, Time);
        _pools = new OpenPools(database, [], new PortalIdentity(new InstallationId(Guid.Empty), "/nowhere"), Time);
        Secrets = new SecretStore(new EphemeralDataProtectionProvider(), database);
        Calls = new LabCalls(database, Time, Runs, new RunViews(workflows), new Placing(), _pools, Secrets);
    }

    public Database Database { get; }
    public FakeTimeProvider Time { get; } = new(new DateTimeOffset(2026, 6, 1, 8, 0, 0, TimeSpan.Zero));
    public Runs Runs { get; }
    public SecretStore Secrets { get; }
    public LabCalls Calls { get; }
    public Instant Now => Time.Now();

    public static LabRequest Pair(string team = "qa", decimal hours = 4) => new() { Blueprint = "pair", Team = team, Lease = new LeaseRequest(hours) };

    public LeaseSweep Sweep(TimeProvider? time = null) => new(Database, Runs, time ?? Time, NullLogger<LeaseSweep>.Instance);

    public static async Task<LabsUnderTest> CreateAsync(TestDatabases databases, Engine engine)
    {
        var labs = new LabsUnderTest(await databases.CreateAsync(engine));
        await labs.Database.WriteAsync(
            async session =>
            {
                await PoolStore.SaveAsync(session, new Pool { Id = new PoolId(Guid.NewGuid()), Name = "pretend", Provider = "simulated", Prices = new PriceList("EUR", 1m, 0.5m, 0.01m) });
                await ImageStore.SaveAsync(session, new Image { Name = "tiny", Bindings = new Dictionary<string, IReadOnlyDictionary<string, string>> { ["simulated"] = new Dictionary<string, string>() } }, labs.Now);
                await BlueprintStore.AddVersionAsync(session, Of("pair", 2), labs.Now);
                await BlueprintStore.AddVersionAsync(session, Of("single", 1), labs.Now);
            },
            CancellationToken.None);
        return labs;
    }

    public async Task<Actor> TeamAsync(string name, params (string Scope, string Dimension, long Amount)[] quota)
    {
        var team = new Team { Id = new TeamId(Guid.NewGuid()), Name = name, Zone = "Europe/Berlin" };
        await Database.WriteAsync(
            async session =>
            {
                await TeamStore.SaveAsync(session, team, Now);
                foreach (var scope in quota.GroupBy(line => line.Scope))
                    await TeamStore.SetLimitsAsync(session, team.Id, scope.Key, scope.ToDictionary(line => line.Dimension, line => line.Amount));
            },
            CancellationToken.None);
        return await PersonAsync(team, "Ada");
    }

    public async Task<Actor> PersonAsync(Team team, string name)
    {
        var person = new Person { Id = new PersonId(Guid.NewGuid()), Name = name, Email = $"{Guid.NewGuid():n}@example.org", CreatedAt = Now };
        await Database.WriteAsync(
            async session =>
            {
                await PersonStore.AddAsync(session, person);
                await TeamStore.SetMemberAsync(session, new Membership(team.Id, person.Id, TeamRole.Requester));
            },
            CancellationToken.None);
        return new Actor { Person = person.Id, Name = name, Channel = Channel.Session, Teams = new Dictionary<TeamId, TeamRole> { [team.Id] = TeamRole.Requester } };
    }

    /// <summary>As if all its runs had finished and it had become ready now.</summary>
    public Task BecomeAsync(LabId lab, LabState state) => Database.WriteAsync(
        async session =>
        {
            await session.ExecuteAsync("UPDATE runs SET state = 'done' WHERE lab_id = @lab", new { lab });
            await session.ExecuteAsync(
                "UPDATE labs SET state = @State, ready_at = @Now, lease_end = COALESCE(lease_end, @Now + lease_length) WHERE id = @lab", new { lab, State = state.Word(), Now });
            await LeaseClock.ScheduleAsync(session, lab, Now);
        },
        CancellationToken.None);

    /// <summary>Living copies of a lab, with its clock and without its holds and runs.</summary>
    public Task CopyAsync(LabId lab, int copies) => Database.WriteAsync(
        session => session.ExecuteAsync("""
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < @copies)
            INSERT INTO labs (id, name, blueprint, blueprint_version, team_id, owner_id, state, lease_start, lease_end, lease_grace, zone, next_at, next_deed, deed_at, requested_at)
            SELECT substr(id, 1, 28) || substr('00000000' || i, length('00000000' || i) - 7, 8), name, blueprint, blueprint_version, team_id, owner_id, state, lease_start, lease_end,
                lease_grace, zone, next_at, next_deed, deed_at, requested_at FROM labs, n WHERE id = @lab
            """, new { lab, copies }),
        CancellationToken.None);

    public async Task AddBlueprintAsync(Blueprint blueprint)
        => await Database.WriteAsync(session => BlueprintStore.AddVersionAsync(session, blueprint, Now), CancellationToken.None);

    /// <summary>How many rows each table has: equal before and after a call that changes nothing.</summary>
    public Task<IReadOnlyList<(string Table, long Rows)>> RowsAsync() => Database.ReadAsync<IReadOnlyList<(string, long)>>(
        async session =>
        {
            var tables = await session.QueryAsync<string>(!session.Dialect.IsShared
                ? "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
                : "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY table_name");
            var rows = new List<(string, long)>();
            foreach (var table in tables) rows.Add((table, await session.FindAsync<long>($"SELECT count(*) FROM \"{table}\"")));
            return rows;
        },
        TestContext.Current.CancellationToken);

    public Task<long> CountAsync(string sql) => Database.ReadAsync(session => session.FindAsync<long>(sql), TestContext.Current.CancellationToken);

    public async ValueTask DisposeAsync()
    {
        await _pools.DisposeAsync();
        await Database.DisposeAsync();
    }

    private static Blueprint Of(string name, int machines) => new()
    {
        Name = name,
        Title = name,
        Parameters = [new Parameter { Name = "motd", Type = ParameterType.String, Default = "hello", MaxLength = 5 }],
        Machines = [.. Enumerable.Range(1, machines).Select(i => new MachineTemplate { Name = $"m{i}", Image = "tiny", Cpu = 1, MemoryMiB = 128, DiskGiB = 1 })],
        Lease = new LeaseRules(Duration.FromHours(4), Duration.FromHours(72), Duration.FromHours(1)),
    };
}
