using System.Diagnostics;
using System.Text.Json.Nodes;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Providers.Libvirt;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Providers.Tests.Libvirt;

/// <summary>One machine from nothing to nothing with a guest that people could use, and what a host can really do.</summary>
[Collection(GuestsOnLibvirt.Name)]
public sealed class LibvirtGuests(LibvirtPeer peer) : IAsyncLifetime
{
    private const string Password = "p\"a's$(s)`w`\\o rd";

    private readonly TestFolder _folder = new();
    private readonly InstallationId _installation = new(Ids.New(TimeProvider.System));

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public ValueTask DisposeAsync()
    {
        _folder.Dispose();
        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task A_guest_takes_name_key_password_and_files_obeys_and_leaves_nothing()
    {
        var key = _folder["key"];
        await Tool.RunAsync(Cancellation, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key);
        var machine = new MachineSpec(
            new Owner(_installation, new LabId(Ids.New(TimeProvider.System)), new MachineId(Ids.New(TimeProvider.System)), 1),
            "here", "web-7", "guest", LibvirtPeer.Tiny, 1, 128, 1,
            new GuestSeed("ada", [await File.ReadAllTextAsync(key + ".pub", Cancellation)], new Secret(Password), new Dictionary<string, object>
            {
                ["write_files"] = new List<object> { new Dictionary<string, object> { ["path"] = "/etc/motd", ["content"] = "$(reboot) \"héllo\"\n" } },
            }));
        await using var provider = LibvirtPeer.Open(_installation, peer.Libvirt.Uri);
        var power = (IPowerAbility)provider;
        try
        {
            await provider.EnsureExistsAsync(machine, Cancellation);
            Assert.Equal("web-7 ada $(reboot) \"héllo\"", await SignInAsync(provider, machine, "-i", key, "-o", "BatchMode=yes", "echo $(hostname) $(whoami) \"$(cat /etc/motd)\"; echo kept > kept"));
            Assert.Equal("web-7", await SignInAsync(provider, machine, "-o", "PubkeyAuthentication=no", "hostname"));

            await power.StopAsync(machine.Reference, StopMode.Graceful, Cancellation);
            await AwaitAsync(provider, machine, present => present.Power == PowerState.Stopped);
            await power.StartAsync(machine.Reference, Cancellation);
            Assert.Equal("kept", await SignInAsync(provider, machine, "-i", key, "-o", "BatchMode=yes", "cat kept"));
            Assert.Contains("web-7", System.Text.Encoding.UTF8.GetString(await ((ISerialLogAbility)provider).ReadSerialLogAsync(machine.Reference, 100_000, Cancellation)), StringComparison.Ordinal);
        }
        finally
        {
            await provider.EnsureGoneAsync(machine.Reference, CancellationToken.None);
        }

        Assert.DoesNotContain(machine.Owner.ResourceName, await peer.Libvirt.VirshAsync(Cancellation, "list", "--all"), StringComparison.Ordinal);
        Assert.DoesNotContain(Directory.EnumerateFiles(peer.Libvirt.Volumes), file => file.Contains(machine.Owner.ResourceName, StringComparison.Ordinal));
        Assert.Empty(await provider.ListOwnedAsync(Cancellation));
    }

    [Fact]
    public async Task A_guest_reverted_to_a_snapshot_has_its_files_and_its_memory_as_they_were()
    {
        var key = _folder["key"];
        await Tool.RunAsync(Cancellation, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key);
        var machine = new MachineSpec(
            new Owner(_installation, new LabId(Ids.New(TimeProvider.System)), new MachineId(Ids.New(TimeProvider.System)), 1),
            "here", "web-9", "reverted", LibvirtPeer.Tiny, 1, 128, 1, new GuestSeed("ada", [await File.ReadAllTextAsync(key + ".pub", Cancellation)], null, new Dictionary<string, object>()));
        await using var provider = LibvirtPeer.Open(_installation, peer.Libvirt.Uri);
        var (power, snapshots) = ((IPowerAbility)provider, (ISnapshotAbility)provider);
        var (running, stopped) = (new SnapshotId(Ids.New(TimeProvider.System)), new SnapshotId(Ids.New(TimeProvider.System)));
        Task<string> SayAsync(string command) => SignInAsync(provider, machine, "-i", key, "-o", "BatchMode=yes", command);
        try
        {
            await provider.EnsureExistsAsync(machine, Cancellation);
            Assert.Equal("ready", await SayAsync("echo before > file; (sleep 4242 >/dev/null 2>&1 </dev/null &); sync; pidof sleep >/dev/null && echo ready"));
            await snapshots.TakeSnapshotAsync(machine.Reference, running, Cancellation);
            Assert.Equal("after", await SayAsync("echo after > file; kill $(pidof sleep); echo new > another; sync; cat file"));

            await snapshots.RevertAsync(machine.Reference, running, Cancellation);
            Assert.Equal("before\nfile\nstill running", await SayAsync("cat file; ls; pidof sleep >/dev/null && echo still running"));

            // Without its memory: what was on the disk when it was stopped, after a boot of its own.
            await SayAsync("echo stopped > file; sync");
            await power.StopAsync(machine.Reference, StopMode.Graceful, Cancellation);
            await AwaitAsync(provider, machine, present => present.Power == PowerState.Stopped);
            await snapshots.TakeSnapshotAsync(machine.Reference, stopped, Cancellation);

            // Each as large as QEMU's own tool says.
            var said = JsonNode.Parse(await Tool.RunAsync(Cancellation, "qemu-img", "info", "--output=json", "-U", Path.Combine(peer.Libvirt.Volumes, machine.Owner.ResourceName + LibvirtMapping.DiskSuffix)))!;
            var sizes = (await snapshots.ListSnapshotsAsync(machine.Reference, Cancellation)).ToDictionary(seen => seen.ExternalId, seen => seen.Bytes);
            Assert.Equal(said["snapshots"]!.AsArray().ToDictionary(snapshot => (string)snapshot!["name"]!, snapshot => (long?)snapshot!["vm-state-size"]), sizes);
            Assert.True(sizes[machine.Owner.SnapshotName(running)] > 1 << 20);
            Assert.Equal(0, sizes[machine.Owner.SnapshotName(stopped)]);
            Assert.Equal((long)said["actual-size"]!, await snapshots.ReadDiskBytesAsync(machine.Reference, Cancellation));
            await snapshots.RevertAsync(machine.Reference, running, Cancellation);
            Assert.Equal("before", await SayAsync("cat file"));

            // Its memory is older than the stop was long: it sees by its clock's chip how late it is.
            await AwaitClockAsync(() => SayAsync("date +%s"));
            await snapshots.RevertAsync(machine.Reference, stopped, Cancellation);
            await AwaitAsync(provider, machine, present => present.Power == PowerState.Stopped);
            await power.StartAsync(machine.Reference, Cancellation);
            Assert.Equal("stopped", await SayAsync("cat file"));

            // QEMU is killed in the middle of taking one: there is none, and nothing else is lost.
            var lost = new SnapshotId(Ids.New(TimeProvider.System));
            Assert.Equal(FaultKind.Transient, (await KillWhileTakingAsync(snapshots, machine, lost)).Kind);
            await AwaitAsync(provider, machine, present => present.Power == PowerState.Stopped);
            Assert.Equal(new[] { running, stopped }.OrderBy(id => id.Value), (await snapshots.ListSnapshotsAsync(machine.Reference, Cancellation)).Select(seen => seen.Snapshot).OrderBy(id => id.Value));
            await power.StartAsync(machine.Reference, Cancellation);
            Assert.Equal("stopped", await SayAsync("cat file"));
            await snapshots.TakeSnapshotAsync(machine.Reference, lost, Cancellation);
            await snapshots.RevertAsync(machine.Reference, running, Cancellation);
            Assert.Equal("before", await SayAsync("cat file"));
        }
        finally
        {
            await provider.EnsureGoneAsync(machine.Reference, CancellationToken.None);
        }

        Assert.Empty(Directory.EnumerateFiles(peer.Libvirt.Volumes, machine.Owner.ResourceName + "*"));
    }

    [Fact]
    public async Task A_full_disk_costs_a_guest_no_data_whether_a_snapshot_is_taken_or_reverted_to()
    {
        const string Small = "small";
        var key = _folder["key"];
        await Tool.RunAsync(Cancellation, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key);
        await peer.Libvirt.AddSmallPoolAsync(Small, Cancellation);
        var machine = new MachineSpec(
            new Owner(_installation, new LabId(Ids.New(TimeProvider.System)), new MachineId(Ids.New(TimeProvider.System)), 1),
            "here", "web-10", "on a full disk", LibvirtPeer.Tiny, 1, 128, 1, new GuestSeed("ada", [await File.ReadAllTextAsync(key + ".pub", Cancellation)], null, new Dictionary<string, object>()));
        var name = machine.Owner.ResourceName;
        await using var provider = LibvirtPeer.Open(_installation, peer.Libvirt.Uri, storagePool: Small);
        var snapshots = (ISnapshotAbility)provider;
        var (kept, none) = (new SnapshotId(Ids.New(TimeProvider.System)), new SnapshotId(Ids.New(TimeProvider.System)));
        Task<string> SayAsync(string command) => SignInAsync(provider, machine, "-i", key, "-o", "BatchMode=yes", command);
        try
        {
            await provider.EnsureExistsAsync(machine, Cancellation);
            Assert.Equal("before", await SayAsync("echo before > file; sync; cat file"));
            await snapshots.TakeSnapshotAsync(machine.Reference, kept, Cancellation);
            Assert.Equal("after", await SayAsync("echo after > file; sync; cat file"));

            // Seen before anything is written: a sentence, no part of it, and a guest that runs.
            await peer.Libvirt.FillAsync(Small, Cancellation);
            var full = await Assert.ThrowsAsync<ProviderFault>(() => snapshots.TakeSnapshotAsync(machine.Reference, none, Cancellation));
            Assert.Equal(FaultKind.NoCapacity, full.Kind);
            Assert.Contains("memory may take 128 MiB", full.Message, StringComparison.Ordinal);
            await KeptAsync("running");

            // Full in the middle of it, as where another fills it meanwhile: QEMU itself, without that look before.
            var (exit, said, why) = await Tool.TryAsync(Cancellation, "virsh", "-q", "-c", peer.Libvirt.Uri, "snapshot-create-as", name, machine.Owner.SnapshotName(none));
            TestContext.Current.TestOutputHelper?.WriteLine($"QEMU on a full disk: {exit} {said} {why}");
            Assert.NotEqual(0, exit);
            await KeptAsync("running", "paused");

            // Half a revert is done once more where there is room; the snapshot is as whole as before.
            var half = await Record.ExceptionAsync(() => snapshots.RevertAsync(machine.Reference, kept, Cancellation));
            TestContext.Current.TestOutputHelper?.WriteLine($"Reverting on a full disk: {half?.Message ?? "done"}; then the guest is {await PowerAsync()}");
            Assert.True(half is null or ProviderFault);
            await KeptAsync("running", "paused", "shut off");

            await peer.Libvirt.MakeRoomAsync(Small, Cancellation);
            await snapshots.RevertAsync(machine.Reference, kept, Cancellation);
            Assert.Equal("before", await SayAsync("cat file"));
            await snapshots.TakeSnapshotAsync(machine.Reference, none, Cancellation);
            Assert.Equal("new", await SayAsync("echo new > file; sync; cat file"));
        }
        finally
        {
            await provider.EnsureGoneAsync(machine.Reference, CancellationToken.None);
            await peer.Libvirt.VirshAsync(CancellationToken.None, "pool-destroy", Small);
        }

        async Task<string> PowerAsync() => (await peer.Libvirt.VirshAsync(Cancellation, "domstate", name)).Trim();

        async Task KeptAsync(params string[] states)
        {
            Assert.Contains(await PowerAsync(), states);
            Assert.Equal([kept], (await snapshots.ListSnapshotsAsync(machine.Reference, Cancellation)).Select(seen => seen.Snapshot));
        }
    }

    [Fact]
    public async Task A_guest_that_never_stops_talking_fills_no_more_than_two_files_and_its_last_words_are_read()
    {
        var key = _folder["key"];
        await Tool.RunAsync(Cancellation, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key);
        var machine = new MachineSpec(
            new Owner(_installation, new LabId(Ids.New(TimeProvider.System)), new MachineId(Ids.New(TimeProvider.System)), 1),
            "here", "web-8", "chatty", LibvirtPeer.Tiny, 1, 128, 1, new GuestSeed("root", [await File.ReadAllTextAsync(key + ".pub", Cancellation)], null, new Dictionary<string, object>()));
        await using var provider = LibvirtPeer.Open(_installation, peer.Libvirt.Uri);
        try
        {
            await provider.EnsureExistsAsync(machine, Cancellation);
            Assert.Equal("said", await SignInAsync(provider, machine, "-i", key, "-o", "BatchMode=yes", "-l", "root", "yes chatty | head -c 600000 >/dev/ttyS0 && echo the last >/dev/ttyS0 && echo said"));
            var log = await AwaitLogAsync(provider, machine, "the last");
            Assert.Equal(400_000, log.Length);
            var files = new DirectoryInfo(peer.Libvirt.Volumes).GetFiles(machine.Owner.ResourceName + ".log*");
            Assert.Equal([".log", ".0"], files.Select(file => file.Extension).OrderDescending());
            Assert.InRange(files.Sum(file => file.Length), log.Length, 512 << 10);
        }
        finally
        {
            await provider.EnsureGoneAsync(machine.Reference, CancellationToken.None);
        }

        Assert.Empty(Directory.EnumerateFiles(peer.Libvirt.Volumes, machine.Owner.ResourceName + "*"));
    }

    [Fact]
    public async Task The_probe_tells_a_host_whose_guests_really_run_and_leaves_nothing()
    {
        var before = Directory.EnumerateFiles(peer.Libvirt.Volumes).Order().ToList();
        await using var host = new LibvirtHost(new LibvirtHostSettings("here", peer.Libvirt.Uri, "lab", "lab"), TimeSpan.FromSeconds(30), TimeProvider.System);
        using var acceleration = new Acceleration(host, Acceleration.Auto, _installation);
        Assert.NotNull(await acceleration.BootAsync("qemu", TimeSpan.FromSeconds(20), Cancellation));

        // A guest that does not get through in time is no guest that runs.
        Assert.Null(await acceleration.BootAsync("qemu", TimeSpan.FromMilliseconds(1), Cancellation));

        // What the operating system shows, by the emulator itself and not through libvirt.
        var kvm = await BootsUnderKvmAsync();
        Assert.Equal(kvm ? Acceleration.Kvm : Acceleration.Emulated, await acceleration.ReadAsync(Cancellation));
        Assert.Equal(before, Directory.EnumerateFiles(peer.Libvirt.Volumes).Order());
        Assert.DoesNotContain("probe", await peer.Libvirt.VirshAsync(Cancellation, "list", "--all", "--name"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_check_names_everything_that_is_wrong_at_once()
    {
        await using var provider = new LibvirtKind().Open(new PoolContext(_installation, "pool", new System.Text.Json.Nodes.JsonObject
        {
            ["hosts"] = new System.Text.Json.Nodes.JsonArray(
                Host("one", peer.Libvirt.Uri, "nowhere", "nothing"), Host("two", "qemu:///system?socket=/nonexistent/socket", "lab", "lab"), Host("one", peer.Libvirt.Uri, "lab", "lab")),
        }, _folder.Path, TimeProvider.System));
        var problems = (await provider.CheckAsync(Cancellation)).Problems;
        Assert.Equal(["one", "one", "one", "two"], problems.Select(problem => problem.Host).Order());
        Assert.Contains(problems, problem => problem.What.Contains("storage pool \"nowhere\"", StringComparison.Ordinal) && problem.Mend.Contains("virsh pool-define-as nowhere", StringComparison.Ordinal));
        Assert.Contains(problems, problem => problem.What.Contains("network \"nothing\"", StringComparison.Ordinal));
        Assert.Contains(problems, problem => problem.What.Contains("Two hosts are called \"one\"", StringComparison.Ordinal));
        Assert.Contains(problems, problem => problem.Host == "two" && problem.Mend.Contains("Start libvirtd", StringComparison.Ordinal));

        static System.Text.Json.Nodes.JsonObject Host(string name, string uri, string pool, string network) =>
            new() { ["name"] = name, ["uri"] = uri, ["pool"] = pool, ["network"] = network };
    }

    private async Task<string> SignInAsync(IProvider provider, MachineSpec machine, params string[] how)
    {
        var present = await AwaitAsync(provider, machine, seen => seen.Addresses.Count > 0);
        var ask = _folder["ask"];
        await File.WriteAllTextAsync(_folder["password"], Password + "\n", Cancellation);
        await File.WriteAllTextAsync(ask, $"#!/bin/sh\ncat {_folder["password"]}\n", Cancellation);
        await Tool.RunAsync(Cancellation, "chmod", "700", ask);
        string[] options = ["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=3", "-o", "NumberOfPasswordPrompts=1"];
        var said = "";
        for (var watch = Stopwatch.StartNew(); watch.Elapsed < TimeSpan.FromMinutes(5);)
        {
            var (exit, output, error) = await Tool.TryAsync(Cancellation, "env",
                ["SSH_ASKPASS=" + ask, "SSH_ASKPASS_REQUIRE=force", "ssh", .. options, .. how[..^1], "-l", "ada", present.Addresses[0].ToString(), how[^1]]);
            if (exit == 0) return output.Trim();
            said = error;
            await Task.Delay(200, Cancellation);
        }

        throw new InvalidOperationException($"Nobody could sign in: {said}");
    }

    private static async Task AwaitClockAsync(Func<Task<string>> tellAsync)
    {
        var behind = long.MaxValue;
        for (var watch = Stopwatch.StartNew(); watch.Elapsed < TimeSpan.FromSeconds(30); await Task.Delay(500, Cancellation))
        {
            behind = TimeProvider.System.GetUtcNow().ToUnixTimeSeconds() - long.Parse(await tellAsync(), System.Globalization.CultureInfo.InvariantCulture);
            // As late as an answer comes from a busy machine, and no more.
            if (Math.Abs(behind) <= 3) return;
        }

        throw new InvalidOperationException($"Its clock is {behind} s behind.");
    }

    /// <summary>kill -9 of the machine's QEMU once it has written some of its memory; where it was done before that, the snapshot is deleted and taken again.</summary>
    private static async Task<ProviderFault> KillWhileTakingAsync(ISnapshotAbility snapshots, MachineSpec machine, SnapshotId snapshot)
    {
        var emulator = (await Tool.RunAsync(Cancellation, "pgrep", "-f", $"guest={machine.Owner.ResourceName}")).Split('\n')[0];
        for (var attempt = 0; attempt < 10; attempt++)
        {
            var written = Written(emulator);
            var taking = snapshots.TakeSnapshotAsync(machine.Reference, snapshot, Cancellation);
            while (!taking.IsCompleted && Written(emulator) < written + (8 << 20)) await Task.Delay(1, Cancellation);
            if (!taking.IsCompleted) await Tool.TryAsync(Cancellation, "kill", "-9", emulator);
            if (await Record.ExceptionAsync(() => taking) is { } fault) return Assert.IsType<ProviderFault>(fault);
            await snapshots.DeleteSnapshotAsync(machine.Reference, snapshot, Cancellation);
        }

        throw new InvalidOperationException("Each snapshot was taken before QEMU could be killed.");
    }

    /// <summary>proc(5): bytes that this process has written.</summary>
    private static long Written(string process) => long.Parse(
        File.ReadLines($"/proc/{process}/io").Single(line => line.StartsWith("wchar:", StringComparison.Ordinal)).Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);

    private static async Task<string> AwaitLogAsync(IProvider provider, MachineSpec machine, string last)
    {
        var text = "";
        for (var watch = Stopwatch.StartNew(); watch.Elapsed < TimeSpan.FromMinutes(5); await Task.Delay(200, Cancellation))
        {
            text = System.Text.Encoding.Latin1.GetString(await ((ISerialLogAbility)provider).ReadSerialLogAsync(machine.Reference, 400_000, Cancellation));
            if (text.TrimEnd().EndsWith(last, StringComparison.Ordinal)) return text;
        }

        throw new InvalidOperationException($"The log ends with: {text[^Math.Min(text.Length, 200)..]}");
    }

    private static async Task<Observation.Present> AwaitAsync(IProvider provider, MachineSpec machine, Func<Observation.Present, bool> wanted)
    {
        for (var watch = Stopwatch.StartNew(); watch.Elapsed < TimeSpan.FromMinutes(5); await Task.Delay(100, Cancellation))
        {
            if (Assert.Single(await provider.ObserveAsync([machine.Reference], Cancellation)) is Observation.Present present && wanted(present)) return present;
        }

        throw new InvalidOperationException("The machine did not come to what was wanted of it.");
    }

    private async Task<bool> BootsUnderKvmAsync()
    {
        var log = _folder["kvm.log"];
        await Tool.TryAsync(Cancellation, "timeout", "10", "qemu-system-x86_64", "-accel", "kvm", "-m", "128", "-display", "none", "-monitor", "none", "-serial", "file:" + log,
            "-drive", $"file={Path.Combine(peer.Libvirt.Volumes, PrivateLibvirt.ImageVolume)},if=virtio,format=qcow2,snapshot=on", "-nic", "none");
        return File.Exists(log) && (await File.ReadAllTextAsync(log, Cancellation)).Contains("tiny: ssh ready", StringComparison.Ordinal);
    }
}
