using System.Globalization;
using System.Text;
using System.Text.Json;
using LabPortal.Domain;
using LabPortal.Operations.Catalogue;
using LabPortal.Web.Hosting;

namespace LabPortal.Web.Api;

internal static class CatalogueRoutes
{
    /// <summary>RFC 9512.</summary>
    public const string YamlType = "application/yaml";

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

    public static async Task<IResult> SaveBlueprintAsync(HttpContext context, string name, CatalogueCalls catalogue, CancellationToken cancellation)
        => await SaveAsync(context, "Blueprint", name, catalogue, cancellation) ?? await BlueprintAsync(context, name, catalogue, cancellation);

    public static async Task<IResult> SaveImageAsync(HttpContext context, string name, CatalogueCalls catalogue, CancellationToken cancellation)
        => await SaveAsync(context, "Image", name, catalogue, cancellation) ?? await ImageAsync(context, name, catalogue, cancellation);

    public static async Task<IResult> SaveSizeAsync(HttpContext context, string name, CatalogueCalls catalogue, CancellationToken cancellation)
        => await SaveAsync(context, "Size", name, catalogue, cancellation) ?? await SizeAsync(context, name, catalogue, cancellation);

    public static Func<HttpContext, string, CatalogueCalls, CancellationToken, Task<IResult>> Delete(string kind) => async (context, name, catalogue, cancellation)
        => Answers.Nothing(context, await catalogue.DeleteAsync(context.Actor(), kind, name, cancellation));

    public static Func<HttpContext, string, CatalogueCalls, CancellationToken, Task<IResult>> Detach(string kind) => async (context, name, catalogue, cancellation)
        => Answers.Nothing(context, await catalogue.DetachAsync(context.Actor(), kind, name, cancellation));

    public static Func<HttpContext, string, CatalogueCalls, CancellationToken, Task<IResult>> SetRetired(bool retired) => async (context, name, catalogue, cancellation)
        => Answers.Nothing(context, await catalogue.SetRetiredAsync(context.Actor(), name, retired, cancellation));

    public static async Task<IResult> VersionsAsync(HttpContext context, string name, CatalogueCalls catalogue, CancellationToken cancellation)
        => Answers.Page(context, await catalogue.VersionsAsync(context.Actor(), name, cancellation), version => version.Version.ToString("D9", CultureInfo.InvariantCulture), version => version);

    public static async Task<IResult> VersionAsync(HttpContext context, string name, string version, CatalogueCalls catalogue, CancellationToken cancellation) => Number(version) is { } number
        ? Answers.Ok(context, await catalogue.VersionAsync(context.Actor(), name, number, cancellation), document => new BlueprintDefinitionBody(name, number, document.ToJson(), document.Write()))
        : Answers.NotFound(context, "blueprint", $"{name}/{version}");

    public static async Task<IResult> CompareAsync(HttpContext context, string name, string version, string other, CatalogueCalls catalogue, CancellationToken cancellation)
        => (Number(version), Number(other)) is ({ } from, { } to)
            ? Answers.Ok(context, await catalogue.CompareAsync(context.Actor(), name, from, to, cancellation), lines => new DifferenceBody(from, to, lines))
            : Answers.NotFound(context, "blueprint", $"{name}/{version}/{other}");

    public static async Task<IResult> ImageVersionsAsync(HttpContext context, string name, CatalogueCalls catalogue, CancellationToken cancellation)
        => Answers.Page(context, await catalogue.ImageVersionsAsync(context.Actor(), name, cancellation), version => version.Image.Version, ImageVersionBody.Of);

    public static async Task<IResult> ExportAsync(HttpContext context, CatalogueCalls catalogue, CancellationToken cancellation)
    {
        var yaml = await catalogue.ExportAsync(context.Actor(), cancellation);
        return yaml.Ok ? Results.Text(yaml.Value, YamlType + "; charset=utf-8") : Problems.Of(context, yaml.Refusal!);
    }

    /// <summary>Takes the text itself, whatever media type it is called.</summary>
    public static async Task<IResult> ApplyAsync(HttpContext context, CatalogueCalls catalogue, CancellationToken cancellation)
    {
        var asked = new Asked(context);
        var (dryRun, prune) = (asked.Flag("dryRun"), asked.Flag("prune"));
        var yaml = await TextAsync(context, cancellation);
        if (yaml is null) asked.Wrong("", "body.not-utf8");

        return asked.Mistakes is { Count: > 0 } mistakes
            ? Answers.Invalid(context, mistakes)
            : Answers.Ok(context, await catalogue.ApplyAsync(context.Actor(), yaml!, dryRun, prune, cancellation),
                applied => new AppliedBody(applied.Created, applied.Changed, applied.Unchanged, applied.Pruned));
    }

    private static int? Number(string version) => int.TryParse(version, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;

    /// <summary>JSON, or YAML where the media type says so; nothing once it is saved.</summary>
    private static async Task<IResult?> SaveAsync(HttpContext context, string kind, string name, CatalogueCalls catalogue, CancellationToken cancellation)
    {
        var read = context.Request.ContentType?.Contains("yaml", StringComparison.OrdinalIgnoreCase) == true ? await ReadYamlAsync(context, cancellation) : await ReadJsonAsync(context, kind, name, cancellation);
        if (read.Refusal is { } unread) return Problems.Of(context, unread);
        if (read.Value.Kind != kind || read.Value.Name != name)
            return Answers.Invalid(context, [new FieldError("name", "document.other", [("kind", read.Value.Kind), ("name", read.Value.Name)])]);
        var saved = await catalogue.SaveAsync(context.Actor(), read.Value, basedOn: null, cancellation);
        return saved.Refusal is { } refusal ? Problems.Of(context, refusal) : null;
    }

    private static async Task<Outcome<CatalogueDocument>> ReadYamlAsync(HttpContext context, CancellationToken cancellation)
        => await TextAsync(context, cancellation) is { } text ? CatalogueDocument.Read(text) : Refusal.Invalid("", "body.not-utf8");

    private static async Task<string?> TextAsync(HttpContext context, CancellationToken cancellation)
    {
        try
        {
            using var reader = new StreamReader(context.Request.Body, new UTF8Encoding(false, throwOnInvalidBytes: true));
            return await reader.ReadToEndAsync(cancellation);
        }
        catch (DecoderFallbackException)
        {
            return null;
        }
    }

    private static async Task<Outcome<CatalogueDocument>> ReadJsonAsync(HttpContext context, string kind, string name, CancellationToken cancellation)
    {
        try
        {
            using var json = await JsonDocument.ParseAsync(context.Request.Body, new JsonDocumentOptions { MaxDepth = 24 }, cancellation);
            if (SentText.Unreadable(json.RootElement) is { } place) return Refusal.Invalid(place, "field.not-unicode");
            return CatalogueDocument.OfJson(kind, name, json.RootElement);
        }
        catch (JsonException fault)
        {
            return Refusal.Invalid("", "body.not-json", ("line", (fault.LineNumber ?? 0) + 1), ("column", (fault.BytePositionInLine ?? 0) + 1));
        }
    }
}
