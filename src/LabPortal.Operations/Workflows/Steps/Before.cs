using LabPortal.Data;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using NodaTime;

namespace LabPortal.Operations.Workflows.Steps;

/// <summary>How the lab was when a verb began: what going back leads to.</summary>
internal sealed record Before(LabState State, Instant? End, Duration? Length, IReadOnlyList<string> Running)
{
    public bool Ran(Machine machine) => Running.Contains(machine.Name);

    public static Before? Of(StepContext context) => StoredJson.ReadOrDefault<Before>(context.NoteOf(LookBefore.StepName));
}

/// <summary>Notes how the lab is before anything is changed.</summary>
internal sealed class LookBefore() : Step(StepName)
{
    public const string StepName = "look";

    public override bool ForEachMachine => false;

    public override Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation) => Task.FromResult(StepAnswer.Remember(StoredJson.Write(new Before(
        context.Lab.State, context.Lab.Lease.End, context.Lab.Lease.Length,
        [.. context.Lab.Machines.Where(machine => machine.State == MachineState.Running).Select(machine => machine.Name)]))));
}
