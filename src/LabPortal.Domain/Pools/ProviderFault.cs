namespace LabPortal.Domain.Pools;

/// <summary>The kind alone decides what the runner does with a fault.</summary>
public enum FaultKind
{
    /// <summary>May pass by itself: tried again with growing pauses until the step's deadline.</summary>
    Transient,

    /// <summary>The provider asks us to slow down: tried again after <see cref="ProviderFault.RetryAfter"/>; not counted as a failed attempt.</summary>
    Throttled,

    /// <summary>The requester can mend it (a value that the provider refuses): never tried again.</summary>
    Rejected,

    /// <summary>An admin can mend it (credentials, permissions): never tried again by itself.</summary>
    Unauthorized,

    /// <summary>This pool or host is full: placement tries elsewhere, in a new generation.</summary>
    NoCapacity,

    /// <summary>What the provider says makes no sense to us: never tried again by itself.</summary>
    Broken,
}

/// <summary>A broken world. <c>Message</c> is one sentence that a person can act on; it never holds a secret. Others may have written it (<see cref="ForeignText"/>).</summary>
public sealed class ProviderFault : Exception
{
    public ProviderFault(FaultKind kind, string message, Exception? cause = null, TimeSpan? retryAfter = null)
        : base(ForeignText.Of(message), cause)
    {
        Kind = kind;
        RetryAfter = retryAfter;
    }

    public FaultKind Kind { get; }

    /// <summary>How long the provider asks us to wait; set with <see cref="FaultKind.Throttled"/>, and where a provider says it otherwise.</summary>
    public TimeSpan? RetryAfter { get; }
}
