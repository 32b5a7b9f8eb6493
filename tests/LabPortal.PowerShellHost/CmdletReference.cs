using System.Text.RegularExpressions;

namespace LabPortal.PowerShellHost;

/// <summary>A parameter in one set of its cmdlet: <paramref name="Type"/> as the reference calls it, empty for a switch.</summary>
public sealed record CmdletParameter(string Name, string Type, bool IsMandatory, bool IsPositional);

/// <summary>A cmdlet's parameter sets, the default one first.</summary>
public sealed record Cmdlet(string Name, IReadOnlyList<IReadOnlyList<CmdletParameter>> Sets);

/// <summary>The published reference of the module Hyper-V, as <c>hyper-v.syntax.txt</c> keeps it.</summary>
public sealed partial class CmdletReference
{
    /// <summary>What each cmdlet takes, but for reads, which confirm nothing.</summary>
    public static readonly IReadOnlyList<string> Common = ["WhatIf", "Confirm", "ErrorAction", "ErrorVariable", "WarningAction", "WarningVariable", "InformationAction", "InformationVariable", "OutVariable", "OutBuffer", "PipelineVariable", "Verbose", "Debug"];

    private CmdletReference(IReadOnlyDictionary<string, Cmdlet> cmdlets, IReadOnlyDictionary<string, IReadOnlyList<string>> enums) => (Cmdlets, Enums) = (cmdlets, enums);

    public IReadOnlyDictionary<string, Cmdlet> Cmdlets { get; }

    public IReadOnlyDictionary<string, IReadOnlyList<string>> Enums { get; }

    public static CmdletReference Read()
    {
        using var reader = new StreamReader(typeof(CmdletReference).Assembly.GetManifestResourceStream("LabPortal.PowerShellHost.hyper-v.syntax.txt")!);
        var lines = reader.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(line => line[0] != '#').ToList();
        var enums = lines.Where(line => line.StartsWith("enum ", StringComparison.Ordinal)).Select(line => line.Split(' ')).ToDictionary(words => words[1], words => (IReadOnlyList<string>)words[2..]);
        var cmdlets = lines.Where(line => !line.StartsWith("enum ", StringComparison.Ordinal)).GroupBy(line => line.Split(' ')[0])
            .ToDictionary(sets => sets.Key, sets => new Cmdlet(sets.Key, [.. sets.Select(Set)]), StringComparer.OrdinalIgnoreCase);
        return new CmdletReference(cmdlets, enums);
    }

    private static IReadOnlyList<CmdletParameter> Set(string line) => [.. Parameter().Matches(line).Select(match =>
    {
        var text = match.Value;
        return new CmdletParameter(match.Groups["name"].Value, match.Groups["type"].Value, IsMandatory: !IsOptional(text), IsPositional: text.Contains("[-", StringComparison.Ordinal) && text.Contains(']') && match.Groups["type"].Length > 0 && Position().IsMatch(text));
    })];

    // "[-Name] <T>" is mandatory and has a position, "[[-Name] <T>]" only the latter, "-Name <T>" only the former, "[-Name <T>]" and "[-Name]" none of both.
    private static bool IsOptional(string text) => text.StartsWith("[[", StringComparison.Ordinal) || (text[0] == '[' && !Position().IsMatch(text));

    [GeneratedRegex(@"\[\[-(?<name>\w+)\] <(?<type>[^>]+)>\]|\[-(?<name>\w+)\] <(?<type>[^>]+)>|\[-(?<name>\w+) <(?<type>[^>]+)>\]|\[-(?<name>\w+)\]|(?<![\[\w])-(?<name>\w+)(?: <(?<type>[^>]+)>)?", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Parameter();

    [GeneratedRegex(@"^\[?\[-\w+\] <", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Position();
}
