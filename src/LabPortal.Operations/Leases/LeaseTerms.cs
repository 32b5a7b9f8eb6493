using LabPortal.Domain;
using LabPortal.Domain.Leases;
using LabPortal.Operations.Labs;
using NodaTime;

namespace LabPortal.Operations.Leases;

/// <summary>What a lease may be: what somebody asks for against the blueprint's rules.</summary>
internal static class LeaseTerms
{
    /// <summary>A start that is only a little past is now: forms and scripts take their time.</summary>
    private static readonly Duration s_late = Duration.FromMinutes(5);
    private static readonly Duration s_farthestStart = Duration.FromDays(366);

    /// <summary>The longest that is ever calculated with, so that no sum leaves what instants can hold.</summary>
    private static readonly Duration s_longest = Duration.FromDays(36_600);

    /// <summary>The lease of a new lab; every mistake goes to <paramref name="errors"/>.</summary>
    public static Lease? OfRequest(LeaseRules rules, LeaseRequest? asked, Instant? start, string zone, Instant now, List<FieldError> errors)
    {
        var from = start is { } at && at > now ? at : now;
        if (start < now - s_late) errors.Add(new("start", "start.past"));
        if (start > now + s_farthestStart)
        {
            errors.Add(new("start", "start.too-far", [("days", s_farthestStart.Days)]));
            return null;
        }

        var heartbeat = asked?.HeartbeatMinutes is { } minutes ? HeartbeatOf(minutes, "lease.heartbeatMinutes", now, errors) : null;
        if (asked is null or { Hours: null, Until: null }) return new Lease { Start = from, Length = rules.Default, Grace = rules.Grace, Zone = zone, Heartbeat = heartbeat };
        if (LengthOf(asked, from, errors) is not { } length) return null;
        CheckCeiling(rules, length, errors, asked.Hours is null ? "lease.until" : "lease.hours");
        return asked.Hours is not null
            ? new Lease { Start = from, Length = length, Grace = rules.Grace, Zone = zone, Heartbeat = heartbeat }
            : new Lease { Start = from, End = Cut(asked.Until!.Value), Grace = rules.Grace, Zone = zone, Heartbeat = heartbeat };
    }

    /// <summary>A heartbeat whose first beat is now.</summary>
    public static Heartbeat? HeartbeatOf(decimal minutes, string field, Instant now, List<FieldError> errors)
    {
        var (least, most) = ((decimal)Heartbeat.Shortest.TotalMinutes, (decimal)Heartbeat.Longest.TotalMinutes);
        if (minutes >= least && minutes <= most) return new Heartbeat(Duration.FromTicks((long)(minutes * 60_000_000m) * 10), now);
        errors.Add(new(field, "heartbeat.range", [("min", least), ("max", most)]));
        return null;
    }

    /// <summary>
    /// The lease after an extension: hours count from the end as it is (from now, where it is over), an instant is the new end. The ceiling
    /// counts the whole life, from ready on.
    /// </summary>
    public static Lease? Extended(LeaseRules rules, Lease lease, Instant? readyAt, LeaseRequest by, Instant now, List<FieldError> errors)
    {
        if (by is { Hours: null, Until: null })
        {
            errors.Add(new("lease", "lease.one-of"));
            return null;
        }

        var born = Instant.Max(readyAt ?? lease.Start, lease.Start);
        if (lease.End is not { } end)
        {
            // Not built yet, in hours: its length grows.
            if (LengthOf(by, lease.Start, errors) is not { } more) return null;
            var length = by.Hours is not null ? lease.Length!.Value + more : more;
            if (by.Hours is null && length <= lease.Length) errors.Add(new("until", "lease.not-longer"));
            CheckCeiling(rules, length, errors, "hours");
            return lease with { Length = length };
        }

        Instant next;
        if (by.Hours is not null)
        {
            if (LengthOf(by, now, errors) is not { } more) return null;
            next = Instant.Max(end, now) + more;
        }
        else
        {
            if (LengthOf(by, now, errors) is null) return null;
            next = Cut(by.Until!.Value);
            if (next <= end) errors.Add(new("until", "lease.not-longer", [("end", end)]));
        }

        CheckCeiling(rules, next - born, errors, by.Hours is null ? "until" : "hours");
        return lease with { End = next };
    }

    private static Duration? LengthOf(LeaseRequest asked, Instant from, List<FieldError> errors)
    {
        if (asked is { Hours: not null, Until: not null })
        {
            errors.Add(new("lease", "lease.one-of"));
            return null;
        }

        if (asked.Hours is { } hours)
        {
            if (hours > (decimal)s_longest.TotalHours || hours < -(decimal)s_longest.TotalHours)
            {
                errors.Add(new("lease.hours", "lease.hours-range", [("max", s_longest.TotalHours)]));
                return null;
            }

            var length = Duration.FromTicks((long)(hours * 3_600_000_000m) * 10);
            if (length >= LeaseRules.Shortest) return length;
            errors.Add(new("lease.hours", "lease.too-short", [("minutes", 1)]));
            return null;
        }

        var until = asked.Until!.Value;
        if (until <= from) errors.Add(new("lease.until", "lease.until-past"));
        else if (until - from > s_longest) errors.Add(new("lease.until", "lease.hours-range", [("max", s_longest.TotalHours)]));
        else if (until - from < LeaseRules.Shortest) errors.Add(new("lease.until", "lease.too-short", [("minutes", 1)]));
        else return until - from;
        return null;
    }

    private static void CheckCeiling(LeaseRules rules, Duration length, List<FieldError> errors, string field)
    {
        if (length > rules.Max) errors.Add(new(field, "lease.beyond-ceiling", [("maxHours", (decimal)rules.Max.TotalHours), ("askedHours", Math.Round((decimal)length.TotalHours, 2))]));
    }

    private static Instant Cut(Instant at) => Instants.FromMicroseconds(at.ToMicroseconds());
}
