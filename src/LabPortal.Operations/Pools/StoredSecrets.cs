using System.Text.Json.Nodes;

namespace LabPortal.Operations.Pools;

/// <summary>The secrets that the portal keeps for a pool, as its settings name them: <c>{secret: NAME}</c>. No other setting has that form.</summary>
internal static class StoredSecrets
{
    public static string? NameIn(JsonNode? value) => value is JsonObject reference && reference["secret"] is JsonValue name && name.TryGetValue<string>(out var text) ? text : null;

    /// <summary>Each with its field, like <c>settings.hosts[0].password</c>.</summary>
    public static IEnumerable<(string Field, string Name)> In(JsonNode? value, string path = "settings") => NameIn(value) is { } name ? [(path, name)] : value switch
    {
        JsonObject owner => owner.SelectMany(entry => In(entry.Value, $"{path}.{entry.Key}")),
        JsonArray items => items.SelectMany((item, i) => In(item, $"{path}[{i}]")),
        _ => [],
    };

    public static IEnumerable<string> Names(JsonObject? settings) => In(settings).Select(secret => secret.Name);
}
