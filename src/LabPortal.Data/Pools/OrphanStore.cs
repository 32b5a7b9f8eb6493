using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using NodaTime;

namespace LabPortal.Data.Pools;

public enum OrphanState
{
    Listed,
    Deleting,
    Gone,

    /// <summary>Left to people.</summary>
    Adopted,
}

/// <summary>A resource that carries our installation and belongs to nothing that lives. <see cref="Owner"/> is the machine's or lab's id, as its name says.</summary>
public sealed class Orphan
{
    public Guid Id { get; init; }
    public PoolId Pool { get; init; }
    public string PoolName { get; init; } = "";
    public string Kind { get; init; } = "";
    public string ExternalId { get; init; } = "";
    public string Name { get; init; } = "";
    public Guid Owner { get; init; }
    public int Generation { get; init; }
    public string? Host { get; init; }
    public LabId? Lab { get; init; }
    public string? LabName { get; init; }
    public TeamId? Team { get; init; }
    public string? TeamName { get; init; }
    public OrphanState State => Words.Read<OrphanState>(StateWord);
    public string StateWord { get; init; } = "";
    public Instant FirstSeenAt { get; init; }
    public Instant LastSeenAt { get; init; }
    public string? Note { get; init; }
}

/// <summary>A machine or lab that a resource at a provider may belong to.</summary>
public sealed class KnownOwner
{
    public Guid Id { get; init; }
    public LabId Lab { get; init; }
    public string LabName { get; init; } = "";
    public TeamId Team { get; init; }
    public bool LabIsOver { get; init; }
    public bool HasLiveRun { get; init; }

    /// <summary>Empty for a lab.</summary>
    public MachineId? Machine { get; init; }
    public string? MachineName { get; init; }
    public int Generation { get; init; }
    public bool MachineIsGone { get; init; }
    public int Cpu { get; init; }
    public int MemoryMib { get; init; }
    public int DiskGib { get; init; }

    /// <summary>
    /// Does this generation live, or may a run still be making or removing it? A run that is stuck counts: it answers for what it left,
    /// until it is retried or abandoned.
    /// </summary>
    public bool Accounts(int generation) => !LabIsOver && (HasLiveRun || Machine is null || (!MachineIsGone && generation == Generation));

    /// <summary>
    /// The same for one of its resources. Of a living generation, a part of a snapshot that no row speaks of is a stranger: rows are written before parts are
    /// made, so a worker whose run is over made it late.
    /// </summary>
    public bool Accounts(ResourceKind kind, string name, int generation)
        => Accounts(generation) && (HasLiveRun || kind != ResourceKind.Snapshot || Owner.ReadPartName(name) is not { } part || Snapshots.Contains(part));

    /// <summary>The snapshots of which the machine has a part, or may have.</summary>
    public IReadOnlySet<SnapshotId> Snapshots { get; set; } = new HashSet<SnapshotId>();
}

public static class OrphanStore
{
    /// <summary>Whatever machines and labs these ids name; who is not in the answer is unknown here.</summary>
    public static async Task<IReadOnlyDictionary<Guid, KnownOwner>> OwnersAsync(Session session, IEnumerable<Guid> ids)
    {
        var found = new Dictionary<Guid, KnownOwner>();
        foreach (var some in ids.Distinct().Chunk(500))
        {
            var list = Many.Of(some.Select(Ids.Canonical));
            foreach (var owner in await session.QueryAsync<KnownOwner>($"""
                SELECT machines.id, labs.id AS lab, labs.name AS lab_name, labs.team_id AS team, labs.state IN ('ended', 'failed') AS lab_is_over,
                    EXISTS (SELECT 1 FROM runs WHERE runs.lab_id = labs.id AND runs.state IN ('running', 'undoing', 'stuck')) AS has_live_run,
                    machines.id AS machine, machines.name AS machine_name, machines.generation, machines.state = 'gone' AS machine_is_gone,
                    machines.cpu, machines.memory_mib, machines.disk_gib
                FROM machines JOIN labs ON labs.id = machines.lab_id WHERE {session.Dialect.AnyOf("machines.id", "list")}
                """, new { list })) found[owner.Id] = owner;
            var parts = await session.QueryAsync<PartRow>(
                $"SELECT machine_id AS machine, snapshot_id AS snapshot FROM snapshot_items WHERE state <> 'gone' AND {session.Dialect.AnyOf("machine_id", "list")}", new { list });
            foreach (var of in parts.GroupBy(part => part.Machine)) found[of.Key.Value].Snapshots = of.Select(part => part.Snapshot).ToHashSet();
            foreach (var owner in await session.QueryAsync<KnownOwner>($"""
                SELECT labs.id, labs.id AS lab, labs.name AS lab_name, labs.team_id AS team, labs.state IN ('ended', 'failed') AS lab_is_over,
                    EXISTS (SELECT 1 FROM runs WHERE runs.lab_id = labs.id AND runs.state IN ('running', 'undoing', 'stuck')) AS has_live_run
                FROM labs WHERE {session.Dialect.AnyOf("labs.id", "list")}
                """, new { list })) found[owner.Id] = owner;
        }

        return found;
    }

    /// <summary>Those that are still there: listed, being deleted or adopted; the longest known first.</summary>
    public static Task<IReadOnlyList<Orphan>> OfPoolAsync(Session session, PoolId pool)
        => ReadAsync(session, "WHERE orphans.pool_id = @pool AND orphans.state <> 'gone' ORDER BY orphans.first_seen_at, orphans.id", new { pool });

    /// <summary>What the orphan list shows of this pool, or of all; the longest known first, by key: <paramref name="after"/> is the last of the page before, wherever that is meanwhile.</summary>
    public static Task<IReadOnlyList<Orphan>> PageAsync(Session session, string? pool, int limit, Guid? after)
    {
        var where = new List<string> { "orphans.state IN ('listed', 'deleting')" };
        if (pool is not null) where.Add("pools.name = @pool");
        if (after is not null) where.Add("(orphans.first_seen_at, orphans.id) > (SELECT first_seen_at, id FROM orphans WHERE id = @after)");
        return ReadAsync(session, $"WHERE {string.Join(" AND ", where)} ORDER BY orphans.first_seen_at, orphans.id LIMIT @limit", new { pool, limit, after });
    }

    public static async Task<Orphan?> FindAsync(Session session, Guid id) => (await ReadAsync(session, "WHERE orphans.id = @id", new { id })).SingleOrDefault();

    /// <summary>Lists it, or says that it was seen again. What was gone and is back begins anew; what people adopted stays theirs.</summary>
    public static async Task SawAsync(Session session, PoolId pool, OwnedResource resource, KnownOwner? owner, Instant first, Instant now, TimeProvider time)
    {
        await session.ExecuteAsync("""
            INSERT INTO orphans (id, pool_id, kind, external_id, name, owner_id, generation, host, lab_id, team_id, state, first_seen_at, last_seen_at)
            VALUES (@Id, @pool, @Kind, @ExternalId, @Name, @OwnerId, @Generation, @Host, @Lab, @Team, 'listed', @first, @now)
            ON CONFLICT (pool_id, kind, external_id) DO UPDATE SET last_seen_at = excluded.last_seen_at, name = excluded.name, owner_id = excluded.owner_id,
                generation = excluded.generation, host = excluded.host, lab_id = excluded.lab_id, team_id = excluded.team_id,
                first_seen_at = CASE WHEN orphans.state = 'gone' THEN excluded.first_seen_at ELSE orphans.first_seen_at END,
                note = CASE WHEN orphans.state = 'gone' THEN NULL ELSE orphans.note END,
                state = CASE WHEN orphans.state = 'gone' THEN 'listed' ELSE orphans.state END
            """,
            new
            {
                Id = Ids.New(time),
                pool,
                Kind = resource.Kind.Word(),
                resource.ExternalId,
                resource.Name,
                OwnerId = resource.Id,
                resource.Generation,
                resource.Host,
                owner?.Lab,
                owner?.Team,
                first,
                now,
            });
        session.Raise(Signal.Operations, "");
    }

    public static async Task SetStateAsync(Session session, Guid id, OrphanState state, string? note)
    {
        await session.ExecuteAsync("UPDATE orphans SET state = @State, note = @note WHERE id = @id", new { id, State = state.Word(), note });
        session.Raise(Signal.Operations, "");
    }

    private sealed class PartRow
    {
        public MachineId Machine { get; init; }
        public SnapshotId Snapshot { get; init; }
    }

    private static Task<IReadOnlyList<Orphan>> ReadAsync(Session session, string tail, object parameters) => session.QueryAsync<Orphan>($"""
        SELECT orphans.id, orphans.pool_id AS pool, pools.name AS pool_name, orphans.kind, orphans.external_id, orphans.name, orphans.owner_id AS owner,
            orphans.generation, orphans.host, orphans.lab_id AS lab, labs.name AS lab_name, orphans.team_id AS team, teams.name AS team_name,
            orphans.state AS state_word, orphans.first_seen_at, orphans.last_seen_at, orphans.note
        FROM orphans JOIN pools ON pools.id = orphans.pool_id LEFT JOIN labs ON labs.id = orphans.lab_id LEFT JOIN teams ON teams.id = orphans.team_id {tail}
        """, parameters);
}
