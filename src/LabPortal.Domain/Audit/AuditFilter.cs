using LabPortal.Domain.People;
using NodaTime;

namespace LabPortal.Domain.Audit;

/// <summary>What the audit is narrowed to; empty means all of it.</summary>
public sealed record AuditFilter
{
    /// <summary>Part of the actor's name, e-mail address or token's name, any case; or the person's whole id.</summary>
    public string? Who { get; init; }

    /// <summary>Part of the verb, any case.</summary>
    public string? What { get; init; }
    public string? ObjectKind { get; init; }

    /// <summary>Of this object alone.</summary>
    public string? ObjectId { get; init; }

    /// <summary>The object's whole id, or part of its name, any case.</summary>
    public string? Object { get; init; }

    /// <summary>From this instant on.</summary>
    public Instant? From { get; init; }

    /// <summary>Before this instant.</summary>
    public Instant? To { get; init; }

    /// <summary>Of this person alone.</summary>
    public PersonId? Person { get; init; }
}
