using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using LabPortal.Testing;

namespace LabPortal.EndToEnd;

/// <summary>64 concurrent requests against room for 10: exactly 10, in each round. LABPORTAL_ROUNDS says how many rounds; 2 where it does not.</summary>
public sealed class QuotaRaceTests(TestDatabases databases, ITestOutputHelper output)
{
    private const int Room = 10;
    private const int Requests = 64;
    private static readonly int s_rounds = int.Parse(Environment.GetEnvironmentVariable("LABPORTAL_ROUNDS") ?? "2", CultureInfo.InvariantCulture);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(Engine.Sqlite)]
    [InlineData(Engine.Postgres)]
    public async Task Of_64_requests_at_once_exactly_10_are_taken(Engine engine)
    {
        using var folder = new TestFolder();
        await File.WriteAllTextAsync(folder["apply.yaml"], SimulatedCatalogue.Yaml(labs: Room), Cancellation);
        var database = await databases.CreateSettingAsync(engine);
        await using var one = await PortalProcess.StartAsync(folder["data"], database, folder["apply.yaml"]);
        await using var two = engine == Engine.Postgres ? await PortalProcess.StartAsync(folder["data"], database, folder["apply.yaml"]) : null;
        using var first = one.Client();
        using var second = two?.Client();
        var clock = Stopwatch.StartNew();
        for (var round = 0; round < s_rounds; round++)
        {
            if (round > 0 && round % 20 == 0) output.WriteLine($"{engine}: {round} rounds in {clock.Elapsed.TotalSeconds:F0} s");
            var answers = await Task.WhenAll(Enumerable.Range(0, Requests).Select(i => (i % 2 == 0 ? first : second ?? first).PostAsync("labs", Request(), Cancellation)));

            var taken = answers.Where(answer => answer.Code == 202).Select(answer => (string)answer["id"]!).ToList();
            Assert.Equal(Room, taken.Count);
            Assert.All(answers.Where(answer => answer.Code != 202), refused =>
            {
                Assert.Equal(409, refused.Code);
                Assert.Equal(Room, (long)refused["refusal"]!["limit"]!);
                Assert.Equal(Room, (long)refused["refusal"]!["held"]!);
                Assert.Equal(1, (long)refused["refusal"]!["asked"]!);
            });
            foreach (var lab in taken) (await first.PostAsync($"labs/{lab}/end", cancellation: Cancellation)).Must(202);
            foreach (var lab in taken) await first.WaitForAsync(lab, "ended", cancellation: Cancellation);
        }

        output.WriteLine($"{engine}: {s_rounds} rounds, exactly {Room} of {Requests} each time, in {clock.Elapsed.TotalSeconds:F0} s");
        Assert.Empty((await first.GetAsync("pools/pretend/resources", Cancellation)).Must(200).Body!.AsArray());
    }

    private static JsonObject Request() => new() { ["blueprint"] = "pair", ["team"] = "qa", ["lease"] = new JsonObject { ["hours"] = 1 } };
}
