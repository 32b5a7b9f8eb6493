using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using NodaTime;
using Xunit;

namespace LabPortal.Domain.Tests.Leases;

public sealed class LeaseMomentTests
{
    private static readonly Instant s_ready = Instant.FromUtc(2026, 6, 1, 8, 0);

    private static Lab Of(LabState state, Duration length, Duration grace) => new()
    {
        Id = new LabId(Guid.Empty), Name = "x", Blueprint = "x", BlueprintVersion = 1, Team = new TeamId(Guid.Empty), Owner = new PersonId(Guid.Empty), State = state, Version = 1,
        Lease = new Lease { Start = s_ready, End = s_ready + length, Grace = grace, Zone = "Europe/Berlin" }, RequestedAt = s_ready, ReadyAt = s_ready,
    };

    [Fact]
    public void A_lab_is_warned_then_stopped_then_deleted()
    {
        var lab = Of(LabState.Ready, Duration.FromHours(4), Duration.FromHours(24));
        var end = s_ready + Duration.FromHours(4);
        Assert.Equal(new(end - Duration.FromHours(1), LeaseDeed.Warn), LeaseMoment.Of(lab, null, null, null, s_ready));
        Assert.Equal(new(end, LeaseDeed.Stop), LeaseMoment.Of(lab, null, end - Duration.FromHours(1), null, s_ready));
        Assert.Equal(new(end + Duration.FromHours(24), LeaseDeed.End), LeaseMoment.Of(lab with { State = LabState.Grace }, null, end + Duration.FromHours(23), null, end));
    }

    [Fact]
    public void What_is_long_overdue_is_the_strongest_deed_only()
    {
        var lab = Of(LabState.Ready, Duration.FromHours(4), Duration.FromHours(1));
        Assert.Equal(LeaseDeed.End, LeaseMoment.Of(lab, null, null, null, s_ready + Duration.FromDays(3))!.Deed);
    }

    [Fact]
    public void Without_grace_the_end_deletes() => Assert.Equal(
        new(s_ready + Duration.FromHours(4), LeaseDeed.End), LeaseMoment.Of(Of(LabState.Ready, Duration.FromHours(4), Duration.Zero), null, s_ready + Duration.FromHours(3), null, s_ready));

    [Theory, InlineData(15, null), InlineData(30, 20), InlineData(119, 109), InlineData(120, 60), InlineData(2880, 1440)]
    public void A_warning_leaves_time_to_act_and_never_takes_half_of_the_lease(int minutes, int? warnedAfter)
    {
        var moment = LeaseMoment.Of(Of(LabState.Ready, Duration.FromMinutes(minutes), Duration.FromHours(1)), null, null, null, s_ready)!;
        if (warnedAfter is { } after) Assert.Equal(new(s_ready + Duration.FromMinutes(after), LeaseDeed.Warn), moment);
        else Assert.Equal(LeaseDeed.Stop, moment.Deed);
    }

    [Fact]
    public void A_daily_stop_that_is_due_and_not_done_stays_planned()
    {
        var daily = new DailyHours(new LocalTime(8, 0), new LocalTime(20, 0), []);
        var lab = Of(LabState.Ready, Duration.FromDays(10), Duration.FromHours(1));
        var eight = Instant.FromUtc(2026, 6, 1, 18, 0);
        var planned = LeaseMoment.Of(lab, daily, null, null, s_ready);
        Assert.Equal(new(eight, LeaseDeed.DailyStop), planned);
        Assert.Equal(planned, LeaseMoment.Of(lab, daily, null, planned, eight + Duration.FromMinutes(5)));
        Assert.Equal(new(eight + Duration.FromDays(1), LeaseDeed.DailyStop), LeaseMoment.Of(lab, daily, null, null, eight + Duration.FromMinutes(5)));
        Assert.Equal(new(eight + Duration.FromHours(12), LeaseDeed.DailyStart), LeaseMoment.Of(lab with { State = LabState.Stopped }, daily, null, planned, eight + Duration.FromMinutes(5)));
    }

    [Theory, InlineData(LabState.Ending), InlineData(LabState.Ended), InlineData(LabState.Failed)]
    public void Time_does_nothing_to_what_is_over(LabState state) => Assert.Null(LeaseMoment.Of(Of(state, Duration.FromHours(1), Duration.Zero), null, null, null, s_ready + Duration.FromDays(1)));
}
