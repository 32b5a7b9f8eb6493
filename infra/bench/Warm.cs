using System.Diagnostics;
using System.Text.Json.Nodes;
using LabPortal.Testing;
using static LabPortal.Bench.Figures;

namespace LabPortal.Bench;

/// <summary>
/// <c>reset</c>: a lab that is reset to clean; <c>warm</c>: a machine that is started from a warm state. Each until SSH answers, against a cold boot of the
/// same image asked for in the same way, turn about in one run. Once with <c>tiny</c>, whose own cold boot is tuned to the bone so that tests are short, and once with
/// <c>debian</c>, which is like what people have: that one is what the aim is of.
/// </summary>
internal static class Warm
{
    private const double Aim = 5;

    private static readonly Guest[] s_guests = [new("tiny", Rounds: 5, "cpu: 1, memoryMiB: 128, diskGiB: 1", Aim: null), new("debian", Rounds: 3, "cpu: 2, memoryMiB: 1024, diskGiB: 4", Aim)];

    public static Task<bool> ResetAsync(CancellationToken cancellation) => EachAsync(async (real, guest) =>
    {
        var (cold, reset) = (new List<double>(), new List<double>());
        for (var round = 0; round <= guest.Rounds; round++)
        {
            var (lab, address, took) = await BuildAsync(real, $"{guest.Image}-cold", cancellation);
            await real.EndAsync(lab, cancellation);
            (lab, address, _) = await BuildAsync(real, $"{guest.Image}-clean", cancellation);
            await real.Client.WaitForAsync(lab, "ready", cancellation: cancellation);
            var clock = Stopwatch.StartNew();
            (await real.Client.PostAsync($"labs/{lab}/revert", new JsonObject { ["name"] = "clean" }, cancellation)).Must(202);
            // As with a cold boot somebody tries as soon as the portal says that it can be tried.
            await RevertedAsync(real.Client, lab, cancellation);
            await real.SignInAsync(address, cancellation);
            if (round > 0) (cold, reset) = ([.. cold, took], [.. reset, clock.Elapsed.TotalSeconds]);
            await real.EndAsync(lab, cancellation);
        }

        return Judge(guest, "reset to clean", cold, reset);
    }, cancellation);

    public static Task<bool> StartAsync(CancellationToken cancellation) => EachAsync(async (real, guest) =>
    {
        var (cold, warm) = (new List<double>(), new List<double>());
        // The first of them starts cold, and its state is made behind it.
        for (var round = 0; warm.Count < guest.Rounds; round++)
        {
            if (round == 5 * guest.Rounds) throw new InvalidOperationException("No machine starts warm.");
            var (lab, _, took) = await BuildAsync(real, $"{guest.Image}-warm", cancellation);
            var isWarm = (bool)(await real.Client.GetAsync($"labs/{lab}", cancellation)).Must(200)["machines"]![0]!["start"]!["warm"]!;
            await real.EndAsync(lab, cancellation);
            if (!isWarm)
            {
                await Task.Delay(TimeSpan.FromSeconds(10), cancellation);
                continue;
            }

            var (other, _, slow) = await BuildAsync(real, $"{guest.Image}-cold", cancellation);
            await real.EndAsync(other, cancellation);
            (cold, warm) = ([.. cold, slow], [.. warm, took]);
        }

        return Judge(guest, "warm start", cold, warm);
    }, cancellation);

    private static async Task RevertedAsync(PortalClient client, string lab, CancellationToken cancellation)
    {
        await foreach (var (_, happened) in client.EventsAsync(lab, 0, cancellation))
        {
            if ((string)happened["kind"]! == "step" && (string?)happened["step"] == "revert" && (string?)happened["state"] == "done") return;
        }

        throw new InvalidOperationException("The lab's events ended.");
    }

    private static bool Judge(Guest guest, string what, List<double> cold, List<double> quick)
    {
        var ratio = Median(cold) / Median(quick);
        Console.WriteLine($"{guest.Image}: cold boot, SSH answers after      {Median(cold),6:F2} s   ({Each(cold)})");
        Console.WriteLine($"{guest.Image}: {what}, SSH answers after {Median(quick),6:F2} s   ({Each(quick)})");
        Console.WriteLine($"{guest.Image}: ratio                             {ratio,6:F2}   ({(guest.Aim is { } aim ? $"aim: at least {aim}" : "its own boot has nothing left to save")})");
        return guest.Aim is null || ratio >= guest.Aim;
    }

    private static async Task<bool> EachAsync(Func<RealPortal, Guest, Task<bool>> measure, CancellationToken cancellation)
    {
        await using var real = await RealPortal.StartAsync(string.Join("\n---\n", [Debian, .. s_guests.Select(Blueprints)]), cancellation, image: Path.Combine(Repository.Root, "artifacts/images", DebianVolume));
        var well = true;
        foreach (var guest in s_guests) well &= await measure(real, guest);
        return well;
    }

    /// <summary>From the request on until the machine was signed in to.</summary>
    private static async Task<(string Lab, string Address, double Took)> BuildAsync(RealPortal real, string blueprint, CancellationToken cancellation)
    {
        var clock = Stopwatch.StartNew();
        var lab = (string)(await real.RequestAsync(blueprint, cancellation))["id"]!;
        await foreach (var (_, happened) in real.Client.EventsAsync(lab, 0, cancellation))
        {
            if ((string)happened["kind"]! == "state" && (string?)happened["state"] == "failed") throw new InvalidOperationException($"The lab failed: {happened}");
            if ((string)happened["kind"]! != "machine" || (string)happened["address"]! is not { Length: > 0 } address) continue;
            await real.SignInAsync(address, cancellation);
            return (lab, address, clock.Elapsed.TotalSeconds);
        }

        throw new InvalidOperationException("The lab's events ended.");
    }

    private sealed record Guest(string Image, int Rounds, string Shape, double? Aim);

    private const string DebianVolume = "debian.qcow2";

    private const string Debian = $$"""
        kind: Image
        name: debian
        os: linux
        warm: true
        bindings: { libvirt: { volume: {{DebianVolume}} } }
        """;

    private static string Blueprints(Guest guest) => $$"""
        kind: Blueprint
        name: {{guest.Image}}-cold
        title: One machine that boots
        machines: [{ name: one, image: {{guest.Image}}, {{guest.Shape}} }]
        lease: { default: 4h, max: 72h, grace: 0 }
        ---
        kind: Blueprint
        name: {{guest.Image}}-warm
        title: One machine from a warm state
        machines: [{ name: one, image: {{guest.Image}}, {{guest.Shape}}, warmStart: true }]
        lease: { default: 4h, max: 72h, grace: 0 }
        ---
        kind: Blueprint
        name: {{guest.Image}}-clean
        title: One machine that can be reset
        machines: [{ name: one, image: {{guest.Image}}, {{guest.Shape}} }]
        lease: { default: 4h, max: 72h, grace: 0 }
        snapshotAtReady: true
        """;
}
