using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Networks;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Labs;
using LabPortal.Web.Texts;
using NodaTime;

namespace LabPortal.Web.Api;

internal sealed record LabBody
{
    public required LabId Id { get; init; }
    public required string Name { get; init; }
    public required string Blueprint { get; init; }
    public required int BlueprintVersion { get; init; }
    public required string Team { get; init; }
    public required string Owner { get; init; }
    public required PersonId OwnerId { get; init; }
    public required IReadOnlyDictionary<string, string> Labels { get; init; }
    public required IReadOnlyDictionary<string, string> Parameters { get; init; }
    public required LabState State { get; init; }
    public required LabHealth Health { get; init; }

    /// <summary>Why it failed or is degraded, as a sentence; <see cref="ReasonCode"/> is for programs.</summary>
    public required string? Reason { get; init; }
    public required string? ReasonCode { get; init; }

    /// <summary>Raised with every change; the id of the change's event.</summary>
    public required long Version { get; init; }
    public required Instant RequestedAt { get; init; }
    public required Instant? ReadyAt { get; init; }
    public required Instant? EndedAt { get; init; }
    public required LeaseBody Lease { get; init; }
    public required IReadOnlyList<MachineView> Machines { get; init; }

    /// <summary>The networks that it has for itself, with the same addresses in every copy.</summary>
    public required IReadOnlyList<Network> Networks { get; init; }

    /// <summary>Who may begin to talk to whom; null: everybody.</summary>
    public required IReadOnlyList<FirewallRuleBody>? Firewall { get; init; }
    public required RunBody? Run { get; init; }

    /// <summary>What this caller may ask for now.</summary>
    public required IReadOnlyList<LabVerb> Verbs { get; init; }
    public required UsageBody Usage { get; init; }

    public static LabBody Of(LabView lab) => new()
    {
        Id = lab.Id,
        Name = lab.Name,
        Blueprint = lab.Blueprint,
        BlueprintVersion = lab.BlueprintVersion,
        Team = lab.Team,
        Owner = lab.Owner,
        OwnerId = lab.OwnerId,
        Labels = lab.Labels,
        Parameters = lab.Parameters,
        State = lab.State,
        Health = lab.Health,
        Reason = lab.Reason is { } reason ? Sentences.Of(reason) : null,
        ReasonCode = lab.Reason?.Code,
        Version = lab.Version,
        RequestedAt = lab.RequestedAt,
        ReadyAt = lab.ReadyAt,
        EndedAt = lab.EndedAt,
        Lease = new LeaseBody(lab.Lease.Start, lab.Lease.End, lab.Lease.GraceUntil, lab.Lease.Zone, lab.Lease.Heartbeat is { } heartbeat ? new HeartbeatBody((decimal)heartbeat.Term.TotalMinutes, heartbeat.BeatAt, heartbeat.Until) : null),
        Machines = lab.Machines,
        Networks = lab.Networks,
        Firewall = FirewallRuleBody.Of(lab.Firewall),
        Run = lab.Run is { } run ? RunBody.Of(run) : null,
        Verbs = lab.Verbs,
        Usage = new UsageBody(lab.Usage.MachineHours, lab.Usage.Cost?.Amount, lab.Usage.Cost?.Currency),
    };
}

/// <summary>Without a protocol everything is meant, without ports all of them (<c>443</c>, <c>8000-8100</c>).</summary>
internal sealed record FirewallRuleBody(string From, string To, Protocol? Protocol, IReadOnlyList<string> Ports)
{
    public static IReadOnlyList<FirewallRuleBody>? Of(IReadOnlyList<FirewallRule>? rules)
        => rules is null ? null : [.. rules.Select(rule => new FirewallRuleBody(rule.From, rule.To, rule.Protocol, [.. rule.Ports.Select(ports => ports.ToString())]))];
}

/// <summary>At <paramref name="End"/> the lab is stopped, at <paramref name="GraceUntil"/> it is deleted; both are empty until it is ready, for a lease in hours.</summary>
internal sealed record LeaseBody(Instant Start, Instant? End, Instant? GraceUntil, string Zone, HeartbeatBody? Heartbeat);

/// <summary>What the lab's life is tied to: without another beat it is deleted at <paramref name="Until"/>.</summary>
internal sealed record HeartbeatBody(decimal Minutes, Instant LastBeat, Instant Until);

/// <summary>A beat; with minutes (1 to 1440, decimal) the lease is tied to a heartbeat of that term.</summary>
internal sealed record KeepaliveBody(decimal? Minutes);

/// <summary>What the lab used until now; no cost where its pool has no prices.</summary>
internal sealed record UsageBody(decimal MachineHours, decimal? Cost, string? Currency);

internal sealed record RunBody
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

    /// <summary>Why it failed, waits or is stuck.</summary>
    public required string? Problem { get; init; }

    /// <summary>Where each step is; only where one lab or one run is shown.</summary>
    public required IReadOnlyList<StepView> Steps { get; init; }
    public required Instant CreatedAt { get; init; }
    public required Instant? FinishedAt { get; init; }
    public required Instant? DueAt { get; init; }

    /// <summary>The kind of slot of its pool that it waits for: <c>operation</c>, <c>boot</c>.</summary>
    public required string? WaitsFor { get; init; }
    public required string? TraceId { get; init; }

    /// <summary>Every attempt; like its machines and verbs only where one run is shown.</summary>
    [System.Text.Json.Serialization.JsonIgnore(Condition = System.Text.Json.Serialization.JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<AttemptView>? Journal { get; init; }

    [System.Text.Json.Serialization.JsonIgnore(Condition = System.Text.Json.Serialization.JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<RunMachineView>? Machines { get; init; }

    [System.Text.Json.Serialization.JsonIgnore(Condition = System.Text.Json.Serialization.JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<LabVerb>? Verbs { get; init; }

    public static RunBody Of(RunView run) => new()
    {
        Id = run.Id,
        Lab = run.Lab,
        LabName = run.LabName,
        Team = run.Team,
        Workflow = run.Workflow,
        State = run.State,
        Step = run.Step,
        StepsDone = run.StepsDone,
        StepsTotal = run.StepsTotal,
        Since = run.Since,
        AskedBy = run.AskedBy,
        Problem = run.Problem is { } problem ? Sentences.Of(problem) : null,
        Steps = run.Steps,
        CreatedAt = run.CreatedAt,
        FinishedAt = run.FinishedAt,
        DueAt = run.DueAt,
        WaitsFor = run.WaitsFor,
        TraceId = run.TraceId,
        Journal = run.Journal,
        Machines = run.Machines,
        Verbs = run.Verbs,
    };
}

internal sealed record QuoteBody(IReadOnlyList<PoolQuoteBody> Pools, IReadOnlyList<QuotaEffectView> Quota)
{
    /// <summary>Why it would be refused now, as <c>POST /labs</c> would say it.</summary>
    [System.Text.Json.Serialization.JsonIgnore(Condition = System.Text.Json.Serialization.JsonIgnoreCondition.WhenWritingNull)]
    public ProblemRefusal? Refusal { get; init; }
}

/// <summary><paramref name="ReadyBy"/> is the median of this image and pool's last 20 builds plus the queue; empty before there is history.</summary>
internal sealed record PoolQuoteBody(string Pool, bool Chosen, string Why, Instant? ReadyBy, decimal? PricePerHour, decimal? PriceTotal, string? Currency);

/// <summary>For the document alone: what <c>POST /labs</c> and <c>POST /quotes</c> take.</summary>
internal sealed record LabRequestBody(
    string Blueprint,
    string Team,
    string? Name,
    IReadOnlyDictionary<string, string>? Parameters,
    string? Pool,
    IReadOnlyDictionary<string, string>? Labels,
    NewLeaseBody? Lease,
    Instant? Start);

/// <summary>One of the two: decimal hours from <i>ready</i>, or until an instant.</summary>
internal sealed record LeaseRequestBody(decimal? Hours, Instant? Until);

/// <summary>The same, for a new lab; with heartbeat minutes (1 to 1440, decimal) it ends where no <c>POST /labs/{id}/keepalive</c> came for so long.</summary>
internal sealed record NewLeaseBody(decimal? Hours, Instant? Until, decimal? HeartbeatMinutes);

internal sealed record AbandonBody(string Reason);

/// <summary>1 to 40 letters, digits, dots, dashes and underscores, the first a letter or digit.</summary>
internal sealed record SnapshotRequestBody(string Name);

internal sealed record PasswordBody(string Password);
