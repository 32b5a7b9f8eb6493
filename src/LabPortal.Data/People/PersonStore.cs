using LabPortal.Domain;
using LabPortal.Domain.People;
using NodaTime;

namespace LabPortal.Data.People;

/// <summary>People and their sign-ins. An e-mail address is stored trimmed and in lower case.</summary>
public static class PersonStore
{
    /// <summary>The issuer of local accounts; a subject of it is the person's own id.</summary>
    public const string Local = "local";

    public static Task AddAsync(Session session, Person person) => session.ExecuteAsync("""
        INSERT INTO people (id, name, email, is_admin, is_auditor, disabled, created_at)
        VALUES (@Id, @Name, @Email, @IsAdmin, @IsAuditor, @Disabled, @CreatedAt)
        """, person);

    public static Task ChangeAsync(Session session, Person person) => session.ExecuteAsync(
        "UPDATE people SET name = @Name, email = @Email, is_admin = @IsAdmin, is_auditor = @IsAuditor, disabled = @Disabled WHERE id = @Id", person);

    public static async Task<Person?> FindAsync(Session session, PersonId id) => (await ReadAsync(session, "WHERE id = @id", new { id })).SingleOrDefault();

    public static async Task<Person?> FindByEmailAsync(Session session, string email)
        => (await ReadAsync(session, "WHERE email = @email", new { email })).SingleOrDefault();

    public static async Task<Person?> FindBySignInAsync(Session session, string issuer, string subject) => (await ReadAsync(
        session, "WHERE id = (SELECT person_id FROM sign_ins WHERE issuer = @issuer AND subject = @subject)", new { issuer, subject })).SingleOrDefault();

    /// <summary>By e-mail address, by key: <paramref name="after"/> is the last person of the page before.</summary>
    public static Task<IReadOnlyList<Person>> PageAsync(Session session, PersonFilter filter, int limit, PersonId? after)
    {
        var where = new List<string>();
        if (filter.Text is not null) where.Add($"({TextSearch.In("email", "Like")} OR {TextSearch.In("name", "Like")})");
        if (filter.CouldJoin is not null) where.Add("NOT disabled AND id NOT IN (SELECT person_id FROM memberships WHERE team_id = @CouldJoin)");
        if (after is not null) where.Add("email > (SELECT email FROM people WHERE id = @after)");
        return ReadAsync(
            session, $"{(where.Count == 0 ? "" : $"WHERE {string.Join(" AND ", where)}")} ORDER BY email LIMIT @limit", new { Like = TextSearch.Part(filter.Text), filter.CouldJoin, limit, after });
    }

    /// <summary>The enabled admins who have a way to sign in, their rows locked: whether one is left is decided under this lock.</summary>
    public static Task<IReadOnlyList<PersonId>> LockSigningAdminsAsync(Session session) => session.QueryAsync<PersonId>($"""
        SELECT id FROM people WHERE is_admin AND NOT disabled AND EXISTS (SELECT 1 FROM sign_ins WHERE person_id = people.id)
        ORDER BY id {session.Dialect.ForUpdate}
        """);

    public static async Task<bool> AnyAdminCanSignInAsync(Session session) => await session.FindAsync<long>("""
        SELECT count(*) FROM people WHERE is_admin AND NOT disabled AND EXISTS (SELECT 1 FROM sign_ins WHERE person_id = people.id)
        """) > 0;

    public static Task AddSignInAsync(Session session, string issuer, string subject, PersonId person) => session.ExecuteAsync(
        "INSERT INTO sign_ins (issuer, subject, person_id) VALUES (@issuer, @subject, @person) ON CONFLICT DO NOTHING", new { issuer, subject, person });

    public static async Task<bool> HasSignInAsync(Session session, PersonId person)
        => await session.FindAsync<long>("SELECT count(*) FROM sign_ins WHERE person_id = @person", new { person }) > 0;

    private static async Task<IReadOnlyList<Person>> ReadAsync(Session session, string tail, object parameters)
        => [.. (await session.QueryAsync<Row>($"SELECT id, name, email, is_admin, is_auditor, disabled, created_at FROM people {tail}", parameters)).Select(row => new Person
        {
            Id = row.Id,
            Name = row.Name,
            Email = row.Email,
            IsAdmin = row.IsAdmin,
            IsAuditor = row.IsAuditor,
            Disabled = row.Disabled,
            CreatedAt = row.CreatedAt,
        })];

    private sealed class Row
    {
        public PersonId Id { get; init; }
        public string Name { get; init; } = "";
        public string Email { get; init; } = "";
        public bool IsAdmin { get; init; }
        public bool IsAuditor { get; init; }
        public bool Disabled { get; init; }
        public Instant CreatedAt { get; init; }
    }
}
