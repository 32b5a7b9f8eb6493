using LabPortal.Data;
using LabPortal.Data.Labs;
using LabPortal.Data.Leases;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.People;
using LabPortal.Operations.Telemetry;
using LabPortal.Operations.Workflows;
using Microsoft.Extensions.Logging;
using NodaTime;

namespace LabPortal.Operations.Leases;

/// <summary>
/// Does what time brings: one indexed look for all labs, many of them in one transaction, no job per lease. Several nodes may sweep at once:
/// each takes what no other holds, and a lab's moment moves on in the transaction in which its deed is done.
/// </summary>
public sealed class LeaseSweep(Database database, Runs runs, TimeProvider time, ILogger<LeaseSweep> log)
{
    private const int Batch = 100;
    private static readonly Duration s_again = Duration.FromSeconds(1);
    private static readonly Duration s_afterFault = Duration.FromMinutes(1);

    /// <summary>Far longer than the pause between two passes: this process, or its database, was away.</summary>
    private static readonly Duration s_away = Duration.FromSeconds(15);

    /// <summary>Until when this process is sure that beats were taken.</summary>
    private Instant? _heardUntil;

    /// <summary>Everything that is due now. Gives how many labs it looked at.</summary>
    public async Task<int> PassAsync(CancellationToken cancellation)
    {
        var looked = 0;
        while (true)
        {
            await HearAsync(cancellation);
            // Time may have stood still for this process between the two: then it hears first, and ends nobody.
            if (await BatchAsync(cancellation) is not { } batch) continue;
            looked += batch;
            if (batch < Batch) return looked;
        }
    }

    /// <summary>
    /// Who could not be heard was not silent: at the start, and after a time in which nothing was done here, each heartbeat's term begins anew. Where
    /// another node took the beats all the while, that only makes an end later.
    /// </summary>
    private async Task HearAsync(CancellationToken cancellation)
    {
        if (time.Now() - _heardUntil < s_away) return;
        var now = default(Instant);
        await database.WriteAsync(
            async session =>
            {
                now = time.Now();
                foreach (var lab in await LeaseStore.HearAllAsync(session, now)) await LeaseClock.ScheduleAsync(session, lab, now);
            },
            cancellation);
        _heardUntil = now;
    }

    /// <summary>Passes until cancelled; sleeps until the next moment, at most a second, because another node may set one.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        while (!cancellation.IsCancellationRequested)
        {
            try
            {
                await PassAsync(cancellation);
                var next = await database.ReadAsync(LeaseStore.NextAsync, cancellation);
                var pause = next is { } at ? Duration.Min(s_again, at - time.Now()) : s_again;
                if (pause > Duration.Zero) await Task.Delay(pause.ToTimeSpan(), time, cancellation);
            }
            catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
            {
                return;
            }
            catch (Exception fault)
            {
                log.LogError(fault, "The lease sweep failed; it goes on in a second.");
                await Task.Delay(s_again.ToTimeSpan(), time, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    /// <summary>Nothing where it is no longer sure that beats were taken.</summary>
    private async Task<int?> BatchAsync(CancellationToken cancellation)
    {
        LabId? current = null;
        try
        {
            return await database.WriteAsync<int?>(
                async session =>
                {
                    var now = time.Now();
                    if (now - _heardUntil >= s_away) return null;
                    _heardUntil = now;
                    var due = await LeaseStore.ClaimDueAsync(session, now, Batch);
                    foreach (var id in due)
                    {
                        current = id;
                        await DoAsync(session, id, now);
                    }

                    current = null;
                    return due.Count;
                },
                cancellation);
        }
        catch (Exception fault) when (fault is not OperationCanceledException && current is { } lab)
        {
            // One lab that cannot be served must not hold up the others: it is set aside, and the batch begins anew.
            log.LogError(fault, "What time brings to lab {Lab} could not be done; it is tried again in {Pause}.", lab, s_afterFault);
            await database.WriteAsync(
                async session =>
                {
                    var notes = await LeaseStore.FindAsync(session, lab);
                    await LeaseStore.SetNextAsync(session, lab, notes?.Next, time.Now() + s_afterFault);
                },
                cancellation);
            return Batch;
        }
    }

    private async Task DoAsync(Session session, LabId id, Instant now)
    {
        var lab = (await LabStore.FindAsync(session, id))!;
        var notes = (await LeaseStore.FindAsync(session, id))!;
        var moment = LeaseMoment.Of(lab, notes.Daily, notes.WarnedAt, notes.Next, now);
        if (moment is not null && moment.At <= now && !await DoAsync(session, lab, notes, moment.Deed, now))
        {
            // A live run is in the way. Its end sets the clock anew; this look is for the run that never ends.
            await LeaseStore.SetNextAsync(session, id, moment, now + s_again);
            return;
        }

        if (moment is not null && moment.At <= now) session.AfterCommit(() => PortalMeter.LeaseDeedDone(moment.Deed, now - moment.At));
        // What was done moved the lab, or the clock's notes of it; a daily change that was done is over.
        await LeaseStore.SetNextAsync(session, id, null);
        await LeaseClock.ScheduleAsync(session, id, now);
        var next = (await LeaseStore.FindAsync(session, id))!.Next;
        if (next is not null && next.At <= now) await LeaseStore.SetNextAsync(session, id, next, now + s_again);
    }

    /// <summary>False where a live run is in the way. Only the end waits for nobody.</summary>
    private async Task<bool> DoAsync(Session session, Lab lab, LeaseNotes notes, LeaseDeed deed, Instant now)
    {
        if (deed == LeaseDeed.Warn)
        {
            await WarnAsync(session, lab, now);
            return true;
        }

        if (deed == LeaseDeed.WarnSilence)
        {
            await LeaseStore.SetWarnedAsync(session, lab.Id, now);
            await Notices.WriteAsync(session, lab, NoticeCodes.HeartbeatIsMissing, now, ("at", Instants.Write(lab.Lease.Heartbeat!.Until)));
            return true;
        }

        var live = await RunStore.LiveOfAsync(session, lab.Id);
        if (deed == LeaseDeed.End)
        {
            // Somebody extended it in time; that run is short, and if it gets stuck the end is not held up by it.
            if (live is { Workflow: WorkflowNames.Extend, State: RunState.Running }) return false;
            var silent = lab.Lease.Heartbeat is { } heartbeat && heartbeat.Until <= now && !(lab.Lease.GraceUntil <= now) ? heartbeat : null;
            if (silent is not null) LabStore.AppendEvent(session, lab.Id, now, LabEventKind.Log, ("code", "heartbeat.missed"), ("since", Instants.Write(silent.BeatAt)));
            await runs.EndAsync(session, lab, silent is null ? "lease" : "heartbeat", now);
            await Notices.WriteAsync(session, lab, silent is null ? NoticeCodes.DeletionBegun : NoticeCodes.HeartbeatMissed, now);
            return true;
        }

        if (live is not null) return false;
        switch (deed)
        {
            case LeaseDeed.Begin:
                await runs.BeginAsync(session, lab, WorkflowNames.Provision, NoArguments, "lease", now);
                break;
            case LeaseDeed.Stop:
                // The clock's own note of the end tells the first try from another after a stop that failed.
                var again = notes.WarnedAt >= lab.Lease.End;
                if (again && now < notes.WarnedAt + s_afterFault) return false;
                await runs.BeginAsync(session, lab, WorkflowNames.Stop, new Dictionary<string, string> { [RunArguments.Then] = "grace" }, "lease", now);
                await LeaseStore.SetWarnedAsync(session, lab.Id, now);
                if (!again) await Notices.WriteAsync(session, lab, NoticeCodes.GraceBegun, now, ("graceUntil", Instants.Write(lab.Lease.GraceUntil!.Value)));
                break;
            case LeaseDeed.DailyStop:
                await runs.BeginAsync(session, lab, WorkflowNames.Stop, NoArguments, "daily hours", now);
                break;
            default:
                await runs.BeginAsync(session, lab, WorkflowNames.Start, NoArguments, "daily hours", now);
                break;
        }

        return true;
    }

    private async Task WarnAsync(Session session, Lab lab, Instant now)
    {
        var inGrace = lab.State == LabState.Grace;
        await LeaseStore.SetWarnedAsync(session, lab.Id, now);
        await Notices.WriteAsync(
            session, lab, inGrace ? NoticeCodes.DeletionIsNear : NoticeCodes.EndIsNear, now,
            ("at", Instants.Write(inGrace ? lab.Lease.GraceUntil!.Value : lab.Lease.End!.Value)));
    }

    private static readonly Dictionary<string, string> NoArguments = [];
}
