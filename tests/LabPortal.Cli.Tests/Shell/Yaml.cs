using System.Text.Json.Nodes;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace LabPortal.Cli.Tests.Shell;

/// <summary>YAML read by the library's own reader, with the values that YAML's core schema gives to plain scalars.</summary>
internal static class Yaml
{
    public static JsonNode? Read(string text)
    {
        var yaml = new YamlStream();
        yaml.Load(new StringReader(text));
        return Value(yaml.Documents.Single().RootNode);
    }

    private static JsonNode? Value(YamlNode node) => node switch
    {
        YamlMappingNode named => new JsonObject(named.Children.Select(pair => KeyValuePair.Create(((YamlScalarNode)pair.Key).Value!, Value(pair.Value)))),
        YamlSequenceNode list => new JsonArray([.. list.Children.Select(Value)]),
        YamlScalarNode { Style: ScalarStyle.Plain, Value: "null" } => null,
        YamlScalarNode { Style: ScalarStyle.Plain, Value: "true" or "false" or ['-' or (>= '0' and <= '9'), ..] } plain => JsonNode.Parse(plain.Value),
        _ => JsonValue.Create(((YamlScalarNode)node).Value),
    };
}
