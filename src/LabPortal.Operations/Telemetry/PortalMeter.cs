using System.Diagnostics;
using System.Diagnostics.Metrics;
using LabPortal.Domain;
using LabPortal.Domain.Leases;
using LabPortal.Domain.Workflows;
using NodaTime;

namespace LabPortal.Operations.Telemetry;

/// <summary>
/// What this process itself does, measured where it happens, after the commit where there is one: sums over all nodes are the installation's.
/// Labels are words of this code, or names from the catalogue: never a lab, a person or a message.
/// </summary>
public static class PortalMeter
{
    private static readonly Meter s_meter = new("LabPortal");

    private static readonly Histogram<double> s_turnWait = Seconds("labportal.turn.wait", "From when a run was due until a turn of it began.", 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300);
    private static readonly Histogram<double> s_turnLength = Seconds("labportal.turn.duration", "How long a turn of a run took.", 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600);
    private static readonly Histogram<double> s_lateness = Seconds("labportal.lease.lateness", "How late what a lease brings was begun.", 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600);
    private static readonly Histogram<double> s_timeToReady = Seconds("labportal.lab.time_to_ready", "From the begin of a lab's provision until it was ready.", 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600);
    private static readonly Counter<long> s_finished = s_meter.CreateCounter<long>("labportal.runs.finished", "{run}", "Runs that ended.");
    private static readonly Counter<long> s_refusals = s_meter.CreateCounter<long>("labportal.refusals", "{refusal}", "Calls that were refused, by the rule that binds or the refusal's code.");

    private static int s_circuits;
    private static int s_batches;

    static PortalMeter()
    {
        s_meter.CreateObservableUpDownCounter("labportal.circuits", () => Volatile.Read(ref s_circuits), "{circuit}", "Open circuits of pages.");
        s_meter.CreateObservableUpDownCounter("labportal.batches", () => Volatile.Read(ref s_batches), "{batch}", "Jobs that turn runs now.");
    }

    public static string Name => s_meter.Name;

    public static void CircuitOpened() => Interlocked.Increment(ref s_circuits);

    public static void CircuitClosed() => Interlocked.Decrement(ref s_circuits);

    internal static IDisposable BatchAtWork()
    {
        Interlocked.Increment(ref s_batches);
        return new BatchOver();
    }

    internal static void TurnBegins(Run run, Instant now) => s_turnWait.Record(Math.Max(0, (now - run.DueAt).TotalSeconds), Of(run));

    internal static void TurnEnded(Run run, TimeSpan length) => s_turnLength.Record(length.TotalSeconds, Of(run));

    internal static void RunFinished(Run run, RunState state) => s_finished.Add(1, Of(run), new KeyValuePair<string, object?>("state", state.Word()));

    internal static void LeaseDeedDone(LeaseDeed deed, Duration late) => s_lateness.Record(late.TotalSeconds, new KeyValuePair<string, object?>("deed", deed.Word()));

    /// <summary><paramref name="pool"/> is empty for a lab whose machines are in several.</summary>
    internal static void LabReady(string blueprint, string? pool, Duration after)
        => s_timeToReady.Record(after.TotalSeconds, new TagList { { "blueprint", blueprint }, { "pool", pool ?? "several" } });

    internal static void Refused(Refusal refusal) => s_refusals.Add(1, new TagList { { "kind", refusal.Kind.Word() }, { "rule", refusal.Quota?.Rule ?? refusal.Code } });

    private static KeyValuePair<string, object?> Of(Run run) => new("workflow", run.Workflow);

    private static Histogram<double> Seconds(string name, string description, params double[] bounds)
        => s_meter.CreateHistogram(name, "s", description, advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = bounds });

    private sealed class BatchOver : IDisposable
    {
        public void Dispose() => Interlocked.Decrement(ref s_batches);
    }
}
