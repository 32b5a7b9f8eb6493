using LabPortal.Domain;
using NodaTime;

namespace LabPortal.Web.Api;

/// <summary>What stands behind the question mark, with every mistake in it.</summary>
internal sealed class Asked(HttpContext context)
{
    public const int MostItems = 200;
    private readonly List<FieldError> _errors = [];

    public IReadOnlyList<FieldError> Mistakes => _errors;

    public int Limit
    {
        get
        {
            if (Text("limit") is not { } text) return 50;
            if (int.TryParse(text, out var limit) && limit is >= 1 and <= MostItems) return limit;
            _errors.Add(new FieldError("limit", "field.range", [("min", 1), ("max", MostItems)]));
            return 50;
        }
    }

    public string? After => Text("after");

    public string? Text(string name)
    {
        if (context.Request.Query[name] is not [{ Length: > 0 } text, ..]) return null;
        if (SentText.CanBeKept(text)) return text;
        if (_errors.All(error => error.Field != name)) _errors.Add(new FieldError(name, "field.not-unicode"));
        return null;
    }

    public Instant? Instant(string name)
    {
        if (Text(name) is not { } text) return null;
        if (SentText.IsInstant(text, out var instant)) return instant;
        _errors.Add(new FieldError(name, "field.not-an-instant"));
        return null;
    }

    public bool Flag(string name)
    {
        if (Text(name) is not { } text) return context.Request.Query.ContainsKey(name);
        if (bool.TryParse(text, out var flag)) return flag;
        _errors.Add(new FieldError(name, "field.not-a-boolean"));
        return false;
    }

    /// <summary>One or more words of a kind, repeated or with commas between them.</summary>
    public IReadOnlyList<T> Words<T>(string name) where T : struct, Enum
    {
        var found = new List<T>();
        foreach (var word in context.Request.Query[name].SelectMany(text => (text ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)))
        {
            if (Domain.Words.TryRead<T>(word, out var member)) found.Add(member);
            else if (_errors.All(error => error.Field != name)) _errors.Add(new FieldError(name, "field.one-of", [("allowed", string.Join(", ", Domain.Words.All<T>()))]));
        }

        return found;
    }

    public void Wrong(string name, string code, params (string Name, object Value)[] arguments) => _errors.Add(new FieldError(name, code, arguments));
}
