using System.Text.RegularExpressions;
using NodaTime;

namespace LabPortal.Domain.Labs;

public enum SnapshotState
{
    /// <summary>A run takes it; until it is done nobody can revert to it.</summary>
    Taking,

    /// <summary>Whole: each machine has its part.</summary>
    Taken,
    Deleting,

    /// <summary>A run ended half way: not every machine has its part any more, or yet. All that can be done is to delete it.</summary>
    Broken,
}

/// <summary>All machines of a lab as they were, taken side by side (not at one instant). Its name is unique within the lab.</summary>
public sealed partial record Snapshot
{
    /// <summary>The name of the one that a blueprint has taken at <i>ready</i>; <i>reset to clean</i> is the revert to it.</summary>
    public const string Clean = "clean";
    public const int LongestName = 40;

    public required SnapshotId Id { get; init; }
    public required LabId Lab { get; init; }
    public required string Name { get; init; }
    public required SnapshotState State { get; init; }

    /// <summary>Who asked for it, for showing.</summary>
    public required string AskedBy { get; init; }
    public required Instant AskedAt { get; init; }

    /// <summary>When it was whole.</summary>
    public Instant? TakenAt { get; init; }
    public IReadOnlyList<SnapshotItem> Items { get; init; } = [];

    /// <summary>It travels in addresses of the API, and people type it.</summary>
    public static FieldError? CheckName(string name) => NameForm().IsMatch(name) ? null : new FieldError("name", "snapshot.name-form", [("max", LongestName)]);

    /// <summary>
    /// The most that a machine's part may come to take of its host's disk, in GiB: all of the disk as it was, once everything on it is written anew, and the memory
    /// of one that runs. So much is held, as a machine's whole disk is, though it begins as a copy that takes next to nothing.
    /// </summary>
    public static int RoomOf(int diskGiB, int memoryMiB, bool runs) => diskGiB + (runs ? InGiB(memoryMiB) : 0);

    /// <summary>A saved memory on a disk, rounded up.</summary>
    public static int InGiB(int memoryMiB) => (memoryMiB + 1023) / 1024;

    [GeneratedRegex(@"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}\z", RegexOptions.CultureInvariant)]
    private static partial Regex NameForm();
}

/// <summary>One machine's part. It belongs to the generation that it was taken of, and is of no use to another. Size only where the provider knows it.</summary>
public sealed record SnapshotItem(MachineId Machine, int Generation, SnapshotItemState State, Instant? TakenAt, bool WithMemory, long? Bytes)
{
    /// <summary>What it holds of the disk of its machine's host, from its plan until it is gone: <see cref="Snapshot.RoomOf"/>.</summary>
    public int RoomGiB { get; init; }
}

public enum SnapshotItemState
{
    Taking,
    Taken,

    /// <summary>It was asked to go: whether it did is not known yet.</summary>
    Deleting,
    Gone,
}
