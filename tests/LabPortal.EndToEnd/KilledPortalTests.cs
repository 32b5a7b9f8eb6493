using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using LabPortal.Testing;

namespace LabPortal.EndToEnd;

/// <summary>
/// kill -9 of the portal at a random moment, while labs are being built and ended, each time started again on the same data. Environment:
/// LABPORTAL_ROUNDS (2), LABPORTAL_SEED, LABPORTAL_LONGEST (milliseconds to a kill, 3000), and for another world than the simulated
/// one LABPORTAL_APPLY (a YAML file), LABPORTAL_POOL and LABPORTAL_BLUEPRINT; <c>infra/chaos/kill-portal</c> sets them.
/// </summary>
public sealed class KilledPortalTests(ITestOutputHelper output)
{
    private const int Most = 8;

    private static readonly int s_rounds = int.Parse(Setting("LABPORTAL_ROUNDS", "2"), CultureInfo.InvariantCulture);
    private static readonly int s_seed = int.Parse(Setting("LABPORTAL_SEED", "1"), CultureInfo.InvariantCulture);
    private static readonly int s_longest = int.Parse(Setting("LABPORTAL_LONGEST", "3000"), CultureInfo.InvariantCulture);
    private static readonly string s_pool = Setting("LABPORTAL_POOL", "pretend");
    private static readonly string s_blueprint = Setting("LABPORTAL_BLUEPRINT", "pair");

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_kill_is_not_a_failure()
    {
        var random = new Random(s_seed);
        using var folder = new TestFolder();
        var apply = Setting("LABPORTAL_APPLY", "");
        if (apply == "") await File.WriteAllTextAsync(apply = folder["apply.yaml"], SimulatedCatalogue.Yaml(labs: 1000, createSeconds: 0.3, bootSeconds: 0.6), Cancellation);
        var wanted = new List<string>();
        var unwanted = new List<string>();
        for (var round = 0; round < s_rounds; round++)
        {
            var clock = Stopwatch.StartNew();
            await using var portal = await PortalProcess.StartAsync(folder["data"], applyFile: apply);
            using var client = portal.Client();
            for (var i = 0; i < 2; i++) wanted.Add((string)(await client.PostAsync("labs", Request(), Cancellation)).Must(202)["id"]!);
            // Some of those before go, built or not, so that ends are cut as well as builds; and never many live at once.
            for (var leave = wanted.Count > Most ? 2 : wanted.Count > 3 ? 1 : 0; leave > 0; leave--)
            {
                var leaving = wanted[random.Next(wanted.Count - 2)];
                (await client.PostAsync($"labs/{leaving}/end", cancellation: Cancellation)).Must(202);
                wanted.Remove(leaving);
                unwanted.Add(leaving);
            }

            await Task.Delay(random.Next(50, s_longest), Cancellation);
            await portal.KillAsync();
            output.WriteLine($"round {round + 1}: killed {clock.Elapsed.TotalSeconds:F1} s after its begin, {wanted.Count} labs wanted, {unwanted.Count} not");
        }

        await using var last = await PortalProcess.StartAsync(folder["data"], applyFile: apply);
        using var asking = last.Client();
        var patience = TimeSpan.FromMinutes(5);
        foreach (var lab in wanted)
        {
            var ready = await asking.WaitForAsync(lab, "ready", patience, Cancellation);
            Assert.All(ready["machines"]!.AsArray(), machine => Assert.Equal((1, "running"), ((int)machine!["generation"]!, (string)machine["state"]!)));
        }

        foreach (var lab in unwanted) await asking.WaitForAsync(lab, "ended", patience, Cancellation);
        var living = (await asking.GetAsync($"pools/{s_pool}/resources", Cancellation)).Must(200).Body!.AsArray();
        Assert.All(living, resource => Assert.Contains((string)resource!["lab"]!, wanted));
        output.WriteLine($"{s_rounds} kills: {wanted.Count} labs ready in their generation, {unwanted.Count} ended");
        foreach (var lab in wanted) (await asking.PostAsync($"labs/{lab}/end", cancellation: Cancellation)).Must(202);
        foreach (var lab in wanted) await asking.WaitForAsync(lab, "ended", patience, Cancellation);
        var left = (await asking.GetAsync($"pools/{s_pool}/resources", Cancellation)).Must(200).Body!.AsArray();
        output.WriteLine($"left over at the end: {left.Count}");
        Assert.Empty(left);
    }

    private static JsonObject Request() => new() { ["blueprint"] = s_blueprint, ["team"] = "qa", ["lease"] = new JsonObject { ["hours"] = 4 } };

    private static string Setting(string name, string otherwise) => Environment.GetEnvironmentVariable(name) is { Length: > 0 } text ? text : otherwise;
}
