using LabPortal.Data;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Workflows;
using NodaTime;

namespace LabPortal.Operations.Workflows;

/// <summary>
/// A named, versioned list of steps. Consecutive steps that are taken for each machine form a lane, in which machines advance
/// independently; a step of the lab waits for all before it. Going backwards the same holds in reverse.
/// </summary>
public sealed class Workflow
{
    public required string Name { get; init; }

    /// <summary>Raised whenever the list changes; the old version stays registered until no run of it is live.</summary>
    public required int Version { get; init; }
    public required IReadOnlyList<Step> Steps { get; init; }

    /// <summary>May it go backwards? Otherwise a step that fails for good makes the run stuck.</summary>
    public bool Undoes { get; init; } = true;

    /// <summary>What becomes of the lab when everything is taken back, in the transaction that finishes the run.</summary>
    public Func<Session, Run, Lab, Instant, Task> UndoneAsync { get; init; } = (_, _, _, _) => Task.CompletedTask;

    internal IReadOnlyList<IReadOnlyList<Step>> Lanes => _lanes ??= Divide(Steps);
    private IReadOnlyList<IReadOnlyList<Step>>? _lanes;

    internal bool TakesSlots => Steps.Any(step => step.Takes.Count + step.TakesBack.Count > 0);

    internal string Key => $"{Name}/{Version}";

    internal static IEnumerable<Machine> Targets(Lab lab, IReadOnlyDictionary<string, string> arguments)
        => arguments.TryGetValue(RunArguments.Machine, out var name) ? lab.Machines.Where(machine => machine.Name == name) : lab.Machines;

    internal IEnumerable<Step> StepsOf(IReadOnlyDictionary<string, string> arguments) => Steps.Where(step => step.IsAskedFor(arguments));

    internal int CountSteps(Lab lab, IReadOnlyDictionary<string, string> arguments)
        => StepsOf(arguments).Sum(step => step.ForEachMachine ? Targets(lab, arguments).Count() : 1);

    private static List<IReadOnlyList<Step>> Divide(IReadOnlyList<Step> steps)
    {
        var lanes = new List<IReadOnlyList<Step>>();
        foreach (var step in steps)
        {
            if (step.ForEachMachine && lanes.Count > 0 && lanes[^1] is List<Step> lane && lane[0].ForEachMachine) lane.Add(step);
            else lanes.Add(new List<Step> { step });
        }

        return lanes;
    }
}

/// <summary>The workflows that this build knows: each name in its current version, and older versions while runs of them may be live.</summary>
public sealed class RegisteredWorkflows(IReadOnlyList<Workflow> all)
{
    public RegisteredWorkflows() : this([Provision.V1, Start.V1, Stop.V1, Restart.V1, Extend.V1, TakingSnapshot.V1, Revert.V1, DeletingSnapshot.V1, End.V1, Trial.V1]) { }

    public IReadOnlyList<Workflow> All { get; } = all;

    internal IReadOnlyList<string> Keys { get; } = [.. all.Select(workflow => workflow.Key)];

    public Workflow Current(string name) => All.Where(workflow => workflow.Name == name).MaxBy(workflow => workflow.Version)
        ?? throw new ArgumentException($"There is no workflow \"{name}\".", nameof(name));

    /// <summary>The workflow of a stored run; empty where this build does not know it, and leaves the run alone.</summary>
    public Workflow? Find(Run run) => All.FirstOrDefault(workflow => workflow.Name == run.Workflow && workflow.Version == run.Version);
}
