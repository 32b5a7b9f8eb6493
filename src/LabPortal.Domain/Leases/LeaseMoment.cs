using LabPortal.Domain.Labs;
using NodaTime;

namespace LabPortal.Domain.Leases;

/// <summary>What happens to a lab by time alone, the weakest first: where several are due at once, only the strongest is done.</summary>
public enum LeaseDeed
{
    /// <summary>Tell the owner that the end, or in grace the deletion, is near.</summary>
    Warn,

    /// <summary>Tell the owner that no beat came for half of the term.</summary>
    WarnSilence,
    DailyStart,
    DailyStop,

    /// <summary>Build a scheduled lab.</summary>
    Begin,

    /// <summary>The lease is over: stop, and let grace begin.</summary>
    Stop,

    /// <summary>Grace is over, or there is none, or no heartbeat came: delete.</summary>
    End,
}

/// <summary>The next thing that time does to a lab.</summary>
public sealed record LeaseMoment(Instant At, LeaseDeed Deed)
{
    private static readonly Duration[] s_warnings = [Duration.FromHours(24), Duration.FromHours(1), Duration.FromMinutes(10)];

    /// <summary>
    /// What the clock does next with this lab; nothing where only people or its run can move it. <paramref name="warnedAt"/>: when it was last
    /// warned, or its lease changed. <paramref name="before"/>: what was planned until now; a daily change of it that is due and not yet done
    /// stays planned, because it does not come again before tomorrow.
    /// </summary>
    public static LeaseMoment? Of(Lab lab, DailyHours? daily, Instant? warnedAt, LeaseMoment? before, Instant now)
    {
        var moments = new List<LeaseMoment>();
        var lease = lab.Lease;
        if (lab.State.IsOver() || lab.State == LabState.Ending) return null;
        if (lease.GraceUntil is { } graceUntil) moments.Add(new(graceUntil, LeaseDeed.End));
        if (lease.Heartbeat is { } heartbeat) moments.Add(new(heartbeat.Until, LeaseDeed.End));
        if (!lab.Frozen) moments.AddRange(WhileItLives(lab, daily, warnedAt, before, now));
        return moments.Where(moment => moment.At <= now).MaxBy(moment => moment.Deed) ?? moments.MinBy(moment => moment.At);
    }

    private static IEnumerable<LeaseMoment> WhileItLives(Lab lab, DailyHours? daily, Instant? warnedAt, LeaseMoment? before, Instant now)
    {
        var lease = lab.Lease;
        if (lease.Heartbeat is { WarnAt: { } silent } heartbeat && !(warnedAt >= heartbeat.BeatAt) && !(lease.End <= silent)) yield return new(silent, LeaseDeed.WarnSilence);
        switch (lab.State)
        {
            case LabState.Scheduled:
                yield return new(lease.Start, LeaseDeed.Begin);
                break;
            case LabState.Ready or LabState.Stopped when lease.End is { } end:
                if (lease.Grace > Duration.Zero) yield return new(end, LeaseDeed.Stop);
                if (Warning(Instant.Max(lab.ReadyAt ?? lease.Start, lease.Start), end, warnedAt) is { } warning) yield return warning;
                break;
            case LabState.Grace when lease.End is { } end:
                if (Warning(end, end + lease.Grace, warnedAt) is { } last) yield return last;
                break;
        }

        if (daily is not null && lab.State is LabState.Ready or LabState.Stopped) yield return Daily(lab, daily!, before, now);
    }

    /// <summary>The next warning not given yet; one that would take more than half of the time is none.</summary>
    private static LeaseMoment? Warning(Instant from, Instant end, Instant? warnedAt) => s_warnings
        .Where(ahead => ahead * 2 <= end - from && !(ahead < Duration.FromHours(1) && end - from >= Duration.FromHours(2)))
        .Select(ahead => end - ahead)
        .Where(at => warnedAt is null || at > warnedAt)
        .Select(at => new LeaseMoment(at, LeaseDeed.Warn))
        .FirstOrDefault();

    private static LeaseMoment Daily(Lab lab, DailyHours daily, LeaseMoment? before, Instant now)
    {
        var (deed, verb) = lab.State == LabState.Ready ? (LeaseDeed.DailyStop, LabVerb.Stop) : (LeaseDeed.DailyStart, LabVerb.Start);
        if (before is not null && before.Deed == deed && before.At <= now) return before;
        var zone = DateTimeZoneProviders.Tzdb[lab.Lease.Zone];
        var next = daily.Next(now, zone);
        while (next.Verb != verb) next = daily.Next(next.At, zone);
        return new(next.At, deed);
    }
}
