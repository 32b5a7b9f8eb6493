using System.Diagnostics;
using System.Globalization;
using LabPortal.Testing;
using static LabPortal.Bench.Figures;

namespace LabPortal.Bench;

/// <summary>
/// From a request over HTTP to the first SSH reply, against the same image started by hand (<c>by-hand</c>) on the same bridge; and many
/// machines at once against a shell loop with the same limit. Both sides are signed in to by the same client with the same key.
/// </summary>
internal static class Boot
{
    private const int Rounds = 5;
    private const int Many = 20;

    /// <summary>As <c>infra/run</c> sets it.</summary>
    private const int AtOnce = 2;

    public static async Task<bool> RunAsync(CancellationToken cancellation)
    {
        await using var real = await RealPortal.StartAsync(s_blueprints, cancellation, $$"""
            limits: { operationsAtOnce: 4, bootsAtOnce: {{AtOnce}} }
            overcommit: { cpu: {{Many}}, memory: 1 }
            """);
        await ByHandAsync(cancellation, "seed", real.Libvirt.Folder, real.Key);
        return await OneAsync(real, cancellation) & await ManyAsync(real, cancellation);
    }

    private static async Task<bool> OneAsync(RealPortal real, CancellationToken cancellation)
    {
        var (here, hand) = (new List<double>(), new List<double>());
        var profile = new List<(string Step, double At)>();
        // The first round fills caches on both sides, libvirt's of what this QEMU can do among them, and does not count.
        for (var round = 0; round <= Rounds; round++)
        {
            var clock = Stopwatch.StartNew();
            await ByHandAsync(cancellation, "boot", real.Libvirt.Folder, real.Key, "1");
            if (round > 0) hand.Add(clock.Elapsed.TotalSeconds);
            await ByHandAsync(cancellation, "end", real.Libvirt.Folder, "1");

            clock.Restart();
            var (lab, steps) = await RequestAsync(real, "one", cancellation);
            if (round > 0)
            {
                here.Add(clock.Elapsed.TotalSeconds);
                profile.AddRange(steps);
            }

            await real.EndAsync(lab, cancellation);
        }

        var ratio = Median(here) / Median(hand);
        Console.WriteLine($"one machine by hand    {Median(hand),6:F2} s to the first SSH reply   ({Each(hand)})");
        Console.WriteLine($"one machine, portal    {Median(here),6:F2} s                          ({Each(here)})");
        Console.WriteLine($"ratio                  {ratio,6:F2}   (aim: at most 1.25)");
        Console.WriteLine($"done after, medians    {string.Join(" · ", profile.GroupBy(step => step.Step).Select(step => $"{step.Key} {Median([.. step.Select(one => one.At)]):F2} s"))}");
        return ratio <= 1.25;
    }

    private static async Task<bool> ManyAsync(RealPortal real, CancellationToken cancellation)
    {
        var clock = Stopwatch.StartNew();
        var (lab, _) = await RequestAsync(real, "many", cancellation);
        var here = clock.Elapsed.TotalSeconds;
        await real.EndAsync(lab, cancellation);

        clock.Restart();
        await ByHandAsync(cancellation, "many", real.Libvirt.Folder, real.Key, Text(Many), Text(AtOnce));
        var hand = clock.Elapsed.TotalSeconds;
        for (var i = 1; i <= Many; i++) await ByHandAsync(cancellation, "end", real.Libvirt.Folder, Text(i));
        Console.WriteLine($"{Many} machines, xargs -P {AtOnce}   {hand,6:F1} s until all were signed in to");
        Console.WriteLine($"{Many} machines, portal       {here,6:F1} s, with {AtOnce} booting at once");
        Console.WriteLine($"ratio                  {here / hand,6:F2}   (aim: at most 1)");
        return here <= hand;
    }

    /// <summary>Until each machine of the lab was signed in to; with the moment at which each step was done, as the lab's own events tell it.</summary>
    private static async Task<(string Lab, IReadOnlyList<(string Step, double At)> Steps)> RequestAsync(RealPortal real, string blueprint, CancellationToken cancellation)
    {
        var begun = TimeProvider.System.GetUtcNow();
        var asked = await real.RequestAsync(blueprint, cancellation);
        var (lab, machines) = ((string)asked["id"]!, asked["machines"]!.AsArray().Count);
        var signingIn = new Dictionary<string, Task>();
        var steps = new List<(string, double)>();
        await foreach (var (_, happened) in real.Client.EventsAsync(lab, 0, cancellation))
        {
            var (kind, state) = ((string)happened["kind"]!, (string?)happened["state"]);
            if (kind == "state" && state == "failed") throw new InvalidOperationException($"The lab failed: {happened}");
            if (kind == "step" && state == "done") steps.Add(((string)happened["step"]!, (happened["at"]!.GetValue<DateTimeOffset>() - begun).TotalSeconds));
            if (kind == "machine" && (string)happened["address"]! is { Length: > 0 } address && !signingIn.ContainsKey(address))
            {
                steps.Add(("address", (happened["at"]!.GetValue<DateTimeOffset>() - begun).TotalSeconds));
                signingIn[address] = real.SignInAsync(address, cancellation);
            }

            if (signingIn.Count == machines) break;
        }

        await Task.WhenAll(signingIn.Values);
        return (lab, steps);
    }

    private static Task ByHandAsync(CancellationToken cancellation, params string[] words) => Tool.RunAsync(cancellation, RealPortal.ByHand, words);

    private static readonly string s_blueprints = $$"""
        kind: Size
        name: tiny
        cpu: 1
        memoryMiB: 128
        diskGiB: 1
        ---
        kind: Blueprint
        name: one
        title: One small Linux machine
        machines: [{ name: one, image: tiny, size: tiny }]
        lease: { default: 4h, max: 72h, grace: 24h }
        ---
        kind: Blueprint
        name: many
        title: Many small Linux machines
        machines: [{{string.Join(", ", Enumerable.Range(1, Many).Select(i => $"{{ name: m{i}, image: tiny, size: tiny }}"))}}]
        lease: { default: 4h, max: 72h, grace: 24h }
        """;

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
