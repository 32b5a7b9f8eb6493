using System.Diagnostics;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Providers.Libvirt;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Providers.Tests.Libvirt;

/// <summary>A libvirtd that stops in the middle of calls, and goes on later.</summary>
[Collection(OnLibvirt.Name)]
public sealed class LibvirtHangs(LibvirtPeer peer)
{
    private const int CallSeconds = 3;

    /// <summary>When a call that ends by its deadline has ended, also on a machine that is busy with other tests. Without one it would never end.</summary>
    private static readonly TimeSpan Ended = TimeSpan.FromMinutes(2);

    private readonly InstallationId _installation = new(Ids.New(TimeProvider.System));

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_daemon_that_stops_in_mid_call_makes_its_calls_transient_and_nobody_elses_and_doubles_nothing()
    {
        await using var other = await PrivateLibvirt.StartAsync(Cancellation);
        await using var sound = LibvirtPeer.Open(_installation, other.Uri);
        await using var hung = LibvirtPeer.Open(_installation, peer.Libvirt.Uri, callSeconds: CallSeconds);
        await using var neverOpened = LibvirtPeer.Open(_installation, peer.Libvirt.Uri, callSeconds: CallSeconds);
        var machines = Enumerable.Range(1, 3).Select(Machine).ToList();
        await UntilItAnswersAsync(hung);
        await sound.ListOwnedAsync(Cancellation);
        var seen = new HashSet<int>();
        var frozen = false;
        try
        {
            // Some are in the middle of a create when it happens, and others come only then.
            var creates = machines.Select(machine => EndAsync(() => hung.EnsureExistsAsync(machine, Cancellation))).ToList();
            await Task.Delay(150, Cancellation);
            await peer.Libvirt.FreezeAsync(Cancellation);
            frozen = true;
            var later = Enumerable.Range(0, 30).Select(i => EndAsync(() => (i % 2 == 0 ? hung : neverOpened).ListOwnedAsync(Cancellation))).ToList();

            var rounds = new List<TimeSpan>();
            for (var i = 0; i < 20; i++)
            {
                var watch = Stopwatch.StartNew();
                await sound.ListOwnedAsync(Cancellation);
                Assert.True((await sound.CheckAsync(Cancellation)).Usable);
                rounds.Add(watch.Elapsed);
                Assert.InRange(Processes(hung).Count, 0, LibvirtHost.Children);
                Assert.InRange(Processes(neverOpened).Count, 0, LibvirtHost.Children);
                seen.UnionWith(Processes(hung).Concat(Processes(neverOpened)));
                await Task.Delay(100, Cancellation);
            }

            // Who waited for a call that hangs waited for its deadline; one or another may have waited for the children of the others to start.
            Assert.InRange(rounds.Min(), TimeSpan.Zero, TimeSpan.FromSeconds(CallSeconds));

            foreach (var (fault, took) in await Task.WhenAll(creates.Concat(later)))
            {
                // A create that was through before is fine; whatever came after is not.
                if (fault is not null) Assert.Equal(FaultKind.Transient, Assert.IsType<ProviderFault>(fault).Kind);
                Assert.InRange(took, TimeSpan.Zero, Ended);
            }

            Assert.All(later, call => Assert.NotNull(call.Result.Fault));
            // Every child that was in a call was ended with it.
            await LibvirtChildren.GoneAsync(seen);
            Assert.Empty(Processes(neverOpened));

            await peer.Libvirt.ThawAsync(Cancellation);
            frozen = false;
            foreach (var provider in new[] { hung, neverOpened })
                await UntilItAnswersAsync(provider);

            await using var patient = LibvirtPeer.Open(_installation, peer.Libvirt.Uri);
            foreach (var machine in machines) await patient.EnsureExistsAsync(machine, Cancellation);
            var names = machines.Select(machine => machine.Owner.ResourceName).Order().ToList();
            var domains = (await peer.Libvirt.VirshAsync(Cancellation, "list", "--all", "--name")).Split('\n', StringSplitOptions.RemoveEmptyEntries);
            Assert.Equal(names, domains.Where(name => name.StartsWith(Owner.InstallationPrefix(_installation), StringComparison.Ordinal)).Order());
            Assert.Equal(3 * names.Count, OurFiles().Count());
        }
        finally
        {
            if (frozen) await peer.Libvirt.ThawAsync(CancellationToken.None);
            await UntilItAnswersAsync(hung);
            await using var patient = LibvirtPeer.Open(_installation, peer.Libvirt.Uri);
            foreach (var machine in machines) await patient.EnsureGoneAsync(machine.Reference, CancellationToken.None);
        }

        Assert.Empty(await hung.ListOwnedAsync(Cancellation));
        Assert.Empty(OurFiles());
    }

    [Fact]
    public async Task A_daemon_that_dies_and_comes_back_is_connected_to_again()
    {
        await using var own = await PrivateLibvirt.StartAsync(Cancellation);
        await using var provider = LibvirtPeer.Open(_installation, own.Uri);
        var machine = Machine(1);
        await provider.EnsureExistsAsync(machine, Cancellation);
        await Tool.RunAsync(Cancellation, "kill", "-KILL", $"{await own.PidAsync(Cancellation)}");
        await UntilItAnswersAsync(provider);

        // The guest lived on.
        Assert.Equal(PowerState.Running, Assert.IsType<Observation.Present>(Assert.Single(await provider.ObserveAsync([machine.Reference], Cancellation))).Power);
    }

    private MachineSpec Machine(int number) => new(
        new Owner(_installation, new LabId(Ids.New(TimeProvider.System)), new MachineId(Ids.New(TimeProvider.System)), number),
        "here", $"web-{number}", "hang", LibvirtPeer.Tiny, 1, 128, 1, new GuestSeed("root", [], null, new Dictionary<string, object>()));

    private IEnumerable<string> OurFiles() => Directory.EnumerateFiles(peer.Libvirt.Volumes)
        .Where(file => Path.GetFileName(file).StartsWith(Owner.InstallationPrefix(_installation), StringComparison.Ordinal));

    private static async Task<(Exception? Fault, TimeSpan Took)> EndAsync(Func<Task> callAsync)
    {
        var watch = Stopwatch.StartNew();
        return (await Record.ExceptionAsync(callAsync), watch.Elapsed);
    }

    private static async Task UntilItAnswersAsync(IProvider provider)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await provider.ListOwnedAsync(CancellationToken.None);
                return;
            }
            catch (ProviderFault fault) when (fault.Kind == FaultKind.Transient && attempt < 40)
            {
                await Task.Delay(250, CancellationToken.None);
            }
        }
    }

    /// <summary>The children of the one host that this provider has, and of no other.</summary>
    private static IReadOnlyList<int> Processes(IProvider provider) => Assert.Single(((LibvirtProvider)provider).Hosts).Processes;
}
