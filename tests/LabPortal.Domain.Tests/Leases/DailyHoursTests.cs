using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using NodaTime;
using Xunit;

namespace LabPortal.Domain.Tests.Leases;

public sealed class DailyHoursTests
{
    private static readonly DateTimeZone s_berlin = DateTimeZoneProviders.Tzdb["Europe/Berlin"];

    [Fact]
    public void A_start_that_spring_skips_happens_at_the_jump()
    {
        // 2026-03-29: 02:00 becomes 03:00 (01:00 UTC).
        var daily = new DailyHours(new LocalTime(2, 30), new LocalTime(18, 0), []);
        Assert.Equal((Instant.FromUtc(2026, 3, 29, 1, 0), LabVerb.Start), daily.Next(Instant.FromUtc(2026, 3, 28, 20, 0), s_berlin));
        Assert.Equal((Instant.FromUtc(2026, 3, 29, 16, 0), LabVerb.Stop), daily.Next(Instant.FromUtc(2026, 3, 29, 1, 0), s_berlin));
    }

    [Fact]
    public void A_start_that_autumn_repeats_happens_the_first_time_only()
    {
        // 2026-10-25: 03:00 becomes 02:00 (01:00 UTC); 02:30 is at 00:30 and at 01:30 UTC.
        var daily = new DailyHours(new LocalTime(2, 30), new LocalTime(18, 0), []);
        var first = daily.Next(Instant.FromUtc(2026, 10, 24, 20, 0), s_berlin);
        Assert.Equal((Instant.FromUtc(2026, 10, 25, 0, 30), LabVerb.Start), first);
        Assert.Equal((Instant.FromUtc(2026, 10, 25, 17, 0), LabVerb.Stop), daily.Next(first.At, s_berlin));
    }

    [Theory, InlineData(2026, 3, 28), InlineData(2026, 3, 29), InlineData(2026, 10, 24), InlineData(2026, 10, 25)]
    public void Eight_is_eight_on_the_wall_on_every_day(int year, int month, int day)
    {
        var daily = new DailyHours(new LocalTime(8, 0), new LocalTime(20, 0), []);
        var midnight = new LocalDate(year, month, day).AtStartOfDayInZone(s_berlin).ToInstant();
        var start = daily.Next(midnight, s_berlin);
        Assert.Equal(new LocalDateTime(year, month, day, 8, 0), start.At.InZone(s_berlin).LocalDateTime);
        Assert.Equal(new LocalDateTime(year, month, day, 20, 0), daily.Next(start.At, s_berlin).At.InZone(s_berlin).LocalDateTime);
    }

    [Fact]
    public void Hours_over_midnight_stop_on_the_next_day()
    {
        var daily = new DailyHours(new LocalTime(22, 0), new LocalTime(6, 0), [IsoDayOfWeek.Friday]);
        var start = daily.Next(Instant.FromUtc(2026, 6, 1, 0, 0), s_berlin);
        Assert.Equal((Instant.FromUtc(2026, 6, 5, 20, 0), LabVerb.Start), start);
        Assert.Equal((Instant.FromUtc(2026, 6, 6, 4, 0), LabVerb.Stop), daily.Next(start.At, s_berlin));
    }
}
