using System.Diagnostics;
using LabPortal.Domain;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;

namespace LabPortal.Operations.Telemetry;

/// <summary>
/// One trace for each run, over all of its turns and on whichever worker: from the click or call that began it to the provider's calls. A run keeps its
/// place in it (<see cref="Run.TraceParent"/>). What nobody clicked (a lease's moment) begins a trace of its own.
/// </summary>
public static class PortalTrace
{
    private static readonly ActivitySource s_source = new("LabPortal");

    public static string Name => s_source.Name;

    /// <summary>
    /// Makes ids for all of it, whether or not it is exported: they stand in the log and are what people quote. Ends when it is disposed.
    /// Also for HTTP requests, whose ids the framework makes only where somebody listens.
    /// </summary>
    public static IDisposable MakeIds()
    {
        var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name is "LabPortal" or "Microsoft.AspNetCore",
            Sample = (ref _) => ActivitySamplingResult.PropagationData,
        };
        ActivitySource.AddActivityListener(listener);
        return listener;
    }

    /// <summary>What somebody does on a page, or a page reads: a trace of its own, however long the page has been open.</summary>
    public static Activity? Click(string what = "click")
    {
        Activity.Current = null;
        return s_source.StartActivity(what, ActivityKind.Server);
    }

    /// <summary>The id of the click under way; empty outside of one.</summary>
    public static string? ClickId => Activity.Current is { } current && current.Source == s_source ? current.TraceId.ToHexString() : null;

    /// <summary>A run begins: within what happens now, or within <paramref name="parent"/>, or by itself.</summary>
    internal static Activity? Begin(string workflow, string? parent)
        => (Activity.Current is null ? s_source.StartActivity("run", ActivityKind.Producer, parent!) : s_source.StartActivity("run", ActivityKind.Producer))?.SetTag("labportal.workflow", workflow);

    internal static Activity? Turn(Run run) => s_source.StartActivity("turn", ActivityKind.Consumer, run.TraceParent!)
        ?.SetTag("labportal.workflow", run.Workflow).SetTag("labportal.run", run.Id.ToString()).SetTag("labportal.lab", run.Lab.ToString());

    internal static Activity? Act(string step, Direction direction, string machine, int attempt) => s_source.StartActivity(step)
        ?.SetTag("labportal.direction", direction.Word()).SetTag("labportal.machine", machine).SetTag("labportal.attempt", attempt);

    /// <summary>One call to a pool's provider.</summary>
    internal static async Task<T> CallAsync<T>(string verb, Pool? pool, Func<Task<T>> call)
    {
        using var traced = s_source.StartActivity(verb, ActivityKind.Client)?.SetTag("labportal.pool", pool?.Name).SetTag("labportal.provider", pool?.Provider);
        try
        {
            return await call();
        }
        catch (Exception fault)
        {
            traced.Failed(fault);
            throw;
        }
    }

    internal static Task CallAsync(string verb, Pool? pool, Func<Task> call) => CallAsync(verb, pool, async () =>
    {
        await call();
        return true;
    });

    /// <summary>Its kind, never its text: that is for the journal and the log.</summary>
    internal static void Failed(this Activity? activity, Exception fault)
        => activity?.SetStatus(ActivityStatusCode.Error).SetTag("error.type", fault is ProviderFault known ? known.Kind.Word() : fault.GetType().Name);
}
