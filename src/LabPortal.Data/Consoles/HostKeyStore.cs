using LabPortal.Domain;
using NodaTime;

namespace LabPortal.Data.Consoles;

/// <summary>The SSH host key that a machine showed first, in its generation: another one later is somebody else's.</summary>
public static class HostKeyStore
{
    /// <summary>Remembers it where none is known yet, on whatever node; gives what is known then.</summary>
    public static async Task<string> PinAsync(Session session, MachineId machine, int generation, string fingerprint, Instant now)
    {
        await session.ExecuteAsync(
            "INSERT INTO host_keys (machine_id, generation, fingerprint, seen_at) VALUES (@machine, @generation, @fingerprint, @now) ON CONFLICT (machine_id, generation) DO NOTHING",
            new { machine, generation, fingerprint, now });
        return (await FindAsync(session, machine, generation))!;
    }

    public static async Task<string?> FindAsync(Session session, MachineId machine, int generation)
        => (await session.FindAsync<Row>("SELECT fingerprint FROM host_keys WHERE machine_id = @machine AND generation = @generation", new { machine, generation }))?.Fingerprint;

    private sealed class Row
    {
        public string Fingerprint { get; init; } = "";
    }
}
