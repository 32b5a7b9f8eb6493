using LabPortal.Domain.Networks;

namespace LabPortal.Domain.Machines;

public enum MachineState
{
    /// <summary>Wanted, nothing made yet.</summary>
    Pending,
    Building,
    Running,
    Stopping,
    Stopped,

    /// <summary>The pool answers well and does not have it (two reads, the settling time apart).</summary>
    Missing,

    /// <summary>The pool does not answer: nothing is known.</summary>
    Unknown,
    Removing,
    Gone,
}

/// <summary>
/// One VM or physical server of a lab. <see cref="Generation"/> grows with each rebuild, re-placement or retry after an undo and is
/// written before it is used; 0 until placement.
/// </summary>
public sealed record Machine
{
    public required MachineId Id { get; init; }
    public required LabId Lab { get; init; }

    /// <summary>Its name in the blueprint, and its host name in the guest: an RFC 1123 label.</summary>
    public required string Name { get; init; }
    public required MachineState State { get; init; }
    public required int Generation { get; init; }
    public required string Image { get; init; }
    public required string ImageVersion { get; init; }
    public required int Cpu { get; init; }
    public required int MemoryMiB { get; init; }
    public required int DiskGiB { get; init; }
    public PoolId? Pool { get; init; }
    public string? Host { get; init; }
    public string? ExternalId { get; init; }
    public IReadOnlyList<string> Addresses { get; init; } = [];
    public IReadOnlyList<Card> Cards { get; init; } = Card.Usual;

    /// <summary>It has a card on the pool's own network. Without one its consoles are the only way in.</summary>
    public bool IsReachable => Cards.Any(card => card.IsShared);
    public bool WarmStart { get; init; }

    /// <summary>How this generation was started when it was made; empty where it asks for no warm start, or is not made yet.</summary>
    public MachineStart? Start { get; init; }

    /// <summary>The owner under which this generation is made at the provider.</summary>
    public Owner OwnerIn(InstallationId installation) => new(installation, Lab, Id, Generation);
}
