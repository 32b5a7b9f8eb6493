using LabPortal.Data.People;
using LabPortal.Domain;
using LabPortal.Domain.People;
using LabPortal.Operations.Audit;
using NodaTime;

namespace LabPortal.Operations.People;

/// <summary>What belongs to the caller alone: SSH keys and API tokens.</summary>
public sealed partial class PeopleCalls
{
    private const string TokenPrefix = "lp_";
    private const int MostDays = 365;
    private const int MostOfEach = 50;

    public async Task<Outcome<IReadOnlyList<SshKey>>> KeysAsync(Actor actor, CancellationToken cancellation)
    {
        if (actor.Person is not { } person) return Refusal.Forbidden("keys");
        return (await database.ReadAsync(session => SshKeyStore.ListAsync(session, person), cancellation)).ToList();
    }

    /// <summary>Adds an SSH public key in OpenSSH's one-line form; types ed25519, ecdsa and rsa of 2048 bits or more.</summary>
    public async Task<Outcome<SshKey>> AddKeyAsync(Actor actor, string? name, string publicKey, CancellationToken cancellation)
    {
        if (actor.Person is not { } person) return Refusal.Forbidden("add-key");
        var read = SshPublicKey.Read("publicKey", publicKey);
        List<FieldError> errors = [.. read.Refusal?.Errors ?? []];
        name = new[] { name, read.Ok ? read.Value.Comment : null, read.Ok ? read.Value.Type : null }.FirstOrDefault(candidate => !string.IsNullOrWhiteSpace(candidate))?.Trim();
        if (read.Ok && PersonRules.CheckName("name", name) is { } mistake) errors.Add(mistake);
        if (errors.Count > 0) return Refusal.Invalid(errors);
        var draft = new AuditDraft("add-key", "key") { Detail = { ["fingerprint"] = read.Value.Fingerprint } };
        return await _audited.DoAsync<SshKey>(actor, draft, async (session, now) =>
        {
            if ((await SshKeyStore.ListAsync(session, person)).Count >= MostOfEach) return Refusal.Conflict("key.too-many", ("max", MostOfEach));
            var key = new SshKey(Ids.New(time), person, name!, read.Value.Text, read.Value.Fingerprint, now);
            draft.ObjectId = Ids.Canonical(key.Id);
            await SshKeyStore.AddAsync(session, key);
            return key;
        }, cancellation);
    }

    public async Task<Outcome<Done>> RemoveKeyAsync(Actor actor, Guid id, CancellationToken cancellation)
    {
        if (actor.Person is not { } person) return Refusal.Forbidden("remove-key");
        return await _audited.DoAsync<Done>(actor, new AuditDraft("remove-key", "key", Ids.Canonical(id)), async (session, _)
            => await SshKeyStore.RemoveAsync(session, person, id) ? new Done() : Refusal.NotFound("key", Ids.Canonical(id)), cancellation);
    }

    public async Task<Outcome<IReadOnlyList<ApiToken>>> TokensAsync(Actor actor, CancellationToken cancellation)
    {
        if (actor.Person is not { } person) return Refusal.Forbidden("tokens");
        return (await database.ReadAsync(session => ApiTokenStore.ListAsync(session, person), cancellation)).ToList();
    }

    /// <summary>The token's text is given back this once.</summary>
    public async Task<Outcome<(ApiToken Token, string Text)>> AddTokenAsync(Actor actor, string name, int days, CancellationToken cancellation)
    {
        // A token of the bootstrap person would outlive the configuration; it would not work either, since that person is disabled.
        if (actor.Person is not { } person || actor.Channel == Channel.Bootstrap) return Refusal.Forbidden("add-token");
        var errors = new List<FieldError>();
        if (PersonRules.CheckName("name", name) is { } mistake) errors.Add(mistake);
        if (days is < 1 or > MostDays) errors.Add(new FieldError("days", "number.range", [("min", 1), ("max", MostDays)]));
        if (errors.Count > 0) return Refusal.Invalid(errors);
        var draft = new AuditDraft("add-token", "token") { Detail = { ["name"] = name.Trim() } };
        return await _audited.DoAsync<(ApiToken, string)>(actor, draft, async (session, now) =>
        {
            if ((await ApiTokenStore.ListAsync(session, person)).Count(token => token.ExpiresAt > now) >= MostOfEach) return Refusal.Conflict("token.too-many", ("max", MostOfEach));
            var text = TokenPrefix + SecretText.New();
            var token = new ApiToken(Ids.New(time), person, name.Trim(), now, now + Duration.FromDays(days), null);
            draft.ObjectId = Ids.Canonical(token.Id);
            await ApiTokenStore.AddAsync(session, token, SecretText.Hash(text));
            return (token, text);
        }, cancellation);
    }

    public async Task<Outcome<Done>> RemoveTokenAsync(Actor actor, Guid id, CancellationToken cancellation)
    {
        if (actor.Person is not { } person) return Refusal.Forbidden("remove-token");
        return await _audited.DoAsync<Done>(actor, new AuditDraft("remove-token", "token", Ids.Canonical(id)), async (session, _)
            => await ApiTokenStore.RemoveAsync(session, person, id) ? new Done() : Refusal.NotFound("token", Ids.Canonical(id)), cancellation);
    }
}
