using System.Text.Json;
using System.Text.Json.Nodes;
using LabPortal.Domain;
using NodaTime;

namespace LabPortal.Web.Api;

/// <summary>
/// A JSON object that somebody sent, read field by field: what is missing, of the wrong type or unknown is noted, and all of it is told
/// at once. Nothing thrown, nothing guessed.
/// </summary>
internal sealed class Body
{
    private static readonly JsonDocumentOptions s_options = new() { MaxDepth = 16 };
    private readonly Dictionary<string, JsonElement> _fields;
    private readonly string _path;
    private readonly List<FieldError> _errors;
    private readonly List<string> _known = [];
    private readonly List<Body> _inner = [];

    private Body(Dictionary<string, JsonElement> fields, string path, List<FieldError> errors)
    {
        _fields = fields;
        _path = path;
        _errors = errors;
    }

    /// <summary>An empty body reads as an empty object.</summary>
    public static async Task<Body> ReadAsync(HttpContext context)
    {
        var errors = new List<FieldError>();
        using var text = new MemoryStream();
        await context.Request.Body.CopyToAsync(text, context.RequestAborted);
        if (text.Length == 0) return new Body([], "", errors);
        try
        {
            using var document = JsonDocument.Parse(text.GetBuffer().AsMemory(0, (int)text.Length), s_options);
            if (SentText.Unreadable(document.RootElement) is { } place)
            {
                errors.Add(new FieldError(place, "field.not-unicode"));
                return new Body([], "", errors) { IsBroken = true };
            }

            if (document.RootElement.ValueKind == JsonValueKind.Object) return new Body(Fields(document.RootElement.Clone(), "", errors), "", errors);
            errors.Add(new FieldError("", "body.not-an-object"));
        }
        catch (JsonException fault)
        {
            errors.Add(new FieldError("", "body.not-json", [("line", (fault.LineNumber ?? 0) + 1), ("column", (fault.BytePositionInLine ?? 0) + 1)]));
        }

        return new Body([], "", errors) { IsBroken = true };
    }

    /// <summary>It was no JSON object: there are no fields to speak of.</summary>
    public bool IsBroken { get; private init; }

    public string RequiredText(string name)
    {
        var text = Text(name);
        if (text is null) Required(name);
        return text ?? "";
    }

    public string? Text(string name) => Take(name) switch
    {
        null => null,
        { ValueKind: JsonValueKind.String } value => Clean(value.GetString()!, name),
        _ => Wrong<string>(name, "field.not-text"),
    };

    public decimal? Number(string name) => Take(name) switch
    {
        null => null,
        { ValueKind: JsonValueKind.Number } value when value.TryGetDecimal(out var number) => number,
        _ => WrongValue<decimal>(name, "field.not-a-number"),
    };

    public int? Whole(string name) => Take(name) switch
    {
        null => null,
        { ValueKind: JsonValueKind.Number } value when value.TryGetInt32(out var number) => number,
        _ => WrongValue<int>(name, "field.not-whole"),
    };

    public bool? Flag(string name) => Take(name) switch
    {
        null => null,
        { ValueKind: JsonValueKind.True or JsonValueKind.False } value => value.GetBoolean(),
        _ => WrongValue<bool>(name, "field.not-a-boolean"),
    };

    public bool RequiredFlag(string name)
    {
        var flag = Flag(name);
        if (flag is null) Required(name);
        return flag ?? false;
    }

    /// <summary>One of the words of a kind.</summary>
    public T? Word<T>(string name) where T : struct, Enum
    {
        if (Text(name) is not { } word) return null;
        if (Words.TryRead<T>(word, out var member)) return member;
        Wrong(name, "field.one-of", ("allowed", string.Join(", ", Words.All<T>())));
        return null;
    }

    public T RequiredWord<T>(string name) where T : struct, Enum
    {
        var word = Word<T>(name);
        if (word is null) Required(name);
        return word ?? default;
    }

    /// <summary>RFC 3339 with any offset.</summary>
    public Instant? Instant(string name) => Take(name) switch
    {
        null => null,
        { ValueKind: JsonValueKind.String } value when SentText.IsInstant(value.GetString()!, out var instant) => instant,
        _ => WrongValue<Instant>(name, "field.not-an-instant"),
    };

    /// <summary>An object of plain values; numbers and booleans become their text.</summary>
    public IReadOnlyDictionary<string, string> Texts(string name)
    {
        var texts = new Dictionary<string, string>();
        if (Object(name) is not { } inner) return texts;
        foreach (var (key, value) in inner._fields)
        {
            inner._known.Add(key);
            switch (value.ValueKind)
            {
                case JsonValueKind.String when inner.Clean(value.GetString()!, key) is { } text:
                    texts[key] = text;
                    break;
                case JsonValueKind.String:
                    break;
                case JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False:
                    texts[key] = value.GetRawText();
                    break;
                default:
                    inner.Wrong(key, "field.not-plain");
                    break;
            }
        }

        return texts;
    }

    /// <summary>An object as it is, without a name that is there twice: whoever asked knows what may be in it.</summary>
    public JsonObject RequiredJson(string name)
    {
        if (Take(name) is null) Required(name);
        return Json(name) ?? [];
    }

    public JsonObject? Json(string name) => Take(name) switch
    {
        null => null,
        { ValueKind: JsonValueKind.Object } value => Twice(value, Path(name)) ? null : JsonObject.Create(value),
        _ => Wrong<JsonObject>(name, "field.not-an-object"),
    };

    // A JsonObject finds out only when it is read, and throws then.
    private bool Twice(JsonElement value, string path)
    {
        var before = _errors.Count;
        switch (value.ValueKind)
        {
            case JsonValueKind.Object:
                foreach (var (name, inner) in Fields(value, path, _errors)) Twice(inner, $"{path}.{name}");
                break;
            case JsonValueKind.Array:
                foreach (var (at, inner) in value.EnumerateArray().Index()) Twice(inner, $"{path}[{at}]");
                break;
            default:
                break;
        }

        return _errors.Count > before;
    }

    public IReadOnlyList<string> TextList(string name)
    {
        if (Take(name) is not { } value) return [];
        if (value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(item => item.ValueKind == JsonValueKind.String)) return [.. value.EnumerateArray().Select(item => Clean(item.GetString()!, name)).OfType<string>()];
        Wrong(name, "field.not-texts");
        return [];
    }

    public Body? Object(string name)
    {
        if (Take(name) is not { } value) return null;
        if (value.ValueKind != JsonValueKind.Object) return Wrong<Body>(name, "field.not-an-object");
        var inner = new Body(Fields(value, Path(name), _errors), Path(name), _errors);
        _inner.Add(inner);
        return inner;
    }

    public IReadOnlyList<Body> Objects(string name)
    {
        if (Take(name) is not { } value) return [];
        if (value.ValueKind != JsonValueKind.Array || value.EnumerateArray().Any(item => item.ValueKind != JsonValueKind.Object)) return Wrong<IReadOnlyList<Body>>(name, "field.not-objects") ?? [];
        var inner = value.EnumerateArray().Select((item, i) => new Body(Fields(item, $"{Path(name)}[{i}]", _errors), $"{Path(name)}[{i}]", _errors)).ToList();
        _inner.AddRange(inner);
        return inner;
    }

    /// <summary>Every mistake, once all fields were asked for; what nobody asked for is unknown.</summary>
    public IReadOnlyList<FieldError> Mistakes()
    {
        NoteUnknown();
        return _errors;
    }

    private void NoteUnknown()
    {
        foreach (var name in _fields.Keys.Except(_known)) Wrong(name, "field.unknown", ("known", _known.Count == 0 ? "-" : string.Join(", ", _known)));
        foreach (var inner in _inner) inner.NoteUnknown();
    }

    private JsonElement? Take(string name)
    {
        _known.Add(name);
        return _fields.TryGetValue(name, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;
    }

    private string? Clean(string text, string name) => SentText.CanBeKept(text) ? text : Wrong<string>(name, "field.not-unicode");

    private static Dictionary<string, JsonElement> Fields(JsonElement value, string path, List<FieldError> errors)
    {
        var fields = new Dictionary<string, JsonElement>();
        foreach (var property in value.EnumerateObject())
        {
            if (!fields.TryAdd(property.Name, property.Value)) errors.Add(new FieldError(path == "" ? property.Name : $"{path}.{property.Name}", "field.twice"));
        }

        return fields;
    }

    private string Path(string name) => _path == "" ? name : $"{_path}.{name}";

    private void Required(string name)
    {
        if (!IsBroken && _errors.All(error => error.Field != Path(name))) Wrong(name, "field.required");
    }

    private void Wrong(string name, string code, params (string Name, object Value)[] arguments) => _errors.Add(new FieldError(Path(name), code, arguments));

    private T? Wrong<T>(string name, string code) where T : class
    {
        Wrong(name, code);
        return null;
    }

    private T? WrongValue<T>(string name, string code) where T : struct
    {
        Wrong(name, code);
        return null;
    }
}
