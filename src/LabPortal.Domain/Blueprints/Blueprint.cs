using System.Globalization;
using System.Text.Json.Serialization;
using System.Text.RegularExpressions;
using LabPortal.Domain.Leases;
using LabPortal.Domain.Networks;

namespace LabPortal.Domain.Blueprints;

/// <summary>A catalogue entry. A lab keeps the version that it was requested with.</summary>
public sealed record Blueprint
{
    public required string Name { get; init; }
    public int Version { get; init; } = 1;
    public required string Title { get; init; }
    public string Description { get; init; } = "";

    /// <summary>The teams that may request it, by name; empty for all.</summary>
    public IReadOnlyList<string> Teams { get; init; } = [];
    public IReadOnlyList<Parameter> Parameters { get; init; } = [];
    public required IReadOnlyList<MachineTemplate> Machines { get; init; }

    /// <summary>The networks that each of its labs has for itself.</summary>
    public IReadOnlyList<Network> Networks { get; init; } = [];

    /// <summary>Who may begin to talk to whom. Empty: no firewall; a list without rules lets nothing pass.</summary>
    public IReadOnlyList<FirewallRule>? Firewall { get; init; }
    public PlacementRules Placement { get; init; } = new([], []);
    public required LeaseRules Lease { get; init; }

    /// <summary>A lab of it is <i>ready</i> only with a snapshot <see cref="Labs.Snapshot.Clean"/>, to which it can be reset.</summary>
    public bool SnapshotAtReady { get; init; }
    public bool Retired { get; init; }
    public bool Declared { get; init; }
}

/// <summary>
/// A machine of a blueprint. It names a <see cref="Size"/>, or its amounts itself. Strings in <see cref="UserData"/> may name
/// parameters as <c>${name}</c>; the value goes in as data, never as text of the document.
/// </summary>
public sealed record MachineTemplate
{
    public required string Name { get; init; }
    public required string Image { get; init; }
    public string? Size { get; init; }
    public int? Cpu { get; init; }
    public int? MemoryMiB { get; init; }
    public int? DiskGiB { get; init; }
    public IReadOnlyList<Card> Cards { get; init; } = Card.Usual;

    /// <summary>Started from a warm state where its pool has one; its image is made for that (<see cref="Images.Image.Warm"/>).</summary>
    public bool WarmStart { get; init; }
    public IReadOnlyDictionary<string, object> UserData { get; init; } = new Dictionary<string, object>();
}

/// <summary>Labels and capabilities that a pool must have, or that make it better; and, of pools that are equal in that, which.</summary>
public sealed record PlacementRules(IReadOnlyList<string> Require, IReadOnlyList<string> Prefer)
{
    /// <summary>Empty for <see cref="PlacementPolicy.Cheapest"/>.</summary>
    public PlacementPolicy? Policy { get; init; }
}

/// <summary>Which of several pools that could take a machine gets it.</summary>
public enum PlacementPolicy
{
    /// <summary>The lowest price per hour.</summary>
    Cheapest,

    /// <summary>By the median of the last builds of the image there, and those that are being built before it; a pool without a history comes last.</summary>
    FastestToReady,

    /// <summary>Pools that have hosts before clouds; within each the lowest price.</summary>
    OwnHardwareFirst,
}

public enum ParameterType
{
    String,
    Integer,
    Boolean,
    Choice,
}

/// <summary>Something that the requester may choose. Values travel as text in one canonical form for each type.</summary>
public sealed record Parameter
{
    public required string Name { get; init; }
    public required ParameterType Type { get; init; }
    public string Title { get; init; } = "";
    public string Help { get; init; } = "";
    public string? Default { get; init; }
    public int? MinLength { get; init; }
    public int? MaxLength { get; init; }
    public long? Min { get; init; }
    public long? Max { get; init; }
    public string? Pattern { get; init; }
    public IReadOnlyList<string> Choices { get; init; } = [];

    [JsonIgnore]
    public bool Required => Default is null;

    /// <summary>The mistake in this value, or nothing.</summary>
    public FieldError? Check(string value)
    {
        var field = $"parameters.{Name}";
        switch (Type)
        {
            case ParameterType.Integer:
                if (!long.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number)) return new(field, "parameter.not-an-integer");
                return number < (Min ?? long.MinValue) || number > (Max ?? long.MaxValue)
                    ? new(field, "parameter.range", [("min", Min ?? long.MinValue), ("max", Max ?? long.MaxValue)])
                    : null;
            case ParameterType.Boolean:
                return value is "true" or "false" ? null : new(field, "parameter.not-a-boolean");
            case ParameterType.Choice:
                return Choices.Contains(value) ? null : new(field, "parameter.choice", [("choices", string.Join(", ", Choices))]);
            default:
                if (value.Any(char.IsControl)) return new(field, "parameter.control-characters");
                if (value.Length < (MinLength ?? 0)) return new(field, "parameter.too-short", [("min", MinLength ?? 0)]);
                if (value.Length > (MaxLength ?? 4096)) return new(field, "parameter.too-long", [("max", MaxLength ?? 4096)]);
                // Anchored, without backtracking: a pattern comes from a person and meets a value from another.
                return Pattern is { } pattern && !Regex.IsMatch(value, $"^(?:{pattern})$", RegexOptions.NonBacktracking | RegexOptions.CultureInvariant)
                    ? new(field, "parameter.pattern", [("pattern", pattern)])
                    : null;
        }
    }
}
