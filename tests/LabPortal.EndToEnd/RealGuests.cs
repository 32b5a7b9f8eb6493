using System.Diagnostics;
using System.Text.Json.Nodes;
using LabPortal.Testing;

// Many of these wait for a guest, a lease or a process: more than one for each processor go on side by side, and the longest begin early.
[assembly: Xunit.v3.Parallelization(MaxThreads = 3)]

namespace LabPortal.EndToEnd;

/// <summary>Tests with real guests share one libvirtd and run one after the other: each guest's boot is seconds of a processor.</summary>
[CollectionDefinition]
public sealed class WithRealGuests : ICollectionFixture<RealGuests>;

/// <summary>A libvirtd with the tiny image, and the ways in which a user and an operator look at it: their own ssh and virsh.</summary>
public sealed class RealGuests : IAsyncLifetime
{
    public const string Pool = "this-machine";

    /// <summary>One machine that can be reset to clean.</summary>
    public const string Resettable = """

        ---
        kind: Blueprint
        name: resettable
        title: One machine that can be reset
        machines: [{ name: one, image: tiny, size: tiny }]
        lease: { default: 1h, max: 2h, grace: 0 }
        snapshotAtReady: true
        """;

    /// <summary>In a guest of the tiny image: from now on its SSH server shows another host key than the portal gave it. Sessions that are open go on.</summary>
    public const string OtherHostKey = "dropbearkey -t ed25519 -f /root/other >/dev/null 2>&1; "
        + "kill $(for one in $(pidof dropbear); do awk -v one=$one '$4 == 1 { print one }' /proc/$one/stat; done); until dropbear -s -r /root/other 2>/dev/null; do sleep 1; done";

    private PrivateLibvirt? _libvirt;

    public PrivateLibvirt Libvirt
    {
        get
        {
            Assert.SkipWhen(PrivateLibvirt.WhyNot is not null, PrivateLibvirt.WhyNot ?? "");
            return _libvirt!;
        }
    }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private static string Sample { get; } = File.ReadAllText(Path.Combine(Repository.Root, "infra/catalogue/sample.yaml"));

    /// <summary>The pool of this libvirtd, and the sample catalogue as everybody gets it.</summary>
    public string Yaml(string storagePool = "lab") => $$"""
        kind: Pool
        name: {{Pool}}
        provider: libvirt
        settings: { hosts: [{ name: here, uri: "{{Libvirt.Uri}}" }], storagePool: {{storagePool}}, network: lab, reach: direct }
        limits: { operationsAtOnce: 4, bootsAtOnce: 2 }
        overcommit: { cpu: 8, memory: 1 }
        ---
        {{Sample}}
        """;

    /// <summary>What libvirt itself has: nothing but the image and the network, now or after that long. An import leaves its digest beside it.</summary>
    public async Task HoldsNothingAsync(string storagePool = "lab", TimeSpan patience = default)
    {
        for (var since = Stopwatch.GetTimestamp(); ; await Task.Delay(200, Cancellation))
        {
            try
            {
                Assert.Equal("", (await Libvirt.VirshAsync(Cancellation, "list", "--all", "--name")).Trim());
                Assert.Equal("lab", (await Libvirt.VirshAsync(Cancellation, "net-list", "--all", "--name")).Trim());
                Assert.Equal("", (await Libvirt.VirshAsync(Cancellation, "nwfilter-list")).Trim());
                await Libvirt.VirshAsync(Cancellation, "pool-refresh", storagePool);
                var volumes = (await Libvirt.VirshAsync(Cancellation, "vol-list", storagePool)).Split('\n', StringSplitOptions.RemoveEmptyEntries);
                Assert.Equal([PrivateLibvirt.ImageVolume], volumes.Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[0]).Except([PrivateLibvirt.ImageDigest]));
                return;
            }
            // A storage pool in which a volume is being made refuses to be refreshed.
            catch (Exception fault) when (fault is Xunit.Sdk.XunitException or InvalidOperationException && Stopwatch.GetElapsedTime(since) < patience) { }
        }
    }

    /// <summary>The name of the one guest that runs, as soon as it does.</summary>
    public async Task<string> FirstAsync(TimeSpan patience)
    {
        for (var since = Stopwatch.GetTimestamp(); ; await Task.Delay(100, Cancellation))
        {
            if ((await Libvirt.VirshAsync(Cancellation, "list", "--name")).Trim() is { Length: > 0 } name) return name;
            if (Stopwatch.GetElapsedTime(since) > patience) throw new TimeoutException("No guest runs.");
        }
    }

    public async Task<int> RunningAsync()
        => (await Libvirt.VirshAsync(Cancellation, "list", "--name")).Split('\n', StringSplitOptions.RemoveEmptyEntries).Length;

    public async ValueTask InitializeAsync()
    {
        if (PrivateLibvirt.WhyNot is null) _libvirt = await PrivateLibvirt.StartAsync(Cancellation);
    }

    public async ValueTask DisposeAsync()
    {
        if (_libvirt is not null) await _libvirt.DisposeAsync();
    }
}

/// <summary>A person's own SSH key and known hosts, as the system's ssh uses them: a machine whose host key changed is not signed in to.</summary>
internal sealed class SshIdentity
{
    private readonly string _folder;

    private SshIdentity(string folder, string publicKey)
    {
        _folder = folder;
        PublicKey = publicKey;
    }

    public string PublicKey { get; }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static async Task<SshIdentity> MakeAsync(string folder)
    {
        await Tool.RunAsync(Cancellation, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ada@example.org", "-f", Path.Combine(folder, "key"));
        return new SshIdentity(folder, (await File.ReadAllTextAsync(Path.Combine(folder, "key.pub"), Cancellation)).Trim());
    }

    public async Task<string> RunAsync(string user, string host, int port, string command) => (await Tool.RunAsync(Cancellation, "ssh", [.. Arguments(user, host, port), command])).Trim();

    /// <summary>By the way in that the API names for this machine.</summary>
    public Task<string> RunAsync(JsonNode machine, string command)
    {
        var (user, host, port) = Way(machine);
        return RunAsync(user, host, port, command);
    }

    /// <summary>By a command that carries the bytes, to a machine that has no other address here.</summary>
    public async Task<string> RunThroughAsync(string proxyCommand, string host, string command) =>
        (await Tool.RunAsync(Cancellation, "ssh", ["-o", $"ProxyCommand={proxyCommand}", .. Arguments("root", host, 22), command])).Trim();

    /// <summary>What a person sees who signs in at a terminal and leaves.</summary>
    public async Task<string> SignInAsync(JsonNode machine)
    {
        var (user, host, port) = Way(machine);
        var (exit, output, error) = await Tool.TypeAsync("exit\n", Cancellation, "timeout", ["60", "ssh", "-tt", .. Arguments(user, host, port)]);
        Assert.True(exit == 0, output + error);
        return output;
    }

    private IReadOnlyList<string> Arguments(string user, string host, int port) =>
    [
        "-F", "none", "-i", Path.Combine(_folder, "key"), "-p", port.ToString(System.Globalization.CultureInfo.InvariantCulture),
        "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=20", "-o", "LogLevel=ERROR",
        "-o", "StrictHostKeyChecking=accept-new", "-o", $"UserKnownHostsFile={Path.Combine(_folder, "known_hosts")}", $"{user}@{host}",
    ];

    private static (string User, string Host, int Port) Way(JsonNode machine)
    {
        var way = machine["access"]!.AsArray().Single(access => ((string)access!["kind"]!, (string)access["via"]!) == ("ssh", "direct"))!;
        return ((string)way["user"]!, (string)way["host"]!, (int)way["port"]!);
    }
}
