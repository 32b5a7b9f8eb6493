using LabPortal.Domain;
using LabPortal.Domain.People;
using NodaTime;

namespace LabPortal.Data.People;

/// <summary>What a link is for; the stored words are these.</summary>
public enum LinkPurpose
{
    Setup,
    Invitation,
    Reset,
}

/// <summary>What an invitation gives to the person that it makes.</summary>
public sealed record LinkGrants(string? Name = null, TeamId? Team = null, TeamRole? Role = null, bool Admin = false, bool Auditor = false);

public sealed record StoredLink(string TokenHash, LinkPurpose Purpose, PersonId? Person, string? Email, LinkGrants Grants, Instant ExpiresAt);

/// <summary>Links that work once. Only the hash of the secret part is here.</summary>
public static class OneTimeLinkStore
{
    public static Task AddAsync(Session session, StoredLink link) => session.ExecuteAsync("""
        INSERT INTO one_time_links (token_hash, purpose, person_id, email, grants, expires_at)
        VALUES (@TokenHash, @Purpose, @Person, @Email, @Grants, @ExpiresAt)
        """,
        new { link.TokenHash, Purpose = link.Purpose.Word(), link.Person, link.Email, Grants = StoredJson.Write(Grants.Of(link.Grants)), link.ExpiresAt });

    /// <summary>The link, if it can still be used.</summary>
    public static async Task<StoredLink?> FindUsableAsync(Session session, string tokenHash, Instant now)
        => await session.FindAsync<Row>("""
            SELECT token_hash, purpose, person_id AS person, email, grants, expires_at FROM one_time_links
            WHERE token_hash = @tokenHash AND used_at IS NULL AND expires_at > @now
            """, new { tokenHash, now }) is { } row
            ? new StoredLink(row.TokenHash, Words.Read<LinkPurpose>(row.Purpose), row.Person, row.Email, StoredJson.Read<Grants>(row.Grants).Back(), row.ExpiresAt)
            : null;

    /// <summary>Uses the link: true for one caller only, however many ask at once.</summary>
    public static async Task<bool> TakeAsync(Session session, string tokenHash, Instant now) => await session.ExecuteAsync(
        "UPDATE one_time_links SET used_at = @now WHERE token_hash = @tokenHash AND used_at IS NULL AND expires_at > @now", new { tokenHash, now }) == 1;

    public static Task DropSetupAsync(Session session) => session.ExecuteAsync("DELETE FROM one_time_links WHERE purpose = 'setup' AND used_at IS NULL");

    /// <summary>Links that were made for this address or person and not used stop working.</summary>
    public static Task DropAsync(Session session, string email, PersonId? person) => session.ExecuteAsync(
        "DELETE FROM one_time_links WHERE used_at IS NULL AND purpose <> 'setup' AND (email = @email OR person_id = @Person)", new { email, Person = person?.ToString() });

    private sealed record Grants(string? Name, Guid? Team, TeamRole? Role, bool Admin, bool Auditor)
    {
        public static Grants Of(LinkGrants grants) => new(grants.Name, grants.Team?.Value, grants.Role, grants.Admin, grants.Auditor);

        public LinkGrants Back() => new(Name, Team is { } team ? new TeamId(team) : null, Role, Admin, Auditor);
    }

    private sealed class Row
    {
        public string TokenHash { get; init; } = "";
        public string Purpose { get; init; } = "";
        public PersonId? Person { get; init; }
        public string? Email { get; init; }
        public string Grants { get; init; } = "{}";
        public Instant ExpiresAt { get; init; }
    }
}
