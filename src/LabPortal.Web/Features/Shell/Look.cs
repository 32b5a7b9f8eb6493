using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using LabPortal.Web.Texts;
using Sign = MudBlazor.Icons.Material.Rounded;

namespace LabPortal.Web.Features.Shell;

/// <summary>How something feels; each is a pair of colours in portal.css.</summary>
public enum Tone
{
    Idle,
    Busy,
    Good,
    Warn,
    Bad,
}

/// <summary>Text, icon and colour of a state. Decided here and nowhere else.</summary>
public sealed record Look(string Text, string Icon, Tone Tone)
{
    public static Look Of(LabState state, LabHealth health = LabHealth.Ok) => state switch
    {
        LabState.Requested => new(Named("lab-state", state.Word()), Sign.HourglassEmpty, Tone.Busy),
        LabState.AwaitingApproval => new(Named("lab-state", state.Word()), Sign.HowToReg, Tone.Warn),
        LabState.Scheduled => new(Named("lab-state", state.Word()), Sign.Event, Tone.Idle),
        LabState.Provisioning => new(Named("lab-state", state.Word()), Sign.Autorenew, Tone.Busy),
        LabState.Ready when health == LabHealth.Degraded => new(Named("health", health.Word()), Sign.WarningAmber, Tone.Warn),
        LabState.Ready => new(Named("lab-state", state.Word()), Sign.CheckCircle, Tone.Good),
        LabState.Stopped => new(Named("lab-state", state.Word()), Sign.PauseCircle, Tone.Idle),
        LabState.Grace => new(Named("lab-state", state.Word()), Sign.Schedule, Tone.Warn),
        LabState.Ending => new(Named("lab-state", state.Word()), Sign.Autorenew, Tone.Busy),
        LabState.Ended => new(Named("lab-state", state.Word()), Sign.TaskAlt, Tone.Idle),
        _ => new(Named("lab-state", state.Word()), Sign.Error, Tone.Bad),
    };

    public static Look Of(MachineState state) => state switch
    {
        MachineState.Running => new(Named("machine-state", state.Word()), Sign.PlayCircle, Tone.Good),
        MachineState.Building or MachineState.Stopping or MachineState.Removing => new(Named("machine-state", state.Word()), Sign.Autorenew, Tone.Busy),
        MachineState.Stopped => new(Named("machine-state", state.Word()), Sign.PauseCircle, Tone.Idle),
        MachineState.Missing => new(Named("machine-state", state.Word()), Sign.Error, Tone.Bad),
        MachineState.Unknown => new(Named("machine-state", state.Word()), Sign.HelpOutline, Tone.Warn),
        MachineState.Gone => new(Named("machine-state", state.Word()), Sign.TaskAlt, Tone.Idle),
        _ => new(Named("machine-state", state.Word()), Sign.HourglassEmpty, Tone.Idle),
    };

    public static Look Of(SnapshotState state) => state switch
    {
        SnapshotState.Taken => new(Named("snapshot-state", state.Word()), Sign.CheckCircle, Tone.Good),
        SnapshotState.Taking or SnapshotState.Deleting => new(Named("snapshot-state", state.Word()), Sign.Autorenew, Tone.Busy),
        _ => new(Named("snapshot-state", state.Word()), Sign.BrokenImage, Tone.Warn),
    };

    public static Look Of(RunState state) => state switch
    {
        RunState.Running => new(Named("run-state", state.Word()), Sign.Autorenew, Tone.Busy),
        RunState.Undoing => new(Named("run-state", state.Word()), Sign.Undo, Tone.Warn),
        RunState.Stuck => new(Named("run-state", state.Word()), Sign.ReportProblem, Tone.Bad),
        RunState.Done => new(Named("run-state", state.Word()), Sign.CheckCircle, Tone.Good),
        _ => new(Named("run-state", state.Word()), Sign.RemoveCircleOutline, Tone.Idle),
    };

    /// <summary>A pool's state is a word already: <c>healthy</c>, <c>sick</c>, <c>maintenance</c>, <c>draining</c>.</summary>
    public static Look OfPool(string state) => state switch
    {
        "healthy" => new(Named("pool-state", state), Sign.CheckCircle, Tone.Good),
        "sick" => new(Named("pool-state", state), Sign.Error, Tone.Bad),
        "maintenance" => new(Named("pool-state", state), Sign.Build, Tone.Warn),
        _ => new(Named("pool-state", state), Sign.CallSplit, Tone.Warn),
    };

    public static Look OfImage(string state) => state switch
    {
        "present" => new(Named("image-state", state), Sign.CheckCircle, Tone.Good),
        "importing" => new(Named("image-state", state), Sign.Autorenew, Tone.Busy),
        "failed" => new(Named("image-state", state), Sign.Error, Tone.Bad),
        _ => new(Named("image-state", state), Sign.WarningAmber, Tone.Warn),
    };

    public static Look OfBlueprint(bool retired) => retired
        ? new(Named("blueprint-state", "retired"), Sign.Inventory2, Tone.Idle)
        : new(Named("blueprint-state", "current"), Sign.CheckCircle, Tone.Good);

    /// <summary>One step for one target, as <see cref="LabPortal.Operations.Labs.StepView"/> names its states.</summary>
    public static Look OfStep(string state) => state switch
    {
        "done" => new(Named("step-state", state), Sign.Check, Tone.Good),
        "doing" => new(Named("step-state", state), Sign.Autorenew, Tone.Busy),
        "waiting" => new(Named("step-state", state), Sign.Autorenew, Tone.Busy),
        "failed" => new(Named("step-state", state), Sign.Close, Tone.Bad),
        "undoing" => new(Named("step-state", state), Sign.Undo, Tone.Warn),
        "undone" => new(Named("step-state", state), Sign.Undo, Tone.Idle),
        _ => new(Named("step-state", state), Sign.Remove, Tone.Idle),
    };

    public static Look OfOrphan(string state) => state switch
    {
        "deleting" => new(Named("orphan-state", state), Sign.Autorenew, Tone.Busy),
        "listed" => new(Named("orphan-state", state), Sign.WarningAmber, Tone.Warn),
        _ => new(Named("orphan-state", state), Sign.TaskAlt, Tone.Idle),
    };

    /// <summary>A webhook's newest delivery; nothing where there was none.</summary>
    public static Look OfDelivery(string? state) => state switch
    {
        "delivered" => new(Named("delivery-state", state), Sign.CheckCircle, Tone.Good),
        "failing" => new(Named("delivery-state", state), Sign.WarningAmber, Tone.Warn),
        "given-up" => new(Named("delivery-state", state), Sign.Error, Tone.Bad),
        "waiting" => new(Named("delivery-state", state), Sign.HourglassEmpty, Tone.Busy),
        _ => new(Named("delivery-state", "none"), Sign.Remove, Tone.Idle),
    };

    public static string OfWorkflow(string workflow) => Named("workflow", workflow);

    /// <summary>A step without a text of its own is told by its name.</summary>
    public static string StepName(string step) => Named("step", step);

    public static string OfVerb(LabVerb verb) => Named("verb", verb.Word());

    public static string OfRole(Domain.People.TeamRole role) => Named("role", role.Word());

    public static string Named(string kind, string word)
        => Sentences.Find($"{kind}.{word}") ?? (word.Length == 0 ? word : char.ToUpperInvariant(word[0]) + word[1..].Replace('-', ' '));
}
