using Dapper;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Networks;
using NodaTime;

namespace LabPortal.Data.Labs;

/// <summary>Labs with their machines and events.</summary>
public static class LabStore
{
    public static async Task InsertAsync(Session session, Lab lab)
    {
        await session.ExecuteAsync("""
            INSERT INTO labs (id, name, blueprint, blueprint_version, team_id, owner_id, state, version, asked_pool, labels, parameters,
                lease_start, lease_length, lease_end, lease_grace, heartbeat_term, beat_at, zone, requested_at)
            VALUES (@Id, @Name, @Blueprint, @BlueprintVersion, @Team, @Owner, @State, 0, @AskedPool, @Labels, @Parameters,
                @LeaseStart, @LeaseLength, @LeaseEnd, @LeaseGrace, @HeartbeatTerm, @BeatAt, @Zone, @RequestedAt)
            """,
            new
            {
                lab.Id,
                lab.Name,
                lab.Blueprint,
                lab.BlueprintVersion,
                lab.Team,
                lab.Owner,
                State = lab.State.Word(),
                lab.AskedPool,
                Labels = StoredJson.Write(lab.Labels),
                Parameters = StoredJson.Write(lab.Parameters),
                LeaseStart = lab.Lease.Start,
                LeaseLength = lab.Lease.Length,
                LeaseEnd = lab.Lease.End,
                LeaseGrace = lab.Lease.Grace,
                HeartbeatTerm = lab.Lease.Heartbeat?.Term,
                lab.Lease.Heartbeat?.BeatAt,
                lab.Lease.Zone,
                lab.RequestedAt,
            });
        await session.ExecuteAsync("""
            INSERT INTO machines (id, lab_id, name, state, generation, image, image_version, cpu, memory_mib, disk_gib, cards, warm_start, position)
            VALUES (@Id, @Lab, @Name, @State, @Generation, @Image, @ImageVersion, @Cpu, @MemoryMiB, @DiskGiB, @Cards, @WarmStart, @Position)
            """,
            lab.Machines.Select((machine, position) => new
            {
                machine.Id,
                machine.Lab,
                machine.Name,
                State = machine.State.Word(),
                machine.Generation,
                machine.Image,
                machine.ImageVersion,
                machine.Cpu,
                machine.MemoryMiB,
                machine.DiskGiB,
                Cards = StoredJson.Write(machine.Cards),
                machine.WarmStart,
                Position = position,
            }).ToList());
    }

    public static async Task<Lab?> FindAsync(Session session, LabId id)
        => (await session.QueryManyAsync(Select(session), new { ids = Many.Of([id]) }, JoinAsync)).SingleOrDefault();

    /// <summary>The lab with its row locked until the transaction ends: whoever changes a lab does it under this lock.</summary>
    public static async Task<Lab?> LockAsync(Session session, LabId id)
        => (await ReadAsync(session, $"WHERE id = @id {session.Dialect.ForUpdate}", new { id })).SingleOrDefault();

    /// <summary>Newest first, by key: <paramref name="after"/> is the id of the last lab of the page before.</summary>
    public static Task<IReadOnlyList<Lab>> ListAsync(Session session, LabFilter filter, int limit, LabId? after)
    {
        // What the portal tries for itself is nobody's lab: its run shows it.
        var where = new List<string> { "team_id NOT IN (SELECT id FROM installation)" };
        if (filter.States is { Count: > 0 }) where.Add($"state IN ({string.Join(", ", filter.States.Select(state => $"'{state.Word()}'"))})");
        if (filter.Team is not null) where.Add("team_id = @Team");
        if (filter.Owner is not null) where.Add("owner_id = @Owner");
        if (filter.Blueprint is not null) where.Add("blueprint = @Blueprint");
        if (filter.Text is not null) where.Add(TextSearch.In("name", "Like"));
        if (filter.SeenTeams is not null) where.Add($"({session.Dialect.AnyOf("team_id", "Teams")} OR owner_id = @Caller)");
        if (after is not null) where.Add("id < @after");
        return ReadAsync(session, $"WHERE {string.Join(" AND ", where)} ORDER BY id DESC LIMIT @limit", new
        {
            filter.Team,
            filter.Owner,
            filter.Blueprint,
            filter.Caller,
            Teams = Many.Of(filter.SeenTeams ?? []),
            Like = TextSearch.Part(filter.Text),
            after,
            limit,
        });
    }

    public static Task SetStateAsync(Session session, LabId id, LabState state, Reason? reason = null) => session.ExecuteAsync(
        "UPDATE labs SET state = @State, reason = @Reason WHERE id = @id",
        new { id, State = state.Word(), Reason = reason is null ? null : StoredJson.Write(reason) });

    public static Task SetHealthAsync(Session session, LabId id, LabHealth health) => session.ExecuteAsync(
        "UPDATE labs SET health = @Health WHERE id = @id", new { id, Health = health.Word() });

    /// <summary>All of the lease but its heartbeat, which moves by itself (<see cref="Leases.LeaseStore"/>).</summary>
    public static Task SetLeaseAsync(Session session, LabId id, Lease lease) => session.ExecuteAsync("""
        UPDATE labs SET lease_start = @Start, lease_length = @Length, lease_end = @End, lease_grace = @Grace, zone = @Zone WHERE id = @id
        """,
        new { id, lease.Start, lease.Length, lease.End, lease.Grace, lease.Zone });

    public static Task SetReadyAtAsync(Session session, LabId id, Instant at) => session.ExecuteAsync("UPDATE labs SET ready_at = @at WHERE id = @id", new { id, at });

    public static Task SetEndedAtAsync(Session session, LabId id, Instant at) => session.ExecuteAsync("UPDATE labs SET ended_at = @at, next_at = NULL WHERE id = @id", new { id, at });

    /// <summary>Writes the machine's changeable columns.</summary>
    public static Task SaveMachineAsync(Session session, Machine machine) => session.ExecuteAsync("""
        UPDATE machines SET state = @State, generation = @Generation, pool_id = @Pool, host = @Host, external_id = @ExternalId, addresses = @Addresses, start = @Start
        WHERE id = @Id
        """,
        new
        {
            machine.Id,
            State = machine.State.Word(),
            machine.Generation,
            machine.Pool,
            machine.Host,
            machine.ExternalId,
            Addresses = StoredJson.Write(machine.Addresses),
            Start = machine.Start is null ? null : StoredJson.Write(machine.Start),
        });

    /// <summary>
    /// Raises the lab's version under its row's lock and writes the event with it. Everything that people can see changes together
    /// with such an event, in one transaction.
    /// </summary>
    public static void AppendEvent(Session session, LabId id, Instant at, LabEventKind kind, params (string Name, string Value)[] data)
    {
        session.Gather(id, () => new NewEvents(id)).Add(at, kind, StoredJson.Write(data.ToDictionary(pair => pair.Name, pair => pair.Value)));
        session.Raise(Signal.Labs, id.ToString());
    }

    private sealed class NewEvents(LabId lab) : IGathered
    {
        private static readonly RowStatement s_raise = new(
            "WITH raised (id, count) AS (VALUES {rows}) UPDATE labs SET version = labs.version + raised.count FROM raised WHERE labs.id = raised.id", "(@Id, @Count)");

        private static readonly RowStatement s_insert = new(
            """
            WITH new (id, behind, at, kind, data) AS (VALUES {rows})
            INSERT INTO events (lab_id, version, at, kind, data) SELECT new.id, labs.version - new.behind, new.at, new.kind, new.data FROM new JOIN labs ON labs.id = new.id
            """,
            "(@Id, @Behind, @At, @Kind, @Data)",
            adds: true);

        private readonly List<(Instant At, string Kind, string Data)> _events = [];

        public void Add(Instant at, LabEventKind kind, string data) => _events.Add((at, kind.Word(), data));

        public void Defer(Session session)
        {
            var key = lab.ToString();
            session.Defer(s_raise, key, new { Id = lab, _events.Count });
            foreach (var (place, (at, kind, data)) in _events.Index())
                session.Defer(s_insert, key, new { Id = lab, Behind = _events.Count - 1 - place, At = at, Kind = kind, Data = data });
        }
    }

    /// <summary>What happened to a lab after this version, in order.</summary>
    public static async Task<IReadOnlyList<LabEvent>> EventsAsync(Session session, LabId id, long after, int limit)
    {
        var rows = await session.QueryAsync<EventRow>(
            "SELECT version, at, kind, data FROM events WHERE lab_id = @id AND version > @after ORDER BY version LIMIT @limit", new { id, after, limit });
        return [.. rows.Select(row => row.ToEvent(id))];
    }

    /// <summary>What last happened to a lab, or last before this version; in order, without steps that were only under way.</summary>
    public static async Task<IReadOnlyList<LabEvent>> LastEventsAsync(Session session, LabId id, long? before, int limit)
    {
        var rows = await session.QueryAsync<EventRow>(
            $"SELECT version, at, kind, data FROM events WHERE lab_id = @id {(before is null ? "" : "AND version < @before")} AND {s_isHistory} ORDER BY version DESC LIMIT @limit",
            new { id, before, limit });
        return [.. rows.Reverse().Select(row => row.ToEvent(id))];
    }

    /// <summary>On the text as it is stored: a quote within a value stands there escaped, so that no value can look like the state.</summary>
    private static readonly string s_isHistory =
        $"(kind <> '{LabEventKind.Step.Word()}' OR {string.Join(" OR ", LabEvent.StepOutcomes.Select(state => $"data LIKE '%\"state\":\"{state}\"%'"))})";

    private const string Labs = """
        SELECT id, name, blueprint, blueprint_version, team_id AS team, owner_id AS owner, state, health, frozen, reason, version, asked_pool, labels,
            parameters, lease_start, lease_length, lease_end, lease_grace, heartbeat_term, beat_at, zone, requested_at, ready_at, ended_at
        FROM labs
        """;

    private static string Machines(Session session) => $"""
        SELECT id, lab_id AS lab, name, state, generation, image, image_version, cpu, memory_mib, disk_gib, pool_id AS pool, host, external_id, addresses, cards, warm_start, start
        FROM machines WHERE {session.Dialect.AnyOf("lab_id", "ids")} ORDER BY position
        """;

    /// <summary>The labs <c>@ids</c> with their machines, for <see cref="JoinAsync"/>.</summary>
    internal static string Select(Session session) => $"{Labs} WHERE {session.Dialect.AnyOf("id", "ids")}; {Machines(session)}";

    internal static async Task<IReadOnlyList<Lab>> JoinAsync(SqlMapper.GridReader rows) => Join(await rows.ReadAsync<LabRow>(), await rows.ReadAsync<MachineRow>());

    private static async Task<IReadOnlyList<Lab>> ReadAsync(Session session, string tail, object parameters)
    {
        var labs = await session.QueryAsync<LabRow>($"{Labs} {tail}", parameters);
        return labs.Count == 0 ? [] : Join(labs, await session.QueryAsync<MachineRow>(Machines(session), new { ids = Many.Of(labs.Select(lab => lab.Id)) }));
    }

    private static List<Lab> Join(IEnumerable<LabRow> labs, IEnumerable<MachineRow> machines)
    {
        var of = machines.ToLookup(machine => machine.Lab, machine => machine.ToMachine());
        return [.. labs.Select(lab => lab.ToLab([.. of[lab.Id]]))];
    }

    private sealed class LabRow
    {
        public LabId Id { get; init; }
        public string Name { get; init; } = "";
        public string Blueprint { get; init; } = "";
        public int BlueprintVersion { get; init; }
        public TeamId Team { get; init; }
        public PersonId Owner { get; init; }
        public string State { get; init; } = "";
        public string Health { get; init; } = "";
        public bool Frozen { get; init; }
        public string? Reason { get; init; }
        public long Version { get; init; }
        public string? AskedPool { get; init; }
        public string Labels { get; init; } = "";
        public string Parameters { get; init; } = "";
        public Instant LeaseStart { get; init; }
        public Duration? LeaseLength { get; init; }
        public Instant? LeaseEnd { get; init; }
        public Duration LeaseGrace { get; init; }
        public Duration? HeartbeatTerm { get; init; }
        public Instant? BeatAt { get; init; }
        public string Zone { get; init; } = "";
        public Instant RequestedAt { get; init; }
        public Instant? ReadyAt { get; init; }
        public Instant? EndedAt { get; init; }

        public Lab ToLab(IReadOnlyList<Machine> machines) => new()
        {
            Id = Id,
            Name = Name,
            Blueprint = Blueprint,
            BlueprintVersion = BlueprintVersion,
            Team = Team,
            Owner = Owner,
            State = Words.Read<LabState>(State),
            Health = Words.Read<LabHealth>(Health),
            Frozen = Frozen,
            Reason = StoredJson.ReadOrDefault<Reason>(Reason),
            Version = Version,
            AskedPool = AskedPool,
            Labels = StoredJson.Read<Dictionary<string, string>>(Labels),
            Parameters = StoredJson.Read<Dictionary<string, string>>(Parameters),
            Lease = new Lease { Start = LeaseStart, Length = LeaseLength, End = LeaseEnd, Grace = LeaseGrace, Zone = Zone, Heartbeat = HeartbeatTerm is { } term ? new Heartbeat(term, BeatAt!.Value) : null },
            RequestedAt = RequestedAt,
            ReadyAt = ReadyAt,
            EndedAt = EndedAt,
            Machines = machines,
        };
    }

    private sealed class EventRow
    {
        public long Version { get; init; }
        public Instant At { get; init; }
        public string Kind { get; init; } = "";
        public string Data { get; init; } = "";

        public LabEvent ToEvent(LabId lab) => new(lab, Version, At, Words.Read<LabEventKind>(Kind), StoredJson.Read<Dictionary<string, string>>(Data));
    }

    private sealed class MachineRow
    {
        private static readonly string s_usual = StoredJson.Write(Card.Usual);

        public MachineId Id { get; init; }
        public LabId Lab { get; init; }
        public string Name { get; init; } = "";
        public string State { get; init; } = "";
        public int Generation { get; init; }
        public string Image { get; init; } = "";
        public string ImageVersion { get; init; } = "";
        public int Cpu { get; init; }
        public int MemoryMiB { get; init; }
        public int DiskGiB { get; init; }
        public PoolId? Pool { get; init; }
        public string? Host { get; init; }
        public string? ExternalId { get; init; }
        public string Addresses { get; init; } = "";
        public string Cards { get; init; } = "";
        public bool WarmStart { get; init; }
        public string? Start { get; init; }

        public Machine ToMachine() => new()
        {
            Id = Id,
            Lab = Lab,
            Name = Name,
            State = Words.Read<MachineState>(State),
            Generation = Generation,
            Image = Image,
            ImageVersion = ImageVersion,
            Cpu = Cpu,
            MemoryMiB = MemoryMiB,
            DiskGiB = DiskGiB,
            Pool = Pool,
            Host = Host,
            ExternalId = ExternalId,
            Addresses = StoredJson.Read<string[]>(Addresses),
            // Most machines have the one card, and there are many in a list.
            Cards = Cards == s_usual ? Card.Usual : StoredJson.Read<Card[]>(Cards),
            WarmStart = WarmStart,
            Start = StoredJson.ReadOrDefault<MachineStart>(Start),
        };
    }
}
