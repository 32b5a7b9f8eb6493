using LabPortal.Data;
using LabPortal.Data.People;
using LabPortal.Domain;
using LabPortal.Domain.People;
using LabPortal.Operations.Audit;
using LabPortal.Operations.Catalogue;
using NodaTime;

namespace LabPortal.Operations.People;

/// <summary>People and teams, as admins and members see them.</summary>
public sealed partial class PeopleCalls
{
    public async Task<Outcome<PersonView>> MeAsync(Actor actor, CancellationToken cancellation)
    {
        if (actor.Person is not { } id) return Refusal.Forbidden("me");
        return await database.ReadAsync<Outcome<PersonView>>(async session => await PersonStore.FindAsync(session, id) is { } person
            ? await ViewAsync(session, person)
            : Refusal.NotFound("person", id.ToString()), cancellation);
    }

    /// <summary>By e-mail address.</summary>
    public async Task<Outcome<Page<PersonView>>> PeopleAsync(Actor actor, PersonFilter filter, int limit, string? after, CancellationToken cancellation)
    {
        if (!May.Do(actor, Verb.AdministerPeople)) return Refusal.Forbidden(Verb.AdministerPeople.Word());
        if (after is not null && !Guid.TryParseExact(after, "D", out _)) return Refusal.Invalid("after", "page.unknown-key");
        limit = Math.Clamp(limit, 1, MostPerPage);
        return await database.ReadAsync<Outcome<Page<PersonView>>>(async session =>
        {
            var people = await PersonStore.PageAsync(session, filter, limit + 1, after is null ? null : new PersonId(Guid.ParseExact(after, "D")));
            return new Page<PersonView>(await ViewsAsync(session, [.. people.Take(limit)]), people.Count > limit ? people[limit - 1].Id.ToString() : null);
        }, cancellation);
    }

    /// <summary>One person, by id or e-mail address.</summary>
    public async Task<Outcome<PersonView>> PersonAsync(Actor actor, string named, CancellationToken cancellation)
    {
        if (!May.Do(actor, Verb.AdministerPeople)) return Refusal.Forbidden(Verb.AdministerPeople.Word());
        return await database.ReadAsync<Outcome<PersonView>>(async session => await FindAsync(session, named) is { } person ? await ViewAsync(session, person) : Refusal.NotFound("person", named), cancellation);
    }

    /// <summary>Somebody with this e-mail address who is in a team that the caller sees.</summary>
    public Task<PersonId?> MemberAsync(Actor actor, string email, CancellationToken cancellation) => database.ReadAsync<PersonId?>(
        async session => await PersonStore.FindByEmailAsync(session, PersonRules.Email(email)) is { } person
            && (await TeamStore.MembershipsAsync(session, person.Id)).Any(membership => May.Do(actor, Verb.SeeTeam, team: membership.Team)) ? person.Id : null,
        cancellation);

    /// <summary>Sessions of a disabled person are over at once, and do not come back when they are enabled again. Somebody who can administer stays.</summary>
    public async Task<Outcome<Done>> SetDisabledAsync(Actor actor, PersonId person, bool disabled, CancellationToken cancellation)
    {
        var draft = new AuditDraft(disabled ? "disable-person" : "enable-person", "person", person.ToString());
        if (!May.Do(actor, Verb.AdministerPeople)) return await ForbidAsync<Done>(actor, draft, cancellation);
        return await _audited.DoAsync<Done>(actor, draft, async (session, _) =>
        {
            var outcome = await FindToAdministerAsync(session, actor, person, staysAdmin: !disabled);
            if (!outcome.Ok) return outcome.Refusal!;
            await PersonStore.ChangeAsync(session, outcome.Value with { Disabled = disabled });
            if (disabled) await PasswordStore.ChangeStampAsync(session, person, SecretText.New());
            return new Done();
        }, cancellation);
    }

    /// <summary>Gives or takes the two roles that hold everywhere.</summary>
    public async Task<Outcome<Done>> SetRolesAsync(Actor actor, PersonId person, bool admin, bool auditor, CancellationToken cancellation)
    {
        var draft = new AuditDraft("set-roles", "person", person.ToString()) { Detail = { ["admin"] = admin ? "true" : "false", ["auditor"] = auditor ? "true" : "false" } };
        if (!May.Do(actor, Verb.AdministerPeople)) return await ForbidAsync<Done>(actor, draft, cancellation);
        return await _audited.DoAsync<Done>(actor, draft, async (session, _) =>
        {
            var outcome = await FindToAdministerAsync(session, actor, person, staysAdmin: admin);
            if (!outcome.Ok) return outcome.Refusal!;
            await PersonStore.ChangeAsync(session, outcome.Value with { IsAdmin = admin, IsAuditor = auditor });
            return new Done();
        }, cancellation);
    }

    /// <summary>The caller's teams, all for admins and auditors; by name, of which <paramref name="text"/> is a part.</summary>
    public Task<Page<TeamView>> TeamsAsync(Actor actor, string? text, int limit, string? after, CancellationToken cancellation) => database.ReadAsync(
        async session =>
        {
            limit = Math.Clamp(limit, 1, MostPerPage);
            var teams = await TeamStore.PageAsync(session, text, Seen(actor, Verb.SeeTeam), limit + 1, after);
            return new Page<TeamView>(await ViewAsync(session, [.. teams.Take(limit)]), teams.Count > limit ? teams[limit - 1].Name : null);
        },
        cancellation);

    /// <summary>The same to choose from: all of them, without their members.</summary>
    public Task<IReadOnlyList<Team>> TeamChoicesAsync(Actor actor, CancellationToken cancellation)
        => database.ReadAsync(session => TeamStore.PageAsync(session, null, Seen(actor, Verb.SeeTeam), int.MaxValue, null), cancellation);

    public Task<Outcome<TeamView>> TeamAsync(Actor actor, string name, CancellationToken cancellation) => database.ReadAsync<Outcome<TeamView>>(
        async session => await TeamStore.FindAsync(session, name) is { } team && May.Do(actor, Verb.SeeTeam, team: team.Id)
            ? (await ViewAsync(session, [team]))[0]
            : Refusal.NotFound("team", name),
        cancellation);

    public async Task<Outcome<TeamView>> CreateTeamAsync(Actor actor, string name, string zone, CancellationToken cancellation)
    {
        var draft = new AuditDraft("create-team", "team", name);
        if (!May.Do(actor, Verb.AdministerPeople)) return await ForbidAsync<TeamView>(actor, draft, cancellation);
        var errors = new List<FieldError>();
        if (!CatalogueRules.IsName(name)) errors.Add(new FieldError("name", "name.form"));
        if (!CatalogueRules.IsZone(zone)) errors.Add(new FieldError("zone", "zone.unknown", [("zone", zone)]));
        if (errors.Count > 0) return Refusal.Invalid(errors);
        return await _audited.DoAsync<TeamView>(actor, draft, async (session, now) =>
        {
            var team = new Team { Id = new(Ids.New(time)), Name = name, Zone = zone };
            await TeamStore.SaveAsync(session, team, now);
            draft.Team = team.Id;
            return (await ViewAsync(session, [team]))[0];
        }, cancellation);
    }

    /// <summary>Adds or changes a membership; <paramref name="role"/> empty takes it away.</summary>
    public async Task<Outcome<TeamView>> SetMemberAsync(Actor actor, string team, PersonId person, TeamRole? role, CancellationToken cancellation)
    {
        var draft = new AuditDraft("set-member", "team", team) { Detail = { ["person"] = person.ToString(), ["role"] = role?.Word() ?? "none" } };
        if (!May.Do(actor, Verb.AdministerPeople)) return await ForbidAsync<TeamView>(actor, draft, cancellation);
        return await _audited.DoAsync<TeamView>(actor, draft, async (session, _) =>
        {
            if (await TeamStore.FindAsync(session, team) is not { } found) return Refusal.NotFound("team", team);
            draft.Team = found.Id;
            if (found.Declared) return Refusal.Conflict("object.declared", ("kind", "team"), ("name", team));
            if (await PersonStore.FindAsync(session, person) is null) return Refusal.NotFound("person", person.ToString());
            if (role is { } given) await TeamStore.SetMemberAsync(session, new Membership(found.Id, person, given));
            else await TeamStore.RemoveMemberAsync(session, found.Id, person);
            return (await ViewAsync(session, [found]))[0];
        }, cancellation);
    }

    private static async Task<Outcome<Person>> FindToAdministerAsync(Session session, Actor actor, PersonId id, bool staysAdmin)
    {
        var admins = await PersonStore.LockSigningAdminsAsync(session);
        if (await PersonStore.FindAsync(session, id) is not { } person) return Refusal.NotFound("person", id.ToString());
        if (await PersonStore.FindBySignInAsync(session, BootstrapName, BootstrapName) is { } own && own.Id == id) return Refusal.Conflict("person.system");
        if (!staysAdmin && id == actor.Person) return Refusal.Conflict("person.yourself");
        if (!staysAdmin && admins.Count == 1 && admins[0] == id) return Refusal.Conflict("person.last-admin");
        return person;
    }

    /// <summary>The teams of which the caller may see this: nothing for all, where it needs no team.</summary>
    internal static IEnumerable<TeamId>? Seen(Actor actor, Verb verb) => May.Do(actor, verb) ? null : actor.Teams.Keys.Where(team => May.Do(actor, verb, team: team));

    private static Task<Person?> FindAsync(Session session, string named)
        => Guid.TryParseExact(named, "D", out var id) ? PersonStore.FindAsync(session, new PersonId(id)) : PersonStore.FindByEmailAsync(session, PersonRules.Email(named));

    private static async Task<PersonView> ViewAsync(Session session, Person person) => (await ViewsAsync(session, [person]))[0];

    private static async Task<IReadOnlyList<PersonView>> ViewsAsync(Session session, IReadOnlyList<Person> people)
    {
        var teams = await TeamStore.TeamsOfAsync(session, people.Select(person => person.Id));
        var own = await PersonStore.FindBySignInAsync(session, BootstrapName, BootstrapName);
        return [.. people.Select(person => new PersonView(
            person.Id, person.Name, person.Email, person.IsAdmin, person.IsAuditor, person.Disabled,
            [.. teams[person.Id].Select(membership => new MembershipView(membership.Team, membership.TeamName, membership.Role))]) { IsPortal = person.Id == own?.Id })];
    }

    private static async Task<IReadOnlyList<TeamView>> ViewAsync(Session session, IReadOnlyList<Team> teams)
    {
        var members = await TeamStore.MembersAsync(session, teams.Select(team => team.Id));
        return [.. teams.Select(team => new TeamView(
            team.Id, team.Name, team.Zone, team.Declared, [.. members[team.Id].Select(member => new MemberView(member.Person, member.Name, member.Email, member.Role))]))];
    }
}
