using System.Text;
using LabPortal.Domain;
using LabPortal.Operations.Catalogue;
using LabPortal.Web.Hosting;

namespace LabPortal.Web.Api;

internal static class CatalogueRoutes
{
    public static async Task<IResult> BlueprintsAsync(HttpContext context, CatalogueCalls catalogue, CancellationToken cancellation)
        => Answers.Page(context, await catalogue.BlueprintsAsync(context.Actor(), cancellation), view => view.Blueprint.Name, BlueprintBody.Of);

    public static async Task<IResult> BlueprintAsync(HttpContext context, string name, CatalogueCalls catalogue, CancellationToken cancellation)
        => Answers.Ok(context, await catalogue.BlueprintAsync(context.Actor(), name, cancellation), BlueprintBody.Of);

    public static async Task<IResult> ImagesAsync(HttpContext context, CatalogueCalls catalogue, CancellationToken cancellation)
        => Answers.Page(context, await catalogue.ImagesAsync(context.Actor(), cancellation), image => image.Name, ImageBody.Of);

    public static async Task<IResult> ImageAsync(HttpContext context, string name, CatalogueCalls catalogue, CancellationToken cancellation)
        => (await catalogue.ImagesAsync(context.Actor(), cancellation)).SingleOrDefault(image => image.Name == name) is { } image
            ? Results.Ok(ImageBody.Of(image))
            : Answers.NotFound(context, "image", name);

    public static async Task<IResult> SizesAsync(HttpContext context, CatalogueCalls catalogue, CancellationToken cancellation)
        => Answers.Page(context, await catalogue.SizesAsync(context.Actor(), cancellation), size => size.Name, SizeBody.Of);

    public static async Task<IResult> SizeAsync(HttpContext context, string name, CatalogueCalls catalogue, CancellationToken cancellation)
        => (await catalogue.SizesAsync(context.Actor(), cancellation)).SingleOrDefault(size => size.Name == name) is { } size
            ? Results.Ok(SizeBody.Of(size))
            : Answers.NotFound(context, "size", name);

    /// <summary>Takes the text itself, whatever media type it is called.</summary>
    public static async Task<IResult> ApplyAsync(HttpContext context, CatalogueCalls catalogue, CancellationToken cancellation)
    {
        var asked = new Asked(context);
        var (dryRun, prune) = (asked.Flag("dryRun"), asked.Flag("prune"));
        var yaml = "";
        try
        {
            using var reader = new StreamReader(context.Request.Body, new UTF8Encoding(false, throwOnInvalidBytes: true));
            yaml = await reader.ReadToEndAsync(cancellation);
        }
        catch (DecoderFallbackException)
        {
            asked.Wrong("", "body.not-utf8");
        }

        return asked.Mistakes is { Count: > 0 } mistakes
            ? Answers.Invalid(context, mistakes)
            : Answers.Ok(context, await catalogue.ApplyAsync(context.Actor(), yaml, dryRun, prune, cancellation),
                applied => new AppliedBody(applied.Created, applied.Changed, applied.Unchanged, applied.Pruned));
    }
}
