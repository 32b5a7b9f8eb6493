using LabPortal.Domain;
using NodaTime;

namespace LabPortal.Data.Consoles;

/// <summary>A machine's SSH host key. <paramref name="PublicKey"/>: it was given to the machine before its first boot; empty where it is what the machine showed first.</summary>
public sealed record HostKeyRow(string Fingerprint, string? PublicKey);

/// <summary>The SSH host key of a machine, in its generation: another one is somebody else's.</summary>
public static class HostKeyStore
{
    /// <summary>Says which key the machine gets, where nothing is known yet; false where something is.</summary>
    public static async Task<bool> GiveAsync(Session session, MachineId machine, int generation, HostKeyRow key, Instant now) => await session.ExecuteAsync("""
        INSERT INTO host_keys (machine_id, generation, fingerprint, public_key, since) VALUES (@machine, @generation, @Fingerprint, @PublicKey, @now)
        ON CONFLICT (machine_id, generation) DO NOTHING
        """, new { machine, generation, key.Fingerprint, key.PublicKey, now }) == 1;

    /// <summary>Remembers what it showed where none is known yet, on whatever node; gives what is known then.</summary>
    public static async Task<string> PinAsync(Session session, MachineId machine, int generation, string fingerprint, Instant now)
    {
        await GiveAsync(session, machine, generation, new HostKeyRow(fingerprint, null), now);
        return (await FindAsync(session, machine, generation))!.Fingerprint;
    }

    public static async Task<HostKeyRow?> FindAsync(Session session, MachineId machine, int generation) => await session.FindAsync<Row>(
        "SELECT machine_id AS machine, generation, fingerprint, public_key FROM host_keys WHERE machine_id = @machine AND generation = @generation", new { machine, generation }) is { } row
        ? new HostKeyRow(row.Fingerprint, row.PublicKey)
        : null;

    /// <summary>The public keys that machines of these labs were given.</summary>
    public static async Task<IReadOnlyDictionary<(MachineId, int), string>> GivenAsync(Session session, IReadOnlyList<LabId> labs) => (await session.QueryAsync<Row>($"""
        SELECT k.machine_id AS machine, k.generation, k.fingerprint, k.public_key FROM host_keys k JOIN machines m ON m.id = k.machine_id AND m.generation = k.generation
        WHERE {session.Dialect.AnyOf("m.lab_id", "labs")} AND k.public_key IS NOT NULL
        """, new { labs = Many.Of(labs) })).ToDictionary(row => (row.Machine, row.Generation), row => row.PublicKey!);

    private sealed class Row
    {
        public MachineId Machine { get; init; }
        public int Generation { get; init; }
        public string Fingerprint { get; init; } = "";
        public string? PublicKey { get; init; }
    }
}
