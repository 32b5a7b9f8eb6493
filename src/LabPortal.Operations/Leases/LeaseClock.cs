using LabPortal.Data;
using LabPortal.Data.Labs;
using LabPortal.Data.Leases;
using LabPortal.Domain;
using LabPortal.Domain.Leases;
using NodaTime;

namespace LabPortal.Operations.Leases;

/// <summary>When something happens to a lab by itself. The next moment is kept with the lab, so that one indexed look finds all that is due.</summary>
public static class LeaseClock
{
    /// <summary>
    /// Computes anew what the clock does next with this lab (begin, warn, stop at its end, delete at the end of grace, daily stop and
    /// start) and stores when. Called in every transaction that changes the lab's state, lease or zone.
    /// </summary>
    public static async Task ScheduleAsync(Session session, LabId lab, Instant now)
    {
        var found = await LabStore.FindAsync(session, lab) ?? throw new InvalidOperationException($"There is no lab {lab}.");
        var notes = await LeaseStore.FindAsync(session, lab);
        await LeaseStore.SetNextAsync(session, lab, LeaseMoment.Of(found, notes!.Daily, notes.WarnedAt, notes.Next, now));
    }

    /// <summary>Moves the team's living labs to its new zone and sets their clocks anew. Part of the transaction that changes the team.</summary>
    public static async Task RezoneAsync(Session session, TeamId team, string zone, Instant now)
    {
        foreach (var lab in await LeaseStore.RezoneAsync(session, team, zone)) await ScheduleAsync(session, lab, now);
    }
}
