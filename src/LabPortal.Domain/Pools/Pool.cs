using System.Text.Json.Nodes;
using LabPortal.Domain.Costs;
using NodaTime;

namespace LabPortal.Domain.Pools;

/// <summary>What an admin decided about a pool.</summary>
public enum PoolMode
{
    Open,

    /// <summary>Takes no new machines; what runs there stays.</summary>
    Maintenance,

    /// <summary>Takes no new machines and is being emptied.</summary>
    Draining,
}

/// <summary>Capacity of one provider.</summary>
public sealed record Pool
{
    public required PoolId Id { get; init; }
    public required string Name { get; init; }
    public required string Provider { get; init; }
    public IReadOnlyList<string> Labels { get; init; } = [];
    public JsonObject Settings { get; init; } = [];
    public PoolLimits Limits { get; init; } = new();
    public Overcommit Overcommit { get; init; } = new();
    public PriceList? Prices { get; init; }
    public PoolMode Mode { get; init; }

    /// <summary>What the last check found; a problem that blocks keeps new machines away.</summary>
    public IReadOnlyList<PoolProblem> Problems { get; init; } = [];
    public Instant? CheckedAt { get; init; }

    /// <summary>A problem of the whole pool keeps new machines away.</summary>
    public bool IsSick => Problems.Any(problem => problem is { Blocks: true, Host: null });
    public bool Declared { get; init; }

    /// <summary>Changed with every edit, so that an open provider knows when it is out of date.</summary>
    public int Version { get; init; } = 1;

    /// <summary>
    /// <c>healthy</c>, <c>sick</c>, <c>maintenance</c> or <c>draining</c>. A problem of one host keeps machines from that host only; where
    /// no host is left, the check adds a problem of the pool.
    /// </summary>
    public string State => Mode switch
    {
        PoolMode.Maintenance => "maintenance",
        PoolMode.Draining => "draining",
        _ => IsSick ? "sick" : "healthy",
    };
}

/// <summary>
/// How much of a pool may be busy at once, over all nodes of the portal. <paramref name="OrphanDeletionsPerPass"/>: how many orphans a
/// sweep may delete by itself in one pass; 0, until an admin decides otherwise, for none.
/// </summary>
public sealed record PoolLimits(int OperationsAtOnce = 4, int BootsAtOnce = 2, int OrphanDeletionsPerPass = 0);

/// <summary>How many times its physical amount a host may be promised. Disk is never over-committed.</summary>
public sealed record Overcommit(double Cpu = 4, double Memory = 1);
