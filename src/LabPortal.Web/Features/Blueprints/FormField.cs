using LabPortal.Domain;
using LabPortal.Domain.Networks;
using LabPortal.Web.Texts;

namespace LabPortal.Web.Features.Blueprints;

/// <summary>How the text at a place of a document is shown and written.</summary>
public enum FieldKind
{
    Text,

    /// <summary>Text of several lines.</summary>
    Lines,

    /// <summary>A number or a length of time: never in quotes.</summary>
    Plain,

    Flag,

    /// <summary>One of <see cref="FormField.Words"/>.</summary>
    Choice,

    /// <summary>A list of texts, one a line.</summary>
    List,
}

/// <summary>
/// One field of a form over a document. <paramref name="Place"/> is where its value stands, in an entry of a list relative to it.
/// <paramref name="Words"/> are what can be chosen; <paramref name="Among"/> names a list that the page has read.
/// </summary>
public sealed record FormField(string Place, FieldKind Kind, string Label, string? Help = null, IReadOnlyList<string>? Words = null, string? Among = null);

/// <summary>A list of maps in a document: each entry has the same fields, and the same lists of its own.</summary>
public sealed record FormList(string Place, string Title, string Entry, string Add, IReadOnlyList<FormField> Fields)
{
    public string? Help { get; init; }
    public IReadOnlyList<FormList> Inner { get; init; } = [];

    /// <summary>The label of a check box for a list that means something else when it is empty than when it is not there.</summary>
    public string? Switch { get; init; }

    /// <summary>What a list that is not there stands for: its only entry, by a place in it and the text there.</summary>
    public (string Place, string Text)? Usual { get; init; }
}

/// <summary>What the form of a blueprint has a field for: one line each. What stands in no line here stays as the YAML has it.</summary>
internal static class BlueprintFields
{
    public const string Images = "images";
    public const string Sizes = "sizes";
    public const string Teams = "teams";

    /// <summary>What the document itself has: the networks that a card may be on, and the ends that a rule may have.</summary>
    public const string Networks = "networks";
    public const string Ends = "ends";

    public static IReadOnlyList<FormField> General =>
    [
        new("name", FieldKind.Text, Say.NameOf, Say.NameHelp),
        new("title", FieldKind.Text, Say.BlueprintTitle),
        new("description", FieldKind.Lines, Say.BlueprintDescription),
        new("teams", FieldKind.List, Say.BlueprintTeams, Say.BlueprintTeamsHelp, Among: Teams),
        new("snapshotAtReady", FieldKind.Flag, Say.BlueprintSnapshot, Say.BlueprintSnapshotHelp),
    ];

    public static IReadOnlyList<FormField> Lease => Under("lease",
    [
        new("default", FieldKind.Plain, Say.LeaseDefault, Say.LengthHelp),
        new("max", FieldKind.Plain, Say.LeaseMax, Say.LeaseMaxHelp),
        new("grace", FieldKind.Plain, Say.LeaseGrace, Say.LeaseGraceHelp),
        new("daily.start", FieldKind.Text, Say.DailyStart, Say.DailyHelp),
        new("daily.stop", FieldKind.Text, Say.DailyStop),
        new("daily.days", FieldKind.List, Say.DailyDays, Say.DailyDaysHelp),
    ]);

    public static IReadOnlyList<FormField> Placement => Under("placement",
    [
        new("require", FieldKind.List, Say.PlacementRequire, Say.PlacementRequireHelp),
        new("prefer", FieldKind.List, Say.PlacementPrefer, Say.PlacementPreferHelp),
        new("policy", FieldKind.Choice, Say.PlacementPolicy, Say.PlacementPolicyHelp, Words: [.. Words.All<Domain.Blueprints.PlacementPolicy>()]),
    ]);

    public static IReadOnlyList<FormList> Lists =>
    [
        new("machines", Say.Machines, Say.MachineNth, Say.MachineAdd,
        [
            new("name", FieldKind.Text, Say.NameOf),
            new("image", FieldKind.Choice, Say.Image, Among: Images),
            new("size", FieldKind.Choice, Say.Size, Say.MachineSizeHelp, Among: Sizes),
            new("cpu", FieldKind.Plain, Say.DimensionCpu),
            new("memoryMiB", FieldKind.Plain, Say.MemoryMiB),
            new("diskGiB", FieldKind.Plain, Say.DiskGiB),
            new("warmStart", FieldKind.Flag, Say.WarmStart, Say.WarmStartHelp),
        ])
        {
            Inner =
            [
                new("cards", Say.Cards, Say.CardNth, Say.CardAdd,
                [
                    new("network", FieldKind.Choice, Say.CardNetwork, Among: Networks),
                    new("address", FieldKind.Text, Say.CardAddress, Say.CardAddressHelp),
                ]) { Help = Say.CardsUsual, Usual = ("network", Network.Shared) },
            ],
        },
        new("networks", Say.Networks, Say.NetworkNth, Say.NetworkAdd,
        [
            new("name", FieldKind.Text, Say.NameOf),
            new("subnet", FieldKind.Text, Say.NetworkSubnet, Say.NetworkSubnetHelp),
        ]) { Help = Say.NetworksHelp },
        new("firewall", Say.Firewall, Say.RuleNth, Say.RuleAdd,
        [
            new("from", FieldKind.Choice, Say.RuleFrom, Among: Ends),
            new("to", FieldKind.Choice, Say.RuleTo, Among: Ends),
            new("protocol", FieldKind.Choice, Say.RuleProtocol, Say.RuleProtocolHelp, Words: [.. Words.All<Protocol>()]),
            new("ports", FieldKind.List, Say.RulePorts, Say.RulePortsHelp),
        ]) { Switch = Say.FirewallSwitch, Help = Say.FirewallHelp },
        new("parameters", Say.Parameters, Say.ParameterNth, Say.ParameterAdd,
        [
            new("name", FieldKind.Text, Say.NameOf),
            new("type", FieldKind.Choice, Say.ParameterType, Words: [.. Words.All<Domain.Blueprints.ParameterType>()]),
            new("title", FieldKind.Text, Say.BlueprintTitle),
            new("help", FieldKind.Text, Say.ParameterHelp),
            new("default", FieldKind.Text, Say.ParameterDefault, Say.ParameterDefaultHelp),
            new("choices", FieldKind.List, Say.ParameterChoices),
            new("min", FieldKind.Plain, Say.ParameterMin),
            new("max", FieldKind.Plain, Say.ParameterMax),
            new("minLength", FieldKind.Plain, Say.ParameterMinLength),
            new("maxLength", FieldKind.Plain, Say.ParameterMaxLength),
            new("pattern", FieldKind.Text, Say.ParameterPattern),
        ]),
    ];

    private static IReadOnlyList<FormField> Under(string map, IReadOnlyList<FormField> fields) => [.. fields.Select(field => field with { Place = $"{map}.{field.Place}" })];

    public static IEnumerable<FormField> Single => [.. General, .. Lease, .. Placement];
}
