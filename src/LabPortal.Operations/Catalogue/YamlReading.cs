using System.Globalization;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using LabPortal.Domain;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace LabPortal.Operations.Catalogue;

/// <summary>A piece of a document, with the line on which it begins.</summary>
internal abstract record YamlNode(int Line);

/// <summary>A scalar. Only a plain one may be anything else than text.</summary>
internal sealed partial record YamlScalar(int Line, string Text, bool Plain) : YamlNode(Line)
{
    public bool IsNull => Plain && Text is "" or "~" or "null" or "Null" or "NULL";

    public bool? Boolean => !Plain ? null : Text switch { "true" or "True" or "TRUE" => true, "false" or "False" or "FALSE" => false, _ => null };

    public long? Integer => Plain && long.TryParse(Text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value) ? value : null;

    public decimal? Number => Plain && NumberForm().IsMatch(Text) && decimal.TryParse(Text, NumberStyles.Float, CultureInfo.InvariantCulture, out var value) ? value : null;

    // YAML 1.2's core schema, without its hexadecimal and octal forms, infinities and "not a number".
    [GeneratedRegex(@"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\z", RegexOptions.CultureInvariant)]
    private static partial Regex NumberForm();
}

internal sealed record YamlList(int Line, IReadOnlyList<YamlNode> Items) : YamlNode(Line);

internal sealed record YamlMap(int Line, IReadOnlyList<(string Key, int Line, YamlNode Value)> Entries) : YamlNode(Line)
{
    public YamlNode? this[string key] => Entries.FirstOrDefault(entry => entry.Key == key).Value;
}

internal sealed record YamlDocument(int Number, YamlMap Root)
{
    public string Kind => (Root["kind"] as YamlScalar)?.Text ?? "";

    public string Name => (Root["name"] as YamlScalar)?.Text ?? "";
}

/// <summary>
/// Reads a stream of documents from hostile text. Of YAML's ways to make little text into much, none is accepted: no anchors, aliases,
/// tags or merge keys; text, depth and mistakes are bounded. A key that comes twice is a mistake, not the last one's victory.
/// </summary>
internal sealed class YamlReading
{
    public const int LongestText = 1024 * 1024;
    private const int DeepestNesting = 24;
    private const int MostDocuments = 2000;
    private const int MostMistakes = 200;

    private readonly List<FieldError> _mistakes = [];
    private readonly HashSet<(int, string, string)> _told = [];

    public IReadOnlyList<FieldError> Mistakes => _mistakes;

    public IReadOnlyList<YamlDocument> Read(string text)
    {
        var documents = new List<YamlDocument>();
        if (text.Length > LongestText)
        {
            Tell(null, 1, "", "yaml.too-long", ("max", LongestText));
            return documents;
        }

        try
        {
            var parser = new Parser(new StringReader(text));
            parser.Consume<StreamStart>();
            for (var number = 1; !parser.Accept<StreamEnd>(out _); number++)
            {
                var start = parser.Consume<DocumentStart>();
                if (documents.Count >= MostDocuments) throw new TooMuchException("yaml.too-many-documents", MostDocuments, (int)start.Start.Line);
                var root = ReadNode(parser, number, "", 0);
                parser.Consume<DocumentEnd>();
                if (root is YamlScalar { IsNull: true }) continue;
                if (root is YamlMap map) documents.Add(new YamlDocument(number, map));
                else Tell(null, root.Line, "", "yaml.not-a-map", ("document", number));
            }
        }
        catch (YamlException fault)
        {
            // What came before stands and is judged; nothing can be said of what comes after.
            Tell(null, (int)Math.Max(1, fault.Start.Line), "", "yaml.syntax", ("what", fault.Message));
        }
        catch (TooMuchException fault)
        {
            Tell(null, fault.Line, "", fault.Message, ("max", fault.Most));
        }

        return documents;
    }

    /// <summary>Notes a mistake. The field says where it is, for whoever sees nothing but field and sentence.</summary>
    public void Tell(YamlDocument? document, int line, string path, string code, params (string Name, object Value)[] arguments)
    {
        if (_mistakes.Count >= MostMistakes || !_told.Add((line, path, code))) return;
        var where = document is null ? $"line {line}" : $"document {document.Number} ({document.Kind} {document.Name}), line {line}";
        _mistakes.Add(new FieldError(path.Length == 0 ? where : $"{where}: {path}", code, [.. arguments, ("line", line), ("path", path)]));
    }

    private YamlNode ReadNode(Parser parser, int document, string path, int depth)
    {
        var line = (int)parser.Current!.Start.Line;
        if (depth > DeepestNesting) throw new TooMuchException("yaml.too-deep", DeepestNesting, line);
        if (parser.TryConsume<AnchorAlias>(out _))
        {
            Tell(null, line, path, "yaml.alias", ("document", document));
            return new YamlScalar(line, "", true);
        }

        if (parser.Current is NodeEvent node)
        {
            if (!node.Anchor.IsEmpty) Tell(null, line, path, "yaml.anchor", ("document", document));
            if (!node.Tag.IsEmpty) Tell(null, line, path, "yaml.tag", ("document", document));
        }

        if (parser.TryConsume<Scalar>(out var scalar)) return new YamlScalar(line, scalar.Value, scalar.Style == ScalarStyle.Plain);
        if (parser.TryConsume<SequenceStart>(out _))
        {
            var items = new List<YamlNode>();
            while (!parser.TryConsume<SequenceEnd>(out _)) items.Add(ReadNode(parser, document, $"{path}[{items.Count}]", depth + 1));
            return new YamlList(line, items);
        }

        parser.Consume<MappingStart>();
        var entries = new List<(string, int, YamlNode)>();
        var keys = new HashSet<string>(StringComparer.Ordinal);
        while (!parser.TryConsume<MappingEnd>(out _))
        {
            var keyLine = (int)parser.Current!.Start.Line;
            var key = ReadNode(parser, document, path, depth + 1) as YamlScalar;
            var inner = key is null ? path : Join(path, key.Text);
            var value = ReadNode(parser, document, inner, depth + 1);
            if (key is null) Tell(null, keyLine, path, "yaml.key-not-text", ("document", document));
            else if (!keys.Add(key.Text)) Tell(null, keyLine, inner, "yaml.key-twice", ("document", document), ("key", key.Text));
            else entries.Add((key.Text, keyLine, value));
        }

        return new YamlMap(line, entries);
    }

    public static string Join(string path, string key) => path.Length == 0 ? key : $"{path}.{key}";

    private sealed class TooMuchException(string code, int most, int line) : Exception(code)
    {
        public int Most { get; } = most;
        public int Line { get; } = line;
    }
}

/// <summary>Free data of a document: settings and user data.</summary>
internal static class YamlData
{
    public static JsonNode? ToJson(YamlNode node) => node switch
    {
        YamlMap map => new JsonObject(map.Entries.Select(entry => KeyValuePair.Create(entry.Key, ToJson(entry.Value)))),
        YamlList list => new JsonArray([.. list.Items.Select(ToJson)]),
        YamlScalar { IsNull: true } => null,
        YamlScalar { Boolean: { } boolean } => JsonValue.Create(boolean),
        YamlScalar { Integer: { } integer } => JsonValue.Create(integer),
        YamlScalar { Number: { } number } => JsonValue.Create(number),
        YamlScalar scalar => JsonValue.Create(scalar.Text),
        _ => throw new InvalidOperationException($"No such node: {node.GetType().Name}."),
    };

    /// <summary>Maps, lists, strings, numbers and booleans, as a guest's user data has them; an empty value is an empty string.</summary>
    public static object ToPlain(YamlNode node) => node switch
    {
        YamlMap map => map.Entries.ToDictionary(entry => entry.Key, entry => ToPlain(entry.Value), StringComparer.Ordinal),
        YamlList list => list.Items.Select(ToPlain).ToList(),
        YamlScalar { IsNull: true } => "",
        YamlScalar { Boolean: { } boolean } => boolean,
        YamlScalar { Integer: { } integer } => integer,
        YamlScalar { Number: { } number } => (double)number,
        YamlScalar scalar => scalar.Text,
        _ => throw new InvalidOperationException($"No such node: {node.GetType().Name}."),
    };

    /// <summary>The line of a path like <c>settings.hosts[0].uri</c>: of the deepest part of it that is there.</summary>
    public static int LineOf(YamlNode root, string path)
    {
        var (node, line) = (root, root.Line);
        foreach (var part in path.Split('.', '[').Select(part => part.TrimEnd(']')))
        {
            if (node is YamlMap map && map.Entries.FirstOrDefault(entry => entry.Key == part) is { Value: not null } found) (node, line) = (found.Value, found.Line);
            else if (node is YamlList list && int.TryParse(part, CultureInfo.InvariantCulture, out var i) && i < list.Items.Count) (node, line) = (list.Items[i], list.Items[i].Line);
            else break;
        }

        return line;
    }
}
