using LabPortal.Domain;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Catalogue;
using LabPortal.Operations.Pools;
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

    public static async Task<IResult> NowAsync(HttpContext context, string name, PoolCalls pools, CancellationToken cancellation)
        => Answers.Ok(context, await pools.NowAsync(context.Actor(), name, cancellation), now => new PoolNowBody(now.Slots, [.. now.Waiting.Select(RunBody.Of)]));

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

    public static Task<IResult> OrphansAsync(HttpContext context, PoolCalls pools, CancellationToken cancellation)
        => Answers.PageAsync(context, (asked, limit, after) => pools.OrphansAsync(context.Actor(), asked.Text("pool"), limit, after, cancellation), found => found);

    public static async Task<IResult> AdoptAsync(HttpContext context, string id, PoolCalls pools, CancellationToken cancellation) => Guid.TryParseExact(id, "D", out var orphan)
        ? Answers.Accepted(context, await pools.AdoptOrphanAsync(context.Actor(), orphan, cancellation), _ => $"{ApiRoutes.Prefix}/orphans", found => found)
        : Answers.NotFound(context, "orphan", id);

    public static async Task<IResult> DeleteAsync(HttpContext context, string id, PoolCalls pools, CancellationToken cancellation) => Guid.TryParseExact(id, "D", out var orphan)
        ? Answers.Accepted(context, await pools.DeleteOrphanAsync(context.Actor(), orphan, cancellation), _ => $"{ApiRoutes.Prefix}/orphans", found => found)
        : Answers.NotFound(context, "orphan", id);

    public static IResult Kinds(HttpContext context, PoolCalls pools) => Answers.Page(context, pools.Kinds(context.Actor()), kind => kind.Name, PoolKindBody.Of);

    public static async Task<IResult> SettingsAsync(HttpContext context, string name, PoolCalls pools, CancellationToken cancellation)
        => Answers.Ok(context, await pools.DraftAsync(context.Actor(), name, cancellation), PoolSettingsBody.Of);

    public static async Task<IResult> SaveAsync(HttpContext context, string name, PoolCalls pools, CancellationToken cancellation)
    {
        var body = await Body.ReadAsync(context);
        var draft = PoolSettingsBody.Read(body);
        return body.Mistakes() is { Count: > 0 } mistakes
            ? Answers.Invalid(context, mistakes)
            : Answers.Ok(context, await pools.SaveAsync(context.Actor(), name, draft, cancellation), PoolBody.Of);
    }

    public static async Task<IResult> AffectedAsync(HttpContext context, string name, PoolCalls pools, CancellationToken cancellation)
        => Answers.Page(context, await pools.AffectedAsync(context.Actor(), name, cancellation), lab => lab.Lab.ToString(), lab => lab);

    public static async Task<IResult> DetachAsync(HttpContext context, string name, CatalogueCalls catalogue, CancellationToken cancellation)
        => Answers.Nothing(context, await catalogue.DetachAsync(context.Actor(), "pool", name, cancellation));

    public static async Task<IResult> TryAsync(HttpContext context, string name, PoolCalls pools, CancellationToken cancellation)
    {
        var body = await Body.ReadAsync(context);
        var normal = new TrialRequest(body.RequiredText("image"));
        var asked = normal with { Size = body.Text("size"), Cpu = body.Whole("cpu") ?? normal.Cpu, MemoryMiB = body.Whole("memoryMiB") ?? normal.MemoryMiB, DiskGiB = body.Whole("diskGiB") ?? normal.DiskGiB };
        return body.Mistakes() is { Count: > 0 } mistakes
            ? Answers.Invalid(context, mistakes)
            : Answers.Accepted(context, await pools.TryAsync(context.Actor(), name, asked, cancellation), RunRoutes.Location, RunBody.Of);
    }

    public static async Task<IResult> TrialsAsync(HttpContext context, string name, PoolCalls pools, CancellationToken cancellation)
    {
        var trials = await pools.TrialsAsync(context.Actor(), name, cancellation);
        return Answers.Ok(context, trials, found => new Listing<RunBody>([.. found.Select(RunBody.Of)], null));
    }
}
