using System.Net;
using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Leases;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Networks;
using LabPortal.Domain.Pools;
using LabPortal.Testing;
using NodaTime;
using Xunit;

namespace LabPortal.Providers.Tests.Libvirt;

/// <summary>Two copies of one blueprint on one host, with guests that talk: one copy without a firewall, so that whatever is shut in the other is shut by its rules.</summary>
[Collection(GuestsOnLibvirt.Name)]
public sealed class LibvirtNetworks(LibvirtPeer peer) : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(3);

    private readonly TestFolder _folder = new();
    private readonly InstallationId _installation = new(Ids.New(TimeProvider.System));

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Two_copies_have_the_same_inner_addresses_and_no_traffic_between_them_and_rules_hold_whatever_a_guest_calls_itself()
    {
        await Tool.RunAsync(Cancellation, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", _folder["key"]);
        await using var provider = LibvirtPeer.Open(_installation, peer.Libvirt.Uri);
        var ruled = new Copy(this, provider, "ruled", [.. new[] { "web", "store" }.Select(from => new FirewallRule(from, "db", Protocol.Tcp, [new PortRange(7000, 7000)]))]);
        var open = new Copy(this, provider, "open", null);
        try
        {
            await Task.WhenAll(ruled.MakeAsync(), open.MakeAsync());

            // Each finds its own at the same address, which has no other card: and nothing was given out by DHCP there.
            await ruled.HearsAsync("db-ruled", "nc -w 5 10.0.0.20 7000");
            await open.HearsAsync("db-open", "nc -w 5 10.0.0.20 7000");
            Assert.Equal("10.0.0.10/24", await ruled.AskAsync("ip -4 -o addr show | grep -o '10\\.0\\.0\\.[0-9]*/24'"));
            Assert.All(await provider.ObserveAsync([ruled.Db.Reference, open.Db.Reference], Cancellation), seen => Assert.Empty(Assert.IsType<Observation.Present>(seen).Addresses));

            // What the rules do not name passes in the one copy and not in the other: another port, the way back, out, in.
            await open.HearsAsync("db-open", "nc -w 5 10.0.0.20 7001");
            Assert.Equal("", await ruled.AskAsync("nc -w 5 10.0.0.20 7001"));
            await open.HearsAsync("back open", "nc -w 5 10.0.0.20 7000");
            await ruled.HearsAsync("back shut", "nc -w 5 10.0.0.20 7000");
            const string Outward = "ping -c 1 -w 5 $(ip -4 -o addr show | grep -v '10\\.0\\.0\\.\\|127\\.' | awk '{print $4}' | sed 's|\\.[0-9]*/24|.2|') >/dev/null && echo passes || echo shut";
            await open.HearsAsync("passes", Outward);
            Assert.Equal("shut", await ruled.AskAsync(Outward));
            Assert.Equal("", await open.AskAsync("(while :; do hostname | nc -l -p 7000; done) >/dev/null 2>&1 </dev/null &"));
            Assert.Equal("", await ruled.AskAsync("(while :; do hostname | nc -l -p 7000; done) >/dev/null 2>&1 </dev/null &"));
            await Copy.UntilAsync(async () => Assert.Equal("web-open", await open.ReadAsync(7000)));
            Assert.Null(await ruled.ReadAsync(7000));

            // Nobody gets anything through under an address that is its neighbour's (which may talk to the same port), or nobody's, or under another MAC address.
            foreach (var forged in new[] { As("10.0.0.30"), As("10.0.0.40"), UnderAnotherMac })
            {
                await open.HearsAsync("db-open", OnInner + forged);
                Assert.Equal("", await ruled.AskAsync(OnInner + forged));
                await ruled.HearsAsync("db-ruled", "nc -w 5 10.0.0.20 7000");
            }

            // Nobody of the other copy answers in the place of one that is off.
            await ((IPowerAbility)provider).StopAsync(ruled.Db.Reference, StopMode.Hard, Cancellation);
            Assert.Equal("", await ruled.AskAsync("nc -w 5 10.0.0.20 7000"));
            await open.HearsAsync("db-open", "nc -w 5 10.0.0.20 7000");
        }
        finally
        {
            await ruled.RemoveAsync();
            await open.RemoveAsync();
        }

        Assert.Empty(await provider.ListOwnedAsync(Cancellation));
        Assert.DoesNotContain(Owner.InstallationPrefix(_installation), await peer.Libvirt.VirshAsync(Cancellation, "net-list", "--all") + await peer.Libvirt.VirshAsync(Cancellation, "nwfilter-list"), StringComparison.Ordinal);
    }

    private const string OnInner = "card=$(ip -4 -o addr show | awk '/ 10\\.0\\.0\\.10\\//{print $2}'); ";

    private const string UnderAnotherMac =
        "mac=$(ip link show $card | awk '/ether/{print $2}'); ip link set $card address 52:54:00:0a:0b:0c; nc -w 5 10.0.0.20 7000; ip link set $card address $mac";

    private static string As(string address)
        => $"ip addr flush dev $card; ip addr add {address}/24 dev $card; nc -w 5 10.0.0.20 7000; ip addr flush dev $card; ip addr add 10.0.0.10/24 dev $card";

    private sealed class Copy(LibvirtNetworks test, IProvider provider, string name, IReadOnlyList<FirewallRule>? firewall)
    {
        private readonly Blueprint _blueprint = new()
        {
            Name = "copy",
            Title = "Copy",
            Lease = new LeaseRules(Duration.FromHours(1), Duration.FromHours(1), Duration.Zero),
            Networks = [new Network("inner", "10.0.0.0/24")],
            Firewall = firewall,
            Machines =
            [
                new MachineTemplate { Name = "web", Image = "tiny", Cards = [new Card(Network.Shared), new Card("inner", "10.0.0.10")] },
                new MachineTemplate { Name = "db", Image = "tiny", Cards = [new Card("inner", "10.0.0.20")] },
                // Never started: the neighbour whose address is free to be taken.
                new MachineTemplate { Name = "store", Image = "tiny", Cards = [new Card("inner", "10.0.0.30")] },
            ],
        };

        private readonly LabId _lab = new(Ids.New(TimeProvider.System));
        private string? _address;

        public MachineSpec Web => field ??= Spec("web", []);

        // It has no way in: what it finds of the other machine, it tells whoever asks.
        public MachineSpec Db => field ??= Spec("db",
        [
            "echo unknown >/run/back; (while :; do if nc -w 3 10.0.0.10 22 </dev/null | grep -q SSH; then echo back open; else echo back shut; fi >/run/back.new; mv /run/back.new /run/back; sleep 1; done) &",
            "for port in 7000 7001; do (while :; do { hostname; cat /run/back; } | nc -l -p $port; done) & done",
        ]);

        private LabNetworks Networks => new(new Owner(test._installation, _lab, null, 1), "here", name, ["inner"]);

        public async Task MakeAsync()
        {
            await ((INetworkAbility)provider).EnsureNetworksAsync(Networks, Cancellation);
            await Task.WhenAll(provider.EnsureExistsAsync(Web, Cancellation), provider.EnsureExistsAsync(Db, Cancellation));
            await UntilAsync(async () =>
            {
                var seen = Assert.IsType<Observation.Present>(Assert.Single(await provider.ObserveAsync([Web.Reference], Cancellation)));
                _address = Assert.Single(seen.Addresses).ToString();
                var back = await AskAsync("nc -w 5 10.0.0.20 7000");
                Assert.Contains("back ", back, StringComparison.Ordinal);
            });
        }

        public Task<string> AskAsync(string command) => SshAsync(command);

        /// <summary>What passes is heard sooner or later: who listens there hears one at a time, on a machine that may be busy.</summary>
        public Task HearsAsync(string wanted, string command) => UntilAsync(async () => Assert.Contains(wanted, await SshAsync(command), StringComparison.Ordinal));

        /// <summary>What a port of the machine says to the outside; null where it does not answer.</summary>
        public async Task<string?> ReadAsync(int port)
        {
            var (exit, output, _) = await Tool.TryAsync(Cancellation, "timeout", "8", "bash", "-c", $"exec 3<>/dev/tcp/{_address}/{port} && head -n 1 <&3");
            return exit == 0 ? output.Trim() : null;
        }

        public async Task RemoveAsync()
        {
            foreach (var machine in new[] { Web, Db }) await provider.EnsureGoneAsync(machine.Reference, CancellationToken.None);
            await provider.EnsureGoneAsync(Networks.Reference, CancellationToken.None);
        }

        private async Task<string> SshAsync(string command) => (await Tool.RunAsync(Cancellation, "ssh",
            "-F", "none", "-i", test._folder["key"], "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "LogLevel=ERROR", "-o", "StrictHostKeyChecking=no",
            "-o", "UserKnownHostsFile=/dev/null", $"root@{_address}", command + "\ntrue")).Trim();

        private MachineSpec Spec(string machine, IReadOnlyList<string> commands)
        {
            var template = _blueprint.Machines.Single(found => found.Name == machine);
            return new MachineSpec(
                new Owner(test._installation, _lab, new MachineId(Ids.New(TimeProvider.System)), 1), "here", $"{machine}-{name}", name, LibvirtPeer.Tiny, 1, 128, 1,
                new GuestSeed("root", [File.ReadAllText(test._folder["key.pub"])], null, new Dictionary<string, object> { ["runcmd"] = commands.ToList() }))
            {
                Cards = CardSpecs.Of(_blueprint, template.Name, template.Cards, Networks.Owner),
            };
        }

        public static async Task UntilAsync(Func<Task> assertionAsync)
        {
            for (var since = System.Diagnostics.Stopwatch.GetTimestamp(); ; await Task.Delay(500, Cancellation))
            {
                try
                {
                    await assertionAsync();
                    return;
                }
                // Not there yet: without an address, or without an answer at it.
                catch (Exception fault) when (fault is Xunit.Sdk.XunitException or InvalidOperationException && System.Diagnostics.Stopwatch.GetElapsedTime(since) < s_patience) { }
            }
        }
    }
}
