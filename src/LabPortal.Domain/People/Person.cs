using NodaTime;

namespace LabPortal.Domain.People;

/// <summary>Somebody with an immutable id. Sign-ins are rows of their own; the e-mail address is an attribute.</summary>
public sealed record Person
{
    public required PersonId Id { get; init; }
    public required string Name { get; init; }
    public required string Email { get; init; }
    public bool IsAdmin { get; init; }
    public bool IsAuditor { get; init; }
    public bool Disabled { get; init; }
    public required Instant CreatedAt { get; init; }
}

public sealed record Team
{
    public required TeamId Id { get; init; }
    public required string Name { get; init; }

    /// <summary>IANA zone, for daily hours and for showing.</summary>
    public required string Zone { get; init; }
    public bool Declared { get; init; }
}

/// <summary>A person's SSH public key, in OpenSSH's one-line form (RFC 4253, 6.6 inside).</summary>
public sealed record SshKey(Guid Id, PersonId Person, string Name, string PublicKey, string Fingerprint, Instant CreatedAt);

/// <summary>An API token. The text is shown once; only its hash is stored.</summary>
public sealed record ApiToken(Guid Id, PersonId Person, string Name, Instant CreatedAt, Instant ExpiresAt, Instant? LastUsedAt);
