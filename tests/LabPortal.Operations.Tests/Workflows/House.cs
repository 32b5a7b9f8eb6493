using LabPortal.Data;
using LabPortal.Data.Blueprints;
using LabPortal.Data.Images;
using LabPortal.Data.Labs;
using LabPortal.Data.Machines;
using LabPortal.Data.Migrations;
using LabPortal.Data.Pools;
using LabPortal.Data.Quotas;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Images;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Networks;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Quotas;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Machines;
using LabPortal.Operations.People;
using LabPortal.Operations.Pools;
using LabPortal.Operations.Workflows;
using LabPortal.Providers;
using LabPortal.Providers.Simulated;
using LabPortal.Testing;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using NodaTime;

namespace LabPortal.Operations.Tests.Workflows;

/// <summary>A portal's engine on a real database and a simulated world, on a clock that tests move.</summary>
internal sealed class House : IAsyncDisposable
{
    public static readonly string[] MachineNames = ["web", "db"];

    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(100);

    private readonly OpenPools _pools;
    private TestFolder? _folder;

    private House(Database database, TimeProvider time, InstallationId installation, string folder, EngineSettings settings)
    {
        (Database, Time) = (database, time);
        Identity = new PortalIdentity(installation, folder);
        World = new SimulatedWorld(WorldIn(folder), time);
        _pools = new OpenPools(database, ProviderKinds.All, Identity, time);
        Secrets = new SecretStore(DataProtectionProvider.Create(new DirectoryInfo(Path.Combine(folder, "keys"))), database);
        var seeds = new GuestSeeds(database, Secrets, time);
        Tools = new StepTools(database, _pools, new Placing(), new MachineSpecs(database, seeds, Identity), new SshBannerReach(), Identity, time, settings);
    }

    public Database Database { get; }
    public TimeProvider Time { get; }

    /// <summary>The clock, where it is one that tests move.</summary>
    public FakeTimeProvider Clock => (FakeTimeProvider)Time;
    public PortalIdentity Identity { get; }
    public SimulatedWorld World { get; }
    public SecretStore Secrets { get; }
    public required string Setting { get; init; }
    public StepTools Tools { get; }
    public OpenPools Pools => _pools;
    public RegisteredWorkflows Workflows { get; init; } = new();
    public TeamId Team { get; } = new(Guid.NewGuid());
    public PersonId Person { get; } = new(Guid.NewGuid());
    public Pool Pool { get; private set; } = null!;
    /// <summary>Labs that are asked for from now on have a network of their own; their <c>db</c> is on no other.</summary>
    public bool Isolated { get; set; }
    public Instant Now => Time.Now();

    public static async Task<House> BuildAsync(TestDatabases databases, Engine engine, string settings = "{}", PoolLimits? limits = null, RegisteredWorkflows? workflows = null, TimeProvider? time = null, EngineSettings? engineSettings = null, string? connection = null)
    {
        var setting = await databases.CreateSettingAsync(engine) + (connection is null ? "" : $";{connection}");
        var folder = new TestFolder();
        var clock = time ?? new FakeTimeProvider(new DateTimeOffset(2026, 3, 1, 9, 0, 0, TimeSpan.Zero));
        var database = Database.Open(setting);
        await SchemaMigration.ApplyAsync(database, CancellationToken.None);
        var house = new House(database, clock, await Installation.EnsureAsync(database, clock, CancellationToken.None), folder.Path, engineSettings ?? new EngineSettings())
        {
            Workflows = workflows ?? new RegisteredWorkflows(), Setting = setting, _folder = folder,
        };
        var json = System.Text.Json.Nodes.JsonNode.Parse(settings)!.AsObject();
        json["world"] = WorldIn(folder.Path);
        (json["hostCpu"], json["hosts"]) = (100_000, 2);
        (json["hostMemoryMiB"], json["hostDiskGiB"]) = (100_000_000, 1_000_000);
        house.Pool = new Pool
        {
            Id = new PoolId(Guid.NewGuid()), Name = "sim", Provider = "simulated", Settings = json, Limits = limits ?? new PoolLimits(100, 100), Overcommit = new Overcommit(1, 1),
        };
        await database.WriteAsync(
            async session =>
            {
                await session.ExecuteAsync("INSERT INTO teams (id, name, zone, created_at) VALUES (@Team, @Name, 'UTC', 0)", new { house.Team, Name = $"qa-{house.Team}" });
                await session.ExecuteAsync("INSERT INTO people (id, name, email, created_at) VALUES (@Person, 'Ada', @Mail, 0)", new { house.Person, Mail = $"{house.Person}@example.org" });
                await PoolStore.SaveAsync(session, house.Pool);
                await PoolStore.SaveHostsAsync(session, house.Pool.Id,
                    [new HostCapacity("h1", 100_000, 100_000_000, 1_000_000, 1_000_000, null, null), new HostCapacity("h2", 100_000, 100_000_000, 1_000_000, 1_000_000, null, null)], house.Now);
                await PoolStore.SetProblemsAsync(session, house.Pool.Id, [], house.Now);
                await ImageStore.SaveAsync(session,
                    new Image { Name = "tiny", Warm = true, Bindings = new Dictionary<string, IReadOnlyDictionary<string, string>> { ["simulated"] = new Dictionary<string, string>() } }, house.Now);
                await BlueprintStore.AddVersionAsync(session, new Blueprint
                {
                    Name = "pair",
                    Title = "Pair",
                    Lease = new LeaseRules(Duration.FromHours(4), Duration.FromHours(8), Duration.FromHours(24)),
                    Machines = [.. Names(20).Select(name => new MachineTemplate { Name = name, Image = "tiny", Cpu = 1, MemoryMiB = 128, DiskGiB = 1 })],
                }, house.Now);
                await BlueprintStore.AddVersionAsync(session, new Blueprint
                {
                    Name = "isolated",
                    Title = "Isolated",
                    Lease = new LeaseRules(Duration.FromHours(4), Duration.FromHours(8), Duration.FromHours(24)),
                    Networks = [new Network("inner", "10.0.0.0/24")],
                    Firewall = [new FirewallRule("web", "db", Protocol.Tcp, [new PortRange(22, 22)])],
                    Machines = [.. MachineNames.Select(name => new MachineTemplate { Name = name, Image = "tiny", Cpu = 1, MemoryMiB = 128, DiskGiB = 1, Cards = CardsOf(name) })],
                }, house.Now);
            },
            CancellationToken.None);
        return house;
    }

    /// <summary>Another process in the same house.</summary>
    public static House Join(string setting, string folder, InstallationId installation, EngineSettings settings, RegisteredWorkflows workflows)
        => new(Database.Open(setting), TimeProvider.System, installation, folder, settings) { Workflows = workflows, Setting = setting };

    private static string WorldIn(string folder) => Path.Combine(folder, "world");

    private static IReadOnlyList<Card> CardsOf(string machine) => machine == "web" ? [new(Network.Shared), new("inner", "10.0.0.10")] : [new("inner", "10.0.0.20")];

    private static IEnumerable<string> Names(int machines) => Enumerable.Range(0, machines).Select(i => MachineNames.ElementAtOrDefault(i) ?? $"m{i}");

    /// <summary>A lab that was asked for; a provision run of it is due.</summary>
    public async Task<Lab> RequestAsync(int machines = 2, string? snapshotAtReady = null, bool warmStart = false, string workflow = WorkflowNames.Provision)
    {
        var id = new LabId(Ids.New(Time));
        var lab = new Lab
        {
            Id = id,
            Name = "lab",
            Blueprint = Isolated ? "isolated" : "pair",
            BlueprintVersion = 1,
            Team = Team,
            Owner = Person,
            State = LabState.Requested,
            Version = 0,
            Lease = new Lease { Start = Now, Length = Duration.FromHours(4), Grace = Duration.FromHours(24), Zone = "UTC" },
            RequestedAt = Now,
            Machines = [.. Names(machines).Select(name => new Machine
            {
                Id = new MachineId(Ids.New(Time)), Lab = id, Name = name, State = MachineState.Pending, Generation = 0, Image = "tiny", ImageVersion = "1", Cpu = 1, MemoryMiB = 128, DiskGiB = 1,
                Cards = Isolated ? CardsOf(name) : Card.Usual,
                WarmStart = warmStart,
            })],
        };
        await Database.WriteAsync(
            async session =>
            {
                await LabStore.InsertAsync(session, lab);
                await session.ExecuteAsync("INSERT INTO quota_holds (lab_id, dimension, team_id, person_id, amount, from_at, to_at) VALUES (@id, 'labs', @Team, @Person, 1, @Now, NULL)", new { id, Team, Person, Now });
                await Secrets.SaveAsync(session, GuestSeeds.PasswordName(id), "correct horse", Now);
                if (snapshotAtReady is not null)
                {
                    await SnapshotStore.InsertAsync(session, Planned(lab, new SnapshotId(Ids.New(Time)), snapshotAtReady));
                    await QuotaHoldStore.AddOneAsync(session, lab, Dimension.Snapshots, Now, null);
                }

                await Runs.BeginAsync(session, lab, workflow, new Dictionary<string, string>(), "Ada", Now);
            },
            CancellationToken.None);
        return lab;
    }

    public async Task<Lab> ReadyAsync()
    {
        var lab = await RequestAsync();
        await new Worker(this).DriveAsync(lab.Id);
        return await LabAsync(lab.Id);
    }

    public Runs Runs => field ??= new Runs(Workflows, Time);

    public Task<Run> BeginAsync(Lab lab, string workflow, params (string Name, string Value)[] arguments)
    {
        MoveOn();
        return Database.WriteAsync(
            session => Runs.BeginAsync(session, lab, workflow, arguments.ToDictionary(pair => pair.Name, pair => pair.Value), "Ada", Now), CancellationToken.None);
    }

    public Task EndAsync(LabId lab)
    {
        MoveOn();
        return Database.WriteAsync(async session => await Runs.EndAsync(session, (await LabStore.LockAsync(session, lab))!, "Ada", Now), CancellationToken.None);
    }

    /// <summary>Ids are sorted by their millisecond; on a clock that stands still two runs would be in any order.</summary>
    private void MoveOn()
    {
        if (Time is FakeTimeProvider clock) clock.Advance(TimeSpan.FromMilliseconds(2));
    }

    /// <summary>Moves a clock that can be moved; waits a little where time goes by itself.</summary>
    public Task PassAsync(TimeSpan time)
    {
        if (Time is not FakeTimeProvider clock) return Task.Delay(time < s_look ? time : s_look);
        clock.Advance(time);
        return Task.CompletedTask;
    }

    public async Task<Lab> LabAsync(LabId id) => (await Database.ReadAsync(session => LabStore.FindAsync(session, id), CancellationToken.None))!;

    public async Task<Run> RunAsync(LabId lab) => (await Database.ReadAsync(session => RunStore.LastOfAsync(session, lab), CancellationToken.None))!;

    public Task<IReadOnlyList<Run>> RunsAsync(LabId lab) => Database.ReadAsync(session => RunStore.ListAsync(session, null, lab, 100, null), CancellationToken.None);

    public Task<IReadOnlyList<JournalEntry>> JournalAsync(RunId run) => Database.ReadAsync(session => JournalStore.ReadAsync(session, run), CancellationToken.None);

    /// <summary>The resources of a lab and its machines that the world really has, by name.</summary>
    public async Task<IReadOnlyList<string>> ResourcesAsync(Lab lab, bool snapshots)
        => [.. (await ResourcesAsync(lab)).Where(name => snapshots || !name.Contains(Owner.SnapshotSuffix, StringComparison.Ordinal))];

    public async Task<IReadOnlyList<string>> SnapshotResourcesAsync(Lab lab)
        => [.. (await ResourcesAsync(lab)).Where(name => name.Contains(Owner.SnapshotSuffix, StringComparison.Ordinal))];

    public Task<IReadOnlyList<Snapshot>> SnapshotsAsync(Lab lab) => Database.ReadAsync(session => SnapshotStore.ListAsync(session, lab.Id), CancellationToken.None);

    public Task<long> HeldSnapshotsAsync(Lab lab)
        => Database.ReadAsync(session => session.FindAsync<long>("SELECT coalesce(sum(amount), 0) FROM quota_holds WHERE lab_id = @Id AND dimension = 'snapshots'", new { lab.Id }), CancellationToken.None);

    public async Task WriteDisksAsync(Lab lab, string content)
    {
        foreach (var machine in lab.Machines) await World.WriteDiskAsync(machine.OwnerIn(Identity.Installation), content, CancellationToken.None);
    }

    /// <summary>As the call does it: rows, quota and run in one transaction.</summary>
    public async Task<SnapshotId> BeginSnapshotAsync(Lab lab, string name)
    {
        MoveOn();
        var id = new SnapshotId(Ids.New(Time));
        await Database.WriteAsync(
            async session =>
            {
                await SnapshotStore.InsertAsync(session, Planned(lab, id, name));
                await QuotaHoldStore.AddOneAsync(session, lab, Dimension.Snapshots, Now, lab.Lease.HoldUntil(Now));
                await Runs.BeginAsync(session, lab, WorkflowNames.Snapshot, new Dictionary<string, string> { [RunArguments.Snapshot] = id.ToString() }, "Ada", Now);
            },
            CancellationToken.None);
        return id;
    }

    private Snapshot Planned(Lab lab, SnapshotId id, string name) => new()
    {
        Id = id, Lab = lab.Id, Name = name, State = SnapshotState.Taking, AskedBy = "Ada", AskedAt = Now,
        Items = [.. lab.Machines.Select(machine => new SnapshotItem(machine.Id, machine.Generation, SnapshotItemState.Taking, null, false, null))],
    };

    public async Task<IReadOnlyList<string>> ResourcesAsync(Lab lab)
        => [.. (await World.ResourcesAsync(CancellationToken.None)).Select(resource => resource.Name).Where(name => lab.Machines.Select(machine => machine.Id.Value).Append(lab.Id.Value).Any(id => name.Contains($"{id:n}", StringComparison.Ordinal))).Order()];

    /// <summary>How many machines of the lab the world ever saw made, and removed.</summary>
    public async Task<(int Made, int Removed)> MachinesMadeAsync(Lab lab)
    {
        var calls = (await World.HistoryAsync(CancellationToken.None)).Where(call => call.Effect && lab.Machines.Any(machine => call.Owner?.Contains($"{machine.Id.Value:n}", StringComparison.Ordinal) == true)).ToList();
        return (calls.Count(call => call.Verb == "create-machine"), calls.Count(call => call.Verb == "delete-machine"));
    }

    public Task<Instant?> HeldUntilAsync(Lab lab)
        => Database.ReadAsync(session => session.FindAsync<Instant?>("SELECT to_at FROM quota_holds WHERE lab_id = @Id AND dimension = 'labs'", new { lab.Id }), CancellationToken.None);

    public Task<bool> HoldsAnythingAsync(Lab lab) => Database.ReadAsync(
        async session =>
        {
            var quota = await session.FindAsync<int>("SELECT count(*) FROM quota_holds WHERE lab_id = @Id AND (to_at IS NULL OR to_at > @Now)", new { lab.Id, Now });
            var slots = await session.FindAsync<int>("SELECT count(*) FROM pool_slots WHERE run_id IN (SELECT id FROM runs WHERE lab_id = @Id)", new { lab.Id });
            foreach (var machine in lab.Machines) quota += (await GenerationStore.ListAsync(session, machine.Id)).Count(placed => placed.Held);
            return quota + slots > 0;
        },
        CancellationToken.None);

    public async ValueTask DisposeAsync()
    {
        await _pools.DisposeAsync();
        await World.DisposeAsync();
        await Database.DisposeAsync();
        _folder?.Dispose();
    }
}

/// <summary>One worker of the house, with a lease of its own.</summary>
internal sealed class Worker : IDisposable
{
    private readonly House _house;

    public Worker(House house, RegisteredWorkflows? workflows = null, Action<TurnMoment>? seam = null, EngineSettings? settings = null)
    {
        _house = house;
        Workflows = workflows ?? house.Workflows;
        Tools = house.Tools with { Seam = seam, Settings = settings ?? house.Tools.Settings };
        Lease = new WorkerLease(house.Database, house.Time, Tools.Settings);
        Bell = new TurnBell(house.Time);
        Writer = new TurnWriter(house.Database, Lease);
        Batch = WithWorkflows(Workflows);
    }

    public RegisteredWorkflows Workflows { get; }
    public StepTools Tools { get; }
    public WorkerLease Lease { get; }
    public TurnBell Bell { get; }
    public TurnWriter Writer { get; }
    public TurnBatch Batch { get; }

    public TurnBatch WithWorkflows(RegisteredWorkflows workflows)
        => new(_house.Database, workflows, Tools, Lease, new Runs(workflows, _house.Time), Writer, Bell, NullLogger<TurnBatch>.Instance);

    /// <summary>Turns the lab's runs until none is live, moving the clock to whatever is due next.</summary>
    public async Task<Run> DriveAsync(LabId lab, int most = 500)
    {
        for (var i = 0; i < most; i++)
        {
            await Lease.BeatAsync(CancellationToken.None);
            await Batch.AdvanceDueAsync(CancellationToken.None);
            var run = await _house.RunAsync(lab);
            if (!run.State.IsLive() || run.State == RunState.Stuck) return run;
            var due = run.DueAt > _house.Now ? (run.DueAt - _house.Now).ToTimeSpan() : TimeSpan.Zero;
            await _house.PassAsync(run.Worker is null ? TimeSpan.FromMilliseconds(1) + due : TimeSpan.FromSeconds(1));
        }

        throw new InvalidOperationException($"The run is not over after {most} rounds: {await _house.RunAsync(lab)} {string.Join("\n", await _house.JournalAsync((await _house.RunAsync(lab)).Id))}");
    }

    /// <summary>Claims one run as a batch does.</summary>
    public async Task<Run?> ClaimAsync(IReadOnlyList<string>? lapsed = null)
    {
        await Lease.BeatAsync(CancellationToken.None);
        return (await ClaimAsync(1, lapsed)).SingleOrDefault();
    }

    public Task<IReadOnlyList<Run>> ClaimAsync(int limit, IReadOnlyList<string>? lapsed = null) => _house.Database.WriteAsync(
        async session =>
        {
            var from = lapsed ?? Lease.Lapsed();
            return await RunStore.ClaimAsync(
                session, Lease.Id, from, await RunStore.RankAsync(session, Lease.Id, from, [], Workflows.Keys, limit, _house.Now), Workflows.Keys, limit, _house.Now);
        },
        CancellationToken.None);

    public Task<Instant?> TurnAsync(Run claim) => TurnUntilAsync(claim, CancellationToken.None);

    public Task<Instant?> TurnUntilAsync(Run claim, CancellationToken stopping) => Turn(claim).AdvanceAsync(stopping);

    public Turn Turn(Run claim) => new(claim, Workflows.Find(claim)!, Tools, Lease, new Runs(Workflows, _house.Time), Writer);

    public void Dispose()
    {
        Writer.Dispose();
        Lease.Dispose();
    }
}
