using System.Text.Json.Serialization;
using LabPortal.Domain.Leases;
using LabPortal.Domain.Machines;
using NodaTime;

namespace LabPortal.Domain.Labs;

/// <summary>One instance of a blueprint, with owner, team and lease. A snapshot of what the database holds.</summary>
public sealed record Lab
{
    public required LabId Id { get; init; }
    public required string Name { get; init; }
    public required string Blueprint { get; init; }
    public required int BlueprintVersion { get; init; }
    public required TeamId Team { get; init; }
    public required PersonId Owner { get; init; }
    public required LabState State { get; init; }
    public LabHealth Health { get; init; }

    /// <summary>A flag of its own: a frozen lab keeps its state and takes no verbs but <i>end</i>.</summary>
    public bool Frozen { get; init; }

    /// <summary>Why it failed or is degraded, as code and arguments; empty while all is well.</summary>
    public Reason? Reason { get; init; }

    /// <summary>Raised under the row's lock with every event: event id = version.</summary>
    public required long Version { get; init; }
    public required Lease Lease { get; init; }

    /// <summary>The pool that the requester insisted on, by name.</summary>
    public string? AskedPool { get; init; }
    public IReadOnlyDictionary<string, string> Labels { get; init; } = new Dictionary<string, string>();
    public IReadOnlyDictionary<string, string> Parameters { get; init; } = new Dictionary<string, string>();
    public required Instant RequestedAt { get; init; }
    public Instant? ReadyAt { get; init; }
    public Instant? EndedAt { get; init; }
    public IReadOnlyList<Machine> Machines { get; init; } = [];

    /// <summary>The names of the networks of its own that its machines have cards on. They keep all its machines on one host.</summary>
    public IReadOnlyList<string> Networks => [.. Machines.SelectMany(machine => machine.Cards).Where(card => !card.IsShared).Select(card => card.Network).Distinct()];

    /// <summary>The owner under which its networks are made. They stay where they were made first, so there is one generation of them.</summary>
    public Owner OwnerIn(InstallationId installation) => new(installation, Id, null, 1);
}

/// <summary>A code with arguments, stored with what it explains; the sentence is made where it is shown.</summary>
[method: JsonConstructor]
public sealed record Reason(string Code, IReadOnlyDictionary<string, string> Arguments)
{
    public Reason(string code, params (string Name, string Value)[] arguments)
        : this(code, arguments.ToDictionary(argument => argument.Name, argument => argument.Value)) { }
}

/// <summary>What a lab's feed carries. <see cref="Version"/> is the lab's, and the event's id.</summary>
public sealed record LabEvent(LabId Lab, long Version, Instant At, LabEventKind Kind, IReadOnlyDictionary<string, string> Data)
{
    /// <summary>What can have come of a step, as its event's <c>state</c> says; with any other it is under way.</summary>
    public static readonly IReadOnlyList<string> StepOutcomes = ["done", "failed", "undone"];
}

public enum LabEventKind
{
    State,
    Step,
    Machine,
    Log,
}
