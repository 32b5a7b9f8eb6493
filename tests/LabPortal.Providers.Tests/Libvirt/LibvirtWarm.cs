using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Providers.Libvirt;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Providers.Tests.Libvirt;

/// <summary>Machines that are started from a warm state, with guests that really resume.</summary>
[Collection(GuestsOnLibvirt.Name)]
public sealed partial class LibvirtWarm(LibvirtPeer peer) : IAsyncLifetime
{
    private readonly TestFolder _folder = new();
    private readonly InstallationId _installation = new(Ids.New(TimeProvider.System));
    private readonly List<MachineSpec> _made = [];

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        if (PrivateLibvirt.WhyNot is null)
        {
            await using var provider = LibvirtPeer.Open(_installation, peer.Libvirt.Uri);
            foreach (var machine in _made) await provider.EnsureGoneAsync(machine.Reference, CancellationToken.None);
            await ((IWarmStartAbility)provider).KeepWarmStatesAsync([], CancellationToken.None);
        }

        _folder.Dispose();
    }

    [Fact]
    public async Task Two_guests_started_from_one_state_share_nothing_that_is_one_machines_own()
    {
        var (one, two, three) = (await NewAsync("one"), await NewAsync("two"), await NewAsync("three"));
        await using var provider = LibvirtPeer.Open(_installation, peer.Libvirt.Uri);
        await using var second = LibvirtPeer.Open(_installation, peer.Libvirt.Uri);
        var (warm, other) = ((IWarmStartAbility)provider, (IWarmStartAbility)second);

        // Two nodes at once: one makes it, and the other either finds it or says that it is being made.
        var both = await Task.WhenAll(KeepAsync(warm, one, two), KeepAsync(other, two));
        Assert.Contains(both, fault => fault is null);
        Assert.All(both, fault => Assert.True(fault is null or ProviderFault { Kind: FaultKind.Transient }));
        Assert.Empty(await warm.KeepWarmStatesAsync([one, two], Cancellation));
        var state = Assert.Single(await provider.ListOwnedAsync(Cancellation));
        Assert.Equal(ResourceKind.WarmState, state.Kind);
        Assert.EndsWith(WarmMapping.Suffix, Assert.Single(Ours()), StringComparison.Ordinal);
        var made = File.GetLastWriteTimeUtc(Path.Combine(peer.Libvirt.Volumes, state.Name));

        await Task.WhenAll(provider.EnsureExistsAsync(one, Cancellation), provider.EnsureExistsAsync(two, Cancellation));
        foreach (var machine in new[] { one, two }) Assert.Equal(MachineStart.FromState, await warm.ReadStartAsync(machine.Reference, Cancellation));
        var begins = new List<string>();
        foreach (var machine in new[] { one, two }) begins.Add(await BeginsWithAsync(provider, machine));
        Assert.True(begins[0] != begins[1], $"Both begin with the same random numbers: {begins[0]}");
        var (first, next) = (await IdentityAsync(provider, one), await IdentityAsync(provider, two));
        foreach (var (what, mine, others) in first.Zip(next, (a, b) => (a.Key, a.Value, b.Value))) Assert.True(mine != others, $"Both have the same {what}: {mine}");
        Assert.Equal(("one", one.Owner.DerivedMac(0)), (first["name"], first["mac"]));
        Assert.Equal(("two", two.Owner.DerivedMac(0)), (next["name"], next["mac"]));
        Assert.Equal((one.Seed.HostKey!.Public, two.Seed.HostKey!.Public), (KeyOf(first), KeyOf(next)));

        // No other's key opens it; its clock is right, however old its memory is.
        Assert.NotEqual(0, (await SshAsync(provider, one, "two", "true")).Exit);
        foreach (var machine in new[] { one, two })
        {
            var said = long.Parse(await SayAsync(provider, machine, "date +%s"), CultureInfo.InvariantCulture);
            Assert.InRange(said - TimeProvider.System.GetUtcNow().ToUnixTimeSeconds(), -10, 10);
        }

        // It is a machine like any other: it boots by itself, and stays who it is.
        Assert.Equal("kept", await SayAsync(provider, one, "echo kept > kept; sync; cat kept"));
        await ((IPowerAbility)provider).RestartAsync(one.Reference, Cancellation);
        await EventuallyAsync(async () => Assert.NotEqual(first["boot"], (await IdentityAsync(provider, one))["boot"]));
        var again = await IdentityAsync(provider, one);
        Assert.Equal((first["name"], first["mac"], first["machine"], first["host key"]), (again["name"], again["mac"], again["machine"], again["host key"]));
        Assert.Equal("kept", await SayAsync(provider, one, "cat kept"));
        Assert.Equal(made, File.GetLastWriteTimeUtc(Path.Combine(peer.Libvirt.Volumes, state.Name)));

        // A state that does not resume costs nothing but its time: the machine boots, and the state is made anew.
        await using (var file = new FileStream(Path.Combine(peer.Libvirt.Volumes, state.Name), FileMode.Open, FileAccess.Write)) file.SetLength(file.Length / 2);
        await peer.Libvirt.VirshAsync(Cancellation, "pool-refresh", "lab");
        await provider.EnsureExistsAsync(three, Cancellation);
        Assert.Contains("could not be resumed", (await warm.ReadStartAsync(three.Reference, Cancellation))?.Why, StringComparison.Ordinal);
        Assert.Equal(PowerState.Running, Assert.IsType<Observation.Present>(Assert.Single(await provider.ObserveAsync([three.Reference], Cancellation))).Power);
        Assert.DoesNotContain(Ours(), name => name.EndsWith(WarmMapping.Suffix, StringComparison.Ordinal) || name.EndsWith(WarmMapping.ResumeSuffix, StringComparison.Ordinal));
        Assert.Equal("three", await SayAsync(provider, three, "hostname"));
    }

    /// <summary>A guest of <c>tiny</c> that has its disk when it waits: what it wrote last is in its memory alone.</summary>
    [Fact]
    public async Task Machines_from_a_state_whose_guest_wrote_to_its_disk_each_have_that_on_a_disk_of_their_own()
    {
        var image = await WritingImageAsync();
        try
        {
            var (one, two) = (await NewAsync("first") with { Image = image }, await NewAsync("second") with { Image = image });
            await using var provider = LibvirtPeer.Open(_installation, peer.Libvirt.Uri);
            var warm = (IWarmStartAbility)provider;
            Assert.Empty(await AskedAgainAsync(() => warm.KeepWarmStatesAsync([one], Cancellation)));
            string[] parts = [.. Ours().Order(StringComparer.Ordinal)];
            Assert.Equal([WarmMapping.Suffix, WarmMapping.DiskSuffix], parts.Select(Path.GetExtension));
            var layer = await File.ReadAllBytesAsync(Path.Combine(peer.Libvirt.Volumes, parts[1]), Cancellation);

            // What a cut-off create left as a disk, at the moment when its copy of the memory was there, is nobody's disk.
            var half = Path.Combine(peer.Libvirt.Volumes, LibvirtMapping.DiskName(one.Owner));
            await File.WriteAllBytesAsync(half, layer, Cancellation);
            await File.WriteAllTextAsync(Path.ChangeExtension(half, null) + WarmMapping.ResumeSuffix, "half", Cancellation);
            await peer.Libvirt.VirshAsync(Cancellation, "pool-refresh", "lab");
            await Task.WhenAll(provider.EnsureExistsAsync(one, Cancellation), provider.EnsureExistsAsync(two, Cancellation));
            foreach (var machine in new[] { one, two })
            {
                Assert.Equal(MachineStart.FromState, await warm.ReadStartAsync(machine.Reference, Cancellation));
                Assert.Equal($"on the disk\nin memory\n{1 << 30}", await SayAsync(provider, machine, "cat /state/written; blockdev --getsize64 /dev/vda"));
            }

            Assert.Equal("one's", await SayAsync(provider, one, "echo one\\'s >/state/written; sync; cat /state/written"));
            Assert.Equal("on the disk\nin memory", await SayAsync(provider, two, "sync; cat /state/written"));
            Assert.Equal(layer, await File.ReadAllBytesAsync(Path.Combine(peer.Libvirt.Volumes, parts[1]), Cancellation));

            // No machine stands on it, and without it there is no state: what is left of one is removed.
            File.Delete(Path.Combine(peer.Libvirt.Volumes, parts[0]));
            await warm.KeepWarmStatesAsync([], Cancellation);
            Assert.Empty(Ours());
            await ((IPowerAbility)provider).RestartAsync(one.Reference, Cancellation);
            await EventuallyAsync(async () => Assert.Equal("one's", (await SshAsync(provider, one, one.HostName, "[ $(cut -d. -f1 /proc/uptime) -lt 100 ] && cat /state/written")).Output.Trim()));
            foreach (var machine in new[] { one, two }) await provider.EnsureGoneAsync(machine.Reference, Cancellation);
            Assert.Empty(await provider.ListOwnedAsync(Cancellation));
        }
        finally
        {
            File.Delete(Path.Combine(peer.Libvirt.Volumes, image.Require("volume")));
        }
    }

    [Fact]
    public async Task A_machine_without_a_warm_state_boots_and_says_why()
    {
        var machine = await NewAsync("cold");
        await using var provider = LibvirtPeer.Open(_installation, peer.Libvirt.Uri);
        await provider.EnsureExistsAsync(machine, Cancellation);
        Assert.Equal(MachineStart.Cold("There is no warm state for this image and shape on this host yet; one is made."), await ((IWarmStartAbility)provider).ReadStartAsync(machine.Reference, Cancellation));
        await provider.EnsureExistsAsync(machine, Cancellation);
        var other = await NewAsync("usual") with { WarmStart = false };
        await provider.EnsureExistsAsync(other, Cancellation);
        Assert.Null(await ((IWarmStartAbility)provider).ReadStartAsync(other.Reference, Cancellation));
    }

    [Fact]
    public async Task A_making_that_is_cut_off_leaves_no_guest_and_the_next_pass_nothing_at_all()
    {
        var machine = await NewAsync("cut");
        await using var provider = LibvirtPeer.Open(_installation, peer.Libvirt.Uri);
        var warm = (IWarmStartAbility)provider;
        using var cut = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        var making = warm.KeepWarmStatesAsync([machine], cut.Token);
        await EventuallyAsync(async () => Assert.Contains(WarmMapping.Suffix, await peer.Libvirt.VirshAsync(Cancellation, "list", "--name"), StringComparison.Ordinal));
        await cut.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => making);
        await EventuallyAsync(async () => Assert.DoesNotContain(WarmMapping.Suffix, await peer.Libvirt.VirshAsync(Cancellation, "list", "--all", "--name"), StringComparison.Ordinal));
        Assert.All(await provider.ListOwnedAsync(Cancellation), left => Assert.Equal(ResourceKind.WarmState, left.Kind));
        Assert.NotEmpty(Ours());
        await warm.KeepWarmStatesAsync([], Cancellation);
        Assert.Empty(Ours());
        Assert.Empty(await provider.ListOwnedAsync(Cancellation));
    }

    [Fact]
    public async Task An_image_whose_guest_does_not_wait_gets_no_state_and_a_sentence()
    {
        // Nothing boots from an empty disk.
        var volume = $"empty-{_installation.Value:n}.qcow2";
        await Tool.RunAsync(Cancellation, "qemu-img", "create", "-q", "-f", "qcow2", Path.Combine(peer.Libvirt.Volumes, volume), "1M");
        try
        {
            var machine = await NewAsync("deaf") with { Image = new ImageBinding("empty", "1", new Dictionary<string, string> { ["volume"] = volume }) };
            await using var provider = LibvirtPeer.Open(_installation, peer.Libvirt.Uri, callSeconds: 5);
            var warm = (IWarmStartAbility)provider;
            var problem = Assert.Single(await AskedAgainAsync(() => warm.KeepWarmStatesAsync([machine], Cancellation)));
            Assert.Equal(("here", "empty", "The guest of image \"empty\" did not say within 20 s that it waits to become a machine: the image is not made for warm start."), (problem.Host, problem.Image, problem.Why));
            Assert.Empty(Ours());

            // Said again without another boot.
            var watch = new Stopwatch();
            Assert.Equal([problem], await AskedAgainAsync(() =>
            {
                watch.Restart();
                return warm.KeepWarmStatesAsync([machine], Cancellation);
            }));
            Assert.InRange(watch.Elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(19));
        }
        finally
        {
            File.Delete(Path.Combine(peer.Libvirt.Volumes, volume));
        }
    }

    /// <summary>As the image <c>tiny</c>, with another word for the kernel, which hands to its first process what it does not know itself.</summary>
    private async Task<ImageBinding> WritingImageAsync()
    {
        var (raw, volume) = (_folder["writing.raw"], $"writing-{_installation.Value:n}.qcow2");
        await Tool.RunAsync(Cancellation, "qemu-img", "convert", "-O", "raw", Path.Combine(peer.Libvirt.Volumes, PrivateLibvirt.ImageVolume), raw);
        await using (var file = new FileStream(raw, FileMode.Open, FileAccess.ReadWrite))
        {
            var content = new byte[file.Length];
            await file.ReadExactlyAsync(content, Cancellation);
            file.Position = content.AsSpan().IndexOf("no_timer_check"u8);
            await file.WriteAsync("waits=written "u8.ToArray(), Cancellation);
        }

        await Tool.RunAsync(Cancellation, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, Path.Combine(peer.Libvirt.Volumes, volume));
        return new ImageBinding("writing", "1", new Dictionary<string, string> { ["volume"] = volume });
    }

    /// <summary>As the sweep does it: a host that is busy for longer than the few seconds that this test gives a call is asked again.</summary>
    private static async Task<T> AskedAgainAsync<T>(Func<Task<T>> ask)
    {
        for (var left = 5; ; left--)
        {
            try
            {
                return await ask();
            }
            catch (ProviderFault fault) when (fault.Kind is FaultKind.Transient && left > 0)
            {
                TestContext.Current.TestOutputHelper?.WriteLine(fault.Message);
            }
        }
    }

    private static async Task<ProviderFault?> KeepAsync(IWarmStartAbility warm, params MachineSpec[] wanted)
    {
        try
        {
            Assert.Empty(await warm.KeepWarmStatesAsync(wanted, Cancellation));
            return null;
        }
        catch (ProviderFault fault)
        {
            return fault;
        }
    }

    private IEnumerable<string> Ours() => Directory.EnumerateFiles(peer.Libvirt.Volumes, Owner.InstallationPrefix(_installation) + "*").Select(file => Path.GetFileName(file))
        .Where(name => name.Contains(WarmMapping.Suffix, StringComparison.Ordinal) || name.EndsWith(WarmMapping.ResumeSuffix, StringComparison.Ordinal));

    private async Task<MachineSpec> NewAsync(string name)
    {
        foreach (var file in new[] { name, name + ".host" }) await Tool.RunAsync(Cancellation, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", _folder[file]);
        var host = new HostKey(new Secret(await File.ReadAllTextAsync(_folder[name + ".host"], Cancellation)), (await File.ReadAllTextAsync(_folder[name + ".host.pub"], Cancellation)).Trim());
        var machine = new MachineSpec(
            new Owner(_installation, new LabId(Ids.New(TimeProvider.System)), new MachineId(Ids.New(TimeProvider.System)), 1),
            "here", name, "warm", LibvirtPeer.Tiny, 1, 128, 1, new GuestSeed("root", [await File.ReadAllTextAsync(_folder[name] + ".pub", Cancellation)], null, new Dictionary<string, object>(), host)) { WarmStart = true };
        _made.Add(machine);
        return machine;
    }

    /// <summary>
    /// The first random numbers that the guest gave as a machine, once it had fresh ones of its host and the kernel a new key: guests that lack either
    /// may differ all the same, by what little they met since, but do not say this.
    /// </summary>
    private static async Task<string> BeginsWithAsync(IProvider provider, MachineSpec machine)
    {
        var found = "";
        await EventuallyAsync(async () =>
        {
            var log = Encoding.Latin1.GetString(await ((ISerialLogAbility)provider).ReadSerialLogAsync(machine.Reference, 65536, Cancellation));
            found = Assert.Single(BeginsWith().Matches(log)).Groups[1].Value;
        });
        return found;
    }

    [GeneratedRegex("tiny: took 64 fresh bytes and begins with ([0-9a-f]{16})")]
    private static partial Regex BeginsWith();

    private async Task<Dictionary<string, string>> IdentityAsync(IProvider provider, MachineSpec machine)
    {
        var said = (await SayAsync(provider, machine,
            "hostname; cat /sys/class/net/eth0/address /run/address /etc/machine-id /proc/sys/kernel/random/boot_id; dropbearkey -y -f /state/host-key | grep ssh-; "
            + "cut -d' ' -f2 /root/.ssh/authorized_keys; hexdump -e '16/1 \"%02x\"' -n 16 /dev/urandom")).Split('\n');
        string[] words = ["name", "mac", "address", "machine", "boot", "host key", "key", "random"];
        return words.Zip(said).ToDictionary(pair => pair.First, pair => pair.Second);
    }

    /// <summary>Type and key; what stands behind is a comment.</summary>
    private static string KeyOf(Dictionary<string, string> identity) => string.Join(' ', identity["host key"].Split(' ')[..2]);

    private async Task<string> SayAsync(IProvider provider, MachineSpec machine, string command)
    {
        var said = (Exit: -1, Output: "", Error: "");
        for (var watch = Stopwatch.StartNew(); watch.Elapsed < TimeSpan.FromSeconds(90); await Task.Delay(100, Cancellation))
        {
            said = await SshAsync(provider, machine, machine.HostName, command);
            if (said.Exit == 0) return said.Output.Trim();
        }

        throw new InvalidOperationException($"Nobody could sign in: {said.Error}");
    }

    private async Task<(int Exit, string Output, string Error)> SshAsync(IProvider provider, MachineSpec machine, string key, string command)
    {
        if (Assert.Single(await provider.ObserveAsync([machine.Reference], Cancellation)) is not Observation.Present { Addresses: [var address, ..] }) return (-1, "", "It has no address.");
        return await Tool.TryAsync(Cancellation, "ssh", "-F", "none", "-i", _folder[key], "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
            "-o", "BatchMode=yes", "-o", "ConnectTimeout=3", "-l", "root", address.ToString(), command);
    }

    private static async Task EventuallyAsync(Func<Task> assert)
    {
        for (var watch = Stopwatch.StartNew(); watch.Elapsed < TimeSpan.FromSeconds(60); await Task.Delay(100, Cancellation))
        {
            if (await Record.ExceptionAsync(assert) is null) return;
        }

        await assert();
    }
}
