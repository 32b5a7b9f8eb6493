using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Audit;
using LabPortal.Web.Features.Shell;
using LabPortal.Web.Texts;
using Sign = MudBlazor.Icons.Material.Rounded;

namespace LabPortal.Web.Features.Labs;

/// <summary>What happened to a lab, in plain words.</summary>
internal static class LabWords
{
    public static Look Of(LabEvent happened) => happened.Kind switch
    {
        LabEventKind.State => OfState(happened),
        LabEventKind.Machine => OfMachine(happened),
        LabEventKind.Step => OfStep(happened),
        _ => OfLog(happened),
    };

    /// <summary>What somebody did, or wanted to; a refusal with its own sentence where that can be told without the caller's input.</summary>
    public static Look Of(AuditLine line)
    {
        var arguments = line.Detail.ToDictionary();
        arguments["actor"] = line.Actor;
        var family = line.IsDone ? "audit" : "audit-refused";
        var code = line.Detail.ContainsKey("machine") && Sentences.Find($"{family}.{line.Verb}.machine") is not null ? $"{family}.{line.Verb}.machine" : $"{family}.{line.Verb}";
        var text = Sentences.OfStored(code, arguments);
        if (!line.IsDone && Sentences.Find(line.Outcome) is not null && Sentences.OfStored(line.Outcome, arguments) is var why && !why.Contains('{', StringComparison.Ordinal)) text = $"{text} {why}";
        return new Look(text, line.IsDone ? Sign.Person : Sign.Block, line.IsDone ? Tone.Idle : Tone.Warn);
    }

    /// <summary>A step that is only under way is seen in the progress; the history keeps what came of it.</summary>
    public static bool IsHistory(LabEvent happened) => happened.Kind != LabEventKind.Step || LabEvent.StepOutcomes.Contains(Part(happened, "state"));

    private static Look OfState(LabEvent happened)
    {
        if (!Words.TryRead<LabState>(Part(happened, "state"), out var state)) return OfLog(happened);
        var health = Words.TryRead<LabHealth>(Part(happened, "health"), out var told) ? told : LabHealth.Ok;
        var look = Look.Of(state, health);
        return look with { Text = Say.HistoryState.With(("state", look.Text)) };
    }

    private static Look OfMachine(LabEvent happened)
    {
        var look = Words.TryRead<MachineState>(Part(happened, "state"), out var state) ? Look.Of(state) : new Look("", Sign.Dns, Tone.Idle);
        var text = Part(happened, "cause") == "outside" ? Say.HistoryMachineOutside : Say.HistoryMachine;
        return look with { Text = text.With(("machine", Part(happened, "machine")), ("state", look.Text)) };
    }

    private static Look OfStep(LabEvent happened)
    {
        var look = Look.OfStep(Part(happened, "state"));
        var machine = Part(happened, "machine");
        return look with
        {
            Text = (machine.Length > 0 ? Say.HistoryStepMachine : Say.HistoryStep)
                .With(("step", Look.StepName(Part(happened, "step"))), ("machine", machine), ("state", look.Text)),
        };
    }

    private static Look OfLog(LabEvent happened)
    {
        var code = Part(happened, "code");
        var tone = code switch { "run.stuck" or "lab.failed" => Tone.Bad, "run.done" => Tone.Good, _ => Tone.Idle };
        return new Look(Sentences.OfStored("event." + code is var own && Sentences.Find(own) is not null ? own : code, happened.Data), tone == Tone.Bad ? Sign.ReportProblem : Sign.Notes, tone);
    }

    private static string Part(LabEvent happened, string name) => happened.Data.TryGetValue(name, out var value) ? value : "";
}
