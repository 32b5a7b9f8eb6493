using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Labs;

namespace LabPortal.Web.Features.Labs;

/// <summary>What one row of a list shows of a lab, and nothing else: an open page keeps it for as long as it is open.</summary>
public sealed record LabRow
{
    public required LabId Id { get; init; }
    public required string Name { get; init; }
    public required string BlueprintTitle { get; init; }
    public required string Owner { get; init; }
    public required string Team { get; init; }
    public required LabState State { get; init; }
    public required LabHealth Health { get; init; }
    public required int Machines { get; init; }
    public required Lease Lease { get; init; }
    public NodaTime.Instant? EndedAt { get; init; }
    public bool Stuck { get; init; }

    /// <summary>Of the live run; no steps where none is under way.</summary>
    public int StepsDone { get; init; }
    public int StepsTotal { get; init; }

    /// <summary>There is something that this caller may ask for now; what it is, its menu asks when it is opened.</summary>
    public bool HasVerbs { get; init; }

    public static LabRow Of(LabView lab) => new()
    {
        Id = lab.Id,
        Name = lab.Name,
        BlueprintTitle = lab.BlueprintTitle,
        Owner = lab.Owner,
        Team = lab.Team,
        State = lab.State,
        Health = lab.Health,
        Machines = lab.Machines.Count,
        Lease = lab.Lease,
        EndedAt = lab.EndedAt,
        Stuck = lab.Run is { State: RunState.Stuck },
        StepsDone = lab.Run?.StepsDone ?? 0,
        StepsTotal = lab.Run is { } run && run.State.IsLive() ? run.StepsTotal : 0,
        HasVerbs = LabDeeds.OfLab(lab).Any(),
    };
}
