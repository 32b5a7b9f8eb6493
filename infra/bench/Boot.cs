using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using LabPortal.Testing;

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

    private static readonly string s_byHand = Path.Combine(Repository.Root, "infra/bench/by-hand");

    public static async Task<bool> RunAsync(CancellationToken cancellation)
    {
        using var folder = new TestFolder();
        await using var libvirt = await PrivateLibvirt.StartAsync(cancellation);
        var key = folder["key"];
        await Tool.RunAsync(cancellation, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", key);
        await Tool.RunAsync(cancellation, s_byHand, "seed", libvirt.Folder, key);
        await File.WriteAllTextAsync(folder["apply.yaml"], Yaml(libvirt), cancellation);
        await using var portal = await PortalProcess.StartAsync(folder["data"], applyFile: folder["apply.yaml"]);
        using var client = portal.Client();
        (await client.PostAsync("me/keys", new JsonObject { ["publicKey"] = (await File.ReadAllTextAsync(key + ".pub", cancellation)).Trim() }, cancellation)).Must(201);
        return await OneAsync(libvirt, client, key, cancellation) & await ManyAsync(libvirt, client, key, cancellation);
    }

    private static async Task<bool> OneAsync(PrivateLibvirt libvirt, PortalClient client, string key, CancellationToken cancellation)
    {
        var (here, hand) = (new List<double>(), new List<double>());
        var profile = new List<(string Step, double At)>();
        // The first round fills caches on both sides, libvirt's of what this QEMU can do among them, and does not count.
        for (var round = 0; round <= Rounds; round++)
        {
            var clock = Stopwatch.StartNew();
            await Tool.RunAsync(cancellation, s_byHand, "boot", libvirt.Folder, key, "1");
            if (round > 0) hand.Add(clock.Elapsed.TotalSeconds);
            await Tool.RunAsync(cancellation, s_byHand, "end", libvirt.Folder, "1");

            clock.Restart();
            var (lab, steps) = await RequestAsync(client, "one", key, cancellation);
            if (round > 0)
            {
                here.Add(clock.Elapsed.TotalSeconds);
                profile.AddRange(steps);
            }

            await EndAsync(client, lab, cancellation);
        }

        var ratio = Median(here) / Median(hand);
        Console.WriteLine($"one machine by hand    {Median(hand),6:F2} s to the first SSH reply   ({Each(hand)})");
        Console.WriteLine($"one machine, portal    {Median(here),6:F2} s                          ({Each(here)})");
        Console.WriteLine($"ratio                  {ratio,6:F2}   (aim: at most 1.25)");
        Console.WriteLine($"done after, medians    {string.Join(" · ", profile.GroupBy(step => step.Step).Select(step => $"{step.Key} {Median([.. step.Select(one => one.At)]):F2} s"))}");
        return ratio <= 1.25;
    }

    private static async Task<bool> ManyAsync(PrivateLibvirt libvirt, PortalClient client, string key, CancellationToken cancellation)
    {
        var clock = Stopwatch.StartNew();
        var (lab, _) = await RequestAsync(client, "many", key, cancellation);
        var here = clock.Elapsed.TotalSeconds;
        await EndAsync(client, lab, cancellation);

        clock.Restart();
        await Tool.RunAsync(cancellation, s_byHand, "many", libvirt.Folder, key, Text(Many), Text(AtOnce));
        var hand = clock.Elapsed.TotalSeconds;
        for (var i = 1; i <= Many; i++) await Tool.RunAsync(cancellation, s_byHand, "end", libvirt.Folder, Text(i));
        Console.WriteLine($"{Many} machines, xargs -P {AtOnce}   {hand,6:F1} s until all were signed in to");
        Console.WriteLine($"{Many} machines, portal       {here,6:F1} s, with {AtOnce} booting at once");
        Console.WriteLine($"ratio                  {here / hand,6:F2}   (aim: at most 1)");
        return here <= hand;
    }

    /// <summary>Until each machine of the lab was signed in to; with the moment at which each step was done, as the lab's own events tell it.</summary>
    private static async Task<(string Lab, IReadOnlyList<(string Step, double At)> Steps)> RequestAsync(PortalClient client, string blueprint, string key, CancellationToken cancellation)
    {
        var begun = TimeProvider.System.GetUtcNow();
        var asked = (await client.PostAsync("labs", new JsonObject { ["blueprint"] = blueprint, ["team"] = "qa", ["lease"] = new JsonObject { ["hours"] = 1 } }, cancellation)).Must(202);
        var (lab, machines) = ((string)asked["id"]!, asked["machines"]!.AsArray().Count);
        var signingIn = new Dictionary<string, Task>();
        var steps = new List<(string, double)>();
        await foreach (var (_, happened) in client.EventsAsync(lab, 0, cancellation))
        {
            var (kind, state) = ((string)happened["kind"]!, (string?)happened["state"]);
            if (kind == "state" && state == "failed") throw new InvalidOperationException($"The lab failed: {happened}");
            if (kind == "step" && state == "done") steps.Add(((string)happened["step"]!, (happened["at"]!.GetValue<DateTimeOffset>() - begun).TotalSeconds));
            if (kind == "machine" && (string)happened["address"]! is { Length: > 0 } address && !signingIn.ContainsKey(address))
            {
                steps.Add(("address", (happened["at"]!.GetValue<DateTimeOffset>() - begun).TotalSeconds));
                signingIn[address] = Tool.RunAsync(cancellation, s_byHand, "sign-in", key, address);
            }

            if (signingIn.Count == machines) break;
        }

        await Task.WhenAll(signingIn.Values);
        return (lab, steps);
    }

    private static async Task EndAsync(PortalClient client, string lab, CancellationToken cancellation)
    {
        await client.WaitForAsync(lab, "ready", cancellation: cancellation);
        (await client.PostAsync($"labs/{lab}/end", cancellation: cancellation)).Must(202);
        await client.WaitForAsync(lab, "ended", cancellation: cancellation);
    }

    private static string Yaml(PrivateLibvirt libvirt) => $$"""
        kind: Pool
        name: this-machine
        provider: libvirt
        settings: { hosts: [{ name: here, uri: "{{libvirt.Uri}}" }], storagePool: lab, network: lab }
        limits: { operationsAtOnce: 4, bootsAtOnce: {{AtOnce}} }
        overcommit: { cpu: {{Many}}, memory: 1 }
        ---
        kind: Image
        name: tiny
        os: linux
        bindings: { libvirt: { volume: {{PrivateLibvirt.ImageVolume}} } }
        ---
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
        ---
        kind: Team
        name: qa
        zone: Etc/UTC
        quota: { labs: 100, machines: 100, cpu: 100, memoryMiB: 100000, diskGiB: 1000 }
        """;

    private static double Median(IReadOnlyList<double> values) => values.Order().ElementAt(values.Count / 2);

    private static string Each(IEnumerable<double> values) => string.Join(", ", values.Select(value => value.ToString("F2", CultureInfo.InvariantCulture)));

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
