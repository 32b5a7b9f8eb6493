using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Azure.Bicep.Types;
using Azure.Bicep.Types.Az;
using Azure.Bicep.Types.Concrete;
using Azure.Bicep.Types.Index;

namespace LabPortal.Providers.Tests.Azure;

internal enum ArmWay
{
    Put,
    Patch,
    Answer,
}

/// <summary>
/// The published ARM definitions of resources, each in each API version, as Microsoft publishes them for Bicep (the package Azure.Bicep.Types.Az, made of
/// Azure/azure-rest-api-specs). The authority that both sides of the peer's wire are held to. What is no resource (usages, sizes, permissions, actions) it does not have.
/// </summary>
internal sealed class ArmDefinitions
{
    private static readonly Lazy<ArmDefinitions> s_shared = new(() => new ArmDefinitions());

    private readonly AzTypeLoader _loader = new();
    private readonly TypeIndex _index;
    private readonly ConcurrentDictionary<string, Lazy<TypeBase>> _bodies = new();

    private ArmDefinitions() => _index = _loader.LoadTypeIndex();

    public static ArmDefinitions Shared => s_shared.Value;

    /// <summary>Everything in which this body is none of the definition's.</summary>
    public IReadOnlyList<string> Check(string type, string version, JsonObject body, ArmWay way)
    {
        var key = $"{type}@{version}";
        if (!_index.Resources.TryGetValue(key, out var place)) return [$"there is no {key}"];
        var wrong = new List<string>();
        // The loader reads from one stream.
        Walk(_bodies.GetOrAdd(key, _ => new Lazy<TypeBase>(() =>
        {
            lock (_loader) return _loader.LoadResourceType(place).Body.Type;
        })).Value, body, $"{type}: ", way, wrong);
        return wrong;
    }

    private static void Walk(TypeBase type, JsonNode? node, string path, ArmWay way, List<string> wrong)
    {
        switch (type)
        {
            case AnyType:
                return;
            case ObjectType known when node is JsonObject given:
                WalkObject(known.Properties, known.AdditionalProperties?.Type, given, path, way, wrong);
                return;
            case DiscriminatedObjectType known when node is JsonObject given:
                var element = given[known.Discriminator]?.ToString() is { } of && known.Elements.TryGetValue(of, out var found) ? found.Type as ObjectType : null;
                if (element is null) wrong.Add($"{path}.{known.Discriminator} is none of {string.Join(", ", known.Elements.Keys)}");
                else WalkObject(known.BaseProperties.Concat(element.Properties).DistinctBy(pair => pair.Key).ToDictionary(), null, given, path, way, wrong);
                return;
            case ArrayType list when node is JsonArray items:
                foreach (var item in items) Walk(list.ItemType.Type, item, path + "[]", way, wrong);
                return;
            case UnionType union:
                if (union.Elements.All(one => Mistakes(one.Type, node, path, way).Count > 0)) wrong.Add($"{path} is {node?.ToJsonString() ?? "null"}, which is none of its values");
                return;
            case StringLiteralType literal when node?.GetValueKind() is JsonValueKind.String:
                if (!literal.Value.Equals(node.GetValue<string>(), StringComparison.OrdinalIgnoreCase)) wrong.Add($"{path} is {node}, not {literal.Value}");
                return;
            case StringType text when node?.GetValueKind() is JsonValueKind.String:
                var length = node.GetValue<string>().Length;
                if (length < (text.MinLength ?? 0) || length > (text.MaxLength ?? long.MaxValue)) wrong.Add($"{path} has {length} characters");
                return;
            case IntegerType whole when node?.GetValueKind() is JsonValueKind.Number && decimal.TryParse(node.ToJsonString(), CultureInfo.InvariantCulture, out var number) && decimal.IsInteger(number):
                if (number < (whole.MinValue ?? long.MinValue) || number > (whole.MaxValue ?? long.MaxValue)) wrong.Add($"{path} is {number}");
                return;
            case BooleanType when node?.GetValueKind() is JsonValueKind.True or JsonValueKind.False:
                return;
            default:
                wrong.Add($"{path} is {node?.ToJsonString() ?? "null"}, not of {type.GetType().Name}");
                return;
        }
    }

    private static void WalkObject(IReadOnlyDictionary<string, ObjectTypeProperty> known, TypeBase? others, JsonObject given, string path, ArmWay way, List<string> wrong)
    {
        foreach (var (name, value) in given)
        {
            if (known.TryGetValue(name, out var property))
            {
                if (way != ArmWay.Answer && property.Flags.HasFlag(ObjectTypePropertyFlags.ReadOnly)) wrong.Add($"{path}.{name} is only read");
                if (way == ArmWay.Answer && property.Flags.HasFlag(ObjectTypePropertyFlags.WriteOnly)) wrong.Add($"{path}.{name} is only written");
                Walk(property.Type.Type, value, $"{path}.{name}", way, wrong);
            }
            else if (others is null)
            {
                wrong.Add($"{path}.{name} is unknown");
            }
            else
            {
                Walk(others, value, $"{path}.{name}", way, wrong);
            }
        }

        if (way == ArmWay.Patch) return;
        // What stands in the address need not be in the body.
        wrong.AddRange(known.Where(pair => pair.Value.Flags.HasFlag(ObjectTypePropertyFlags.Required) && !pair.Value.Flags.HasFlag(ObjectTypePropertyFlags.DeployTimeConstant) && !given.ContainsKey(pair.Key))
            .Select(pair => $"{path}.{pair.Key} is missing"));
    }

    private static List<string> Mistakes(TypeBase type, JsonNode? node, string path, ArmWay way)
    {
        var wrong = new List<string>();
        Walk(type, node, path, way, wrong);
        return wrong;
    }
}
