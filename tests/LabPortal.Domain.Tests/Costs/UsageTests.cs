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
    public void What_still_runs_counts_until_now() => Assert.Equal(Duration.FromMinutes(30), Usage.Of([Meter("running", 0)], s_prices, s_from + Duration.FromMinutes(30)).MachineTime);

    [Fact]
    public void What_nobody_can_see_goes_on_as_it_was() => Assert.Equal(
        Duration.FromHours(2), Usage.Of([Meter("running", 0), Meter("unknown", 60), Meter("gone", 120)], s_prices, s_from + Duration.FromHours(5)).MachineTime);

    [Fact]
    public void Two_generations_that_are_there_at_once_both_count() => Assert.Equal(
        Duration.FromHours(2), Usage.Of([Meter("running", 0), Meter("running", 0, generation: 2)], s_prices, s_from + Duration.FromHours(1)).MachineTime);
}
