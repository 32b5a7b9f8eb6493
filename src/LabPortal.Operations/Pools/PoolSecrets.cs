using System.Text.Json.Nodes;
using LabPortal.Domain.Pools;

namespace LabPortal.Operations.Pools;

/// <summary>
/// Puts the text of secrets into a pool's settings, at the moment when it is opened: <c>{env: NAME}</c>, <c>{file: PATH}</c>,
/// <c>{secret: NAME}</c> (kept by the portal). Only settings that the schema calls secret are looked at.
/// </summary>
internal sealed class PoolSecrets(ISecretSource? stored)
{
    public async Task<JsonObject> ResolveAsync(Pool pool, SettingsSchema schema, CancellationToken cancellation)
    {
        var settings = (JsonObject)pool.Settings.DeepClone();
        await ResolveAsync(pool.Name, schema.Settings, settings, cancellation);
        return settings;
    }

    private async Task ResolveAsync(string pool, IReadOnlyList<Setting> schema, JsonObject value, CancellationToken cancellation)
    {
        foreach (var setting in schema)
        {
            if (setting.Kind == SettingKind.Secret && value[setting.Name] is JsonObject reference)
            {
                value[setting.Name] = await ReadAsync(reference, cancellation) is { } secret
                    ? secret.Reveal()
                    : throw new ProviderFault(FaultKind.Unauthorized, $"Pool \"{pool}\" has no {setting.Title}: {Source(reference)} is not there.");
            }
            else if (setting.Kind == SettingKind.List && value[setting.Name] is JsonArray items)
            {
                foreach (var item in items.OfType<JsonObject>()) await ResolveAsync(pool, setting.Items ?? [], item, cancellation);
            }
        }
    }

    private async Task<Secret?> ReadAsync(JsonObject reference, CancellationToken cancellation)
    {
        if (Text(reference, "env") is { } variable) return Environment.GetEnvironmentVariable(variable) is { } value ? new Secret(value) : null;
        if (Text(reference, "secret") is { } name) return stored is null ? null : await stored.FindAsync(name, cancellation);
        if (Text(reference, "file") is not { } path) return null;
        try
        {
            // Files of secrets end in a newline more often than not.
            return new Secret((await File.ReadAllTextAsync(path, cancellation)).TrimEnd('\r', '\n'));
        }
        catch (Exception cause) when (cause is IOException or UnauthorizedAccessException)
        {
            throw new ProviderFault(FaultKind.Unauthorized, $"The secret file {path} cannot be read.", cause);
        }
    }

    private static string? Text(JsonObject reference, string key) => reference[key] is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;

    private static string Source(JsonObject reference)
        => Text(reference, "env") is { } variable ? $"the environment variable {variable}"
        : Text(reference, "file") is { } path ? $"the file {path}"
        : Text(reference, "secret") is { } name ? $"the stored secret {name}"
        : "what it names";
}
