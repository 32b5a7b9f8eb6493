using LabPortal.Domain;
using LabPortal.Domain.People;
using NodaTime;

namespace LabPortal.Data.People;

public sealed record Membership(TeamId Team, PersonId Person, TeamRole Role);

/// <summary>A membership with what team and person are called.</summary>
public sealed record NamedMembership(TeamId Team, string TeamName, PersonId Person, string Name, string Email, TeamRole Role);

/// <summary>Teams, who is in them, and what they may use.</summary>
public static class TeamStore
{
    /// <summary>Adds the team, or changes the one of this id.</summary>
    public static Task SaveAsync(Session session, Team team, Instant now) => session.ExecuteAsync("""
        INSERT INTO teams (id, name, zone, declared, created_at) VALUES (@Id, @Name, @Zone, @Declared, @now)
        ON CONFLICT (id) DO UPDATE SET name = excluded.name, zone = excluded.zone, declared = excluded.declared
        """, new { team.Id, team.Name, team.Zone, team.Declared, now });

    public static async Task<Team?> FindAsync(Session session, string name) => (await ReadAsync(session, "WHERE name = @name", new { name })).SingleOrDefault();

    public static async Task<Team?> FindAsync(Session session, TeamId id) => (await ReadAsync(session, "WHERE id = @id", new { id })).SingleOrDefault();

    /// <summary>All but the portal's own, which nobody is in.</summary>
    public static Task<IReadOnlyList<Team>> ListAsync(Session session) => ReadAsync(session, "WHERE id NOT IN (SELECT id FROM installation) ORDER BY name", new { });

    /// <summary>By name, by key, of those <paramref name="among"/> which the caller sees, or of all where that is empty; <paramref name="after"/> is the last name of the page before.</summary>
    public static Task<IReadOnlyList<Team>> PageAsync(Session session, string? text, IEnumerable<TeamId>? among, int limit, string? after)
    {
        var where = new List<string> { "id NOT IN (SELECT id FROM installation)" };
        if (among is not null) where.Add(session.Dialect.AnyOf("id", "among"));
        if (text is not null) where.Add(TextSearch.In("name", "Like"));
        if (after is not null) where.Add("name > @after");
        return ReadAsync(session, $"WHERE {string.Join(" AND ", where)} ORDER BY name LIMIT @limit", new { among = Many.Of(among ?? []), Like = TextSearch.Part(text), limit, after });
    }

    /// <summary>Locks these teams' rows in one order that is the same for everybody. A team is locked before any pool.</summary>
    public static Task LockAsync(Session session, IEnumerable<TeamId> teams)
        => session.QueryAsync<TeamId>($"SELECT id FROM teams WHERE {session.Dialect.AnyOf("id", "teams")} ORDER BY id {session.Dialect.ForUpdate}", new { teams = Many.Of(teams) });

    /// <summary>The portal's own team has the installation's id: what it tries for itself is charged to nobody else. Its name is none that a team can be given.</summary>
    public static async Task<TeamId> EnsureOwnAsync(Session session, Instant now)
    {
        var own = new Team { Id = new TeamId((await Installation.ReadAsync(session)).Value), Name = "(portal)", Zone = "UTC" };
        await SaveAsync(session, own, now);
        return own.Id;
    }

    /// <summary>Takes the team away with its memberships, quotas and webhooks; labs that ever were in it keep it (a foreign key).</summary>
    public static async Task DeleteAsync(Session session, TeamId team)
    {
        await session.ExecuteAsync("DELETE FROM memberships WHERE team_id = @team", new { team });
        await session.ExecuteAsync("DELETE FROM quotas WHERE team_id = @team", new { team });
        await session.ExecuteAsync("DELETE FROM secrets WHERE name IN (SELECT secret_name FROM webhooks WHERE team_id = @team)", new { team });
        await session.ExecuteAsync("DELETE FROM webhooks WHERE team_id = @team", new { team });
        await session.ExecuteAsync("DELETE FROM teams WHERE id = @team", new { team });
    }

    public static Task<IReadOnlyList<Membership>> MembershipsAsync(Session session, TeamId team) => ReadMembershipsAsync(session, "team_id = @team", new { team });

    public static Task<IReadOnlyList<Membership>> MembershipsAsync(Session session, PersonId person) => ReadMembershipsAsync(session, "person_id = @person", new { person });

    /// <summary>Who is in these teams, by e-mail address.</summary>
    public static Task<ILookup<TeamId, NamedMembership>> MembersAsync(Session session, IEnumerable<TeamId> teams)
        => ReadNamedAsync(session, "memberships.team_id", Many.Of(teams), "people.email", membership => membership.Team);

    /// <summary>Which teams these people are in, by name.</summary>
    public static Task<ILookup<PersonId, NamedMembership>> TeamsOfAsync(Session session, IEnumerable<PersonId> people)
        => ReadNamedAsync(session, "memberships.person_id", Many.Of(people), "teams.name", membership => membership.Person);

    public static Task SetMemberAsync(Session session, Membership membership) => session.ExecuteAsync("""
        INSERT INTO memberships (team_id, person_id, role) VALUES (@Team, @Person, @Role) ON CONFLICT (team_id, person_id) DO UPDATE SET role = excluded.role
        """, new { membership.Team, membership.Person, Role = membership.Role.Word() });

    public static async Task<bool> RemoveMemberAsync(Session session, TeamId team, PersonId person)
        => await session.ExecuteAsync("DELETE FROM memberships WHERE team_id = @team AND person_id = @person", new { team, person }) == 1;

    /// <summary>The limits of a scope (<c>team</c>, or <c>person</c> for each member), by dimension.</summary>
    public static async Task<IReadOnlyDictionary<string, long>> LimitsAsync(Session session, TeamId team, string scope)
        => (await session.QueryAsync<LimitRow>("SELECT dimension, amount FROM quotas WHERE team_id = @team AND scope = @scope", new { team, scope }))
            .ToDictionary(row => row.Dimension, row => row.Amount, StringComparer.Ordinal);

    /// <summary>The limits become exactly these.</summary>
    public static async Task SetLimitsAsync(Session session, TeamId team, string scope, IReadOnlyDictionary<string, long> limits)
    {
        await session.ExecuteAsync("DELETE FROM quotas WHERE team_id = @team AND scope = @scope", new { team, scope });
        await session.ExecuteAsync(
            "INSERT INTO quotas (team_id, scope, dimension, amount) VALUES (@team, @scope, @Key, @Value)",
            limits.OrderBy(limit => limit.Key, StringComparer.Ordinal).Select(limit => new { team, scope, limit.Key, limit.Value }).ToList());
    }

    private static async Task<IReadOnlyList<Team>> ReadAsync(Session session, string tail, object parameters)
        => [.. (await session.QueryAsync<Row>($"SELECT id, name, zone, declared FROM teams {tail}", parameters))
            .Select(row => new Team { Id = row.Id, Name = row.Name, Zone = row.Zone, Declared = row.Declared })];

    private static async Task<IReadOnlyList<Membership>> ReadMembershipsAsync(Session session, string where, object parameters)
        => [.. (await session.QueryAsync<MembershipRow>($"SELECT team_id AS team, person_id AS person, role FROM memberships WHERE {where}", parameters))
            .Select(row => new Membership(row.Team, row.Person, Words.Read<TeamRole>(row.Role)))];

    private static async Task<ILookup<TKey, NamedMembership>> ReadNamedAsync<TKey>(Session session, string column, Many ids, string order, Func<NamedMembership, TKey> key)
        => (await session.QueryAsync<MembershipRow>($"""
            SELECT memberships.team_id AS team, teams.name AS team_name, memberships.person_id AS person, people.name, people.email, memberships.role
            FROM memberships JOIN teams ON teams.id = memberships.team_id JOIN people ON people.id = memberships.person_id
            WHERE {session.Dialect.AnyOf(column, "ids")} ORDER BY {order}
            """, new { ids })).Select(row => new NamedMembership(row.Team, row.TeamName, row.Person, row.Name, row.Email, Words.Read<TeamRole>(row.Role))).ToLookup(key);

    private sealed class Row
    {
        public TeamId Id { get; init; }
        public string Name { get; init; } = "";
        public string Zone { get; init; } = "";
        public bool Declared { get; init; }
    }

    private sealed class MembershipRow
    {
        public TeamId Team { get; init; }
        public PersonId Person { get; init; }
        public string TeamName { get; init; } = "";
        public string Name { get; init; } = "";
        public string Email { get; init; } = "";
        public string Role { get; init; } = "";
    }

    private sealed class LimitRow
    {
        public string Dimension { get; init; } = "";
        public long Amount { get; init; }
    }
}
