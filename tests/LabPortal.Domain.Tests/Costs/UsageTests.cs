using LabPortal.Domain.Costs;
using NodaTime;
using Xunit;

namespace LabPortal.Domain.Tests.Costs;

public sealed class UsageTests
{
    private static readonly Instant s_from = Instant.FromUtc(2026, 6, 1, 8, 0);
    private static readonly (MachineId Machine, PoolId Pool) s_ids = (new(Guid.NewGuid()), new(Guid.NewGuid()));
    private static readonly Dictionary<PoolId, PriceList> s_prices = new() { [s_ids.Pool] = new PriceList("EUR", 0.01m, 0.004m, 0.0001m) };

    private static MeterEvent Meter(string state, int minutes, int generation = 1) => new(
        s_ids.Machine, generation, new LabId(Guid.Empty), new TeamId(Guid.Empty), s_ids.Pool, state, 2, 2048, 10, s_from + Duration.FromMinutes(minutes), s_from);

    [Fact]
    public void A_machine_costs_all_while_it_runs_and_its_disk_while_it_is_there()
    {
        var usage = Usage.Of([Meter("building", 0), Meter("running", 60), Meter("stopped", 180), Meter("gone", 240)], s_prices, s_from + Duration.FromHours(9));
        Assert.Equal(Duration.FromHours(2), usage.MachineTime);
        Assert.Equal([new Money(60_000, "EUR")], usage.Costs);
    }

    [Fact]
    public void A_machine_of_a_size_with_a_price_costs_that_running_or_stopped_and_its_disk_on_top()
    {
        var prices = new PriceList("EUR", 1m, 1m, 0.001m) { Sizes = [new SizePrice("small", 2, 1024, 0.02m, 0.005m), new SizePrice("medium", 2, 4096, 0.04m, 0.01m), new SizePrice("large", 8, 16384, 0.2m, 0.02m)] };
        var usage = Usage.Of([Meter("building", 0), Meter("running", 60), Meter("stopped", 180), Meter("gone", 240)], new Dictionary<PoolId, PriceList> { [s_ids.Pool] = prices }, s_from + Duration.FromHours(9));
        // 2 vCPU and 2048 MiB are a medium one; two hours on, two off, four hours of ten GiB.
        Assert.Equal([new Money(80_000 + 20_000 + 40_000, "EUR")], usage.Costs);
        Assert.Equal(new Money(25_000, "EUR"), prices.Hour(1, 512, 5, running: true));
        // None is large enough: by processor and memory.
        Assert.Equal(new Money(9_000_000 + 17_000_000, "EUR"), prices.Hour(9, 17 * 1024, 0, running: true));
        Assert.Equal(prices, prices with { Sizes = [.. prices.Sizes] });
        Assert.NotEqual(prices, prices with { Sizes = [] });
    }

    [Fact]
    public void What_still_runs_counts_until_now() => Assert.Equal(Duration.FromMinutes(30), Usage.Of([Meter("running", 0)], s_prices, s_from + Duration.FromMinutes(30)).MachineTime);

    [Fact]
    public void What_nobody_can_see_goes_on_as_it_was() => Assert.Equal(
        Duration.FromHours(2), Usage.Of([Meter("running", 0), Meter("unknown", 60), Meter("gone", 120)], s_prices, s_from + Duration.FromHours(5)).MachineTime);

    [Fact]
    public void Two_generations_that_are_there_at_once_both_count() => Assert.Equal(
        Duration.FromHours(2), Usage.Of([Meter("running", 0), Meter("running", 0, generation: 2)], s_prices, s_from + Duration.FromHours(1)).MachineTime);
}
