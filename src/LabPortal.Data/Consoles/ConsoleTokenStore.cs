using LabPortal.Domain;
using LabPortal.Domain.Consoles;
using NodaTime;

namespace LabPortal.Data.Consoles;

/// <summary>One way into one machine in one generation, for one person in one session.</summary>
public sealed record ConsoleToken(
    string TokenHash, ConsoleKind Kind, LabId Lab, MachineId Machine, int Generation, PersonId Person, string Session, Instant ExpiresAt, Instant? UsedAt = null);

/// <summary>Tokens that open a console once. Only their hash is here.</summary>
public static class ConsoleTokenStore
{
    /// <summary>So long a token that is over can still be told from one that never was.</summary>
    private static readonly Duration s_remembered = Duration.FromHours(24);

    public static async Task AddAsync(Session session, ConsoleToken token, Instant now)
    {
        await session.ExecuteAsync("DELETE FROM console_tokens WHERE expires_at < @Before", new { Before = now - s_remembered });
        await session.ExecuteAsync("""
            INSERT INTO console_tokens (token_hash, kind, lab_id, machine_id, generation, person_id, session, expires_at)
            VALUES (@TokenHash, @Kind, @Lab, @Machine, @Generation, @Person, @Session, @ExpiresAt)
            """,
            new { token.TokenHash, Kind = token.Kind.Word(), token.Lab, token.Machine, token.Generation, token.Person, token.Session, token.ExpiresAt });
    }

    /// <summary>Uses the token: true for one caller only, however many ask at once on however many nodes, and only for whom it was made.</summary>
    public static async Task<bool> TakeAsync(Session session, string tokenHash, PersonId person, string personSession, Instant now) => await session.ExecuteAsync("""
        UPDATE console_tokens SET used_at = @now
        WHERE token_hash = @tokenHash AND used_at IS NULL AND expires_at > @now AND person_id = @person AND session = @personSession
        """, new { tokenHash, person, personSession, now }) == 1;

    public static async Task<ConsoleToken?> FindAsync(Session session, string tokenHash) => await session.FindAsync<Row>("""
        SELECT token_hash, kind, lab_id AS lab, machine_id AS machine, generation, person_id AS person, session, expires_at, used_at
        FROM console_tokens WHERE token_hash = @tokenHash
        """, new { tokenHash }) is { } row
        ? new ConsoleToken(row.TokenHash, Words.Read<ConsoleKind>(row.Kind), row.Lab, row.Machine, row.Generation, row.Person, row.Session, row.ExpiresAt, row.UsedAt)
        : null;

    private sealed class Row
    {
        public string TokenHash { get; init; } = "";
        public string Kind { get; init; } = "";
        public LabId Lab { get; init; }
        public MachineId Machine { get; init; }
        public int Generation { get; init; }
        public PersonId Person { get; init; }
        public string Session { get; init; } = "";
        public Instant ExpiresAt { get; init; }
        public Instant? UsedAt { get; init; }
    }
}
