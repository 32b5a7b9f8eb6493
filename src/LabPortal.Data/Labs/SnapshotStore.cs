using LabPortal.Domain;
using LabPortal.Domain.Labs;
using NodaTime;

namespace LabPortal.Data.Labs;

/// <summary>A lab's snapshots, each with an item for every machine. Changed under the lab's lock; what is deleted is kept by the audit alone.</summary>
public static class SnapshotStore
{
    public static async Task InsertAsync(Session session, Snapshot snapshot)
    {
        await session.ExecuteAsync(
            "INSERT INTO snapshots (id, lab_id, name, state, asked_by, asked_at) VALUES (@Id, @Lab, @Name, @State, @AskedBy, @AskedAt)",
            new { snapshot.Id, snapshot.Lab, snapshot.Name, State = snapshot.State.Word(), snapshot.AskedBy, snapshot.AskedAt });
        await session.ExecuteAsync(
            "INSERT INTO snapshot_items (snapshot_id, machine_id, generation, state, room_gib) VALUES (@Id, @Machine, @Generation, @State, @RoomGiB)",
            snapshot.Items.Select(item => new { snapshot.Id, item.Machine, item.Generation, State = item.State.Word(), item.RoomGiB }).ToList());
    }

    /// <summary>The newest first.</summary>
    public static Task<IReadOnlyList<Snapshot>> ListAsync(Session session, LabId lab) => ReadAsync(session, "WHERE lab_id = @lab ORDER BY id DESC", new { lab });

    public static async Task<Snapshot?> FindAsync(Session session, SnapshotId id) => (await ReadAsync(session, "WHERE id = @id", new { id })).SingleOrDefault();

    /// <summary>Which of these labs have a whole snapshot of this name.</summary>
    public static async Task<IReadOnlySet<LabId>> HavingAsync(Session session, IEnumerable<LabId> labs, string name) => (await session.QueryAsync<LabId>(
        $"SELECT lab_id FROM snapshots WHERE name = @name AND state = 'taken' AND {session.Dialect.AnyOf("lab_id", "labs")}", new { name, labs = Many.Of(labs) })).ToHashSet();

    /// <summary>What the machine's part of a snapshot will hold that is taken at <i>ready</i>: it is placed together with its machine.</summary>
    public static Task<int> PlannedRoomAsync(Session session, MachineId machine) => session.FindAsync<int>(
        "SELECT CAST(coalesce(sum(room_gib), 0) AS integer) FROM snapshot_items WHERE machine_id = @machine AND state = 'taking'", new { machine });

    /// <summary>The part is to be taken of this generation, and holds its room where that one is.</summary>
    public static Task PlaceAsync(Session session, MachineId machine, int generation) => session.ExecuteAsync(
        "UPDATE snapshot_items SET generation = @generation WHERE machine_id = @machine AND state = 'taking'", new { machine, generation });

    public static Task SetItemAsync(Session session, SnapshotId snapshot, SnapshotItem item) => session.ExecuteAsync("""
        UPDATE snapshot_items SET generation = @Generation, state = @State, taken_at = @TakenAt, with_memory = @WithMemory, bytes = @Bytes
        WHERE snapshot_id = @snapshot AND machine_id = @Machine
        """,
        new { snapshot, item.Machine, item.Generation, State = item.State.Word(), item.TakenAt, item.WithMemory, item.Bytes });

    public static Task SetStateAsync(Session session, SnapshotId id, SnapshotState state) => session.ExecuteAsync(
        "UPDATE snapshots SET state = @State WHERE id = @id", new { id, State = state.Word() });

    public static Task SetTakenAsync(Session session, SnapshotId id, Instant at) => session.ExecuteAsync(
        "UPDATE snapshots SET state = 'taken', taken_at = @at WHERE id = @id", new { id, at });

    /// <summary>What a run that was given up was taking or deleting. Nobody takes its parts any more; whether one is there is not known.</summary>
    public static async Task BreakAsync(Session session, LabId lab)
    {
        await session.ExecuteAsync("UPDATE snapshots SET state = 'broken' WHERE lab_id = @lab AND state IN ('taking', 'deleting')", new { lab });
        await session.ExecuteAsync(
            "UPDATE snapshot_items SET state = 'deleting' WHERE state = 'taking' AND snapshot_id IN (SELECT id FROM snapshots WHERE lab_id = @lab AND state = 'broken')", new { lab });
    }

    public static async Task DeleteAsync(Session session, SnapshotId id)
    {
        await session.ExecuteAsync("DELETE FROM snapshot_items WHERE snapshot_id = @id", new { id });
        await session.ExecuteAsync("DELETE FROM snapshots WHERE id = @id", new { id });
    }

    public static async Task DeleteAllAsync(Session session, LabId lab)
    {
        await session.ExecuteAsync("DELETE FROM snapshot_items WHERE snapshot_id IN (SELECT id FROM snapshots WHERE lab_id = @lab)", new { lab });
        await session.ExecuteAsync("DELETE FROM snapshots WHERE lab_id = @lab", new { lab });
    }

    private static async Task<IReadOnlyList<Snapshot>> ReadAsync(Session session, string tail, object parameters)
    {
        var rows = await session.QueryAsync<Row>($"SELECT id, lab_id AS lab, name, state, asked_by, asked_at, taken_at FROM snapshots {tail}", parameters);
        if (rows.Count == 0) return [];
        var items = (await session.QueryAsync<ItemRow>($"""
            SELECT i.snapshot_id AS snapshot, i.machine_id AS machine, i.generation, i.state, i.taken_at, i.with_memory, i.bytes, i.room_gib
            FROM snapshot_items i JOIN machines m ON m.id = i.machine_id WHERE {session.Dialect.AnyOf("i.snapshot_id", "ids")} ORDER BY m.position
            """, new { ids = Many.Of(rows.Select(row => row.Id)) })).ToLookup(item => item.Snapshot);
        return [.. rows.Select(row => new Snapshot
        {
            Id = row.Id,
            Lab = row.Lab,
            Name = row.Name,
            State = Words.Read<SnapshotState>(row.State),
            AskedBy = row.AskedBy,
            AskedAt = row.AskedAt,
            TakenAt = row.TakenAt,
            Items = [.. items[row.Id].Select(item => new SnapshotItem(item.Machine, item.Generation, Words.Read<SnapshotItemState>(item.State), item.TakenAt, item.WithMemory, item.Bytes) { RoomGiB = item.RoomGib })],
        })];
    }

    private sealed class Row
    {
        public SnapshotId Id { get; init; }
        public LabId Lab { get; init; }
        public string Name { get; init; } = "";
        public string State { get; init; } = "";
        public string AskedBy { get; init; } = "";
        public Instant AskedAt { get; init; }
        public Instant? TakenAt { get; init; }
    }

    private sealed class ItemRow
    {
        public SnapshotId Snapshot { get; init; }
        public MachineId Machine { get; init; }
        public int Generation { get; init; }
        public string State { get; init; } = "";
        public Instant? TakenAt { get; init; }
        public bool WithMemory { get; init; }
        public long? Bytes { get; init; }
        public int RoomGib { get; init; }
    }
}
