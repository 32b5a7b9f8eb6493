using NodaTime;
using NodaTime.Text;

namespace LabPortal.Web.Features.Leases;

/// <summary>What <c>input type=datetime-local</c> says (HTML, 2.3.5.4), read in a zone.</summary>
internal static class WallClock
{
    private static readonly LocalDateTimePattern s_pattern = LocalDateTimePattern.CreateWithInvariantCulture("uuuu'-'MM'-'dd'T'HH':'mm");

    /// <summary>The instant; a time that the zone skips is moved on, one that it repeats is the first. Nothing for what is no time.</summary>
    public static Instant? Read(string? text, DateTimeZone zone)
        => s_pattern.Parse(text ?? "") is { Success: true, Value: var local } ? zone.AtLeniently(local).ToInstant() : null;

    public static string Write(Instant at, DateTimeZone zone) => s_pattern.Format(at.InZone(zone).LocalDateTime);
}
