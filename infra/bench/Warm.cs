using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using LabPortal.Testing;

namespace LabPortal.Bench;

/// <summary>
/// <c>reset</c>: a lab that is reset to clean; <c>warm</c>: a machine that is started from a warm state. Each until SSH answers, against a cold boot of the
/// same image asked for in the same way, turn about in one run.
/// </summary>
internal static class Warm
{
    private const int Rounds = 5;
    private const double Aim = 5;

    private static readonly string s_byHand = Path.Combine(Repository.Root, "infra/bench/by-hand");
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(3);

    public static Task<bool> ResetAsync(CancellationToken cancellation) => WithPortalAsync(async (client, key) =>
    {
        var (cold, reset) = (new List<double>(), new List<double>());
        for (var round = 0; round <= Rounds; round++)
        {
            var (lab, address, took) = await BuildAsync(client, "cold", key, cancellation);
            await EndAsync(client, lab, cancellation);
            (lab, address, _) = await BuildAsync(client, "clean", key, cancellation);
            await client.WaitForAsync(lab, "ready", s_patience, cancellation);
            var clock = Stopwatch.StartNew();
            (await client.PostAsync($"labs/{lab}/revert", new JsonObject { ["name"] = "clean" }, cancellation)).Must(202);
            await client.WaitForAsync(lab, "ready", s_patience, cancellation);
            await Tool.RunAsync(cancellation, s_byHand, "sign-in", key, address);
            if (round > 0) (cold, reset) = ([.. cold, took], [.. reset, clock.Elapsed.TotalSeconds]);
            await EndAsync(client, lab, cancellation);
        }

        return Judge("reset to clean", cold, reset);
    }, cancellation);

    public static Task<bool> StartAsync(CancellationToken cancellation) => WithPortalAsync(async (client, key) =>
    {
        var (cold, warm) = (new List<double>(), new List<double>());
        // The first of them starts cold, and its state is made behind it.
        for (var round = 0; warm.Count < Rounds; round++)
        {
            if (round == 5 * Rounds) throw new InvalidOperationException("No machine starts warm.");
            var (lab, _, took) = await BuildAsync(client, "warm", key, cancellation);
            var isWarm = (bool)(await client.GetAsync($"labs/{lab}", cancellation)).Must(200)["machines"]![0]!["start"]!["warm"]!;
            await EndAsync(client, lab, cancellation);
            if (!isWarm)
            {
                await Task.Delay(TimeSpan.FromSeconds(10), cancellation);
                continue;
            }

            var (other, _, slow) = await BuildAsync(client, "cold", key, cancellation);
            await EndAsync(client, other, cancellation);
            (cold, warm) = ([.. cold, slow], [.. warm, took]);
        }

        return Judge("warm start", cold, warm);
    }, cancellation);

    private static bool Judge(string what, List<double> cold, List<double> quick)
    {
        var ratio = Median(cold) / Median(quick);
        Console.WriteLine($"cold boot, SSH answers after       {Median(cold),6:F2} s   ({Each(cold)})");
        Console.WriteLine($"{what}, SSH answers after {Median(quick),6:F2} s   ({Each(quick)})");
        Console.WriteLine($"ratio                              {ratio,6:F2}   (aim: at least {Aim})");
        return ratio >= Aim;
    }

    private static async Task<bool> WithPortalAsync(Func<PortalClient, string, Task<bool>> measure, CancellationToken cancellation)
    {
        using var folder = new TestFolder();
        await using var libvirt = await PrivateLibvirt.StartAsync(cancellation);
        var key = folder["key"];
        await Tool.RunAsync(cancellation, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", key);
        await File.WriteAllTextAsync(folder["apply.yaml"], Yaml(libvirt), cancellation);
        await using var portal = await PortalProcess.StartAsync(folder["data"], applyFile: folder["apply.yaml"]);
        using var client = portal.Client();
        (await client.PostAsync("me/keys", new JsonObject { ["publicKey"] = (await File.ReadAllTextAsync(key + ".pub", cancellation)).Trim() }, cancellation)).Must(201);
        return await measure(client, key);
    }

    /// <summary>From the request on until the machine was signed in to.</summary>
    private static async Task<(string Lab, string Address, double Took)> BuildAsync(PortalClient client, string blueprint, string key, CancellationToken cancellation)
    {
        var clock = Stopwatch.StartNew();
        var asked = (await client.PostAsync("labs", new JsonObject { ["blueprint"] = blueprint, ["team"] = "qa", ["lease"] = new JsonObject { ["hours"] = 1 } }, cancellation)).Must(202);
        var lab = (string)asked["id"]!;
        await foreach (var (_, happened) in client.EventsAsync(lab, 0, cancellation))
        {
            if ((string)happened["kind"]! == "state" && (string?)happened["state"] == "failed") throw new InvalidOperationException($"The lab failed: {happened}");
            if ((string)happened["kind"]! != "machine" || (string)happened["address"]! is not { Length: > 0 } address) continue;
            await Tool.RunAsync(cancellation, s_byHand, "sign-in", key, address);
            return (lab, address, clock.Elapsed.TotalSeconds);
        }

        throw new InvalidOperationException("The lab's events ended.");
    }

    private static async Task EndAsync(PortalClient client, string lab, CancellationToken cancellation)
    {
        await client.WaitForAsync(lab, "ready", s_patience, cancellation);
        (await client.PostAsync($"labs/{lab}/end", cancellation: cancellation)).Must(202);
        await client.WaitForAsync(lab, "ended", s_patience, cancellation);
    }

    private static string Yaml(PrivateLibvirt libvirt) => $$"""
        kind: Pool
        name: this-machine
        provider: libvirt
        settings: { hosts: [{ name: here, uri: "{{libvirt.Uri}}" }], storagePool: lab, network: lab }
        ---
        kind: Image
        name: tiny
        os: linux
        warm: true
        bindings: { libvirt: { volume: {{PrivateLibvirt.ImageVolume}} } }
        ---
        kind: Blueprint
        name: cold
        title: One machine that boots
        machines: [{ name: one, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1 }]
        lease: { default: 4h, max: 72h, grace: 0 }
        ---
        kind: Blueprint
        name: warm
        title: One machine from a warm state
        machines: [{ name: one, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1, warmStart: true }]
        lease: { default: 4h, max: 72h, grace: 0 }
        ---
        kind: Blueprint
        name: clean
        title: One machine that can be reset
        machines: [{ name: one, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1 }]
        lease: { default: 4h, max: 72h, grace: 0 }
        snapshotAtReady: true
        ---
        kind: Team
        name: qa
        zone: Etc/UTC
        quota: { labs: 100, machines: 100, cpu: 100, memoryMiB: 100000, diskGiB: 1000, snapshots: 100 }
        """;

    private static double Median(IReadOnlyList<double> values) => values.Order().ElementAt(values.Count / 2);

    private static string Each(IEnumerable<double> values) => string.Join(", ", values.Select(value => value.ToString("F2", CultureInfo.InvariantCulture)));
}
