using LabPortal.Domain;
using LabPortal.Domain.Costs;
using NodaTime;

namespace LabPortal.Data.Costs;

/// <summary>Meter events: appended in the transaction that changes the machine's state, never changed.</summary>
public static class MeterStore
{
    public static Task AppendAsync(Session session, MeterEvent meter, TimeProvider time) => session.ExecuteAsync("""
        INSERT INTO meter_events (id, machine_id, generation, lab_id, team_id, pool_id, state, cpu, memory_mib, disk_gib, at, recorded_at)
        VALUES (@Id, @Machine, @Generation, @Lab, @Team, @Pool, @State, @Cpu, @MemoryMiB, @DiskGiB, @At, @RecordedAt)
        """,
        new
        {
            Id = Ids.New(time),
            meter.Machine,
            meter.Generation,
            meter.Lab,
            meter.Team,
            meter.Pool,
            meter.State,
            meter.Cpu,
            meter.MemoryMiB,
            meter.DiskGiB,
            meter.At,
            meter.RecordedAt,
        });

    public static async Task<ILookup<LabId, MeterEvent>> OfLabsAsync(Session session, IReadOnlyCollection<LabId> labs) => labs.Count == 0
        ? Array.Empty<MeterEvent>().ToLookup(meter => meter.Lab)
        : (await session.QueryAsync<Row>($"""
            SELECT machine_id AS machine, generation, lab_id AS lab, team_id AS team, pool_id AS pool, state, cpu, memory_mib, disk_gib, at, recorded_at
            FROM meter_events WHERE {session.Dialect.AnyOf("lab_id", "labs")} ORDER BY lab_id, id
            """, new { labs = Many.Of(labs) })).Select(row => new MeterEvent(row.Machine, row.Generation, row.Lab, row.Team, row.Pool, row.State, row.Cpu, row.MemoryMiB, row.DiskGiB, row.At, row.RecordedAt))
            .ToLookup(meter => meter.Lab);

    private sealed class Row
    {
        public MachineId Machine { get; init; }
        public int Generation { get; init; }
        public LabId Lab { get; init; }
        public TeamId Team { get; init; }
        public PoolId Pool { get; init; }
        public string State { get; init; } = "";
        public int Cpu { get; init; }
        public int MemoryMiB { get; init; }
        public int DiskGiB { get; init; }
        public Instant At { get; init; }
        public Instant RecordedAt { get; init; }
    }
}
