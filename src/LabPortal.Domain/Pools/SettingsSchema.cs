using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace LabPortal.Domain.Pools;

public enum SettingKind
{
    Text,
    Integer,
    Number,
    Boolean,

    /// <summary>Text that goes to the secret store and never comes back.</summary>
    Secret,

    /// <summary>A list of objects, each with the fields of <see cref="Setting.Items"/>.</summary>
    List,
}

/// <summary>
/// One setting of a kind of pool. <paramref name="Help"/> is a sentence for the form; <paramref name="Default"/> is what an absent value means.
/// <paramref name="Min"/> and <paramref name="Max"/> bound a number's value, or a list's length; <paramref name="Unit"/> is what a number is counted in.
/// <paramref name="IsName"/>: a text that becomes a word elsewhere (machines, logs, metrics), and has only letters that are harmless in all of them.
/// <paramref name="HasParts"/>: a text that lists parts with commas between, each of which is a line, so that people may break the whole between them.
/// <paramref name="HasLines"/>: a text of several lines, like a key. <paramref name="IsRare"/>: most pools leave it as it is, and forms show it on demand.
/// </summary>
public sealed record Setting(
    string Name,
    SettingKind Kind,
    string Title,
    string Help,
    bool Required = false,
    JsonNode? Default = null,
    double? Min = null,
    double? Max = null,
    IReadOnlyList<string>? OneOf = null,
    IReadOnlyList<Setting>? Items = null,
    string? Unit = null,
    bool IsName = false,
    bool HasParts = false,
    bool HasLines = false,
    bool IsRare = false);

/// <summary>The settings of a kind of pool: the admin's form is drawn from it, and every value passes it before it is stored.</summary>
public sealed partial record SettingsSchema(IReadOnlyList<Setting> Settings)
{
    /// <summary>What a person reads as one line, and settings that list many things.</summary>
    public const int LongestText = 4000;

    /// <summary>As long as a host's whole name in DNS may be (RFC 1035, 2.3.4, as people write it).</summary>
    private const int LongestName = 253;

    /// <summary>Every mistake at once; empty when the value is good. Field paths look like <c>settings.hosts[0].uri</c>.</summary>
    public IReadOnlyList<FieldError> Validate(JsonObject value, string path = "settings")
    {
        var errors = new List<FieldError>();
        ValidateObject(Settings, value, path, errors);
        return errors;
    }

    /// <summary>The value with every absent setting (or one that is null) filled in by its default.</summary>
    public JsonObject WithDefaults(JsonObject value) => Fill(Settings, value);

    private static JsonObject Fill(IReadOnlyList<Setting> settings, JsonObject value)
    {
        var filled = (JsonObject)value.DeepClone();
        foreach (var setting in settings)
        {
            if (filled[setting.Name] is null && setting.Default is not null) filled[setting.Name] = setting.Default.DeepClone();
            if (setting.Kind == SettingKind.List && filled[setting.Name] is JsonArray items)
            {
                for (var i = 0; i < items.Count; i++)
                {
                    if (items[i] is JsonObject item) items[i] = Fill(setting.Items ?? [], item);
                }
            }
        }

        return filled;
    }

    private static void ValidateObject(IReadOnlyList<Setting> settings, JsonObject value, string path, List<FieldError> errors)
    {
        foreach (var (name, _) in value)
        {
            if (settings.All(setting => setting.Name != name))
                errors.Add(new FieldError($"{path}.{name}", "setting.unknown", [("known", string.Join(", ", settings.Select(setting => setting.Name)))]));
        }

        foreach (var setting in settings)
        {
            var field = $"{path}.{setting.Name}";
            if (!value.TryGetPropertyValue(setting.Name, out var node) || node is null)
            {
                if (setting.Required) errors.Add(new FieldError(field, "setting.required"));
                continue;
            }

            ValidateValue(setting, node, field, errors);
        }
    }

    private static void ValidateValue(Setting setting, JsonNode node, string field, List<FieldError> errors)
    {
        switch (setting.Kind)
        {
            case SettingKind.List:
                if (node is not JsonArray items)
                {
                    errors.Add(new FieldError(field, "setting.not-a-list"));
                    return;
                }

                if (items.Count < (setting.Min ?? 0) || items.Count > (setting.Max ?? 1000))
                    errors.Add(new FieldError(field, "setting.length", [("min", setting.Min ?? 0), ("max", setting.Max ?? 1000)]));
                for (var i = 0; i < items.Count; i++)
                {
                    if (items[i] is JsonObject item) ValidateObject(setting.Items ?? [], item, $"{field}[{i}]", errors);
                    else errors.Add(new FieldError($"{field}[{i}]", "setting.not-an-object"));
                }

                break;
            case SettingKind.Boolean:
                if (node.GetValueKind() is not (JsonValueKind.True or JsonValueKind.False)) errors.Add(new FieldError(field, "setting.not-a-boolean"));
                break;
            case SettingKind.Integer or SettingKind.Number:
                if (node.GetValueKind() != JsonValueKind.Number || !double.TryParse(node.ToJsonString(), System.Globalization.CultureInfo.InvariantCulture, out var number)
                    || (setting.Kind == SettingKind.Integer && Math.Floor(number) != number))
                {
                    errors.Add(new FieldError(field, setting.Kind == SettingKind.Integer ? "setting.not-an-integer" : "setting.not-a-number"));
                }
                else if (number < (setting.Min ?? double.MinValue) || number > (setting.Max ?? double.MaxValue))
                {
                    errors.Add(new FieldError(field, "setting.range", [("min", setting.Min ?? double.MinValue), ("max", setting.Max ?? double.MaxValue)]));
                }

                break;
            case SettingKind.Secret when node is JsonObject reference:
                // Where the text is kept: {env: NAME}, {file: PATH} or {secret: NAME}.
                if (reference.Count != 1 || reference.Single() is not { Key: "env" or "file" or "secret", Value: JsonValue source } || source.GetValueKind() != JsonValueKind.String)
                    errors.Add(new FieldError(field, "setting.not-a-secret"));
                break;
            default:
                if (node.GetValueKind() != JsonValueKind.String) errors.Add(new FieldError(field, "setting.not-text"));
                else if (setting.IsName && !NameForm().IsMatch(node.GetValue<string>())) errors.Add(new FieldError(field, "setting.name", [("max", LongestName)]));
                else if (setting.Kind == SettingKind.Text && !IsOneLine(setting, node.GetValue<string>()))
                    errors.Add(new FieldError(field, "setting.one-line", [("max", LongestText)]));
                else if (setting.OneOf is { } allowed && !allowed.Contains(node.GetValue<string>()))
                    errors.Add(new FieldError(field, "setting.one-of", [("allowed", string.Join(", ", allowed))]));
                break;
        }
    }

    // YAML's block texts end with an end of line, which says nothing.
    private static bool IsOneLine(Setting setting, string text)
        => text.Length <= LongestText && (setting.HasParts ? text.Split(',') : [text]).Select(part => part.Trim()).All(part => ForeignText.Of(part, LongestText) == part);

    [GeneratedRegex(@"^[A-Za-z0-9][A-Za-z0-9._-]{0,252}\z", RegexOptions.CultureInvariant)]
    private static partial Regex NameForm();
}
