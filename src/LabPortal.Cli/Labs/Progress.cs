using System.Diagnostics;
using System.Text.Json.Nodes;
using LabPortal.Cli.Shell;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace LabPortal.Cli.Labs;

/// <summary>What is seen while a lab is waited for, on the error output.</summary>
internal interface IProgress
{
    /// <summary>The lab as it was just looked at; maybe further than the events that were told.</summary>
    void Show(JsonNode lab);

    /// <summary>What happened since.</summary>
    void Tell(JsonNode happened);

    /// <summary>The portal does not answer, and is tried again.</summary>
    void Away();

    /// <summary>Shown for as long as this takes.</summary>
    Task<JsonNode> WhileAsync(Func<Task<JsonNode>> wait, CancellationToken cancellation);
}

internal static class Progress
{
    public static IProgress Make() => Terminal.IsWatched ? new LiveProgress(Terminal.Error) : new NoProgress();

    /// <summary>A machine's state that an event tells; the lab's own has no name.</summary>
    public static (string Name, string State)? StateIn(JsonNode happened) => (happened.Text("kind"), happened.Text("state")) switch
    {
        ("state", { Length: > 0 } state) => ("", state),
        ("machine", { Length: > 0 } state) => (happened.Text("machine"), state),
        _ => null,
    };
}

/// <summary>Nobody watches: the result is enough, and what goes wrong.</summary>
internal sealed class NoProgress : IProgress
{
    public void Show(JsonNode lab)
    {
    }

    public void Tell(JsonNode happened)
    {
    }

    public void Away()
    {
    }

    public Task<JsonNode> WhileAsync(Func<Task<JsonNode>> wait, CancellationToken cancellation) => wait();
}

/// <summary>The steps of each machine, drawn over as they go; nothing of it stays.</summary>
internal sealed class LiveProgress(IAnsiConsole console) : IProgress
{
    private static readonly TimeSpan s_frame = TimeSpan.FromMilliseconds(250);

    private readonly long _since = Stopwatch.GetTimestamp();
    private readonly Lock _drawing = new();
    private readonly Dictionary<string, string> _states = [];

    /// <summary>In the order of the workflow.</summary>
    private readonly List<Step> _steps = [];
    private string _lab = "";
    private string _workflow = "";
    private bool _isAway;

    public void Show(JsonNode lab)
    {
        lock (_drawing)
        {
            _lab = lab.Text("name");
            _isAway = false;
            _workflow = lab.Text("run.workflow");
            _states[""] = lab.Text("state");
            foreach (var machine in lab.Items("machines")) _states[machine.Text("name")] = machine.Text("state");
            _steps.Clear();
            _steps.AddRange(lab.Items("run.steps").Select(step => new Step(step.Text("step"), step.Text("machine"), step.Text("state"))));
        }
    }

    public void Tell(JsonNode happened)
    {
        lock (_drawing)
        {
            if (Progress.StateIn(happened) is var (name, state)) _states[name] = state;
            if (happened.Text("kind") != "step") return;
            var told = new Step(happened.Text("step"), happened.Text("machine"), happened.Text("state"));
            var known = _steps.FindIndex(step => step.Name == told.Name && step.Machine == told.Machine);
            if (known >= 0) _steps[known] = told;
            else _steps.Add(told);
        }
    }

    public void Away()
    {
        lock (_drawing) _isAway = true;
    }

    public Task<JsonNode> WhileAsync(Func<Task<JsonNode>> wait, CancellationToken cancellation) => console.Live(Text.Empty).AutoClear(true).StartAsync(async live =>
    {
        var work = wait();
        while (!work.IsCompleted)
        {
            live.UpdateTarget(Draw());
            await Task.WhenAny(work, Task.Delay(s_frame, cancellation));
        }

        return await work;
    });

    private IRenderable Draw()
    {
        lock (_drawing)
        {
            var elapsed = Moments.Short(Stopwatch.GetElapsedTime(_since));
            var head = _isAway ? $"{_lab}: the portal does not answer; trying again, {elapsed}" : $"{_lab}: {_states.GetValueOrDefault("", "")}, {_workflow} {Done(_steps)}, {elapsed}";
            var machines = new Grid().AddColumn(new GridColumn().NoWrap()).AddColumn(new GridColumn().NoWrap()).AddColumn(new GridColumn().NoWrap()).AddColumn();
            foreach (var (name, state) in _states.Where(pair => pair.Key.Length > 0))
            {
                var own = _steps.Where(step => step.Machine == name).ToList();
                machines.AddRow(Cell("  " + name), Cell(state), Cell(Done(own)), Cell(own.LastOrDefault(step => step.IsUnderWay) is { } now ? $"{now.Name} ({now.State})" : ""));
            }

            return new Rows(Cell(head), machines);
        }
    }

    private static string Done(List<Step> steps) => steps.Count == 0 ? "" : $"{steps.Count(step => step.State == "done")}/{steps.Count}";

    private static Text Cell(string text) => new(Safe.Cell(text));

    private sealed record Step(string Name, string Machine, string State)
    {
        public bool IsUnderWay => State is not ("pending" or "done" or "undone");
    }
}
