using System.Globalization;
using Hangfire;
using Hangfire.Common;
using Hangfire.Dashboard;
using Hangfire.Server;
using LabPortal.Data;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using Microsoft.Extensions.Logging;
using NodaTime;

namespace LabPortal.Operations.Workflows;

/// <summary>
/// Sees to it that due runs are turned. Waits for the signal that runs became due, for the time when one is, or a second; then wakes the
/// batches at work, and where those have no room orders one more as a Hangfire job. Nothing else starts turns.
/// </summary>
public sealed class TurnPump(Database database, RegisteredWorkflows workflows, WorkerLease lease, TurnBell bell, EngineSettings settings, TimeProvider time, IBackgroundJobClient jobs, ILogger<TurnPump> log)
    : IBackgroundProcess
{
    private long _batches;

    public void Execute(BackgroundProcessContext context)
    {
        // Hangfire gives each of its processes a thread of its own; it is meant to be blocked.
#pragma warning disable RS0030
        LoopAsync(context.StoppingToken).GetAwaiter().GetResult();
#pragma warning restore RS0030
    }

    public override string ToString() => "turn pump";

    private async Task LoopAsync(CancellationToken stopping)
    {
        using var signals = database.Signals.Subscribe(Signal.Runs);
        var heard = signals.WaitAsync(settings.LookEvery, stopping);
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                var (told, sooner) = bell.Listen();
                var now = time.Now();
                var next = lease.MayAct ? await database.ReadAsync(session => RunStore.NextDueAsync(session, lease.Id, lease.Lapsed(), [.. lease.Turning.Keys], workflows.Keys), stopping) : null;
                // A run that was given back may not be readable yet.
                next = told is { } at && !(next < at) ? at : next;
                if (next <= now) Ring();
                if (lease.MayAct) bell.Looked();
                var wait = next > now ? TimeSpan.FromTicks(Math.Clamp((next.Value - now).BclCompatibleTicks, TimeSpan.TicksPerMillisecond, settings.LookEvery.Ticks)) : settings.LookEvery;
                using var over = CancellationTokenSource.CreateLinkedTokenSource(stopping);
                var waiting = Task.Delay(wait, time, over.Token);
                await Task.WhenAny(heard, sooner, waiting);
                // What was heard is passed on without a look of its own: a claim that finds nothing costs no more.
                while (heard.IsCompleted && !waiting.IsCompleted && !sooner.IsCompleted)
                {
                    if ((await heard).Count > 0 && lease.MayAct) Ring();
                    heard = signals.WaitAsync(settings.LookEvery, stopping);
                    await Task.WhenAny(heard, sooner, waiting);
                }

                await over.CancelAsync();
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested)
            {
                return;
            }
            catch (Exception fault)
            {
                if (fault is NotOrdered) log.LogError(fault.InnerException, "The pump could not order a job that turns due runs; it tries again.");
                else log.LogError(fault, "The pump could not look for due runs; it tries again.");
                await Task.Delay(settings.LookEvery, time, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private void Ring()
    {
        if (!bell.Ring(settings.BatchesAtOnce)) return;
        var name = $"{lease.Id}/{(++_batches).ToString(CultureInfo.InvariantCulture)}";
        try
        {
            jobs.Enqueue<TurnBatch>(batch => batch.RunAsync(name, null, CancellationToken.None));
        }
        catch (Exception fault)
        {
            bell.NotOrdered();
            throw new NotOrdered(fault);
        }
    }

    private sealed class NotOrdered(Exception cause) : Exception(cause.Message, cause);
}

/// <summary>Raises this worker's beat, apart from the pump so that nothing can hold it up.</summary>
public sealed class WorkerBeat(WorkerLease lease, EngineSettings settings, ILogger<WorkerBeat> log) : IBackgroundProcess
{
    public void Execute(BackgroundProcessContext context)
    {
        try
        {
#pragma warning disable RS0030
            lease.BeatAsync(context.StoppingToken).GetAwaiter().GetResult();
#pragma warning restore RS0030
        }
        catch (Exception fault) when (!context.StoppingToken.IsCancellationRequested)
        {
            log.LogError(fault, "The worker's beat did not come through; {Left} of its term is left.", lease.Left);
            context.Wait(TimeSpan.FromSeconds(1));
            return;
        }

        context.Wait(settings.BeatEvery);
    }

    public override string ToString() => "worker beat";
}

/// <summary>In the dashboard a batch is named by what it did; before it ends, by what it is.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class TurnsDisplayNameAttribute() : JobDisplayNameAttribute("Turns")
{
    private static readonly TimeSpan s_keep = TimeSpan.FromDays(1);

    public override string Format(DashboardContext context, Job job)
    {
        using var connection = context.Storage.GetConnection();
        return connection.GetAllEntriesFromHash(Key((string)job.Args[0]))?.GetValueOrDefault("text") ?? DisplayName;
    }

    internal static void Save(PerformContext context, string name, string text)
    {
        using var transaction = context.Connection.CreateWriteTransaction();
        transaction.SetRangeInHash(Key(name), [KeyValuePair.Create("text", text)]);
        if (transaction is Hangfire.Storage.JobStorageTransaction keeping) keeping.ExpireHash(Key(name), s_keep);
        transaction.Commit();
    }

    private static string Key(string name) => $"labportal:turns:{name}";
}
