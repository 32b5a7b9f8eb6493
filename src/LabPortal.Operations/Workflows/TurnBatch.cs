using Hangfire;
using Hangfire.Server;
using LabPortal.Data;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Workflows;
using Microsoft.Extensions.Logging;
using NodaTime;

namespace LabPortal.Operations.Workflows;

/// <summary>The work of one Hangfire job: claims due runs, advances them side by side, and goes on while there are more.</summary>
public sealed class TurnBatch(Database database, RegisteredWorkflows workflows, StepTools tools, WorkerLease lease, Runs runs, TurnBell bell, ILogger<TurnBatch> log)
{
    private static readonly Duration s_afterTrouble = Duration.FromSeconds(5);

    /// <summary>As a job. Retried by Hangfire only where the database is away; lost or doubled, it does no harm.</summary>
    [AutomaticRetry(Attempts = 0, OnAttemptsExceeded = AttemptsExceededAction.Delete)]
    [TurnsDisplayName]
    public async Task<string> RunAsync(string name, PerformContext? context, CancellationToken cancellation)
    {
        using var batch = bell.BatchBegins();
        var advanced = batch.Advanced = await AdvanceDueAsync(cancellation);
        var text = $"Turns: {advanced} runs advanced";
        if (context is not null) TurnsDisplayNameAttribute.Save(context, name, text);
        return text;
    }

    /// <summary>How many turns it made: runs that became due again meanwhile count again.</summary>
    public async Task<int> AdvanceDueAsync(CancellationToken cancellation)
    {
        var advanced = 0;
        var active = new List<Task>();
        while (true)
        {
            var room = tools.Settings.BatchSize - active.Count;
            var claimed = cancellation.IsCancellationRequested || room <= 0 ? [] : await ClaimAsync(room, cancellation);
            advanced += claimed.Count;
            active.AddRange(claimed.Select(run => TurnAsync(run, cancellation)));
            if (active.Count == 0) return advanced;
            await Task.WhenAny([.. active, bell.More]);
            active.RemoveAll(turn => turn.IsCompleted);
        }
    }

    private async Task<IReadOnlyList<Run>> ClaimAsync(int room, CancellationToken cancellation)
    {
        if (!lease.MayAct) return [];
        // Two batches of one process must not take the same run: what each has is known only once its claim is committed.
        await lease.Claiming.WaitAsync(cancellation);
        try
        {
            var turning = lease.Turning.Keys.ToList();
            var claimed = await database.WriteAsync(
                session => RunStore.ClaimAsync(session, lease.Id, lease.Lapsed(), turning, workflows.Keys, room, tools.Time.Now()), cancellation);
            foreach (var run in claimed) lease.Turning[run.Id] = true;
            return claimed;
        }
        finally
        {
            lease.Claiming.Release();
        }
    }

    private async Task TurnAsync(Run run, CancellationToken cancellation)
    {
        await Task.Yield();
        try
        {
            if (await new Turn(run, workflows.Find(run)!, tools, lease, runs).AdvanceAsync(cancellation) is { } due) bell.RingAt(due);
        }
        catch (LeaseLost lost)
        {
            log.LogWarning("A turn of run {Run} stopped: {Why}", run.Id, lost.Message);
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            // The worker is stopping; the run is claimed again by whoever lives.
        }
        catch (Exception fault)
        {
            log.LogError(fault, "A turn of run {Run} ({Workflow}) failed; it is tried again in {Pause}.", run.Id, run.Workflow, s_afterTrouble);
            await PostponeAsync(run, fault);
        }
        finally
        {
            lease.Turning.TryRemove(run.Id, out _);
        }
    }

    /// <summary>The engine itself failed (the database is away, or a mistake of ours): shown on the run, and never a busy loop.</summary>
    private async Task PostponeAsync(Run run, Exception fault)
    {
        try
        {
            await database.WriteAsync(
                async session =>
                {
                    if (await RunStore.GuardAsync(session, run) is null) return;
                    var now = tools.Time.Now();
                    await RunStore.SetProblemAsync(session, run.Id, new Reason("run.turn-failed", ("message", fault.Message)));
                    await RunStore.ReleaseAsync(session, run, now + s_afterTrouble);
                },
                CancellationToken.None);
        }
        catch (Exception away)
        {
            log.LogError(away, "Run {Run} could not be given back; this worker claims it again.", run.Id);
        }
    }
}
