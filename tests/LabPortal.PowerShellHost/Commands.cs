using System.Collections;
using System.Globalization;
using System.Management.Automation;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace LabPortal.PowerShellHost;

/// <summary>The two commands of Windows PowerShell's Utility module that our scripts use; the engine alone has them not.</summary>
[Cmdlet(VerbsData.ConvertTo, "Json")]
public sealed class ConvertToJsonCommand : PSCmdlet
{
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)]
    [AllowNull]
    public object? InputObject { get; set; }

    [Parameter]
    public int Depth { get; set; } = 2;

    [Parameter]
    public SwitchParameter Compress { get; set; }

    protected override void ProcessRecord() => WriteObject(Write(InputObject, Depth)?.ToJsonString() ?? "null");

    private static JsonNode? Write(object? value, int depth)
    {
        if (value is PSObject wrapped)
        {
            if (wrapped.BaseObject is PSCustomObject) return new JsonObject(wrapped.Properties.Select(property => KeyValuePair.Create(property.Name, Write(property.Value, depth - 1))));
            value = wrapped.BaseObject;
        }

        // As Windows PowerShell does it, which writes what lies deeper as text.
        if (depth < 0 && value is IEnumerable and not string) return JsonValue.Create(LanguagePrimitives.ConvertTo<string>(value));
        return value switch
        {
            null => null,
            string text => JsonValue.Create(text),
            bool truth => JsonValue.Create(truth),
            IDictionary map => new JsonObject(map.Keys.Cast<object>().Select(key => KeyValuePair.Create(key.ToString()!, Write(map[key], depth - 1)))),
            IEnumerable list => new JsonArray([.. list.Cast<object?>().Select(item => Write(item, depth - 1))]),
            int or long or short or byte or uint or ulong or ushort => JsonNode.Parse(Convert.ToString(value, CultureInfo.InvariantCulture)!),
            double or float or decimal => JsonSerializer.SerializeToNode(value, value.GetType()),
            _ => JsonValue.Create(value.ToString()),
        };
    }
}

[Cmdlet(VerbsData.ConvertFrom, "Json")]
public sealed class ConvertFromJsonCommand : PSCmdlet
{
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)]
    public string InputObject { get; set; } = "";

    protected override void ProcessRecord() => WriteObject(Read(JsonNode.Parse(InputObject)));

    private static object? Read(JsonNode? node)
    {
        switch (node)
        {
            case null: return null;
            case JsonArray list: return list.Select(Read).ToArray();
            case JsonObject map:
                var read = new PSObject();
                foreach (var (name, value) in map) read.Properties.Add(new PSNoteProperty(name, Read(value)));
                return read;
            default:
                var given = node.GetValue<JsonElement>();
                return given.ValueKind switch
                {
                    JsonValueKind.String => given.GetString(),
                    JsonValueKind.True => true,
                    JsonValueKind.False => false,
                    _ => given.TryGetInt32(out var small) ? small : given.TryGetInt64(out var whole) ? whole : given.GetDecimal(),
                };
        }
    }
}

/// <summary>The emulated module: a function for each cmdlet of the reference, whose parameters the engine itself binds.</summary>
public static class HyperVModule
{
    public static string Functions(CmdletReference reference)
    {
        var text = new StringBuilder();
        foreach (var cmdlet in reference.Cmdlets.Values)
        {
            text.Append(CultureInfo.InvariantCulture, $"function {cmdlet.Name} {{ [CmdletBinding(DefaultParameterSetName='0'{(cmdlet.Name.StartsWith("Get-", StringComparison.Ordinal) ? "" : ", SupportsShouldProcess")})] param(");
            var parameters = cmdlet.Sets.SelectMany((set, number) => set.Select((parameter, _) => (Set: number, Position: set.Where(each => each.IsPositional).ToList().IndexOf(parameter), Parameter: parameter))).GroupBy(each => each.Parameter.Name, StringComparer.OrdinalIgnoreCase);
            text.AppendJoin(",\n", parameters.Select(sets => Declare(reference, [.. sets])));
            text.Append(CultureInfo.InvariantCulture, $") $answer = [LabPortal.PowerShellHost.HyperVModule]::Invoke('{cmdlet.Name}', $PSBoundParameters); if ($answer.Error) {{ $PSCmdlet.ThrowTerminatingError($answer.Error) }}; $answer.Output }}\n");
        }

        return text.ToString();
    }

    public static Answer Invoke(string cmdlet, IDictionary given)
    {
        var bound = given.Keys.Cast<string>().ToDictionary(name => name, name => given[name] is PSObject { BaseObject: not PSCustomObject } wrapped ? wrapped.BaseObject : given[name], StringComparer.OrdinalIgnoreCase);
        return Wire.Current.Pass(() =>
        {
            try
            {
                return new Answer(EmulatedHost.Current.Run(cmdlet, bound), null);
            }
            catch (HyperVError error)
            {
                return new Answer(null, new ErrorRecord(error, error.Id, error.Category, cmdlet));
            }
        });
    }

    private static string Declare(CmdletReference reference, IReadOnlyList<(int Set, int Position, CmdletParameter Parameter)> sets)
    {
        var text = new StringBuilder();
        foreach (var (set, position, parameter) in sets)
            text.Append(CultureInfo.InvariantCulture, $"[Parameter(ParameterSetName='{set}'{(parameter.IsMandatory ? ", Mandatory" : "")}{(position >= 0 ? $", Position={position}" : "")})]");
        var type = sets[0].Parameter.Type;
        var isList = type.EndsWith("[]", StringComparison.Ordinal);
        var bare = isList ? type[..^2] : type;
        if (reference.Enums.TryGetValue(bare, out var values)) text.Append(CultureInfo.InvariantCulture, $"[ValidateSet({string.Join(',', values.Select(value => $"'{value}'"))})]");
        var known = bare switch
        {
            "" => "switch",
            "String" or "Int16" or "Int32" or "Int64" or "UInt16" or "UInt32" or "UInt64" or "Boolean" or "Guid" or "Byte" or "Version" => bare,
            _ when reference.Enums.ContainsKey(bare) => "String",
            _ => "object",
        };
        return text.Append(CultureInfo.InvariantCulture, $"[{known}{(isList ? "[]" : "")}]${sets[0].Parameter.Name}").ToString();
    }
}

/// <summary>What a function gives: its output, or the error that ends it.</summary>
public sealed record Answer(object? Output, ErrorRecord? Error);

/// <summary>An error of the module, under the id and category that it has there.</summary>
public sealed class HyperVError(string id, ErrorCategory category, string message) : Exception(message)
{
    public string Id => id;

    public ErrorCategory Category => category;
}
