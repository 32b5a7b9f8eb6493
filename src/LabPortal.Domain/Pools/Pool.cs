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

    /// <summary>
    /// Whose calls the provider counts together (a subscription, an account): all pools of one share its rate. The pool's own id where its kind knows none.
    /// </summary>
    public string? Account { get; init; }

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
/// sweep may delete by itself in one pass; 0, until an admin decides otherwise, for none. <paramref name="OperationsPerHost"/>: how many of the operations
/// at once may be on one host; 0 for as many as the pool may have. <paramref name="OperationsPerMinute"/>: how many may begin in a minute, counted together
/// with those of all pools of the same account (<see cref="Pool.Account"/>); 0 for any number.
/// </summary>
public sealed record PoolLimits(int OperationsAtOnce = 4, int BootsAtOnce = 2, int OrphanDeletionsPerPass = 0, int OperationsPerHost = 0, int OperationsPerMinute = 0)
{
    /// <summary>An account may be ahead of its rate by what is due in this time.</summary>
    public static readonly Duration Burst = Duration.FromSeconds(10);

    /// <summary>What one operation costs of the account's time; nothing where there is no rate.</summary>
    public Duration TimeOfOperation => OperationsPerMinute <= 0 ? Duration.Zero : Duration.FromMinutes(1) / OperationsPerMinute;
}

/// <summary>
/// A pool's circuit breaker (Nygard, <i>Release It!</i>), over all nodes: after <see cref="MostFaults"/> faults in a row it is open, and no operation
/// begins until <paramref name="Until"/>; then one may try, and its answer closes it, or opens it for twice as long.
/// </summary>
public sealed record PoolBreaker(int Faults, Instant Until, string Why)
{
    /// <summary>So many faults in a row, with no answer between, open it.</summary>
    public const int MostFaults = 5;

    private static readonly Duration s_first = Duration.FromSeconds(5);
    private static readonly Duration s_longest = Duration.FromMinutes(5);

    /// <summary>For how long it is open after so many faults.</summary>
    public static Duration PauseAfter(int faults) => Duration.Min(s_longest, s_first * Math.Pow(2, Math.Clamp(faults - MostFaults, 0, 16)));

    /// <summary>What people see of it while it is open.</summary>
    public PoolProblem Problem => new($"It failed to answer {Faults} times in a row: {Why}", null, "See whether the pool is up and can be reached; it is tried again by itself, less and less often.");
}

/// <summary>How many times its physical amount a host may be promised. Disk is never over-committed.</summary>
public sealed record Overcommit(double Cpu = 4, double Memory = 1);
