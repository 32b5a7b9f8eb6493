namespace LabPortal.Domain.People;

/// <summary>A role in one team; each includes the ones before it where <see cref="May"/> says so.</summary>
public enum TeamRole
{
    Requester,
    Trainer,
    Manager,
}

/// <summary>How the caller proved who they are.</summary>
public enum Channel
{
    /// <summary>A browser session.</summary>
    Session,

    /// <summary>An API token of a person; <see cref="Actor.TokenName"/> names it.</summary>
    Token,

    /// <summary>The admin token of the configuration, valid only while configured.</summary>
    Bootstrap,

    /// <summary>The portal itself: sweeps and leases.</summary>
    Portal,
}

/// <summary>Who calls. Made at the edge for each call; rights are read anew with it, so a role taken away counts at once.</summary>
public sealed record Actor
{
    public required PersonId? Person { get; init; }
    public required string Name { get; init; }
    public required Channel Channel { get; init; }
    public bool IsAdmin { get; init; }
    public bool IsAuditor { get; init; }
    public IReadOnlyDictionary<TeamId, TeamRole> Teams { get; init; } = new Dictionary<TeamId, TeamRole>();
    public string? TokenName { get; init; }

    /// <summary>Which sign-in or which token of theirs it is; empty where nothing is bound to it.</summary>
    public string? Session { get; init; }

    /// <summary>What the session's sign-in was made under, hashed: with another password it is over.</summary>
    public string? Stamp { get; init; }
    public string? Address { get; init; }
    public string? RequestId { get; init; }

    /// <summary>The portal acting by itself (a lease that ends, a sweep).</summary>
    public static Actor Portal(string what) => new() { Person = null, Name = what, Channel = Channel.Portal, IsAdmin = true };
}
