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

    /// <summary>The sentence for a list as a whole.</summary>
    public static string? OfList(IReadOnlyList<FieldError> errors, string place) => errors.FirstOrDefault(error => error.Field == place) is { } error ? Sentences.Of(error) : null;

    /// <summary>Whether the form tells of it at a field or a list.</summary>
    public static bool HasPlace(CatalogueDocument document, FieldError error)
        => Places(document).Any(place => error.Field == place || error.Field.StartsWith(place + "[", StringComparison.Ordinal)) || Lists(document).Any(list => list.Place == error.Field);

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
        .. Lists(document).SelectMany(list => Entries(document, list).SelectMany(entry =>
            list.Of.Fields.Where(field => Fits(document, field, $"{entry}.{field.Place}")).Select(field => $"{entry}.{field.Place}"))),
    ];

    /// <summary>Every list that the form shows for this document, those in entries of others too.</summary>
    public static IEnumerable<(FormList Of, string Place)> Lists(CatalogueDocument document)
    {
        return BlueprintFields.Lists.SelectMany(list => With((list, list.Place)));

        IEnumerable<(FormList Of, string Place)> With((FormList Of, string Place) list)
            => [list, .. Entries(document, list).SelectMany(entry => list.Of.Inner.SelectMany(inner => With((inner, $"{entry}.{inner.Place}"))))];
    }

    /// <summary>Whether the field can show what stands there.</summary>
    public static bool Fits(CatalogueDocument document, FormField field, string place) => field.Kind == FieldKind.List ? document.Texts(place) is not null : document.IsValue(place);

    private static IEnumerable<string> Entries(CatalogueDocument document, (FormList Of, string Place) list) => Enumerable.Range(0, document.Count(list.Place)).Select(i => $"{list.Place}[{i}]");
}
