using LabPortal.Domain;
using LabPortal.Domain.Pools;
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
