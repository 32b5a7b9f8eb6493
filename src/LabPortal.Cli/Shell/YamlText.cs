using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace LabPortal.Cli.Shell;

/// <summary>JSON as YAML: the same values. A text that YAML could take for anything else, or a terminal for an order, stands in double quotes.</summary>
internal static partial class YamlText
{
    private static readonly HashSet<string> s_notText = new(StringComparer.OrdinalIgnoreCase) { "true", "false", "null", "yes", "no", "on", "off", "y", "n" };

    public static string Of(JsonNode node)
    {
        using var text = new StringWriter(CultureInfo.InvariantCulture);
        var emitter = new Emitter(text, new EmitterSettings(bestIndent: 2, bestWidth: int.MaxValue, isCanonical: false, maxSimpleKeyLength: 1024));
        emitter.Emit(new StreamStart());
        emitter.Emit(new DocumentStart(null, null, isImplicit: true));
        Write(emitter, node);
        emitter.Emit(new DocumentEnd(isImplicit: true));
        emitter.Emit(new StreamEnd());
        return Escaped(text.ToString());
    }

    private static void Write(Emitter emitter, JsonNode? node)
    {
        switch (node)
        {
            case JsonObject named:
                emitter.Emit(new MappingStart(default, default, isImplicit: true, named.Count == 0 ? MappingStyle.Flow : MappingStyle.Block));
                foreach (var (name, value) in named)
                {
                    WriteText(emitter, name);
                    Write(emitter, value);
                }

                emitter.Emit(new MappingEnd());
                break;
            case JsonArray list:
                emitter.Emit(new SequenceStart(default, default, isImplicit: true, list.Count == 0 ? SequenceStyle.Flow : SequenceStyle.Block));
                foreach (var item in list) Write(emitter, item);
                emitter.Emit(new SequenceEnd());
                break;
            case not null when node.GetValueKind() == JsonValueKind.String:
                WriteText(emitter, node.GetValue<string>());
                break;
            default:
                emitter.Emit(new Scalar(default, default, node?.ToJsonString() ?? "null", ScalarStyle.Plain, isPlainImplicit: true, isQuotedImplicit: false));
                break;
        }
    }

    private static void WriteText(Emitter emitter, string text)
        => emitter.Emit(new Scalar(default, default, text, PlainText().IsMatch(text) && !s_notText.Contains(text) ? ScalarStyle.Plain : ScalarStyle.DoubleQuoted, isPlainImplicit: true, isQuotedImplicit: true));

    // Line ends are the writer's own; whatever else a terminal would obey can only stand in double quotes, where YAML knows escapes.
    private static string Escaped(string yaml)
    {
        var safe = new StringBuilder(yaml.Length);
        foreach (var rune in yaml.EnumerateRunes())
        {
            if (rune.Value == '\n' || !Safe.IsUnsafe(rune)) safe.Append(rune);
            else if (rune.Value != '\r') safe.Append(CultureInfo.InvariantCulture, $"\\U{rune.Value:X8}");
        }

        return safe.ToString();
    }

    [GeneratedRegex(@"\A[A-Za-z][A-Za-z0-9_./@-]*\z", RegexOptions.CultureInvariant)]
    private static partial Regex PlainText();
}
