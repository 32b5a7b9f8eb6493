using System.Text.Json;
using System.Text.Json.Nodes;

namespace LabPortal.Cli.Shell;

/// <summary>Fields of what the API gave, by path; what is not there is empty. Nothing here breaks on a portal that says more or less.</summary>
internal static class JsonText
{
    public static JsonNode? At(this JsonNode? node, string path)
    {
        foreach (var name in path.Split('.')) node = (node as JsonObject)?[name];
        return node;
    }

    public static string Text(this JsonNode? node, string path) => node.At(path).Plain();

    /// <summary>A value as text, a list with commas between.</summary>
    public static string Plain(this JsonNode? node) => node switch
    {
        null => "",
        JsonArray list => string.Join(", ", list.Select(Plain)),
        JsonObject named => string.Join(", ", named.Select(pair => $"{pair.Key}={pair.Value.Plain()}")),
        _ when node.GetValueKind() == JsonValueKind.String => node.GetValue<string>(),
        _ => node.ToJsonString(),
    };

    public static IEnumerable<JsonNode> Items(this JsonNode? node, string path) => node.At(path) is JsonArray list ? list.OfType<JsonNode>() : [];

    public static long Number(this JsonNode? node, string path) => node.At(path) is JsonValue value && value.TryGetValue<long>(out var number) ? number : 0;

    public static bool Flag(this JsonNode? node, string path) => node.At(path)?.GetValueKind() == JsonValueKind.True;
}
