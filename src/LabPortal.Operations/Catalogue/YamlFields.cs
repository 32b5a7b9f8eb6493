using System.Globalization;
using System.Text.RegularExpressions;
using LabPortal.Domain;
using NodaTime;

namespace LabPortal.Operations.Catalogue;

/// <summary>
/// The fields of one map of a document. Each look at a field names it as known; <see cref="Close"/> tells of those that nobody looked at.
/// A field that is wrong is told of and read as if it were absent, so that reading goes on to the next mistake.
/// </summary>
internal sealed partial class YamlFields(YamlReading reading, YamlDocument document, YamlMap map, string path)
{
    private static readonly Duration s_longest = Duration.FromDays(3650);

    private readonly List<string> _known = [];

    public YamlReading Reading => reading;

    public YamlDocument Document => document;

    public string At(string key) => YamlReading.Join(path, key);

    public bool Has(string key) => map[key] is not (null or YamlScalar { IsNull: true });

    public int Line(string key) => map.Entries.FirstOrDefault(entry => entry.Key == key) is { Value: not null } entry ? entry.Line : map.Line;

    public void Tell(string key, string code, params (string Name, object Value)[] arguments) => reading.Tell(document, Line(key), At(key), code, arguments);

    public YamlNode? Node(string key, bool required = false)
    {
        _known.Add(key);
        if (Has(key)) return map[key];
        if (required) Tell(key, "yaml.required");
        return null;
    }

    public string? Text(string key, bool required = false, int longest = 4096)
    {
        if (Node(key, required) is not { } node) return null;
        if (node is not YamlScalar scalar)
        {
            Tell(key, "yaml.not-text");
            return null;
        }

        if (scalar.Text.Length <= longest && !scalar.Text.Any(letter => char.IsControl(letter) && letter is not ('\n' or '\t'))) return scalar.Text;
        Tell(key, scalar.Text.Length > longest ? "yaml.text-too-long" : "yaml.control-characters", ("max", longest));
        return null;
    }

    public string? Name(string key, bool required = true)
    {
        if (Text(key, required) is not { } name) return null;
        if (CatalogueRules.IsName(name)) return name;
        Tell(key, "name.form");
        return null;
    }

    public long? Integer(string key, long min, long max, bool required = false)
    {
        if (Node(key, required) is not { } node) return null;
        if (node is not YamlScalar { Integer: { } value }) Tell(key, "yaml.not-an-integer");
        else if (value < min || value > max) Tell(key, "number.range", ("min", min), ("max", max));
        else return value;
        return null;
    }

    public decimal? Number(string key, decimal min, decimal max)
    {
        if (Node(key) is not { } node) return null;
        if (node is not YamlScalar { Number: { } value }) Tell(key, "yaml.not-a-number");
        else if (value < min || value > max) Tell(key, "number.range", ("min", min), ("max", max));
        else return value;
        return null;
    }

    public bool Boolean(string key)
    {
        if (Node(key) is not { } node) return false;
        if (node is YamlScalar { Boolean: { } value }) return value;
        Tell(key, "yaml.not-a-boolean");
        return false;
    }

    public T? Word<T>(string key, bool required = false) where T : struct, Enum
    {
        if (Text(key, required) is not { } word) return null;
        if (Words.TryRead<T>(word, out var member)) return member;
        Tell(key, "yaml.one-of", ("allowed", string.Join(", ", Words.All<T>())));
        return null;
    }

    /// <summary><c>90m</c>, <c>4h</c>, <c>3d</c>, decimal too; <c>0</c> needs no unit.</summary>
    public Duration? Length(string key, bool required = false)
    {
        if (Text(key, required) is not { } text) return null;
        var match = LengthForm().Match(text);
        if (!match.Success || !double.TryParse(match.Groups[1].Success ? match.Groups[1].ValueSpan : "0", CultureInfo.InvariantCulture, out var amount))
        {
            Tell(key, "duration.form");
            return null;
        }

        var unit = match.Groups[2].Value switch { "m" => Duration.FromMinutes(1), "h" => Duration.FromHours(1), _ => Duration.FromDays(1) };
        if (amount <= s_longest / unit) return Duration.FromTicks((unit * amount).BclCompatibleTicks / 10 * 10);
        Tell(key, "duration.too-long", ("max", "3650d"));
        return null;
    }

    public LocalTime? TimeOfDay(string key)
    {
        if (Text(key, required: true) is not { } text) return null;
        if (NodaTime.Text.LocalTimePattern.CreateWithInvariantCulture("HH:mm").Parse(text) is { Success: true } parsed) return parsed.Value;
        Tell(key, "time.form");
        return null;
    }

    /// <summary>A list of texts; each is judged by <paramref name="check"/>, which gives a code or nothing.</summary>
    public IReadOnlyList<string> Texts(string key, Func<string, string?>? check = null)
    {
        var texts = new List<string>();
        foreach (var (item, i) in Items(key))
        {
            var mistake = item is not YamlScalar { IsNull: false } scalar ? "yaml.not-text" : texts.Contains(scalar.Text) ? "yaml.twice" : check?.Invoke(scalar.Text);
            if (mistake is null) texts.Add(((YamlScalar)item).Text);
            else reading.Tell(document, item.Line, $"{At(key)}[{i}]", mistake);
        }

        return texts;
    }

    public IEnumerable<YamlFields> Maps(string key, bool required = false)
    {
        foreach (var (item, i) in Items(key, required))
        {
            if (item is YamlMap inner) yield return new YamlFields(reading, document, inner, $"{At(key)}[{i}]");
            else reading.Tell(document, item.Line, $"{At(key)}[{i}]", "yaml.not-a-map");
        }
    }

    public YamlFields? Map(string key, bool required = false)
    {
        if (Node(key, required) is not { } node) return null;
        if (node is YamlMap inner) return new YamlFields(reading, document, inner, At(key));
        Tell(key, "yaml.not-a-map");
        return null;
    }

    public IEnumerable<(string Key, YamlNode Value)> Entries => map.Entries.Select(entry => (entry.Key, entry.Value));

    public void Close()
    {
        foreach (var (key, line, _) in map.Entries)
        {
            if (!_known.Contains(key)) reading.Tell(document, line, At(key), "yaml.unknown-key", ("key", key), ("known", string.Join(", ", _known.Distinct())));
        }
    }

    private IEnumerable<(YamlNode Item, int Position)> Items(string key, bool required = false)
    {
        if (Node(key, required) is not { } node) return [];
        if (node is YamlList list) return list.Items.Select((item, i) => (item, i));
        Tell(key, "yaml.not-a-list");
        return [];
    }

    [GeneratedRegex(@"^(?:(\d{1,9}(?:\.\d{1,6})?)([mhd])|(0))\z", RegexOptions.CultureInvariant)]
    private static partial Regex LengthForm();
}
