using LabPortal.Domain;
using NodaTime;

namespace LabPortal.Data.People;

/// <summary>A local account's password. <paramref name="Stamp"/> changes with it: a session made under another stamp is over.</summary>
public sealed record StoredPassword(PersonId Person, string Hash, string Stamp);

public static class PasswordStore
{
    public static async Task<StoredPassword?> FindAsync(Session session, PersonId person)
        => await session.FindAsync<Row>("SELECT hash, stamp FROM passwords WHERE person_id = @person", new { person }) is { } row
            ? new StoredPassword(person, row.Hash, row.Stamp)
            : null;

    /// <summary>Sets it, with a new stamp; an earlier lock is lifted.</summary>
    public static Task SetAsync(Session session, StoredPassword password, Instant now) => session.ExecuteAsync("""
        INSERT INTO passwords (person_id, hash, stamp, failures, locked_until, changed_at) VALUES (@Person, @Hash, @Stamp, 0, NULL, @now)
        ON CONFLICT (person_id) DO UPDATE SET hash = excluded.hash, stamp = excluded.stamp, failures = 0, locked_until = NULL, changed_at = excluded.changed_at
        """, new { password.Person, password.Hash, password.Stamp, now });

    /// <summary>
    /// Takes one of the tries that are allowed, before the password is looked at: tries at once count like tries in a row.
    /// The last one locks until <paramref name="lockedUntil"/>; a lock that is over starts anew. False where none is left.
    /// </summary>
    public static async Task<bool> TakeTryAsync(Session session, PersonId person, int allowed, Instant lockedUntil, Instant now) => await session.ExecuteAsync("""
        UPDATE passwords SET
            failures = CASE WHEN locked_until IS NULL THEN failures + 1 ELSE 1 END,
            locked_until = CASE WHEN locked_until IS NULL AND failures + 1 >= @allowed THEN @lockedUntil ELSE NULL END
        WHERE person_id = @person AND (locked_until IS NULL OR locked_until <= @now)
        """, new { person, allowed, lockedUntil, now }) == 1;

    /// <summary>The password was right: no failure is left. A hash in an older form is replaced by <paramref name="rehashed"/>, if it is still the one that was checked.</summary>
    public static async Task<bool> SucceedAsync(Session session, StoredPassword checkedOne, string? rehashed) => await session.ExecuteAsync("""
        UPDATE passwords SET failures = 0, locked_until = NULL, hash = @NewHash WHERE person_id = @Person AND hash = @Hash AND stamp = @Stamp
        """, new { checkedOne.Person, checkedOne.Hash, checkedOne.Stamp, NewHash = rehashed ?? checkedOne.Hash }) == 1;

    public static Task ChangeStampAsync(Session session, PersonId person, string stamp)
        => session.ExecuteAsync("UPDATE passwords SET stamp = @stamp WHERE person_id = @person", new { person, stamp });

    private sealed class Row
    {
        public string Hash { get; init; } = "";
        public string Stamp { get; init; } = "";
    }
}
