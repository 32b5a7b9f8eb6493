using CsCheck;
using LabPortal.Domain.Quotas;
using NodaTime;
using Xunit;

namespace LabPortal.Domain.Tests.Quotas;

public sealed class PeakTests
{
    private static Instant At(int minute) => Instant.FromUnixTimeSeconds(minute * 60);

    [Fact]
    public void The_peak_is_the_most_that_any_minute_holds()
    {
        var holds = Gen.Select(Gen.Int[1, 5], Gen.Int[0, 30], Gen.Int[-1, 30]).Select((amount, from, length) => new Hold(amount, At(from), length < 0 ? null : At(from + length)));
        Gen.Select(holds.List[0, 12], Gen.Int[0, 40], Gen.Int[1, 40]).Sample((list, from, length) =>
        {
            var brute = Enumerable.Range(from, length)
                .Select(minute => list.Where(hold => hold.From <= At(minute) && (hold.To is null || hold.To > At(minute))).Sum(hold => hold.Amount)).Max();
            var (amount, at) = Peak.Of(list, At(from), At(from + length));
            Assert.Equal(brute, amount);
            Assert.Equal(brute, list.Where(hold => hold.From <= at && (hold.To is null || hold.To > at)).Sum(hold => hold.Amount));
        });
    }

    [Fact]
    public void Adjacent_bookings_never_clash() => Assert.Equal(
        3, Peak.Of([new Hold(3, At(0), At(10)), new Hold(3, At(10), At(20))], At(0), At(20)).Amount);
}
