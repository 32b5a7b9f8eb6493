using System.Data.Common;
using System.Threading.Channels;
using Hangfire;
using Hangfire.Server;
using LabPortal.Data;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Telemetry;
using Microsoft.Extensions.Logging;
using NodaTime;

namespace LabPortal.Operations.Workflows;

/// <summary>
/// The work of one Hangfire job: claims due runs, advances them side by side, and goes on while there are more. When there are none it
/// stays for a while, so that the next one need not wait for a job to be ordered and fetched.
/// </summary>
public sealed class TurnBatch(
    Database database, RegisteredWorkflows workflows, StepTools tools, WorkerLease lease, Runs runs, TurnWriter writer, TurnBell bell, ILogger<TurnBatch> log)
{
    /// <summary>One ranking of the due runs serves several claims: so long where something new was heard of since, and so long where not.</summary>
    private static readonly TimeSpan s_rankedFor = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan s_rankedForQuiet = TimeSpan.FromSeconds(1);

    /// <summary>How long a batch waits before it claims with little room, or what it passed over.</summary>
    private static readonly TimeSpan s_together = TimeSpan.FromMilliseconds(20);

    private static readonly Duration s_afterTrouble = Duration.FromSeconds(5);

    // Under the worker's Claiming; one for the process, as this class is.
    private IReadOnlyList<RunId> _ranked = [];
    private long _rankedAt;
    private Task _rankedRing = Task.CompletedTask;

    /// <summary>As a job. Not retried by Hangfire, because the pump orders another; lost or doubled, it does no harm.</summary>
    [AutomaticRetry(Attempts = 0, OnAttemptsExceeded = AttemptsExceededAction.Delete)]
    [TurnsDisplayName]
    public async Task<string> RunAsync(string name, PerformContext? context, CancellationToken cancellation)
    {
        var advanced = await AdvanceAsync(tools.Settings.Linger, cancellation);
        var text = $"Turns: {advanced} runs advanced";
        if (context is not null) TurnsDisplayNameAttribute.Save(context, name, text);
        return text;
    }

    /// <summary>Until nothing is due. How many turns it made: runs that became due again meanwhile count again.</summary>
    public Task<int> AdvanceDueAsync(CancellationToken cancellation) => AdvanceAsync(TimeSpan.Zero, cancellation);

    private async Task<int> AdvanceAsync(TimeSpan linger, CancellationToken cancellation)
    {
        using var batch = bell.BatchBegins();
        using var measured = PortalMeter.BatchAtWork();
        var ended = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
        var (began, workedAt) = (tools.Time.GetTimestamp(), tools.Time.GetTimestamp());
        var (advanced, active, finished, seen) = (0, 0, 0, 0);
        var (look, wishedAt, anEnd) = (true, (long?)null, (Task<bool>?)null);
        try
        {
            while (true)
            {
                // Listened to before the look, so that no ring is lost in between.
                var rung = bell.More;
                var room = tools.Settings.BatchSize - Volatile.Read(ref active);
                var claims = !cancellation.IsCancellationRequested && tools.Time.GetElapsedTime(began) < tools.Settings.LongestBatch;
                if (look) wishedAt ??= tools.Time.GetTimestamp();
                if (claims && look && room > 0 && (room >= tools.Settings.BatchSize / 4 || tools.Time.GetElapsedTime(wishedAt!.Value) >= s_together))
                {
                    seen = Volatile.Read(ref finished);
                    (var claimed, look) = await ClaimAsync(room, cancellation);
                    wishedAt = look ? tools.Time.GetTimestamp() : null;
                    if (claimed.Count > 0) workedAt = tools.Time.GetTimestamp();
                    advanced += claimed.Count;
                    room -= claimed.Count;
                    Interlocked.Add(ref active, claimed.Count);
                    foreach (var turn in claimed) _ = TurnOneAsync(turn);
                }

                batch.HasRoom = claims && room > 0;
                var pause = look && room > 0 ? s_together : Timeout.InfiniteTimeSpan;
                if (Volatile.Read(ref active) == 0)
                {
                    // What ended since the last look may have made something due.
                    if (claims && seen != Volatile.Read(ref finished))
                    {
                        look = true;
                        continue;
                    }

                    var left = linger - tools.Time.GetElapsedTime(workedAt);
                    if (!claims || (left <= TimeSpan.Zero && batch.TryEnd(rung))) return advanced;
                    if (!look) pause = left > TimeSpan.Zero ? left : TimeSpan.Zero;
                }

                using var over = CancellationTokenSource.CreateLinkedTokenSource(Volatile.Read(ref active) == 0 ? cancellation : CancellationToken.None);
                anEnd ??= ended.Reader.WaitToReadAsync(CancellationToken.None).AsTask();
                await Task.WhenAny(anEnd, rung, Task.Delay(pause, tools.Time, over.Token));
                await over.CancelAsync();
                if (anEnd.IsCompleted)
                {
                    ended.Reader.TryRead(out _);
                    anEnd = null;
                }

                look |= rung.IsCompleted;
            }
        }
        finally
        {
            // Whatever ends this job, the host waits for it: turns that save their outcome still need what it owns.
            batch.HasRoom = false;
            while (Volatile.Read(ref active) > 0)
            {
                await (anEnd ?? ended.Reader.WaitToReadAsync(CancellationToken.None).AsTask());
                ended.Reader.TryRead(out _);
                anEnd = null;
            }
        }

        async Task TurnOneAsync(Turn turn)
        {
            await Task.Yield();
            await TurnAsync(turn, cancellation);
            Interlocked.Increment(ref finished);
            Interlocked.Decrement(ref active);
            ended.Writer.TryWrite(true);
        }
    }

    /// <summary>Claimed turns, and whether there may be more now.</summary>
    private async Task<(IReadOnlyList<Turn> Claimed, bool More)> ClaimAsync(int room, CancellationToken cancellation)
    {
        if (!lease.MayAct) return ([], false);
        // Two batches of one process must not take the same run: what each has is known only once its claim is committed.
        await lease.Claiming.WaitAsync(cancellation);
        try
        {
            var (claimed, lapsed) = (new List<Turn>(), lease.Lapsed());
            for (var fresh = _ranked.Count == 0 || tools.Time.GetElapsedTime(_rankedAt) > (_rankedRing.IsCompleted ? s_rankedFor : s_rankedForQuiet); ; fresh = true)
            {
                if (fresh)
                {
                    // More than are taken, because others lock some.
                    (_rankedAt, _rankedRing) = (tools.Time.GetTimestamp(), bell.More);
                    _ranked = await database.ReadAsync(
                        session => RunStore.RankAsync(session, lease.Id, lapsed, [.. lease.Turning.Keys], workflows.Keys, 8 * room, tools.Time.Now()), cancellation);
                }

                var more = _ranked.Count == 0 ? [] : await ClaimAsync(_ranked, lapsed, room - claimed.Count, cancellation);
                foreach (var turn in more) lease.Turning[turn.Claim.Id] = true;
                claimed.AddRange(more);
                _ranked = [.. _ranked.Where(id => !lease.Turning.ContainsKey(id))];
                if (claimed.Count < room && !fresh) continue;
                // Others have what is left, or have it locked for a moment.
                var passedOver = claimed.Count < room && _ranked.Count > 0;
                if (passedOver) _ranked = [];
                return (claimed, claimed.Count == room || passedOver);
            }
        }
        finally
        {
            lease.Claiming.Release();
        }
    }

    private async Task<IReadOnlyList<Turn>> ClaimAsync(IReadOnlyList<RunId> ranked, IReadOnlyList<string> lapsed, int room, CancellationToken cancellation)
    {
        async Task<IReadOnlyList<Turn>> ClaimAsync(Session session)
            => [.. (await RunStore.ClaimAsync(session, lease.Id, lapsed, ranked, workflows.Keys, room, tools.Time.Now())).Select(run => new Turn(run, workflows.Find(run)!, tools, lease, runs, writer))];

        try
        {
            var begun = await database.WriteAsync(
                async session =>
                {
                    var begun = await TurnWriter.BeginAsync(session, await ClaimAsync(session));
                    foreach (var _ in begun) tools.Seam?.Invoke(TurnMoment.BeforeCommit);
                    return begun;
                },
                cancellation);
            foreach (var (turn, next) in begun) turn.Begun(next);
            return [.. begun.Select(one => one.Turn)];
        }
        catch (Exception fault) when (fault is not (OperationCanceledException or DbException { IsTransient: true }))
        {
            log.LogWarning(fault, "The first part of a turn cannot be written; each of these turns is begun alone.");
            return await database.WriteAsync(ClaimAsync, cancellation);
        }
    }

    private async Task TurnAsync(Turn turn, CancellationToken cancellation)
    {
        var run = turn.Claim;
        Instant? due = null;
        using var traced = PortalTrace.Turn(run);
        var begun = tools.Time.GetTimestamp();
        PortalMeter.TurnBegins(run, tools.Time.Now());
        try
        {
            due = await turn.AdvanceAsync(cancellation);
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
            PortalMeter.TurnEnded(run, tools.Time.GetElapsedTime(begun));
        }

        // Only now does the pump see it.
        if (due is { } at) bell.RingAt(at);
    }

    /// <summary>The engine itself failed (the database is away, or a mistake of ours): shown on the run, and never a busy loop.</summary>
    private async Task PostponeAsync(Run run, Exception fault)
    {
        try
        {
            await database.WriteAsync(
                async session =>
                {
                    if (!(await RunStore.GuardAsync(session, [run], wait: true)).TryGetValue(run.Id, out var check) || !check.IsOf(run)) return;
                    var now = tools.Time.Now();
                    await RunStore.SetProblemAsync(session, run.Id, new Reason("run.turn-failed", ("message", fault.Message)));
                    RunStore.Release(session, run, now + s_afterTrouble);
                },
                CancellationToken.None);
        }
        catch (Exception away)
        {
            log.LogError(away, "Run {Run} could not be given back; this worker claims it again.", run.Id);
        }
    }
}
