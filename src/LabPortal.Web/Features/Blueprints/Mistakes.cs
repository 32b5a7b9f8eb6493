using System.Globalization;
using LabPortal.Domain;
using LabPortal.Operations.Catalogue;
using LabPortal.Web.Texts;

namespace LabPortal.Web.Features.Blueprints;

/// <summary>Mistakes of a document beside the fields of its form, and in a list with their lines.</summary>
internal static class Mistakes
{
    /// <summary>The sentence for a field; a mistake inside its value (one entry of a list of texts) is the field's own.</summary>
    public static string? At(IReadOnlyList<FieldError> errors, string place)
        => errors.FirstOrDefault(error => error.Field == place || error.Field.StartsWith(place + "[", StringComparison.Ordinal)) is { } error ? Sentences.Of(error) : null;

    public static string Told(FieldError error, bool withLine)
    {
        var line = error.Arguments?.FirstOrDefault(argument => argument.Name == "line").Value;
        var where = withLine && line is not null ? Say.Line.With(("n", Convert.ToString(line, CultureInfo.CurrentCulture) ?? "")) : "";
        return string.Join(" · ", new[] { where, error.Field, Sentences.Of(error) }.Where(part => part.Length > 0));
    }

    /// <summary>Every place at which the form of a blueprint has a field for this document.</summary>
    public static IReadOnlyList<string> Places(CatalogueDocument document) =>
    [
        "kind", "retired", .. BlueprintFields.Single.Where(field => Fits(document, field, field.Place)).Select(field => field.Place),
        .. BlueprintFields.Lists.SelectMany(list => Enumerable.Range(0, document.Count(list.Place)).SelectMany(i =>
            list.Fields.Where(field => Fits(document, field, $"{list.Place}[{i}].{field.Place}")).Select(field => $"{list.Place}[{i}].{field.Place}"))),
    ];

    /// <summary>Whether the field can show what stands there.</summary>
    public static bool Fits(CatalogueDocument document, FormField field, string place) => field.Kind == FieldKind.List ? document.Texts(place) is not null : document.IsValue(place);
}
