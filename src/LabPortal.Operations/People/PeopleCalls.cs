using LabPortal.Data;
using LabPortal.Data.People;
using LabPortal.Domain;
using LabPortal.Domain.People;
using LabPortal.Operations.Audit;
using LabPortal.Operations.Settings;
using Microsoft.AspNetCore.Identity;
using NodaTime;

namespace LabPortal.Operations.People;

public sealed record PersonView(PersonId Id, string Name, string Email, bool IsAdmin, bool IsAuditor, bool Disabled, IReadOnlyList<MembershipView> Teams)
{
    /// <summary>The portal's own account: nobody signs in as it, and nothing about it can be changed.</summary>
    public bool IsPortal { get; init; }
}

public sealed record MembershipView(TeamId TeamId, string Team, TeamRole Role);

public sealed record TeamView(TeamId Id, string Name, string Zone, bool Declared, IReadOnlyList<MemberView> Members);

public sealed record MemberView(PersonId Person, string Name, string Email, TeamRole Role);

/// <summary>A link that was made: its secret part, shown once.</summary>
public sealed record OneTimeLink(string Token, Instant ExpiresAt);

/// <summary>What a one-time link is for, before it is used.</summary>
public sealed record OneTimeLinkView(string Purpose, string? Email, string? Name);

/// <summary>The admin token of the configuration; whoever has it is an admin as long as it is configured.</summary>
public sealed record Bootstrap(string? AdminToken)
{
    public override string ToString() => AdminToken is null ? "no bootstrap token" : "a bootstrap token";
}

/// <summary>People, teams, and how people prove who they are. Single sign-on will be one more issuer in the sign-ins.</summary>
public sealed partial class PeopleCalls(Database database, TimeProvider time, Bootstrap bootstrap, LiveSettings settings)
{
    private const string BootstrapName = "bootstrap";
    private const int TriesAllowed = 5;
    private const int MinutesLocked = 5;
    private const int MostPerPage = 200;

    private static readonly Duration s_tokenUseNoted = Duration.FromMinutes(1);

    private readonly AuditedWrite _audited = new(database, time);
    private PersonId? _bootstrapPerson;

    /// <summary>
    /// The caller for a person, with their rights as they are now; nothing for a disabled or unknown person, or an old stamp.
    /// No stamp is right only for somebody who has no password here.
    /// </summary>
    public Task<Actor?> ActorOfAsync(PersonId person, string? stamp, string? address, string? requestId, CancellationToken cancellation) => database.ReadAsync(
        async session =>
        {
            var password = await PasswordStore.FindAsync(session, person);
            if (password?.Stamp != stamp) return null;
            var actor = await ActorAsync(session, person, Channel.Session, null, address, requestId);
            return stamp is null || actor is null ? actor : actor with { Stamp = SecretText.Hash(stamp) };
        },
        cancellation);

    /// <summary>The caller for an API token, or nothing. Notes its use, at most once a minute.</summary>
    public async Task<Actor?> ActorOfTokenAsync(string token, string? address, string? requestId, CancellationToken cancellation)
    {
        if (!string.IsNullOrWhiteSpace(bootstrap.AdminToken) && SecretText.Same(token, bootstrap.AdminToken))
        {
            return new Actor
            {
                Person = await EnsureBootstrapPersonAsync(cancellation),
                Name = BootstrapName,
                Channel = Channel.Bootstrap,
                IsAdmin = true,
                TokenName = BootstrapName,
                Session = BootstrapName,
                Address = address,
                RequestId = requestId,
            };
        }

        if (!token.StartsWith(TokenPrefix, StringComparison.Ordinal)) return null;
        var now = time.Now();
        var (found, actor) = await database.ReadAsync(async session =>
        {
            var valid = await ApiTokenStore.FindValidAsync(session, SecretText.Hash(token), now);
            var caller = valid is null ? null : await ActorAsync(session, valid.Person, Channel.Token, valid.Name, address, requestId);
            return (valid, caller is null ? null : caller with { Session = Ids.Canonical(valid!.Id) });
        }, cancellation);
        if (found is not null && actor is not null && (found.LastUsedAt is null || found.LastUsedAt + s_tokenUseNoted <= now))
            await database.WriteAsync(session => ApiTokenStore.NoteUseAsync(session, found.Id, now), cancellation);
        return actor;
    }

    /// <summary>Checks e-mail address and password; locks out after 5 failures for 5 minutes. The refusal never says which of the two was wrong.</summary>
    public async Task<Outcome<SignedIn>> SignInAsync(string email, string password, string? address, CancellationToken cancellation)
    {
        var (person, stored) = await database.ReadAsync<(Person?, StoredPassword?)>(async session =>
        {
            var found = await PersonStore.FindByEmailAsync(session, PersonRules.Email(email));
            if (found is null || found.Disabled || await PersonStore.FindBySignInAsync(session, PersonStore.Local, found.Id.ToString()) is null) return (found, null);
            return (found, await PasswordStore.FindAsync(session, found.Id));
        }, cancellation);

        // Who is unknown is not named: people type passwords into the wrong field.
        var actor = new Actor { Person = person?.Id, Name = person?.Name ?? "somebody", Channel = Channel.Session, Address = address };
        var draft = new AuditDraft("sign-in", "person", person?.Id.ToString() ?? "");
        var (verdict, why) = await VerifyAsync(stored, password, cancellation);
        if (verdict == PasswordVerificationResult.Failed)
        {
            draft.Detail["why"] = person is null ? "unknown" : person.Disabled ? "disabled" : why;
            return await _audited.RefuseAsync(actor, draft, SignInFailed, cancellation);
        }

        var rehashed = verdict == PasswordVerificationResult.SuccessRehashNeeded ? Passwords.Hash(password) : null;
        return await _audited.DoAsync<SignedIn>(actor, draft, async (session, _) =>
            // Changed since it was checked: the old one no longer signs in.
            await PasswordStore.SucceedAsync(session, stored!, rehashed) ? new SignedIn(person!.Id, person.Name, stored!.Stamp) : SignInFailed, cancellation);
    }

    public async Task<Outcome<Done>> ChangePasswordAsync(Actor actor, string current, string next, CancellationToken cancellation)
    {
        if (actor.Person is not { } id || actor.Channel != Channel.Session) return Refusal.Forbidden("change-password");
        var (person, stored) = await database.ReadAsync(
            async session => (await PersonStore.FindAsync(session, id), await PasswordStore.FindAsync(session, id)), cancellation);
        var draft = new AuditDraft("change-password", "person", id.ToString());
        var errors = Passwords.Check("next", next, person?.Name, person?.Email).ToList();
        var (verdict, why) = await VerifyAsync(stored, current, cancellation);
        if (verdict == PasswordVerificationResult.Failed) errors.Insert(0, new FieldError("current", $"password.{why}", [("tries", TriesAllowed), ("minutes", MinutesLocked)]));
        if (errors.Count > 0) return await _audited.RefuseAsync(actor, draft, Refusal.Invalid(errors), cancellation);
        var hash = Passwords.Hash(next);
        return await _audited.DoAsync<Done>(actor, draft, async (session, now) =>
        {
            if (!await PasswordStore.SucceedAsync(session, stored!, null)) return Refusal.Invalid("current", "password.wrong");
            await PasswordStore.SetAsync(session, new StoredPassword(id, hash, SecretText.New()), now);
            await OneTimeLinkStore.DropAsync(session, person!.Email, id);
            return new Done();
        }, cancellation);
    }

    private static Refusal SignInFailed => new(RefusalKind.Forbidden, "sign-in.failed", [("tries", TriesAllowed), ("minutes", MinutesLocked)]);

    /// <summary>
    /// A try is taken and saved before the password is looked at, so that guesses at once are counted like guesses in a row; and the
    /// work is the same whether there is anything to check or not.
    /// </summary>
    private async Task<(PasswordVerificationResult Verdict, string Why)> VerifyAsync(StoredPassword? stored, string password, CancellationToken cancellation)
    {
        var now = time.Now();
        var took = await database.WriteAsync(
            session => PasswordStore.TakeTryAsync(session, stored?.Person ?? default, TriesAllowed, now + Duration.FromMinutes(MinutesLocked), now), cancellation);
        if (stored is not null && took) return (Passwords.Verify(stored.Hash, password), "wrong");
        Passwords.VerifyNobodys(password);
        return (PasswordVerificationResult.Failed, stored is null ? "none" : "locked");
    }

    private static async Task<Actor?> ActorAsync(Session session, PersonId id, Channel channel, string? tokenName, string? address, string? requestId)
    {
        if (await PersonStore.FindAsync(session, id) is not { Disabled: false } person) return null;
        var memberships = await TeamStore.MembershipsAsync(session, id);
        return new Actor
        {
            Person = id,
            Name = person.Name,
            Channel = channel,
            IsAdmin = person.IsAdmin,
            IsAuditor = person.IsAuditor,
            Teams = memberships.ToDictionary(membership => membership.Team, membership => membership.Role),
            TokenName = tokenName,
            Address = address,
            RequestId = requestId,
        };
    }

    /// <summary>
    /// What the bootstrap token requests needs an owner: a person of the portal's own, disabled, so that nobody ever signs in as it.
    /// </summary>
    private async Task<PersonId> EnsureBootstrapPersonAsync(CancellationToken cancellation)
    {
        if (_bootstrapPerson is { } known) return known;
        var found = await database.ReadAsync(session => PersonStore.FindBySignInAsync(session, BootstrapName, BootstrapName), cancellation);
        try
        {
            found ??= await database.WriteAsync(async session =>
            {
                if (await PersonStore.FindBySignInAsync(session, BootstrapName, BootstrapName) is { } there) return there;
                var made = new Person { Id = new(Ids.New(time)), Name = BootstrapName, Email = "bootstrap@portal.invalid", Disabled = true, CreatedAt = time.Now() };
                await PersonStore.AddAsync(session, made);
                await PersonStore.AddSignInAsync(session, BootstrapName, BootstrapName, made.Id);
                return made;
            }, cancellation);
        }
        catch (RuleViolated violated) when (violated.Rule == Rules.PersonEmail)
        {
            // Another node was faster.
            found = await database.ReadAsync(session => PersonStore.FindBySignInAsync(session, BootstrapName, BootstrapName), cancellation);
            if (found is null) throw;
        }

        _bootstrapPerson = found.Id;
        return found.Id;
    }
}

/// <summary>Somebody proved who they are. <paramref name="Stamp"/> changes with the password: a session with an old one is over.</summary>
public sealed record SignedIn(PersonId Person, string Name, string Stamp);
