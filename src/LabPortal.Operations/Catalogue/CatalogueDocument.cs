using System.Globalization;
using System.Text.Json;
using LabPortal.Domain;
using LabPortal.Domain.Images;

namespace LabPortal.Operations.Catalogue;

/// <summary>
/// One document of the catalogue, by places in it (<c>machines[0].image</c>): a form and a text are two views of it. Never changed; each edit
/// gives another. What nobody edits stays as it is, whether or not anybody here knows what it means.
/// </summary>
public sealed class CatalogueDocument
{
    /// <summary>Where they stand, whenever they come: the first things that people look for.</summary>
    private static readonly string[] s_first = ["kind", "name", "title", "description"];

    private string? _text;

    private CatalogueDocument(YamlMap root) => Root = root;

    internal YamlMap Root { get; }

    public string Kind => Text("kind");

    public string Name => Text("name");

    internal static CatalogueDocument Of(YamlMap root) => new(root);

    public static CatalogueDocument Of(Size size) => YamlTree.Of(size);

    public static CatalogueDocument Of(Image image) => YamlTree.Of(image);

    public static CatalogueDocument New(string kind, string name) => new CatalogueDocument(new YamlMap(1, [])).With("kind", kind).With("name", name);

    /// <summary>Refused where the text is not exactly one document that can be read without loss; what the document says is not judged.</summary>
    public static Outcome<CatalogueDocument> Read(string text)
    {
        var reading = new YamlReading();
        var documents = reading.Read(text);
        if (documents.Count != 1 && reading.Mistakes.Count == 0) reading.Tell(null, 1, "", "yaml.one-document", ("count", documents.Count));
        return reading.Mistakes.Count > 0 ? Refusal.Invalid(ByPlace(reading.Mistakes)) : new CatalogueDocument(documents[0].Root) { _text = text };
    }

    /// <summary>A document as JSON has it: an object without kind and name, which stand first.</summary>
    public static Outcome<CatalogueDocument> OfJson(string kind, string name, JsonElement json)
    {
        var errors = new List<FieldError>();
        if (json.ValueKind != JsonValueKind.Object) return Refusal.Invalid("", "body.not-an-object");
        var rest = (YamlMap)YamlTree.OfJson(json, "", errors);
        if (errors.Count > 0) return Refusal.Invalid(errors);
        var root = New(kind, name).Root;
        return new CatalogueDocument(new YamlMap(1, [.. root.Entries.Where(entry => rest[entry.Key] is null), .. rest.Entries]));
    }

    /// <summary>Mistakes as forms and callers know them: by the place in the document, with the line among the arguments.</summary>
    internal static IReadOnlyList<FieldError> ByPlace(IEnumerable<FieldError> mistakes)
        => [.. mistakes.Select(mistake => mistake with { Field = mistake.Arguments?.FirstOrDefault(argument => argument.Name == "path").Value as string ?? mistake.Field })];

    /// <summary>The text of what stands there; empty where there is none, or where it is no text.</summary>
    public string Text(string path) => Find(path) is YamlScalar { IsNull: false } scalar ? scalar.Text : "";

    public bool Has(string path) => Find(path) is not (null or YamlScalar { IsNull: true });

    /// <summary>How many entries the list there has.</summary>
    public int Count(string path) => Find(path) is YamlList list ? list.Items.Count : 0;

    /// <summary>A list of texts; nothing where it is another thing, which only its own text can show.</summary>
    public IReadOnlyList<string>? Texts(string path) => Find(path) switch
    {
        null or YamlScalar { IsNull: true } => [],
        YamlList list when list.Items.All(item => item is YamlScalar { IsNull: false } scalar && !scalar.Text.Contains('\n')) => [.. list.Items.Cast<YamlScalar>().Select(scalar => scalar.Text)],
        _ => null,
    };

    /// <summary>Whether what stands there, if anything, is one value, a list, or a map with keys of its own.</summary>
    public bool IsValue(string path) => Find(path) is null or YamlScalar;

    /// <summary>Each place that holds a value or a list of values, from the outside in.</summary>
    public IEnumerable<string> Places => PlacesOf(Root, "");

    /// <summary>
    /// Another document with this text there, or without the place where the text is empty; a map that becomes empty by that goes too. A
    /// <paramref name="plain"/> text may be a number, a truth or a length; any other stays text whatever it looks like.
    /// </summary>
    public CatalogueDocument With(string path, string text, bool plain = false) => Put(path, text.Length == 0 ? null : new YamlScalar(0, text, plain));

    public CatalogueDocument With(string path, IReadOnlyList<string> texts) => Put(path, texts.Count == 0 ? null : new YamlList(0, [.. texts.Select(text => new YamlScalar(0, text, false))]));

    /// <summary>Another document with one more, empty, entry in the list there.</summary>
    public CatalogueDocument WithEntry(string path)
        => Put(path, new YamlList(0, [.. (Find(path) as YamlList)?.Items ?? [], new YamlMap(0, [])]));

    /// <summary>Another document with a map there, empty where there was nothing.</summary>
    public CatalogueDocument WithMap(string path) => Find(path) is YamlMap ? this : Put(path, new YamlMap(0, []));

    /// <summary>Another document with a list there, empty where there was none.</summary>
    public CatalogueDocument WithList(string path) => Find(path) is YamlList ? this : Put(path, new YamlList(0, []));

    public CatalogueDocument Without(string path) => Put(path, null);

    /// <summary>The text as it was read, or the text of what edits made of it, without its comments.</summary>
    public string Write() => _text ??= YamlTree.Write(Root);

    public JsonElement ToJson() => JsonSerializer.SerializeToElement(YamlData.ToJson(Root));

    private YamlNode? Find(string path) => Parts(path).Aggregate((YamlNode?)Root, (node, part) => node switch
    {
        YamlMap map => map[part],
        YamlList list when int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out var i) && i < list.Items.Count => list.Items[i],
        _ => null,
    });

    private CatalogueDocument Put(string path, YamlNode? value) => new((YamlMap?)Put(Root, Parts(path), value) ?? new YamlMap(1, []));

    private static YamlNode? Put(YamlNode? node, ReadOnlySpan<string> parts, YamlNode? value)
    {
        if (parts.Length == 0) return value;
        if (node is YamlList list && int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out var at) && at < list.Items.Count)
        {
            // An entry stays where all of it was taken away, unless it is itself what goes.
            var item = Put(list.Items[at], parts[1..], value) ?? (parts.Length > 1 ? new YamlMap(0, []) : null);
            var items = list.Items.SelectMany<YamlNode, YamlNode>((old, i) => i != at ? [old] : item is null ? [] : [item]).ToList();
            return new YamlList(list.Line, items);
        }

        var (key, entries) = (parts[0], (node as YamlMap)?.Entries.ToList() ?? []);
        var position = entries.FindIndex(entry => entry.Key == key);
        var inner = Put(position < 0 ? null : entries[position].Value, parts[1..], value);
        if (inner is null && position >= 0) entries.RemoveAt(position);
        else if (inner is not null && position >= 0) entries[position] = (key, 0, inner);
        else if (inner is not null) entries.Insert(Before(entries, key), (key, 0, inner));
        return entries.Count == 0 ? null : new YamlMap(0, entries);
    }

    private static int Before(List<(string Key, int Line, YamlNode Value)> entries, string key)
    {
        var rank = Array.IndexOf(s_first, key);
        return rank < 0 ? entries.Count : entries.TakeWhile(entry => Array.IndexOf(s_first, entry.Key, 0, rank) >= 0).Count();
    }

    private static IEnumerable<string> PlacesOf(YamlNode node, string path) => node switch
    {
        YamlMap map => map.Entries.SelectMany(entry => PlacesOf(entry.Value, YamlReading.Join(path, entry.Key))),
        YamlList list when list.Items.Any(item => item is not YamlScalar) => list.Items.SelectMany((item, i) => PlacesOf(item, $"{path}[{i}]")),
        _ => [path],
    };

    private static string[] Parts(string path) => [.. path.Split('.', '[').Select(part => part.TrimEnd(']'))];
}
