using LabPortal.Domain;
using LabPortal.Operations.Pools;
using NodaTime;

namespace LabPortal.Web.Api;

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
    public required IReadOnlyList<HostView> Hosts { get; init; }
    public required IReadOnlyList<ImagePresenceView> Images { get; init; }
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
        Hosts = pool.Hosts,
        Images = pool.Images,
        Declared = pool.Declared,
    };
}

internal sealed record ImportRequestBody(string File);

/// <summary>What is wrong, on which host (or everywhere), the way to mend it, and whether it keeps new machines away.</summary>
internal sealed record PoolProblemBody(string What, string? Host, string Mend, bool Blocks)
{
    public static PoolProblemBody Of(Domain.Pools.PoolProblem problem) => new(problem.What, problem.Host, problem.Mend, problem.Blocks);
}
