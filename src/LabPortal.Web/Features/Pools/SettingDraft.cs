using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using LabPortal.Domain.Pools;

namespace LabPortal.Web.Features.Pools;

/// <summary>One setting of a kind of pool while somebody types: whatever they type becomes the value that it looks like, and the schema says what is wrong with it.</summary>
public sealed class SettingDraft
{
    private SettingDraft(Setting setting, JsonNode? value)
    {
        Setting = setting;
        if (setting.Kind == SettingKind.Secret) Kept = value is JsonObject reference ? (JsonObject)reference.DeepClone() : null;
        else if (setting.Kind == SettingKind.List) Items.AddRange((value as JsonArray ?? []).OfType<JsonObject>().Select(item => Of(setting.Items ?? [], item)));
        else Text = value is JsonValue plain ? Shown(plain) : "";
    }

    public Setting Setting { get; }

    public string Text { get; set; } = "";

    /// <summary>Where a secret is that was set before: it stays, unless another is typed.</summary>
    public JsonObject? Kept { get; set; }

    /// <summary>The entries of a list.</summary>
    public List<IReadOnlyList<SettingDraft>> Items { get; } = [];

    public static IReadOnlyList<SettingDraft> Of(IReadOnlyList<Setting> schema, JsonObject value) => [.. schema.Select(setting => new SettingDraft(setting, value[setting.Name]))];

    public void Add() => Items.Add(Of(Setting.Items ?? [], []));

    /// <summary>The settings as they are sent; what is empty is not there, and so has its default.</summary>
    public static JsonObject Read(IEnumerable<SettingDraft> drafts)
    {
        var read = new JsonObject();
        foreach (var draft in drafts)
        {
            if (draft.Read() is { } value) read[draft.Setting.Name] = value;
        }

        return read;
    }

    /// <summary>It has another value than it would have by itself.</summary>
    public bool IsSet => Text.Length > 0 || Kept is not null || Items.Count > 0;

    /// <summary>What an absent value means, as it is shown; of a list's entries the first text of each.</summary>
    public static string? Default(Setting setting) => setting.Default switch
    {
        JsonValue value => Shown(value) is { Length: > 0 } shown ? shown : null,
        JsonArray { Count: > 0 } list => string.Join(", ", list.Select(item => item is JsonObject entry && entry.FirstOrDefault().Value is JsonValue first ? Shown(first) : item?.ToJsonString())),
        _ => null,
    };

    private JsonNode? Read() => Setting.Kind switch
    {
        SettingKind.List => Items.Count == 0 && !Setting.Required ? null : new JsonArray([.. Items.Select(item => (JsonNode)Read(item))]),
        SettingKind.Secret => Text.Length > 0 ? JsonValue.Create(Text) : Kept?.DeepClone(),
        _ when Text.Trim().Length == 0 => null,
        SettingKind.Boolean => Text == "true" ? true : Text == "false" ? false : Text,
        // Beyond what a number holds, or none: the schema says so.
        SettingKind.Integer or SettingKind.Number => decimal.TryParse(Text.Trim(), NumberStyles.Float, CultureInfo.InvariantCulture, out var number) ? number : Text,
        _ => Text.Trim(),
    };

    private static string Shown(JsonValue value) => value.GetValueKind() == JsonValueKind.String ? value.GetValue<string>() : value.ToJsonString();
}
