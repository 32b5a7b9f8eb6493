using System.Globalization;
using System.Text.Json;
using System.Xml.Linq;

namespace LabPortal.Providers.Tests.Aws;

/// <summary>
/// EC2's service model as AWS publishes it with botocore (Debian's <c>python3-botocore</c>): which actions there are, what each takes and answers. The authority that
/// both sides of the peer's wire are held to; serialised as botocore's <c>EC2Serializer</c> and <c>EC2QueryParser</c> do.
/// </summary>
internal sealed class Ec2Model
{
    private const string File = "/usr/lib/python3/dist-packages/botocore/data/ec2/2016-11-15/service-2.json";

    private static readonly Lazy<Ec2Model> s_shared = new(() => new Ec2Model());

    private readonly JsonElement _operations;
    private readonly JsonElement _shapes;

    private Ec2Model()
    {
        using var stream = System.IO.File.OpenRead(File);
        var root = JsonDocument.Parse(stream).RootElement;
        (_operations, _shapes) = (root.GetProperty("operations"), root.GetProperty("shapes"));
        Namespace = $"http://ec2.amazonaws.com/doc/{root.GetProperty("metadata").GetProperty("apiVersion").GetString()}/";
    }

    public static Ec2Model Shared => s_shared.Value;

    public string Namespace { get; }

    /// <summary>Everything in which this request is none of the model's.</summary>
    public IReadOnlyList<string> CheckRequest(string action, IReadOnlyDictionary<string, string> form)
    {
        if (!_operations.TryGetProperty(action, out var operation)) return [$"there is no action {action}"];
        var wrong = new List<string>();
        var given = new Parameters(form.Where(pair => pair.Key is not ("Action" or "Version")).ToDictionary(pair => pair.Key, pair => pair.Value));
        CheckGiven(Shape(operation.GetProperty("input").GetProperty("shape").GetString()!), given, action, wrong);
        return wrong;
    }

    /// <summary>Everything in which this answer is none of the model's.</summary>
    public IReadOnlyList<string> CheckAnswer(string action, XElement answer)
    {
        var wrong = new List<string>();
        if (_operations.GetProperty(action).TryGetProperty("output", out var output))
            CheckTold(Shape(output.GetProperty("shape").GetString()!), answer, action, wrong, atRoot: true);
        return wrong;
    }

    private JsonElement Shape(string name) => _shapes.GetProperty(name);

    private void CheckGiven(JsonElement shape, Parameters given, string path, List<string> wrong)
    {
        switch (shape.GetProperty("type").GetString())
        {
            case "structure":
                var members = shape.GetProperty("members").EnumerateObject().ToDictionary(member => GivenName(member), member => member);
                foreach (var name in given.Names)
                {
                    if (members.TryGetValue(name, out var member)) CheckGiven(Shape(member.Value.GetProperty("shape").GetString()!), given.At(name), $"{path}.{name}", wrong);
                    else wrong.Add($"{path} has no parameter {name}");
                }

                if (shape.TryGetProperty("required", out var required))
                {
                    foreach (var name in required.EnumerateArray().Select(name => shape.GetProperty("members").EnumerateObject().Single(member => member.Name == name.GetString())).Select(GivenName))
                    {
                        if (!given.Names.Contains(name)) wrong.Add($"{path} lacks {name}");
                    }
                }

                break;
            case "list":
                foreach (var name in given.Names)
                {
                    if (!int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out _)) wrong.Add($"{path} is a list, and {name} no number");
                    else CheckGiven(Shape(shape.GetProperty("member").GetProperty("shape").GetString()!), given.At(name), $"{path}.{name}", wrong);
                }

                break;
            default:
                CheckValue(shape, given.Value, path, wrong);
                break;
        }
    }

    private void CheckTold(JsonElement shape, XElement told, string path, List<string> wrong, bool atRoot = false)
    {
        switch (shape.GetProperty("type").GetString())
        {
            case "structure":
                var members = shape.GetProperty("members").EnumerateObject().ToDictionary(member => member.Value.TryGetProperty("locationName", out var name) ? name.GetString()! : member.Name);
                foreach (var child in told.Elements())
                {
                    if (atRoot && child.Name.LocalName == "requestId") continue;
                    if (members.TryGetValue(child.Name.LocalName, out var member)) CheckTold(Shape(member.Value.GetProperty("shape").GetString()!), child, $"{path}/{child.Name.LocalName}", wrong);
                    else wrong.Add($"{path} has no element {child.Name.LocalName}");
                }

                break;
            case "list":
                var of = shape.GetProperty("member");
                var item = of.TryGetProperty("locationName", out var itemName) ? itemName.GetString()! : "member";
                foreach (var child in told.Elements())
                {
                    if (child.Name.LocalName == item) CheckTold(Shape(of.GetProperty("shape").GetString()!), child, $"{path}/{item}", wrong);
                    else wrong.Add($"{path} is a list of {item}, not of {child.Name.LocalName}");
                }

                break;
            default:
                CheckValue(shape, told.Value, path, wrong);
                break;
        }
    }

    private static void CheckValue(JsonElement shape, string? value, string path, List<string> wrong)
    {
        var type = shape.GetProperty("type").GetString();
        var good = value is not null && type switch
        {
            "boolean" => value is "true" or "false",
            "integer" or "long" => long.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out _),
            "float" or "double" => double.TryParse(value, CultureInfo.InvariantCulture, out _),
            "timestamp" => DateTimeOffset.TryParse(value, CultureInfo.InvariantCulture, out _),
            "blob" => Convert.TryFromBase64String(value, new byte[value.Length], out _),
            _ => !shape.TryGetProperty("enum", out var words) || words.EnumerateArray().Any(word => word.GetString() == value),
        };
        if (!good) wrong.Add($"{path} is no {type}: {value}");
    }

    private static string GivenName(JsonProperty member) => member.Value.TryGetProperty("queryName", out var query) ? query.GetString()!
        : member.Value.TryGetProperty("locationName", out var location) ? char.ToUpperInvariant(location.GetString()![0]) + location.GetString()![1..] : member.Name;
}

/// <summary>The parameters of an EC2 query, or those below one of them (<c>Filter.1.Value.2</c>).</summary>
internal sealed class Parameters(IReadOnlyDictionary<string, string> all, string prefix = "")
{
    public IReadOnlyList<string> Names { get; } =
        [.. all.Keys.Where(key => prefix.Length == 0 || key.StartsWith(prefix + ".", StringComparison.Ordinal)).Select(key => (prefix.Length == 0 ? key : key[(prefix.Length + 1)..]).Split('.')[0]).Distinct()];

    public string? Value => all.GetValueOrDefault(prefix);

    public string? this[string name] => At(name).Value;

    public Parameters At(string name) => new(all, prefix.Length == 0 ? name : $"{prefix}.{name}");

    public IReadOnlyList<Parameters> List(string name)
    {
        var list = At(name);
        return [.. list.Names.OrderBy(index => int.Parse(index, CultureInfo.InvariantCulture)).Select(list.At)];
    }

    public Parameters? First(string name) => List(name) is [var first, ..] ? first : null;

    public IReadOnlyList<string> Texts(string name) => [.. List(name).Select(item => item.Value ?? "")];
}
