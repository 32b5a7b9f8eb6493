using LabPortal.Domain;
using LabPortal.Operations.Pools;
using LabPortal.Operations.Quotas;
using NodaTime;

namespace LabPortal.Web.Api;

internal sealed record QuotaBody(string Dimension, long Limit, long Held, long Free, IReadOnlyList<HoldBody> Holds)
{
    public static IReadOnlyList<QuotaBody> Of(IReadOnlyList<QuotaView> quotas) => [.. quotas.Select(quota => new QuotaBody(
        quota.Dimension, quota.Limit, quota.Held, quota.Free,
        [.. quota.Holds.Select(hold => new HoldBody(hold.Lab, hold.LabName, hold.Owner, hold.Amount, hold.From, hold.To))]))];
}

/// <summary>From (inclusive) to (exclusive; empty while the end is unconfirmed).</summary>
internal sealed record HoldBody(LabId Lab, string LabName, string Owner, long Amount, Instant From, Instant? To);

internal sealed record PoolBody
{
    public required PoolId Id { get; init; }
    public required string Name { get; init; }
    public required string Provider { get; init; }

    /// <summary><c>healthy</c>, <c>sick</c>, <c>maintenance</c> or <c>draining</c>.</summary>
    public required string State { get; init; }
    public required IReadOnlyList<PoolProblemBody> Problems { get; init; }
    public required Instant? CheckedAt { get; init; }
    public required IReadOnlyList<string> Labels { get; init; }
    public required int OperationsAtOnce { get; init; }
    public required int OperationsNow { get; init; }
    public required int BootsAtOnce { get; init; }
    public required int BootsNow { get; init; }
    public required IReadOnlyList<HostBody> Hosts { get; init; }
    public required IReadOnlyList<ImagePresenceBody> Images { get; init; }
    public required bool Declared { get; init; }

    public static PoolBody Of(PoolView pool) => new()
    {
        Id = pool.Id,
        Name = pool.Name,
        Provider = pool.Provider,
        State = pool.State,
        Problems = [.. pool.Problems.Select(PoolProblemBody.Of)],
        CheckedAt = pool.CheckedAt,
        Labels = pool.Labels,
        OperationsAtOnce = pool.Limits.OperationsAtOnce,
        OperationsNow = pool.OperationsNow,
        BootsAtOnce = pool.Limits.BootsAtOnce,
        BootsNow = pool.BootsNow,
        Hosts = [.. pool.Hosts.Select(HostBody.Of)],
        Images = [.. pool.Images.Select(image => new ImagePresenceBody(image.Image, image.Version, image.Host, image.State, image.Bytes, image.BytesDone, image.Note))],
        Declared = pool.Declared,
    };
}

/// <summary>Limits are with over-commit; <c>held</c> is what our labs hold of them.</summary>
internal sealed record HostBody(
    string Name, double CpuLimit, long CpuHeld, double MemoryMiBLimit, long MemoryMiBHeld, long DiskGiB, long DiskGiBHeld, long DiskFreeGiB, int Machines, string? Acceleration, string? Problem)
{
    public static HostBody Of(HostView host) => new(host.Name, host.CpuLimit, host.CpuHeld, host.MemoryMiBLimit, host.MemoryMiBHeld, host.DiskGiB, host.DiskGiBHeld, host.DiskFreeGiB, host.Machines, host.Acceleration, host.Problem);
}

/// <summary><paramref name="State"/>: <c>present</c>, <c>missing</c>, <c>importing</c>, <c>failed</c>; the note says the way out.</summary>
internal sealed record ImagePresenceBody(string Image, string Version, string Host, string State, long Bytes, long BytesDone, string? Note);

internal sealed record ImportRequestBody(string File);

internal sealed record ResourceBody(string Kind, string ExternalId, string Name, LabId? Lab, string? LabName, MachineId? Machine, string? MachineName, int Generation, string? Host, bool Known)
{
    public static IReadOnlyList<ResourceBody> Of(IReadOnlyList<ResourceView> resources) => [.. resources.Select(resource => new ResourceBody(
        resource.Kind, resource.ExternalId, resource.Name, resource.Lab, resource.LabName, resource.Machine, resource.MachineName, resource.Generation, resource.Host, resource.Known))];
}

internal sealed record OrphanBody
{
    public required Guid Id { get; init; }
    public required string Pool { get; init; }
    public required string Kind { get; init; }
    public required string ExternalId { get; init; }
    public required string Name { get; init; }
    public required LabId? Lab { get; init; }
    public required string? LabName { get; init; }
    public required string? Team { get; init; }
    public required int Generation { get; init; }
    public required string? Host { get; init; }
    public required string State { get; init; }
    public required Instant FirstSeenAt { get; init; }
    public required Instant LastSeenAt { get; init; }
    public required string? Note { get; init; }

    public static OrphanBody Of(OrphanView orphan) => new()
    {
        Id = orphan.Id,
        Pool = orphan.Pool,
        Kind = orphan.Kind,
        ExternalId = orphan.ExternalId,
        Name = orphan.Name,
        Lab = orphan.Lab,
        LabName = orphan.LabName,
        Team = orphan.Team,
        Generation = orphan.Generation,
        Host = orphan.Host,
        State = orphan.State,
        FirstSeenAt = orphan.FirstSeenAt,
        LastSeenAt = orphan.LastSeenAt,
        Note = orphan.Note,
    };
}

/// <summary>What is wrong, on which host (or everywhere), the way to mend it, and whether it keeps new machines away.</summary>
internal sealed record PoolProblemBody(string What, string? Host, string Mend, bool Blocks)
{
    public static PoolProblemBody Of(Domain.Pools.PoolProblem problem) => new(problem.What, problem.Host, problem.Mend, problem.Blocks);
}
