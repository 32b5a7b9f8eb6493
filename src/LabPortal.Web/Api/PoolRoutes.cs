using LabPortal.Domain;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Pools;
using LabPortal.Operations.Workflows;
using LabPortal.Web.Hosting;

namespace LabPortal.Web.Api;

internal static class PoolRoutes
{
    public static async Task<IResult> ListAsync(HttpContext context, PoolCalls pools, CancellationToken cancellation)
        => Answers.Page(context, await pools.ListAsync(context.Actor(), cancellation), pool => pool.Name, PoolBody.Of);

    public static async Task<IResult> FindAsync(HttpContext context, string name, PoolCalls pools, CancellationToken cancellation)
        => Answers.Ok(context, await pools.FindAsync(context.Actor(), name, cancellation), PoolBody.Of);

    public static async Task<IResult> ResourcesAsync(HttpContext context, string name, PoolCalls pools, CancellationToken cancellation)
        => Answers.Ok(context, await pools.ResourcesAsync(context.Actor(), name, cancellation), resources => resources);

    public static async Task<IResult> CheckAsync(HttpContext context, string name, PoolCalls pools, CancellationToken cancellation)
        => Answers.Ok(context, await pools.CheckAsync(context.Actor(), name, cancellation), PoolBody.Of);

    public static Func<HttpContext, string, PoolCalls, CancellationToken, Task<IResult>> SetMode(PoolMode mode) => async (context, name, pools, cancellation)
        => Answers.Ok(context, await pools.SetModeAsync(context.Actor(), name, mode, cancellation), PoolBody.Of);

    public static async Task<IResult> ImportAsync(HttpContext context, string name, string image, PoolCalls pools, CancellationToken cancellation)
    {
        var body = await Body.ReadAsync(context);
        var file = body.RequiredText("file");
        return body.Mistakes() is { Count: > 0 } mistakes
            ? Answers.Invalid(context, mistakes)
            : Answers.Accepted(context, await pools.ImportImageAsync(context.Actor(), name, image, file, cancellation), pool => $"{ApiRoutes.Prefix}/pools/{pool.Name}", PoolBody.Of);
    }

    public static async Task<IResult> ReadDigestAsync(HttpContext context, string name, string image, PoolCalls pools, CancellationToken cancellation)
        => Answers.Accepted(context, await pools.ReadDigestAsync(context.Actor(), name, image, cancellation), pool => $"{ApiRoutes.Prefix}/pools/{pool.Name}", PoolBody.Of);

    public static async Task<IResult> OrphansAsync(HttpContext context, PoolCalls pools, CancellationToken cancellation)
        => Answers.Page(context, await pools.OrphansAsync(context.Actor(), cancellation), orphan => orphan.Id.ToString(), found => found);

    public static async Task<IResult> AdoptAsync(HttpContext context, string id, PoolCalls pools, CancellationToken cancellation) => Guid.TryParseExact(id, "D", out var orphan)
        ? Answers.Accepted(context, await pools.AdoptOrphanAsync(context.Actor(), orphan, cancellation), _ => $"{ApiRoutes.Prefix}/orphans", found => found)
        : Answers.NotFound(context, "orphan", id);

    public static async Task<IResult> DeleteAsync(HttpContext context, string id, PoolCalls pools, CancellationToken cancellation) => Guid.TryParseExact(id, "D", out var orphan)
        ? Answers.Accepted(context, await pools.DeleteOrphanAsync(context.Actor(), orphan, cancellation), _ => $"{ApiRoutes.Prefix}/orphans", found => found)
        : Answers.NotFound(context, "orphan", id);

    public static async Task<IResult> RunsAsync(HttpContext context, RunCalls runs, CancellationToken cancellation)
    {
        var asked = new Asked(context);
        var (limit, after, states) = (asked.Limit, asked.After, asked.Words<RunState>("state"));
        if (states.Count > 1) asked.Wrong("state", "field.one-of", ("allowed", string.Join(", ", Words.All<RunState>())));
        if (after is not null && !Guid.TryParseExact(after, "D", out _)) asked.Wrong("after", "field.not-a-key");
        if (asked.Mistakes is { Count: > 0 } mistakes) return Answers.Invalid(context, mistakes);
        var found = await runs.ListAsync(context.Actor(), states.Count == 1 ? states[0] : null, limit, after, cancellation);
        return found.Ok ? Answers.Page(found.Value, RunBody.Of) : Problems.Of(context, found.Refusal!);
    }

    public static async Task<IResult> RunAsync(HttpContext context, string id, RunCalls runs, CancellationToken cancellation) => Guid.TryParseExact(id, "D", out var run)
        ? Answers.Ok(context, await runs.FindAsync(context.Actor(), new RunId(run), cancellation), RunBody.Of)
        : Answers.NotFound(context, "run", id);
}
