using System.Diagnostics.Metrics;
using LabPortal.Data;
using LabPortal.Data.Telemetry;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Workflows;
using Microsoft.Extensions.Logging;
using NodaTime;

namespace LabPortal.Operations.Telemetry;

/// <summary>
/// What the database says of the whole installation: every node says the same. Read when somebody asks, and at most once in
/// <see cref="ReadFor"/>, however many ask. While the database is away only that is said, never what was true before.
/// </summary>
public sealed class InstallationGauges : IDisposable
{
    public static readonly TimeSpan ReadFor = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(5);
    private static readonly string[] s_poolStates = ["healthy", "sick", "maintenance", "draining"];

    private readonly Database _database;
    private readonly TimeProvider _time;
    private readonly ILogger<InstallationGauges> _log;
    private readonly RegisteredWorkflows _workflows;
    private readonly SemaphoreSlim _gate = new(1, 1);
    private readonly Meter _meter = new(PortalMeter.Name);
    private long? _readAt;
    private Reading? _reading;

    public InstallationGauges(Database database, RegisteredWorkflows workflows, TurnBell bell, TimeProvider time, ILogger<InstallationGauges> log)
    {
        (_database, _workflows, _time, _log) = (database, workflows, time, log);
        _meter.CreateObservableGauge("labportal.database.up", () => _reading is null ? 0 : 1, null, "1 where the database answered this node.");
        _meter.CreateObservableGauge("labportal.pump.silence", () => bell.SinceLooked.TotalSeconds, "s", "Since this node's pump last looked for work.");

        Gauge("labportal.runs", "{run}", "Live runs.", Runs);
        Gauge("labportal.runs.due", "{run}", "Runs that are due and that nobody turns.", reading => [new(reading.DueRuns)]);
        Gauge("labportal.queue.age", "s", "How long the longest due run has been waiting for a turn.", reading => [new(Since(reading.OldestDue))]);
        Gauge("labportal.labs", "{lab}", "Labs that are not over.", reading => Enum.GetValues<LabState>().Where(state => !state.IsOver())
            .Select(state => Measured(reading.Labs.GetValueOrDefault(state.Word()), ("state", state.Word()))));
        Gauge("labportal.lease.overdue", "s", "How long the clock should have looked at a lab whose moment has come.", reading => [new(Since(reading.OldestLook))]);
        Gauge("labportal.pool.state", null, "1 for the state that the pool is in.", reading => reading.Pools.SelectMany(pool => s_poolStates
            .Select(state => Measured(pool.State == state ? 1 : 0, ("pool", pool.Name), ("state", state)))));
        Gauge("labportal.pool.problems", "{problem}", "What the pool's last check found.", reading => reading.Pools.Select(pool => Measured(pool.Problems.Count, ("pool", pool.Name))));
        Gauge("labportal.pool.check.age", "s", "Since the pool was last checked.", reading => reading.Pools.Where(pool => pool.CheckedAt is not null)
            .Select(pool => Measured(Since(pool.CheckedAt), ("pool", pool.Name))));
        Gauge("labportal.pool.hosts", "{host}", "Hosts of the pool; in trouble are those that take no machines now.", reading => reading.Pools.SelectMany(pool => new[]
        {
            Measured(reading.Hosts[pool.Name].Count(host => host.Problem is null), ("pool", pool.Name), ("state", "well")),
            Measured(reading.Hosts[pool.Name].Count(host => host.Problem is not null), ("pool", pool.Name), ("state", "trouble")),
        }));
        Gauge("labportal.pool.slots", "{slot}", "Slots of the pool that are taken.", reading => reading.Pools.SelectMany(pool => Words.All<SlotKind>()
            .Select(kind => Measured(reading.Slots.GetValueOrDefault((pool.Name, kind)), ("pool", pool.Name), ("kind", kind)))));
        Gauge("labportal.orphans", "{resource}", "Orphans that are still there.", reading => reading.Pools.Select(pool => Measured(reading.Orphans.GetValueOrDefault(pool.Name), ("pool", pool.Name))));
    }

    internal Meter Meter => _meter;

    /// <summary>Reads, unless that was done a moment ago. A database that is away, or slow, is what is measured then: never an exception.</summary>
    public async Task RefreshAsync(CancellationToken cancellation)
    {
        await _gate.WaitAsync(cancellation);
        try
        {
            if (_readAt is { } at && _time.GetElapsedTime(at) < ReadFor) return;
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            patience.CancelAfter(s_patience);
            try
            {
                _reading = await _database.ReadAsync(session => ReadingStore.ReadAsync(session, _time.Now()), patience.Token).WaitAsync(patience.Token);
            }
            catch (Exception fault) when (!cancellation.IsCancellationRequested)
            {
                _log.LogWarning(fault, "The installation could not be measured.");
                _reading = null;
            }

            _readAt = _time.GetTimestamp();
        }
        finally
        {
            _gate.Release();
        }
    }

    // Also those that are not there now, so that a series does not come and go.
    private IEnumerable<Measurement<double>> Runs(Reading reading)
        => _workflows.All.Select(workflow => workflow.Name).Concat(reading.Runs.Keys.Select(key => key.Workflow)).Distinct()
            .SelectMany(workflow => Enum.GetValues<RunState>().Where(state => state.IsLive())
                .Select(state => Measured(reading.Runs.GetValueOrDefault((workflow, state.Word())), ("workflow", workflow), ("state", state.Word()))));

    private void Gauge(string name, string? unit, string description, Func<Reading, IEnumerable<Measurement<double>>> measure)
        => _meter.CreateObservableGauge(name, () => _reading is { } reading ? measure(reading) : [], unit, description);

    private static Measurement<double> Measured(double value, params (string Name, string Value)[] labels)
        => new(value, labels.Select(label => KeyValuePair.Create<string, object?>(label.Name, label.Value)));

    private double Since(Instant? at) => at is { } then ? Math.Max(0, (_time.Now() - then).TotalSeconds) : 0;

    public void Dispose()
    {
        _meter.Dispose();
        _gate.Dispose();
    }
}
