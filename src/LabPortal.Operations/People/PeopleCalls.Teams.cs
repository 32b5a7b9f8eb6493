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
            ? View(person, await TeamStore.MembershipsAsync(session, person: id), await TeamStore.ListAsync(session))
            : Refusal.NotFound("person", id.ToString()), cancellation);
    }

    public async Task<Outcome<IReadOnlyList<PersonView>>> PeopleAsync(Actor actor, CancellationToken cancellation)
    {
        if (!May.Do(actor, Verb.AdministerPeople)) return Refusal.Forbidden(Verb.AdministerPeople.Word());
        return await database.ReadAsync<Outcome<IReadOnlyList<PersonView>>>(async session =>
        {
            var memberships = (await TeamStore.MembershipsAsync(session)).ToLookup(membership => membership.Person);
            var teams = await TeamStore.ListAsync(session);
            var own = await PersonStore.FindBySignInAsync(session, BootstrapName, BootstrapName);
            return (await PersonStore.ListAsync(session)).Select(person => View(person, memberships[person.Id], teams) with { IsPortal = person.Id == own?.Id }).ToList();
        }, cancellation);
    }

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

    /// <summary>The caller's teams; all for admins and auditors.</summary>
    public Task<IReadOnlyList<TeamView>> TeamsAsync(Actor actor, CancellationToken cancellation) => database.ReadAsync<IReadOnlyList<TeamView>>(
        async session =>
        {
            var seen = (await TeamStore.ListAsync(session)).Where(team => May.Do(actor, Verb.SeeTeam, team: team.Id)).ToList();
            return await ViewAsync(session, seen);
        },
        cancellation);

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

    private static PersonView View(Person person, IEnumerable<Membership> memberships, IReadOnlyList<Team> teams) => new(
        person.Id, person.Name, person.Email, person.IsAdmin, person.IsAuditor, person.Disabled,
        [.. memberships.Join(teams, membership => membership.Team, team => team.Id, (membership, team) => new MembershipView(team.Id, team.Name, membership.Role)).OrderBy(view => view.Team, StringComparer.Ordinal)]);

    private static async Task<IReadOnlyList<TeamView>> ViewAsync(Session session, IReadOnlyList<Team> teams)
    {
        var memberships = await TeamStore.MembershipsAsync(session, teams.Count == 1 ? teams[0].Id : null);
        var people = (await PersonStore.ListAsync(session)).ToDictionary(person => person.Id);
        return [.. teams.Select(team => new TeamView(team.Id, team.Name, team.Zone, team.Declared, [.. memberships
            .Where(membership => membership.Team == team.Id)
            .Select(membership => new MemberView(membership.Person, people[membership.Person].Name, people[membership.Person].Email, membership.Role))
            .OrderBy(member => member.Email, StringComparer.Ordinal)]))];
    }
}
