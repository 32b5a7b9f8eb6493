using NodaTime;

namespace LabPortal.Domain;

/// <summary>One field that is wrong: a stable code with arguments; its sentence comes from the resource file at the edge.</summary>
public sealed record FieldError(string Field, string Code, IReadOnlyList<(string Name, object Value)>? Arguments = null);

/// <summary>Which kind of "no"; the API's status follows from it alone.</summary>
public enum RefusalKind
{
    /// <summary>400: the input is wrong; <see cref="Refusal.Errors"/> says where.</summary>
    Invalid,

    /// <summary>403: the caller may not.</summary>
    Forbidden,

    /// <summary>404: there is no such thing, or the caller may not know of it.</summary>
    NotFound,

    /// <summary>409: not in this state, or the quota is full.</summary>
    Conflict,

    /// <summary>422: an idempotency key that was used with another body.</summary>
    Mismatch,

    /// <summary>429: too often.</summary>
    TooMany,
}

/// <summary>
/// An expected "no": a stable <paramref name="Code"/> with typed arguments, every wrong field at once, and for a quota what binds and
/// what would fit. The sentence for a code stands in one resource file at the edge.
/// </summary>
public sealed record Refusal(
    RefusalKind Kind,
    string Code,
    IReadOnlyList<(string Name, object Value)>? Arguments = null,
    IReadOnlyList<FieldError>? Errors = null,
    QuotaRefusal? Quota = null)
{
    public static Refusal Invalid(IReadOnlyList<FieldError> errors) => new(RefusalKind.Invalid, "input.invalid", Errors: errors);

    public static Refusal Invalid(string field, string code, params IReadOnlyList<(string Name, object Value)> arguments)
        => Invalid([new FieldError(field, code, arguments)]);

    public static Refusal Forbidden(string verb) => new(RefusalKind.Forbidden, "actor.may-not", [("verb", verb)]);

    public static Refusal NotFound(string kind, string name) => new(RefusalKind.NotFound, "object.not-found", [("kind", kind), ("name", name)]);

    public static Refusal Conflict(string code, params IReadOnlyList<(string Name, object Value)> arguments) => new(RefusalKind.Conflict, code, arguments);
}

/// <summary>
/// Which quota rule binds, how much of it is free at the worst moment of the asked interval, who of the same team holds the rest,
/// and what would fit instead. Amounts are in the dimension's unit.
/// </summary>
public sealed record QuotaRefusal(
    string Rule,
    string Dimension,
    long Limit,
    long Held,
    long Asked,
    IReadOnlyList<QuotaHolder> Holders,
    IReadOnlyList<Offer> Offers);

/// <summary>Who holds quota that the caller wants. Only labs of the caller's own team are named.</summary>
public sealed record QuotaHolder(string LabName, Guid Lab, string Owner, long Amount, Instant? Until);

/// <summary>Something that would fit: a code for its sentence, and the change to the request (field → new value) that takes it.</summary>
public sealed record Offer(string Code, IReadOnlyList<(string Name, object Value)> Arguments, IReadOnlyDictionary<string, object?> Change);

/// <summary>What a call gives back: a value, or the reason why not. A broken world is an exception instead.</summary>
public readonly record struct Outcome<T>
{
    private readonly T? _value;

    internal Outcome(T? value, Refusal? refusal)
    {
        _value = value;
        Refusal = refusal;
    }

    public Refusal? Refusal { get; }

    public bool Ok => Refusal is null;

    public T Value => Refusal is null ? _value! : throw new InvalidOperationException($"Refused: {Refusal.Code}.");

    public static implicit operator Outcome<T>(T value) => new(value, null);

    public static implicit operator Outcome<T>(Refusal refusal) => new(default, refusal);
}

public static class Outcome
{
    /// <summary>For values of an interface type, which convert to nothing by themselves.</summary>
    public static Outcome<T> Of<T>(T value) => new(value, null);
}

/// <summary>Nothing to give back but that it was done.</summary>
public readonly record struct Done;

/// <summary>One page of a list, by key: <paramref name="Next"/> is what to ask with for the following page, empty at the end.</summary>
public sealed record Page<T>(IReadOnlyList<T> Items, string? Next);
