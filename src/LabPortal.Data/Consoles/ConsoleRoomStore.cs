using LabPortal.Domain;
using LabPortal.Domain.Consoles;
using NodaTime;

namespace LabPortal.Data.Consoles;

/// <summary>Which node has a console's room: its worker, and where other nodes reach it (empty where they do not).</summary>
public sealed record ConsoleRoomRow(string Worker, string? Address);

/// <summary>Rooms of consoles, each at one node of the portal.</summary>
public static class ConsoleRoomStore
{
    /// <summary>The room that this token leads to.</summary>
    public static Task<ConsoleRoomRow?> FindAsync(Session session, string tokenHash) => ReadAsync(session, """
        SELECT r.worker, r.address FROM console_rooms r JOIN console_tokens t ON t.machine_id = r.machine_id AND t.generation = r.generation AND t.kind = r.kind
        WHERE t.token_hash = @tokenHash
        """, new { tokenHash });

    /// <summary>
    /// Takes the room for this worker, unless another has it who is not among those that <paramref name="lapsed"/> or were forgotten. Who has it now.
    /// </summary>
    public static async Task<ConsoleRoomRow> ClaimAsync(Session session, MachineId machine, int generation, ConsoleKind kind, ConsoleRoomRow own, IReadOnlyList<string> lapsed, Instant now)
    {
        var key = new { machine, generation, kind = kind.Word(), own.Worker, own.Address, now };
        var found = await ReadAsync(session, """
            SELECT r.worker, r.address FROM console_rooms r JOIN workers w ON w.id = r.worker WHERE r.machine_id = @machine AND r.generation = @generation AND r.kind = @kind
            """, key);
        // A node at the same address is this one, started again.
        if (found is not null && found.Worker != own.Worker && !lapsed.Contains(found.Worker) && (found.Address is null || found.Address != own.Address)) return found;
        if (found is not null || await ReadAsync(session, "SELECT worker, address FROM console_rooms WHERE machine_id = @machine AND generation = @generation AND kind = @kind", key) is not null)
            await session.ExecuteAsync("DELETE FROM console_rooms WHERE machine_id = @machine AND generation = @generation AND kind = @kind", key);
        await session.ExecuteAsync("""
            INSERT INTO console_rooms (machine_id, generation, kind, worker, address, opened_at) VALUES (@machine, @generation, @kind, @Worker, @Address, @now)
            ON CONFLICT (machine_id, generation, kind) DO NOTHING
            """, key);
        // Of two at once one has it; where that one has given it up meanwhile, it is free again.
        return await ReadAsync(session, "SELECT worker, address FROM console_rooms WHERE machine_id = @machine AND generation = @generation AND kind = @kind", key)
            ?? await ClaimAsync(session, machine, generation, kind, own, lapsed, now);
    }

    /// <summary>Gives up what was claimed at <paramref name="openedAt"/>; a room of the same console that was opened since stays.</summary>
    public static Task ReleaseAsync(Session session, MachineId machine, int generation, ConsoleKind kind, string worker, Instant openedAt) => session.ExecuteAsync(
        "DELETE FROM console_rooms WHERE machine_id = @machine AND generation = @generation AND kind = @kind AND worker = @worker AND opened_at = @openedAt",
        new { machine, generation, kind = kind.Word(), worker, openedAt });

    /// <summary>All rooms that this worker has at this address. One that was started there since has its own.</summary>
    public static Task ForgetAsync(Session session, ConsoleRoomRow node) => session.ExecuteAsync("DELETE FROM console_rooms WHERE worker = @Worker AND address = @Address", new { node.Worker, node.Address });

    private static async Task<ConsoleRoomRow?> ReadAsync(Session session, string sql, object key)
        => await session.FindAsync<Row>(sql, key) is { } row ? new ConsoleRoomRow(row.Worker, row.Address) : null;

    private sealed class Row
    {
        public string Worker { get; init; } = "";
        public string? Address { get; init; }
    }
}
