using LabPortal.Domain;
using LabPortal.Domain.Consoles;
using LabPortal.Domain.Costs;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Networks;
using LabPortal.Domain.Workflows;
using NodaTime;

namespace LabPortal.Operations.Labs;

/// <summary>What somebody asks for. Nothing is trusted: every field is checked, and all mistakes are told at once.</summary>
public sealed record LabRequest
{
    public required string Blueprint { get; init; }

    /// <summary>The team's name.</summary>
    public required string Team { get; init; }

    /// <summary>Empty: made from the blueprint's name.</summary>
    public string? Name { get; init; }
    public IReadOnlyDictionary<string, string> Parameters { get; init; } = new Dictionary<string, string>();

    /// <summary>Insist on this pool; empty lets placement choose.</summary>
    public string? Pool { get; init; }
    public IReadOnlyDictionary<string, string> Labels { get; init; } = new Dictionary<string, string>();
    public LeaseRequest? Lease { get; init; }

    /// <summary>When building may begin; empty for now.</summary>
    public Instant? Start { get; init; }
}

/// <summary>
/// One of the two: decimal hours from <i>ready</i>, or until an instant. <paramref name="HeartbeatMinutes"/> is for a new lab alone: it ends where no
/// beat came for so long.
/// </summary>
public sealed record LeaseRequest(decimal? Hours = null, Instant? Until = null, decimal? HeartbeatMinutes = null);

/// <summary>A lab as a caller sees it.</summary>
public sealed record LabView
{
    public required LabId Id { get; init; }
    public required string Name { get; init; }
    public required string Blueprint { get; init; }
    public required string BlueprintTitle { get; init; }
    public required int BlueprintVersion { get; init; }
    public required TeamId TeamId { get; init; }
    public required string Team { get; init; }
    public required PersonId OwnerId { get; init; }
    public required string Owner { get; init; }
    public required IReadOnlyDictionary<string, string> Labels { get; init; }
    public required IReadOnlyDictionary<string, string> Parameters { get; init; }
    public required LabState State { get; init; }
    public required LabHealth Health { get; init; }
    public required Reason? Reason { get; init; }
    public required long Version { get; init; }
    public required Lease Lease { get; init; }
    public required Instant RequestedAt { get; init; }
    public required Instant? ReadyAt { get; init; }
    public required Instant? EndedAt { get; init; }
    public required IReadOnlyList<MachineView> Machines { get; init; }

    /// <summary>The networks that it has for itself.</summary>
    public IReadOnlyList<Network> Networks { get; init; } = [];

    /// <summary>Who may begin to talk to whom; empty where everybody may.</summary>
    public IReadOnlyList<FirewallRule>? Firewall { get; init; }

    /// <summary>The live run, or the last one where none is live.</summary>
    public required RunView? Run { get; init; }

    /// <summary>What this caller may ask for now.</summary>
    public required IReadOnlyList<LabVerb> Verbs { get; init; }

    /// <summary>There is a whole snapshot <see cref="Snapshot.Clean"/>, to which it can be reset with one click.</summary>
    public required bool HasClean { get; init; }

    /// <summary>There is a generated password, and this caller may have it shown.</summary>
    public required bool HasPassword { get; init; }
    public required UsageView Usage { get; init; }
}

public sealed record MachineView
{
    public required MachineId Id { get; init; }
    public required string Name { get; init; }
    public required MachineState State { get; init; }
    public required int Generation { get; init; }
    public required string Image { get; init; }
    public required string? Pool { get; init; }
    public required string? Host { get; init; }
    public required string? ExternalId { get; init; }
    public required IReadOnlyList<string> Addresses { get; init; }

    /// <summary>Its cards on networks of the lab's own, with their addresses there.</summary>
    public IReadOnlyList<Card> Cards { get; init; } = [];

    /// <summary>It has no card on the pool's own network: its consoles are the only way in.</summary>
    public bool ConsoleOnly { get; init; }
    public required int Cpu { get; init; }
    public required int MemoryMiB { get; init; }
    public required int DiskGiB { get; init; }
    public required IReadOnlyList<AccessView> Access { get; init; }

    /// <summary>The ways in through the portal that its pool has now; null where nobody asked the pool, as in lists.</summary>
    public IReadOnlyList<ConsoleKind>? Consoles { get; init; }

    /// <summary>How it was started, where it asked for a warm start; empty before.</summary>
    public required MachineStart? Start { get; init; }

    /// <summary>Why here, as placement explained it; empty before.</summary>
    public required string? WhyHere { get; init; }
}

/// <summary>A way in. <paramref name="Via"/> is <c>direct</c> (the caller's machine reaches the address) or <c>portal</c>. <paramref name="HostKey"/> is the SSH host key that the machine was given, as <c>known_hosts</c> has it; empty where what it shows first has to be believed.</summary>
public sealed record AccessView(string Kind, string Via, string Host, int Port, string User, string? HostKey);

/// <summary>A snapshot of a lab. <paramref name="Usable"/>: it is whole, and of the machines as they live now.</summary>
public sealed record SnapshotView(string Name, SnapshotState State, string AskedBy, Instant AskedAt, Instant? TakenAt, bool Usable, IReadOnlyList<SnapshotMachineView> Machines)
{
    internal static SnapshotView Of(Snapshot snapshot, Lab lab)
    {
        var machines = lab.Machines.ToDictionary(machine => machine.Id);
        return new SnapshotView(
            snapshot.Name, snapshot.State, snapshot.AskedBy, snapshot.AskedAt, snapshot.TakenAt,
            snapshot.State == SnapshotState.Taken && snapshot.Items.All(item => item.State == SnapshotItemState.Taken && item.Generation == machines[item.Machine].Generation),
            [.. snapshot.Items.Select(item => new SnapshotMachineView(machines[item.Machine].Name, item.State, item.TakenAt, item.WithMemory, item.Bytes))]);
    }
}

/// <summary>One machine's part. <paramref name="WithMemory"/>: it ran, and runs on from there. Size only where the pool knows it.</summary>
public sealed record SnapshotMachineView(string Machine, SnapshotItemState State, Instant? TakenAt, bool WithMemory, long? Bytes);

/// <summary>
/// A machine's disk on its host: <paramref name="Bytes"/> is what it takes now, with all that its snapshots keep of disk and memory (empty where its pool does
/// not tell); <paramref name="PromisedGiB"/> and <paramref name="SnapshotsGiB"/> are what is held for the machine and for its snapshots.
/// </summary>
public sealed record DiskView(string Machine, long? Bytes, int PromisedGiB, int SnapshotsGiB);

public sealed record RunView
{
    public required RunId Id { get; init; }
    public required LabId Lab { get; init; }
    public required string LabName { get; init; }
    public required string Team { get; init; }
    public required string Workflow { get; init; }
    public required RunState State { get; init; }
    public required string? Step { get; init; }
    public required int StepsDone { get; init; }
    public required int StepsTotal { get; init; }
    public required Instant Since { get; init; }
    public required string AskedBy { get; init; }
    public required Reason? Problem { get; init; }
    public required Instant CreatedAt { get; init; }
    public required Instant? FinishedAt { get; init; }

    /// <summary>When it is looked at next; empty where it is stuck or over.</summary>
    public required Instant? DueAt { get; init; }

    /// <summary>The kind of slot of its pool that it waits for (<c>operation</c>, <c>boot</c>).</summary>
    public required string? WaitsFor { get; init; }

    /// <summary>The trace that all its turns and provider calls are in, and that its log lines carry.</summary>
    public required string? TraceId { get; init; }

    /// <summary>The steps in order, with where each machine is; only where one lab or run is shown.</summary>
    public IReadOnlyList<StepView> Steps { get; init; } = [];

    /// <summary>Every attempt, in the order of its intention; only where one run is shown.</summary>
    public IReadOnlyList<AttemptView>? Journal { get; init; }

    /// <summary>What it is about: its machines as they are now. Only where one run is shown.</summary>
    public IReadOnlyList<RunMachineView>? Machines { get; init; }

    /// <summary>What this caller may ask of it now; only where one run is shown.</summary>
    public IReadOnlyList<LabVerb>? Verbs { get; init; }
}

/// <summary>
/// One attempt at one step: from <paramref name="IntendedAt"/> to <paramref name="At"/>, again at <paramref name="DueAt"/>. <paramref name="Direction"/> is <c>forward</c> or
/// <c>backward</c>, <paramref name="State"/> as in <see cref="StepView"/>. Kind and sentence of the fault where it failed.
/// </summary>
public sealed record AttemptView(
    string Direction, string Step, string? Machine, int Attempt, string State, Instant IntendedAt, Instant At, Instant? DueAt, string? FaultKind, string? Note);

public sealed record RunMachineView(string Name, MachineState State, int Generation, string? Pool, string? Host, string? ExternalId);

/// <summary>
/// One step for one target. <paramref name="Machine"/> is the machine's name, empty for a step of the lab.
/// <paramref name="State"/>: <c>pending</c>, <c>doing</c>, <c>waiting</c>, <c>done</c>, <c>failed</c>, <c>undoing</c>, <c>undone</c>.
/// </summary>
public sealed record StepView(string Step, string? Machine, string State, int Attempt, Instant? At, Instant? DueAt, string? Note);

/// <summary>What the lab used until now. <paramref name="Cost"/> is empty where a pool has no prices.</summary>
public sealed record UsageView(decimal MachineHours, Money? Cost);

/// <summary>What a request would mean, without changing anything.</summary>
public sealed record QuoteView(IReadOnlyList<PoolQuote> Pools, IReadOnlyList<QuotaEffectView> Quota, Refusal? Refusal);

/// <summary>
/// A pool that was considered. <paramref name="Why"/> explains it as sentences' codes made text; <paramref name="ReadyBy"/> is the median of
/// this image and pool's last 20 builds plus the queue, empty before there is history.
/// </summary>
public sealed record PoolQuote(string Pool, bool Chosen, string Why, Instant? ReadyBy, Money? PricePerHour, Money? PriceTotal);

/// <summary>One dimension: <paramref name="Held"/> at the worst moment of the interval, <paramref name="After"/> with this request.</summary>
public sealed record QuotaEffectView(string Dimension, string Scope, long Limit, long Held, long After);
