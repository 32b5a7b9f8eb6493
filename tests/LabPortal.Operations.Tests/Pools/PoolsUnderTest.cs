using System.Text.Json.Nodes;
using LabPortal.Data;
using LabPortal.Data.Blueprints;
using LabPortal.Data.Images;
using LabPortal.Data.Labs;
using LabPortal.Data.Pools;
using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Images;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using LabPortal.Domain.Machines;
using LabPortal.Domain.People;
using LabPortal.Domain.Pools;
using LabPortal.Operations.People;
using LabPortal.Operations.Pools;
using LabPortal.Operations.Workflows;
using LabPortal.Providers;
using LabPortal.Providers.Simulated;
using LabPortal.Testing;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.Extensions.Logging.Abstractions;
using NodaTime;

namespace LabPortal.Operations.Tests.Pools;

/// <summary>A portal's pools over a real database and a simulated world of their own.</summary>
internal sealed class PoolsUnderTest : IAsyncDisposable
{
    public static readonly Actor Admin = new() { Person = null, Name = "admin", Channel = Channel.Session, IsAdmin = true };
    public static readonly Actor Nobody = new() { Person = new PersonId(Guid.NewGuid()), Name = "nobody", Channel = Channel.Session };

    public required Database Database { get; init; }
    public required PortalIdentity Portal { get; init; }
    public required OpenPools Pools { get; init; }
    public required PoolSweep Sweep { get; init; }
    public required ObservationSweep Drift { get; init; }
    public required OrphanSweep Orphans { get; init; }
    public required ImportSweep Imports { get; init; }
    public required PoolCalls Calls { get; init; }
    public required TeamId Team { get; init; }
    public required PersonId Owner { get; init; }
    public required TestFolder Folder { get; init; }

    public static Instant Now => TimeProvider.System.Now();

    public static async Task<PoolsUnderTest> StartAsync(TestDatabases databases, Engine engine, CancellationToken cancellation)
    {
        var (database, folder, time) = (await databases.CreateAsync(engine), new TestFolder(), TimeProvider.System);
        var portal = new PortalIdentity(await Installation.EnsureAsync(database, time, cancellation), folder.Path);
        var pools = new OpenPools(database, ProviderKinds.All, portal, time);
        var sweep = new PoolSweep(database, pools, time, NullLogger<PoolSweep>.Instance);
        var (team, owner) = (new TeamId(Guid.NewGuid()), new PersonId(Guid.NewGuid()));
        await database.WriteAsync(async session =>
        {
            await session.ExecuteAsync("INSERT INTO teams (id, name, zone, created_at) VALUES (@team, 'qa', 'UTC', 0)", new { team });
            await session.ExecuteAsync("INSERT INTO people (id, name, email, created_at) VALUES (@owner, 'Ada', 'ada@example.org', 0)", new { owner });
            await ImageStore.SaveAsync(session, new Image { Name = "tiny", Bindings = new Dictionary<string, IReadOnlyDictionary<string, string>> { ["simulated"] = new Dictionary<string, string>() } }, Now);
            await BlueprintStore.AddVersionAsync(session, new Blueprint
            {
                Name = "one",
                Title = "One machine",
                Machines = [new MachineTemplate { Name = "web", Image = "tiny", Cpu = 1, MemoryMiB = 1024, DiskGiB = 1 }],
                Lease = new LeaseRules(Duration.FromHours(4), Duration.FromHours(8), Duration.Zero),
            }, Now);
        }, cancellation);
        return new PoolsUnderTest
        {
            Database = database,
            Folder = folder,
            Portal = portal,
            Pools = pools,
            Sweep = sweep,
            Drift = new ObservationSweep(database, pools, portal, time, NullLogger<ObservationSweep>.Instance),
            Orphans = new OrphanSweep(database, pools, portal, time, NullLogger<OrphanSweep>.Instance),
            Imports = new ImportSweep(database, pools, new ImageFolders([folder.Path]), time, NullLogger<ImportSweep>.Instance),
            Calls = new PoolCalls(database, pools, sweep, new RunViews(new RegisteredWorkflows()), ProviderKinds.All,
                new SecretStore(DataProtectionProvider.Create(new DirectoryInfo(folder["keys"])), database), new Runs(new RegisteredWorkflows(), time), new ImageFolders([folder.Path]), time),
            Team = team,
            Owner = owner,
        };
    }

    /// <summary>A pool in a world of its name, looked at once.</summary>
    public async Task<Pool> AddPoolAsync(string name, JsonObject settings, CancellationToken cancellation, Func<Pool, Pool>? change = null)
    {
        var pool = new Pool { Id = new PoolId(Guid.NewGuid()), Name = name, Provider = "simulated", Settings = settings, Overcommit = new Overcommit(1, 1) };
        pool = change?.Invoke(pool) ?? pool;
        await Database.WriteAsync(session => PoolStore.SaveAsync(session, pool), cancellation);
        await Sweep.CheckAsync(pool.Id, cancellation);
        return (await FindAsync(name, cancellation))!;
    }

    public Task<Pool?> FindAsync(string name, CancellationToken cancellation) => Database.ReadAsync(session => PoolStore.FindAsync(session, name), cancellation);

    public SimulatedWorld WorldOf(string pool) => new(SimulatedWorld.FileOf(new PoolContext(Portal.Installation, pool, [], Folder.Path, TimeProvider.System)), TimeProvider.System);

    public async Task<Lab> AddLabAsync(CancellationToken cancellation, LabState state = LabState.Provisioning, int memoryMiB = 1024)
    {
        var id = new LabId(Ids.New(TimeProvider.System));
        var lab = new Lab
        {
            Id = id,
            Name = $"lab {id}",
            Blueprint = "one",
            BlueprintVersion = 1,
            Team = Team,
            Owner = Owner,
            State = state,
            Version = 0,
            Lease = new Lease { Start = Now, Length = Duration.FromHours(4), Grace = Duration.Zero, Zone = "UTC" },
            RequestedAt = Now,
            Machines =
            [
                new Machine
                {
                    Id = new MachineId(Ids.New(TimeProvider.System)), Lab = id, Name = "web", State = MachineState.Pending, Generation = 0, Image = "tiny", ImageVersion = "1", Cpu = 1,
                    MemoryMiB = memoryMiB, DiskGiB = 1,
                },
            ],
        };
        await Database.WriteAsync(session => LabStore.InsertAsync(session, lab), cancellation);
        return lab;
    }

    /// <summary>A ready lab whose machine really runs in this pool's world.</summary>
    public async Task<(Lab Lab, Machine Machine)> AddRunningLabAsync(Pool pool, CancellationToken cancellation)
    {
        var lab = await AddLabAsync(cancellation, LabState.Ready);
        var machine = lab.Machines[0] with { State = MachineState.Running, Generation = 1, Pool = pool.Id };
        await MakeAsync(pool, machine, cancellation);
        await Database.WriteAsync(session => LabStore.SaveMachineAsync(session, machine), cancellation);
        return (await FindLabAsync(lab.Id, cancellation), machine);
    }

    public async Task MakeAsync(Pool pool, Machine machine, CancellationToken cancellation)
    {
        var open = await Pools.OpenAsync(pool.Id, cancellation);
        var spec = new MachineSpec(machine.OwnerIn(Portal.Installation), null, machine.Name, machine.Name, new ImageBinding("tiny", "1", new Dictionary<string, string>()),
            machine.Cpu, machine.MemoryMiB, machine.DiskGiB, new GuestSeed("root", [], null, new Dictionary<string, object>()));
        await open.Provider.EnsureExistsAsync(spec, cancellation);
    }

    public async Task<Lab> FindLabAsync(LabId id, CancellationToken cancellation) => (await Database.ReadAsync(session => LabStore.FindAsync(session, id), cancellation))!;

    public async ValueTask DisposeAsync()
    {
        await Pools.DisposeAsync();
        await Database.DisposeAsync();
        Folder.Dispose();
    }
}
