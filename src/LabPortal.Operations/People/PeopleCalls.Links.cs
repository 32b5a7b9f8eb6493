using LabPortal.Data;
using LabPortal.Data.People;
using LabPortal.Domain;
using LabPortal.Domain.People;
using LabPortal.Operations.Audit;
using NodaTime;

namespace LabPortal.Operations.People;

/// <summary>One-time links: setup, invitation, reset.</summary>
public sealed partial class PeopleCalls
{
    private static readonly Refusal s_linkNotValid = new(RefusalKind.NotFound, "link.not-valid");

    private Duration LivesFor(LinkPurpose purpose) => purpose switch
    {
        LinkPurpose.Setup => Duration.FromHours(24),
        LinkPurpose.Invitation => settings.Now.InvitationLife,
        _ => Duration.FromHours(1),
    };

    /// <summary>The first admin's setup link where no admin can sign in yet; nothing otherwise. A new one replaces the old.</summary>
    public Task<OneTimeLink?> MakeSetupLinkAsync(CancellationToken cancellation) => database.WriteAsync<OneTimeLink?>(
        async session =>
        {
            if (await PersonStore.AnyAdminCanSignInAsync(session)) return null;
            await OneTimeLinkStore.DropSetupAsync(session);
            return await AddLinkAsync(session, LinkPurpose.Setup, null, null, new LinkGrants(Admin: true));
        },
        cancellation);

    public async Task<Outcome<OneTimeLinkView>> LookAtLinkAsync(string token, CancellationToken cancellation)
    {
        var (link, person) = await FindLinkAsync(token, cancellation);
        return link is null ? s_linkNotValid : new OneTimeLinkView(link.Purpose.Word(), person?.Email ?? link.Email, person?.Name ?? link.Grants.Name);
    }

    /// <summary>Uses a setup, invitation or reset link once: makes the person or sets the password. Wrong input does not use it up.</summary>
    public async Task<Outcome<SignedIn>> UseLinkAsync(string token, string? name, string? email, string password, string? address, CancellationToken cancellation)
    {
        var (link, invited) = await FindLinkAsync(token, cancellation);
        if (link is null) return s_linkNotValid;
        // Only the first admin says who they are; the others were addressed.
        email = link.Purpose == LinkPurpose.Setup ? PersonRules.Email(email) : invited?.Email ?? link.Email!;
        name = link.Purpose == LinkPurpose.Reset ? invited!.Name : (string.IsNullOrWhiteSpace(name) ? invited?.Name ?? link.Grants.Name : name)?.Trim();
        List<FieldError> errors = [.. Passwords.Check("password", password, name, email)];
        if (!PersonRules.IsEmail(email)) errors.Add(new FieldError("email", "email.form"));
        if (PersonRules.CheckName("name", name) is { } mistake) errors.Add(mistake);
        if (errors.Count > 0) return Refusal.Invalid(errors);

        var hash = Passwords.Hash(password);
        var actor = new Actor { Person = invited?.Id, Name = name!, Channel = Channel.Session, Address = address };
        var draft = new AuditDraft($"use-{link.Purpose.Word()}-link", "person");
        return await _audited.DoAsync<SignedIn>(actor, draft, async (session, now) =>
        {
            if (!await OneTimeLinkStore.TakeAsync(session, link.TokenHash, now)) return s_linkNotValid;
            // An admin who came in another way ends the setup.
            if (link.Purpose == LinkPurpose.Setup && await PersonStore.AnyAdminCanSignInAsync(session)) return s_linkNotValid;
            var person = invited is null ? await PersonStore.FindByEmailAsync(session, email) : await PersonStore.FindAsync(session, invited.Id);
            draft.ObjectId = person?.Id.ToString() ?? "";
            if (person is { Disabled: true }) return s_linkNotValid;
            if (link.Purpose != LinkPurpose.Reset)
            {
                if (person is not null && await PersonStore.HasSignInAsync(session, person.Id)) return Refusal.Conflict("person.exists");
                person = await JoinAsync(session, person, name!, email, link.Grants, now);
            }

            draft.ObjectId = person!.Id.ToString();
            var stored = new StoredPassword(person.Id, hash, SecretText.New());
            await PasswordStore.SetAsync(session, stored, now);
            await PersonStore.AddSignInAsync(session, PersonStore.Local, person.Id.ToString(), person.Id);
            await OneTimeLinkStore.DropAsync(session, person.Email, person.Id);
            return new SignedIn(person.Id, person.Name, stored.Stamp);
        }, cancellation);
    }

    /// <summary>Inviting somebody again replaces the earlier link. The person is made when the link is used.</summary>
    public async Task<Outcome<OneTimeLink>> InviteAsync(Actor actor, string email, string? name, string? team, TeamRole? role, bool admin, bool auditor, CancellationToken cancellation)
    {
        var draft = new AuditDraft("invite", "person") { Detail = { ["admin"] = admin ? "true" : "false", ["auditor"] = auditor ? "true" : "false" } };
        if (!May.Do(actor, Verb.AdministerPeople)) return await ForbidAsync<OneTimeLink>(actor, draft, cancellation);
        email = PersonRules.Email(email);
        return await _audited.DoAsync<OneTimeLink>(actor, draft, async (session, _) =>
        {
            var errors = new List<FieldError>();
            if (!PersonRules.IsEmail(email)) errors.Add(new FieldError("email", "email.form"));
            if (!string.IsNullOrWhiteSpace(name) && PersonRules.CheckName("name", name) is { } mistake) errors.Add(mistake);
            var into = string.IsNullOrEmpty(team) ? null : await TeamStore.FindAsync(session, team);
            if (!string.IsNullOrEmpty(team) && into is null) errors.Add(new FieldError("team", "team.unknown", [("team", team)]));
            if (into is null != role is null && errors.Count == 0) errors.Add(new FieldError(into is null ? "team" : "role", "membership.incomplete"));
            if (errors.Count > 0) return Refusal.Invalid(errors);
            if (into is { Declared: true }) return Refusal.Conflict("object.declared", ("kind", "team"), ("name", into.Name));

            var person = await PersonStore.FindByEmailAsync(session, email);
            draft.ObjectId = person?.Id.ToString() ?? email;
            draft.Team = into?.Id;
            if (person is { Disabled: true }) return Refusal.Conflict("person.disabled");
            if (person is not null && await PersonStore.HasSignInAsync(session, person.Id)) return Refusal.Conflict("person.exists");
            await OneTimeLinkStore.DropAsync(session, email, person?.Id);
            return await AddLinkAsync(
                session, LinkPurpose.Invitation, person?.Id, email, new LinkGrants(string.IsNullOrWhiteSpace(name) ? null : name.Trim(), into?.Id, role, admin, auditor));
        }, cancellation);
    }

    public async Task<Outcome<OneTimeLink>> MakeResetLinkAsync(Actor actor, PersonId person, CancellationToken cancellation)
    {
        var draft = new AuditDraft("reset-password", "person", person.ToString());
        if (!May.Do(actor, Verb.AdministerPeople)) return await ForbidAsync<OneTimeLink>(actor, draft, cancellation);
        return await _audited.DoAsync<OneTimeLink>(actor, draft, async (session, _) =>
        {
            if (await PersonStore.FindAsync(session, person) is not { } found) return Refusal.NotFound("person", person.ToString());
            if (found.Disabled) return Refusal.Conflict("person.disabled");
            await OneTimeLinkStore.DropAsync(session, found.Email, person);
            return await AddLinkAsync(session, LinkPurpose.Reset, person, null, new LinkGrants());
        }, cancellation);
    }

    private async Task<Person> JoinAsync(Session session, Person? person, string name, string email, LinkGrants grants, Instant now)
    {
        if (person is null)
        {
            person = new Person { Id = new(Ids.New(time)), Name = name, Email = email, IsAdmin = grants.Admin, IsAuditor = grants.Auditor, CreatedAt = now };
            await PersonStore.AddAsync(session, person);
        }
        else
        {
            person = person with { Name = name, IsAdmin = person.IsAdmin || grants.Admin, IsAuditor = person.IsAuditor || grants.Auditor };
            await PersonStore.ChangeAsync(session, person);
        }

        // A team that went away since is no reason to turn somebody away.
        if (grants is { Team: { } team, Role: { } role } && await TeamStore.FindAsync(session, team) is not null)
            await TeamStore.SetMemberAsync(session, new Membership(team, person.Id, role));
        return person;
    }

    private async Task<OneTimeLink> AddLinkAsync(Session session, LinkPurpose purpose, PersonId? person, string? email, LinkGrants grants)
    {
        var (token, expires) = (SecretText.New(), time.Now() + LivesFor(purpose));
        await OneTimeLinkStore.AddAsync(session, new StoredLink(SecretText.Hash(token), purpose, person, email, grants, expires));
        return new OneTimeLink(token, expires);
    }

    private Task<(StoredLink? Link, Person? Person)> FindLinkAsync(string token, CancellationToken cancellation) => database.ReadAsync(
        async session =>
        {
            var link = await OneTimeLinkStore.FindUsableAsync(session, SecretText.Hash(token), time.Now());
            return (link, link?.Person is { } person ? await PersonStore.FindAsync(session, person) : null);
        },
        cancellation);

    private async Task<Outcome<T>> ForbidAsync<T>(Actor actor, AuditDraft draft, CancellationToken cancellation)
        => await _audited.RefuseAsync(actor, draft, Refusal.Forbidden(draft.Verb), cancellation);
}
