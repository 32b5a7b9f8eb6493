using LabPortal.Domain;

namespace LabPortal.Web.Api;

/// <summary>One page of a list; <paramref name="Next"/> goes into <c>after</c> for the following one, and is empty at the end.</summary>
internal sealed record Listing<T>(IReadOnlyList<T> Items, string? Next);

/// <summary>How outcomes become answers: one place for all routes.</summary>
internal static class Answers
{
    public static IResult Ok<T, TBody>(HttpContext context, Outcome<T> outcome, Func<T, TBody> body)
        => outcome.Ok ? Results.Ok(body(outcome.Value)) : Problems.Of(context, outcome.Refusal!);

    public static IResult Accepted<T, TBody>(HttpContext context, Outcome<T> outcome, Func<T, string> location, Func<T, TBody> body)
        => outcome.Ok ? Results.Accepted(context.Request.PathBase + location(outcome.Value), body(outcome.Value)) : Problems.Of(context, outcome.Refusal!);

    public static IResult Created<T, TBody>(HttpContext context, Outcome<T> outcome, Func<T, string> location, Func<T, TBody> body)
        => outcome.Ok ? Results.Created(context.Request.PathBase + location(outcome.Value), body(outcome.Value)) : Problems.Of(context, outcome.Refusal!);

    public static IResult Nothing(HttpContext context, Outcome<Done> outcome) => outcome.Ok ? Results.NoContent() : Problems.Of(context, outcome.Refusal!);

    public static IResult Invalid(HttpContext context, IReadOnlyList<FieldError> errors) => Problems.Of(context, Refusal.Invalid(errors));

    public static IResult NotFound(HttpContext context, string kind, string name) => Problems.Of(context, Refusal.NotFound(kind, name));

    /// <summary>The page that was asked for, cut by the database; <paramref name="read"/> is given how many and after what.</summary>
    public static async Task<IResult> PageAsync<T, TBody>(HttpContext context, Func<Asked, int, string?, Task<Outcome<Page<T>>>> read, Func<T, TBody> body)
    {
        var asked = new Asked(context);
        var (limit, after) = (asked.Limit, asked.After);
        var page = await read(asked, limit, after);
        if (asked.Mistakes is { Count: > 0 } mistakes) return Invalid(context, mistakes);
        return page.Ok ? Page(page.Value, body) : Problems.Of(context, page.Refusal!);
    }

    /// <summary>A page that the database cut.</summary>
    public static IResult Page<T, TBody>(Page<T> page, Func<T, TBody> body) => Results.Ok(new Listing<TBody>([.. page.Items.Select(body)], page.Next));

    /// <summary>A page of a list that is short by nature (pools, sizes): sorted by its key, which is what the next page is asked with.</summary>
    public static IResult Page<T, TBody>(HttpContext context, IEnumerable<T> all, Func<T, string> key, Func<T, TBody> body)
    {
        var asked = new Asked(context);
        var (limit, after) = (asked.Limit, asked.After);
        if (asked.Mistakes is { Count: > 0 } mistakes) return Invalid(context, mistakes);
        var rest = all.OrderBy(key, StringComparer.Ordinal).Where(item => after is null || string.CompareOrdinal(key(item), after) > 0).Take(limit + 1).ToList();
        return Results.Ok(new Listing<TBody>([.. rest.Take(limit).Select(body)], rest.Count > limit ? key(rest[limit - 1]) : null));
    }

    public static IResult Page<T, TBody>(HttpContext context, Outcome<IReadOnlyList<T>> all, Func<T, string> key, Func<T, TBody> body)
        => all.Ok ? Page(context, all.Value, key, body) : Problems.Of(context, all.Refusal!);
}
