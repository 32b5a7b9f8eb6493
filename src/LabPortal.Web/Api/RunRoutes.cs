using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Workflows;
using LabPortal.Web.Hosting;

namespace LabPortal.Web.Api;

internal static class RunRoutes
{
    public static async Task<IResult> ListAsync(HttpContext context, RunCalls runs, CancellationToken cancellation)
    {
        var asked = new Asked(context);
        var (limit, after, states, phases) = (asked.Limit, asked.After, asked.Words<RunState>("state"), asked.Words<RunPhase>("phase"));
        if (states.Count > 1) asked.Wrong("state", "field.one-of", ("allowed", string.Join(", ", Words.All<RunState>())));
        if (phases.Count > 1) asked.Wrong("phase", "field.one-of", ("allowed", string.Join(", ", Words.All<RunPhase>())));
        if (after is not null && !Guid.TryParseExact(after, "D", out _)) asked.Wrong("after", "field.not-a-key");
        if (asked.Mistakes is { Count: > 0 } mistakes) return Answers.Invalid(context, mistakes);
        var found = await runs.ListAsync(context.Actor(), states.Count == 1 ? states[0] : null, phases.Count == 1 ? phases[0] : null, limit, after, cancellation);
        return found.Ok ? Answers.Page(found.Value, RunBody.Of) : Problems.Of(context, found.Refusal!);
    }

    public static async Task<IResult> CountAsync(HttpContext context, RunCalls runs, CancellationToken cancellation)
        => Answers.Ok(context, await runs.CountAsync(context.Actor(), cancellation), counts => new RunCountsBody(counts[RunPhase.Running], counts[RunPhase.Waiting], counts[RunPhase.Stuck]));

    public static async Task<IResult> FindAsync(HttpContext context, string id, RunCalls runs, CancellationToken cancellation) => Guid.TryParseExact(id, "D", out var run)
        ? Answers.Ok(context, await runs.FindAsync(context.Actor(), new RunId(run), cancellation), RunBody.Of)
        : Answers.NotFound(context, "run", id);

    public static Func<HttpContext, string, RunCalls, CancellationToken, Task<IResult>> Ask(LabVerb verb) => async (context, id, runs, cancellation) => Guid.TryParseExact(id, "D", out var run)
        ? Answers.Accepted(context, await runs.AskAsync(context.Actor(), new RunId(run), verb, cancellation), Location, RunBody.Of)
        : Answers.NotFound(context, "run", id);

    public static async Task<IResult> AbandonAsync(HttpContext context, string id, RunCalls runs, CancellationToken cancellation)
    {
        if (!Guid.TryParseExact(id, "D", out var run)) return Answers.NotFound(context, "run", id);
        var body = await Body.ReadAsync(context);
        var reason = body.RequiredText("reason");
        return body.Mistakes() is { Count: > 0 } mistakes
            ? Answers.Invalid(context, mistakes)
            : Answers.Accepted(context, await runs.AbandonAsync(context.Actor(), new RunId(run), reason, cancellation), Location, RunBody.Of);
    }

    public static string Location(Operations.Labs.RunView run) => $"{ApiRoutes.Prefix}/runs/{run.Id}";
}

/// <summary>Live runs by phase.</summary>
internal sealed record RunCountsBody(int Running, int Waiting, int Stuck);
