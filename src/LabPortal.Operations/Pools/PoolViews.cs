using System.Text.Json.Nodes;
using LabPortal.Domain;
using LabPortal.Domain.Costs;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Labs;
using NodaTime;

namespace LabPortal.Operations.Pools;

public sealed record PoolView
{
    public required PoolId Id { get; init; }
    public required string Name { get; init; }
    public required string Provider { get; init; }

    /// <summary><c>healthy</c>, <c>sick</c>, <c>maintenance</c> or <c>draining</c>.</summary>
    public required string State { get; init; }
    public required IReadOnlyList<PoolProblem> Problems { get; init; }
    public required Instant? CheckedAt { get; init; }
    public required IReadOnlyList<string> Labels { get; init; }
    public required PoolLimits Limits { get; init; }
    public required int OperationsNow { get; init; }
    public required int BootsNow { get; init; }
    public required IReadOnlyList<HostView> Hosts { get; init; }
    public required IReadOnlyList<ImagePresenceView> Images { get; init; }
    public required bool Declared { get; init; }
}

/// <summary>A host: what it has with over-commit, and what our labs hold of it.</summary>
public sealed record HostView(
    string Name,
    double CpuLimit,
    long CpuHeld,
    double MemoryMiBLimit,
    long MemoryMiBHeld,
    long DiskGiB,
    long DiskGiBHeld,
    long DiskFreeGiB,
    int Machines,
    string? Acceleration,
    string? Problem);

/// <summary>
/// State: <c>present</c>, <c>missing</c>, <c>importing</c>, <c>failed</c>; <paramref name="Note"/> says the way out. <paramref name="Digest"/> is empty where
/// nobody has read the image's file yet; <paramref name="BeingRead"/>: somebody does.
/// </summary>
public sealed record ImagePresenceView(string Image, string Version, string Host, string State, string? Digest, bool BeingRead, long Bytes, long BytesDone, string? Note);

public sealed record ResourceView(string Kind, string ExternalId, string Name, LabId? Lab, string? LabName, MachineId? Machine, string? MachineName, int Generation, string? Host, bool Known);

public sealed record OrphanView(Guid Id, string Pool, string Kind, string ExternalId, string Name, LabId? Lab, string? LabName, string? Team, int Generation, string? Host, string State, Instant FirstSeenAt, Instant LastSeenAt, string? Note);

/// <summary>What a pool does now, over all nodes: the slots that are taken, and the runs that wait for one (the oldest first).</summary>
public sealed record PoolNowView(IReadOnlyList<SlotView> Slots, IReadOnlyList<RunView> Waiting);

/// <summary>A slot (<c>operation</c>, <c>boot</c>) and the run that has it, for which machine and where, since when.</summary>
public sealed record SlotView(string Kind, RunId Run, string Workflow, LabId Lab, string LabName, string Team, string? Machine, string? Host, Instant Since);

/// <summary>A kind of pool, with what it can be told: forms are drawn from it.</summary>
public sealed record PoolKindView(string Name, IReadOnlyList<string> ImageKeys, IReadOnlyList<string> OptionalImageKeys, IReadOnlyList<Setting> Settings);

/// <summary>A pool as an admin tells it.</summary>
public sealed record PoolDraft(string Provider, IReadOnlyList<string> Labels, JsonObject Settings, PoolLimits Limits, Overcommit Overcommit, PriceList? Prices)
{
    // Settings may hold secrets that were just typed.
    public override string ToString() => $"pool of the kind {Provider}";
}

/// <summary>A lab that has machines on the pool, and until when.</summary>
public sealed record AffectedLabView(LabId Lab, string Name, string State, string Team, string Owner, Instant? Until, IReadOnlyList<AffectedMachineView> Machines);

public sealed record AffectedMachineView(string Name, string State, string? Host);

/// <summary>What to try a pool with: an image, and a size or amounts.</summary>
public sealed record TrialRequest(string Image, string? Size = null, int Cpu = 1, int MemoryMiB = 512, int DiskGiB = 2);
