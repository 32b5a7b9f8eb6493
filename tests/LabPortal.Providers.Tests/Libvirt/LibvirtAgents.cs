using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Providers.Libvirt;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Providers.Tests.Libvirt;

/// <summary>QEMU's guest agent (<c>qemu-ga</c>) in guests on a network where nobody gives out addresses: only the agent can tell them.</summary>
[Collection(GuestsOnLibvirt.Name)]
public sealed class LibvirtAgents(LibvirtPeer peer)
{
    private const string Network = "plain";
    private const string Volume = "tiny-agent.qcow2";

    private readonly InstallationId _installation = new(Ids.New(TimeProvider.System));

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    /// <summary>
    /// In the agent's place, as any guest may put it there: it answers every "are you there?" of libvirt's, and then, each time, otherwise: not at all, with what is
    /// no JSON, with an answer to something else, of another form, with a fault of 10 kB, with as many addresses as libvirt takes (2,048;
    /// its neighbour's, everybody's and the portal's among them), without an end. libvirt talks no more to one that does so, until it comes anew.
    /// </summary>
    private const string Lies = """
        kill $(cat /run/agent/pid); sleep 1
        for port in /sys/class/virtio-ports/*; do [ "$(cat $port/name)" = org.qemu.guest_agent.0 ] && agent=/dev/${port##*/}; done
        mac=$(cat /sys/class/net/eth0/address)
        one='{"ip-address-type":"ipv4","prefix":24,"ip-address":"'
        { printf '{"return":[{"name":"eth0","hardware-address":"%s","ip-addresses":[' $mac
          for ip in 127.0.0.1 169.254.169.254 224.0.0.1 0.0.0.0 255.255.255.255 '$(reboot)' 192.0.2.7; do printf '%s%s"},' "$one" "$ip"; done
          awk -v one="$one" 'BEGIN { for (i = 0; i < 2000; i++) printf "%s203.0.%d.%d\"}%s", one, i / 250, i % 250 + 1, i < 1999 ? "," : "" }'
          printf ']}]}\n'; } > /run/many
        long=$(head -c 10000 /dev/zero | tr '\0' x)
        exec 3<>$agent
        echo agent replaced
        asked=0
        while :; do
          read -r line <&3 || { sleep 0.1; continue; } # as long as libvirt is not at the other end
          case $line in *guest-sync*) id=${line##*\"id\":}; echo "{\"return\":${id%%\}*}}" >&3; continue;; esac
          case $((asked % 7)) in
            0) ;;
            1) printf '\033]0;evil\007<img src=x onerror=alert(1)>{{{\n' >&3;;
            2) echo '{"return":4242}' >&3;;
            3) echo '{"return":{"name":["eth0"]}}' >&3;;
            4) echo "{\"error\":{\"class\":\"\\u001b[2J\",\"desc\":\"$long\"}}" >&3;;
            5) cat /run/many >&3;;
            6) dd if=/dev/zero bs=64k count=400 >&3 2>/dev/null & sleep 3; kill $!;;
          esac
          echo "agent said $((asked % 7))."
          [ $((asked % 7)) = 5 ] || { exec 3>&-; sleep 1; exec 3<>$agent; }
          asked=$((asked + 1))
        done &
        """;

    [Fact]
    public async Task An_agent_tells_addresses_and_one_that_lies_or_never_answers_hides_nobody_and_keeps_nobody_running()
    {
        await using var here = await PrepareAsync();
        await using var provider = Open();
        var power = (IPowerAbility)provider;
        var talks = Machine("talks", "ip addr add 192.0.2.7/24 dev eth0", "ip addr add 198.51.100.7/24 dev eth0");
        var hangs = Machine("hangs", "ip addr add 192.0.2.8/24 dev eth0", Lies);
        try
        {
            await Task.WhenAll(provider.EnsureExistsAsync(talks, Cancellation), provider.EnsureExistsAsync(hangs, Cancellation));
            var seen = await AwaitAsync(provider, [talks], found => found[0].Addresses.Count == 2);
            Assert.Equal(["192.0.2.7", "198.51.100.7"], seen[0].Addresses.Select(address => address.ToString()).Order());
            await AwaitLogAsync(provider, hangs, "agent replaced");

            // Until it has said all of it, and its many addresses were heard once: on a machine that is busy, a second may be too short at one look or another.
            var (watch, said, claimed) = (new Stopwatch(), false, new List<IReadOnlyList<System.Net.IPAddress>>());
            for (var all = Stopwatch.StartNew(); !(said && claimed.Any(addresses => addresses.Count > 0)) && all.Elapsed < TimeSpan.FromMinutes(5); await Task.Delay(200, Cancellation))
            {
                var log = await ReadLogAsync(provider, hangs);
                said = Enumerable.Range(0, 7).All(n => log.Contains($"agent said {n}.", StringComparison.Ordinal));
                watch.Restart();
                var states = await ObserveAsync(provider, [hangs, talks]);
                watch.Stop();
                Assert.All(states, state => Assert.Equal(PowerState.Running, state.Power));
                claimed.Add(states[0].Addresses);
            }

            Assert.True(said, await ReadLogAsync(provider, hangs));
            Assert.Equal([0, GuestAddress.Most], claimed.Select(addresses => addresses.Count).Distinct().Order());
            Assert.Equal("192.0.2.7", claimed.First(addresses => addresses.Count > 0)[0].ToString());
            Assert.All(claimed.SelectMany(addresses => addresses).Skip(1), address => Assert.Matches(@"^(192\.0\.2\.7|203\.0\.0\.[0-9]+)$", address.ToString()));
            await AwaitAsync(provider, [talks], found => found[0].Addresses.Count == 2);
            TestContext.Current.TestOutputHelper?.WriteLine($"a look beside an agent that does not answer as it should: {watch.Elapsed.TotalSeconds:0.0} s");

            // The power button for both: an agent would be waited for until the guest is off, or for a minute.
            watch.Restart();
            await Task.WhenAll(power.StopAsync(talks.Reference, StopMode.Graceful, Cancellation), power.StopAsync(hangs.Reference, StopMode.Graceful, Cancellation));
            TestContext.Current.TestOutputHelper?.WriteLine($"asking both to stop: {watch.Elapsed.TotalSeconds:0.0} s");
            await AwaitAsync(provider, [talks, hangs], found => found.All(state => state.Power == PowerState.Stopped));
            Assert.Contains("tiny: power button", await ReadLogAsync(provider, talks), StringComparison.Ordinal);
            Assert.Contains("tiny: power button", await ReadLogAsync(provider, hangs), StringComparison.Ordinal);
        }
        finally
        {
            await provider.EnsureGoneAsync(talks.Reference, CancellationToken.None);
            await provider.EnsureGoneAsync(hangs.Reference, CancellationToken.None);
        }
    }

    [Fact]
    public async Task A_host_that_cannot_bound_an_agents_time_shows_its_machines_without_asking_it()
    {
        // libvirt's own pretended host, whose machine "test" runs.
        await using var host = new LibvirtHost(new LibvirtHostSettings("pretended", "test:///default", "default-pool", "none"), TimeSpan.FromSeconds(60), TimeProvider.System);
        var seen = await host.RunAsync(new LookAtMachines([new Sought("test", "52:54:00:00:00:01")], Networks: false, TimeSpan.FromSeconds(4)), Cancellation);
        Assert.Equal(LifeState.Running, Assert.Single(seen.Domains).State);
        Assert.Empty(seen.Addresses["test"]);
    }

    /// <summary>A network without a DHCP server, and the image that has the agent.</summary>
    private async Task<IAsyncDisposable> PrepareAsync()
    {
        var libvirt = peer.Libvirt;
        File.Copy(await TinyImage.WithAgentAsync(Cancellation), Path.Combine(libvirt.Volumes, Volume));
        using var folder = new TestFolder();
        await File.WriteAllTextAsync(folder["plain.xml"], $"<network><name>{Network}</name><bridge name='plain0' stp='off' delay='0'/></network>", Cancellation);
        await libvirt.VirshAsync(Cancellation, "net-create", folder["plain.xml"]);
        return new Prepared(libvirt);
    }

    private IProvider Open() => new LibvirtKind().Open(new PoolContext(_installation, "here", new JsonObject
    {
        ["hosts"] = new JsonArray(new JsonObject { ["name"] = "here", ["uri"] = peer.Libvirt.Uri }),
        ["storagePool"] = "lab",
        ["network"] = Network,
        ["acceleration"] = "emulated",
    }, "/nonexistent", TimeProvider.System));

    private MachineSpec Machine(string name, params string[] commands) => new(
        new Owner(_installation, new LabId(Ids.New(TimeProvider.System)), new MachineId(Ids.New(TimeProvider.System)), 1),
        "here", name, name, new ImageBinding("tiny-agent", "1", new Dictionary<string, string> { ["volume"] = Volume }), 1, 128, 1,
        new GuestSeed("root", [], null, new Dictionary<string, object> { ["runcmd"] = commands.Cast<object>().ToList() }));

    private static async Task<List<Observation.Present>> ObserveAsync(IProvider provider, IReadOnlyList<MachineSpec> machines)
    {
        var found = (await provider.ObserveAsync([.. machines.Select(machine => machine.Reference)], Cancellation)).OfType<Observation.Present>().ToList();
        return [.. machines.Select(machine => Assert.Single(found, each => each.Reference == machine.Reference))];
    }

    private static async Task<List<Observation.Present>> AwaitAsync(IProvider provider, IReadOnlyList<MachineSpec> machines, Func<List<Observation.Present>, bool> wanted)
    {
        List<Observation.Present> seen = [];
        for (var watch = Stopwatch.StartNew(); watch.Elapsed < TimeSpan.FromMinutes(5); await Task.Delay(200, Cancellation))
        {
            if (wanted(seen = await ObserveAsync(provider, machines))) return seen;
        }

        throw new InvalidOperationException($"The machines did not come to what was wanted of them: {string.Join("; ", seen.Select(each => $"{each.Power} {string.Join(' ', each.Addresses)}"))}");
    }

    private static async Task AwaitLogAsync(IProvider provider, MachineSpec machine, string words)
    {
        for (var watch = Stopwatch.StartNew(); watch.Elapsed < TimeSpan.FromMinutes(5); await Task.Delay(200, Cancellation))
        {
            if ((await ReadLogAsync(provider, machine)).Contains(words, StringComparison.Ordinal)) return;
        }

        throw new InvalidOperationException($"The guest never said \"{words}\": {await ReadLogAsync(provider, machine)}");
    }

    private static async Task<string> ReadLogAsync(IProvider provider, MachineSpec machine) =>
        Encoding.Latin1.GetString(await ((ISerialLogAbility)provider).ReadSerialLogAsync(machine.Reference, 100_000, Cancellation));

    private sealed class Prepared(PrivateLibvirt libvirt) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            await libvirt.VirshAsync(CancellationToken.None, "net-destroy", Network);
            File.Delete(Path.Combine(libvirt.Volumes, Volume));
        }
    }
}
