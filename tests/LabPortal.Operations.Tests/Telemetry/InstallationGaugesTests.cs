using System.Diagnostics.Metrics;
using LabPortal.Data;
using LabPortal.Data.Pools;
using LabPortal.Domain;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Telemetry;
using LabPortal.Operations.Workflows;
using LabPortal.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace LabPortal.Operations.Tests.Telemetry;

public sealed class InstallationGaugesTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(Engine.Sqlite)]
    [InlineData(Engine.Postgres)]
    public async Task However_often_it_is_asked_the_database_is_read_once_in_a_few_seconds(Engine engine)
    {
        await using var database = await databases.CreateAsync(engine);
        var clock = new FakeTimeProvider();
        using var gauges = Gauges(database, clock);
        await SaveAsync("east");
        await gauges.RefreshAsync(Cancellation);
        Assert.Equal(["east healthy 1"], Pools(gauges));

        await SaveAsync("west");
        clock.Advance(InstallationGauges.ReadFor - TimeSpan.FromMilliseconds(1));
        await gauges.RefreshAsync(Cancellation);
        Assert.Equal(["east healthy 1"], Pools(gauges));

        clock.Advance(TimeSpan.FromMilliseconds(1));
        await gauges.RefreshAsync(Cancellation);
        Assert.Equal(["east healthy 1", "west healthy 1"], Pools(gauges));
        Assert.Equal(["1"], Measured(gauges, "labportal.database.up"));

        Task SaveAsync(string name) => database.WriteAsync(session => PoolStore.SaveAsync(session, new Pool { Id = new PoolId(Ids.New(clock)), Name = name, Provider = "simulated" }), Cancellation);
    }

    [Fact]
    public async Task While_the_database_is_away_only_that_is_told()
    {
        await using var database = Database.Open("sqlite:/nowhere/at/all/portal.db");
        using var gauges = Gauges(database, new FakeTimeProvider());

        await gauges.RefreshAsync(Cancellation);

        Assert.Equal(["0"], Measured(gauges, "labportal.database.up"));
        Assert.Empty(Measured(gauges, "labportal.labs"));
    }

    private static InstallationGauges Gauges(Database database, FakeTimeProvider clock)
        => new(database, new RegisteredWorkflows(), new TurnBell(clock), clock, NullLogger<InstallationGauges>.Instance);

    private static IEnumerable<string> Pools(InstallationGauges gauges) => Measured(gauges, "labportal.pool.state").Where(line => line.EndsWith(" 1", StringComparison.Ordinal));

    /// <summary>What these gauges say now, not those of other tests.</summary>
    private static List<string> Measured(InstallationGauges gauges, string name)
    {
        var lines = new List<string>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, listening) =>
            {
                if (instrument.Name == name && instrument.Meter == gauges.Meter) listening.EnableMeasurementEvents(instrument);
            },
        };
        listener.SetMeasurementEventCallback<double>((_, value, labels, _) => Add(value, labels));
        listener.SetMeasurementEventCallback<int>((_, value, labels, _) => Add(value, labels));
        listener.Start();
        listener.RecordObservableInstruments();
        return lines;

        void Add(double value, ReadOnlySpan<KeyValuePair<string, object?>> labels)
            => lines.Add(string.Join(' ', [.. labels.ToArray().Select(label => $"{label.Value}"), $"{value}"]));
    }
}
