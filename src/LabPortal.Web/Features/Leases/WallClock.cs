using NodaTime;
using NodaTime.Text;

namespace LabPortal.Web.Features.Leases;

/// <summary>What <c>input type=datetime-local</c> says (HTML, 2.3.5.4), read in a zone.</summary>
internal static class WallClock
{
    /// <summary>The sentence for what is no time.</summary>
    public const string Misread = "field.not-a-time";

    private static readonly LocalDateTimePattern s_minutes = LocalDateTimePattern.CreateWithInvariantCulture("uuuu'-'MM'-'dd'T'HH':'mm");

    // Browsers leave out seconds that are zero; Blazor's script puts them back before it tells of a change.
    private static readonly IPattern<LocalDateTime> s_said = new CompositePatternBuilder<LocalDateTime>
    {
        { LocalDateTimePattern.GeneralIso, _ => false },
        { s_minutes, _ => true },
    }.Build();

    /// <summary>The instant; a time that the zone skips is moved on, one that it repeats is the first. Nothing for what is no time.</summary>
    public static Instant? Read(string? text, DateTimeZone zone)
        => s_said.Parse(text ?? "") is { Success: true, Value: var local } ? zone.AtLeniently(local).ToInstant() : null;

    public static string Write(Instant at, DateTimeZone zone) => s_minutes.Format(at.InZone(zone).LocalDateTime);
}
