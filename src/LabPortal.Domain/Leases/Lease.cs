using NodaTime;

namespace LabPortal.Domain.Leases;

/// <summary>
/// How long a lab may live. Hours count from <i>ready</i> (or from the start, if later), so the end is not known before; a lease
/// <i>until</i> an instant ends then, whenever it became ready. Intervals are half-open: at <see cref="End"/> it is over.
/// </summary>
public sealed record Lease
{
    /// <summary>When building may begin.</summary>
    public required Instant Start { get; init; }

    /// <summary>The asked length, where it was asked in hours; empty for a lease until an instant.</summary>
    public Duration? Length { get; init; }

    /// <summary>When the lab is stopped; empty until ready for a lease in hours.</summary>
    public Instant? End { get; init; }

    /// <summary>How long after the end deletion begins; zero deletes at the end.</summary>
    public required Duration Grace { get; init; }

    /// <summary>When deletion begins.</summary>
    public Instant? GraceUntil => End + Grace;

    /// <summary>The team's zone (IANA), for daily hours and for showing.</summary>
    public required string Zone { get; init; }

    /// <summary>What keeps the lab beside its lease; empty where nothing has to.</summary>
    public Heartbeat? Heartbeat { get; init; }

    /// <summary>The lease of a lab that became ready now.</summary>
    public Lease ReadyAt(Instant ready) => Length is { } length && End is null ? this with { End = Instant.Max(ready, Start) + length } : this;

    /// <summary>
    /// When everything is certainly over if all goes well: what a hold is taken until. Before <i>ready</i> the end of a lease in hours
    /// is estimated from <paramref name="now"/>.
    /// </summary>
    public Instant HoldUntil(Instant now) => (End ?? Instant.Max(now, Start) + (Length ?? Duration.Zero)) + Grace;
}

/// <summary>
/// Somebody has to say again and again that the lab is still wanted: where no beat came for the whole <paramref name="Term"/>, it ends, whatever is
/// left of its lease. A beat gives nothing beyond the lease.
/// </summary>
public sealed record Heartbeat(Duration Term, Instant BeatAt)
{
    public static readonly Duration Shortest = Duration.FromMinutes(1);
    public static readonly Duration Longest = Duration.FromDays(1);

    /// <summary>Below this a warning would come too late for people.</summary>
    private static readonly Duration s_worthAWarning = Duration.FromMinutes(10);

    /// <summary>Without another beat the lab ends then.</summary>
    public Instant Until => BeatAt + Term;

    /// <summary>When its owner is told that nothing was heard.</summary>
    public Instant? WarnAt => Term >= s_worthAWarning ? BeatAt + Term / 2 : null;
}

/// <summary>What a blueprint says of lifetimes. The ceiling counts the whole life, extensions included.</summary>
public sealed record LeaseRules(Duration Default, Duration Max, Duration Grace, DailyHours? Daily = null)
{
    public static readonly Duration Shortest = Duration.FromMinutes(1);
}

/// <summary>
/// A lab runs each day from <paramref name="Start"/> to <paramref name="Stop"/> in its team's zone, on <paramref name="Days"/> (all, where empty).
/// </summary>
public sealed record DailyHours(LocalTime Start, LocalTime Stop, IReadOnlyList<IsoDayOfWeek> Days)
{
    /// <summary>
    /// The first change strictly after <paramref name="after"/>. A wall-clock time that the zone skips (spring) happens at the
    /// instant of the jump; one that it repeats (autumn) happens the first time only.
    /// </summary>
    public (Instant At, LabPortal.Domain.Labs.LabVerb Verb) Next(Instant after, DateTimeZone zone)
    {
        var day = after.InZone(zone).Date.PlusDays(-1);
        for (var i = 0; i < 10; i++, day = day.PlusDays(1))
        {
            if (Days.Count > 0 && !Days.Contains(day.DayOfWeek)) continue;
            var stopDay = Stop > Start ? day : day.PlusDays(1);
            var changes = new[]
            {
                (At: At(day + Start, zone), Verb: Labs.LabVerb.Start),
                (At: At(stopDay + Stop, zone), Verb: Labs.LabVerb.Stop),
            };
            foreach (var change in changes.OrderBy(change => change.At))
            {
                if (change.At > after) return change;
            }
        }

        throw new InvalidOperationException("Daily hours without a day.");
    }

    private static Instant At(LocalDateTime local, DateTimeZone zone) => zone.ResolveLocal(local, mapping => mapping.Count switch
    {
        0 => mapping.LateInterval.Start.InZone(zone),
        _ => mapping.First(),
    }).ToInstant();
}
