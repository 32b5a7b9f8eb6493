using System.Net;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using NodaTime;

namespace LabPortal.Providers.Libvirt;

/// <summary>The flow: what is done on which host, in which order. Every step finds out first what an earlier call left.</summary>
internal sealed class LibvirtProvider : IProvider, IPowerAbility, ICapacityAbility, IImagesAbility, ISerialLogAbility
{
    private const string ImportingSuffix = ".importing";
    private const string Others = "It belongs to another installation, which alone may look after it.";
    private const int PausedByError = 5;

    private readonly InstallationId _installation;
    private readonly Dictionary<string, LibvirtHost> _hosts = [];
    private readonly Dictionary<string, Acceleration> _accelerations = [];
    private readonly List<PoolProblem> _misconfigured = [];

    public LibvirtProvider(PoolContext pool, LibvirtSettings settings)
    {
        _installation = pool.Installation;
        foreach (var host in settings.Hosts)
        {
            var opened = new LibvirtHost(host, settings.CallDeadline, pool.Time);
            if (_hosts.TryAdd(host.Name, opened)) _accelerations[host.Name] = new Acceleration(opened, settings.Acceleration, pool.Installation, pool.Time);
            else _misconfigured.Add(new PoolProblem($"Two hosts are called \"{host.Name}\"; the second is not used.", host.Name, "Give each host of the pool a name of its own."));
        }
    }

    /// <summary>libvirtd answers from its own memory, which every change goes through.</summary>
    public Duration SettlingTime => Duration.Zero;

    public async Task<PoolCheck> CheckAsync(CancellationToken cancellation)
    {
        var problems = await Task.WhenAll(_hosts.Values.Select(host => CheckAsync(host, cancellation)));
        return new PoolCheck([.. _misconfigured, .. problems.SelectMany(found => found)]);
    }

    public async Task<IReadOnlyList<Observation>> ObserveAsync(IReadOnlyList<ResourceRef> references, CancellationToken cancellation)
    {
        var anywhere = references.Any(reference => reference.Host is null);
        var asked = _hosts.Values.Where(host => anywhere || references.Any(reference => reference.Host == host.Name));
        var sights = (await Task.WhenAll(asked.Select(host => LookAsync(host, references, cancellation)))).ToDictionary(sight => sight.Host);
        // A pool that is silent altogether says so by its fault, whose kind tells whether to wait or to call an admin.
        if (sights.Count > 0 && sights.Values.All(sight => sight.Fault is not null)) throw sights.Values.First().Fault!;
        return [.. references.Select(reference => Judge(reference, sights))];
    }

    public async Task EnsureExistsAsync(MachineSpec machine, CancellationToken cancellation)
    {
        RefuseOthers(machine.Owner);
        var host = machine.Host is null ? await PlaceAsync(machine.Owner, cancellation) : Host(machine.Host);
        var acceleration = await _accelerations[host.Name].ReadAsync(cancellation);
        await host.RunAsync("make the machine", wire => Make(wire, host, machine, acceleration), cancellation);
    }

    public async Task EnsureGoneAsync(ResourceRef reference, CancellationToken cancellation)
    {
        RefuseOthers(reference.Owner);
        await Task.WhenAll(HostsOf(reference).Select(host => host.RunAsync("remove the machine", wire => Remove(wire, reference.Owner), cancellation)));
    }

    public async Task<IReadOnlyList<OwnedResource>> ListOwnedAsync(CancellationToken cancellation)
    {
        var lists = await Task.WhenAll(_hosts.Values.Select(host => host.RunAsync("list what is ours", wire => ListOwned(wire, host.Name), cancellation)));
        return [.. lists.SelectMany(list => list)];
    }

    public Task StartAsync(ResourceRef machine, CancellationToken cancellation) =>
        WithMachineAsync(machine, "start the machine", (wire, domain) => wire.Start(domain), cancellation);

    public Task StopAsync(ResourceRef machine, StopMode mode, CancellationToken cancellation) =>
        WithMachineAsync(machine, "stop the machine", (wire, domain) =>
        {
            if (mode == StopMode.Hard) wire.TakePowerAway(domain);
            else wire.AskToShutDown(domain);
        }, cancellation);

    public Task RestartAsync(ResourceRef machine, CancellationToken cancellation) =>
        WithMachineAsync(machine, "restart the machine", (wire, domain) => wire.Reset(domain), cancellation);

    public async Task<IReadOnlyList<HostCapacity>> ReadCapacityAsync(CancellationToken cancellation) =>
        await Task.WhenAll(_hosts.Values.Select(host => ReadCapacityAsync(host, cancellation)));

    public async Task<IReadOnlyList<ImagePresence>> FindAsync(ImageBinding image, CancellationToken cancellation)
    {
        var volume = image.Require("volume");
        return await Task.WhenAll(_hosts.Values.Select(host => host.RunAsync("look for an image", wire =>
        {
            using var pool = wire.Pool();
            var found = FindImage(wire, pool, volume);
            return new ImagePresence(host.Name, found is not null, Digest: null, found?.Physical ?? 0, found is null ? MendImage(image, host.Name) : null);
        }, cancellation)));
    }

    public async Task ImportAsync(ImageBinding image, string host, string file, IProgress<long> progress, CancellationToken cancellation)
    {
        var volume = image.Require("volume");
        await using var content = File.OpenRead(file);
        var read = ImageFile.Read(content, image.Settings.GetValueOrDefault("format", "qcow2"), image.Image);
        // Keep-alive ends a transfer to a host that hangs; how long a sound one takes is for the image and the line to say.
        await Host(host).RunAsync("take an image", wire => Import(wire, host, volume, read, content, progress), Timeout.InfiniteTimeSpan, cancellation);
    }

    public async Task<byte[]> ReadSerialLogAsync(ResourceRef machine, int maxBytes, CancellationToken cancellation)
    {
        RefuseOthers(machine.Owner);
        foreach (var host in HostsOf(machine))
        {
            var log = await host.RunAsync("read a serial log", wire =>
            {
                using var pool = wire.Pool();
                using var volume = wire.FindVolume(pool, LibvirtMapping.LogName(machine.Owner));
                if (volume is null) return null;
                var size = wire.ReadSize(volume);
                return size == 0 ? [] : wire.Download(volume, Math.Max(0, size - maxBytes), (int)Math.Min(size, maxBytes));
            }, cancellation);
            if (log is not null) return log;
        }

        return [];
    }

    public async ValueTask DisposeAsync()
    {
        await Task.WhenAll(_hosts.Values.Select(host => host.DisposeAsync().AsTask()));
        foreach (var acceleration in _accelerations.Values) acceleration.Dispose();
    }

    /// <summary>
    /// Disk, seed, log, power, definition: in this order. What does not run and is not defined has never run, and may be written anew;
    /// what is defined has been started once, and is left as it is, running or not.
    /// </summary>
    private static void Make(LibvirtWire wire, LibvirtHost host, MachineSpec machine, string acceleration)
    {
        using var there = wire.FindDomain(machine.Owner.ResourceName);
        if (there is not null && wire.IsDefined(there)) return;
        using var pool = wire.Pool();
        if (there is null)
        {
            MakeDisk(wire, pool, host, machine);
            Fill(wire, pool, host.Name, LibvirtMapping.SeedName(machine.Owner), LibvirtMapping.Seed(machine));
        }

        var log = LibvirtMapping.LogName(machine.Owner);
        using var logVolume = wire.CreateVolume(pool, LibvirtMapping.Raw(log, 0).ToString()) ?? Found(wire.FindVolume(pool, log), log, host.Name);
        var xml = LibvirtMapping.Domain(machine, host.Settings, wire.ReadPath(logVolume), acceleration).ToString();
        if (there is null) Start(wire, machine.Owner, xml);
        wire.Define(xml).Dispose();
    }

    private static void Start(LibvirtWire wire, Owner owner, string xml)
    {
        try
        {
            wire.StartUndefined(xml).Dispose();
        }
        catch (ProviderFault)
        {
            // Another call of ours was faster, or it runs already and only the answer was lost.
            using var there = wire.FindDomain(owner.ResourceName);
            if (there is null) throw;
        }
    }

    private static void MakeDisk(LibvirtWire wire, PoolHandle pool, LibvirtHost host, MachineSpec machine)
    {
        var image = FindImage(wire, pool, machine.Image.Require("volume")) ?? throw new ProviderFault(FaultKind.Rejected,
            $"Image \"{machine.Image.Image}\" is not on host \"{host.Name}\". {MendImage(machine.Image, host.Name)}");
        if (image.Format is not ("qcow2" or "raw") || image.BackingPath is { Length: > 0 })
        {
            throw new ProviderFault(FaultKind.Rejected, $"Image \"{machine.Image.Image}\" on host \"{host.Name}\" "
                + (image.BackingPath is null ? $"is of the format \"{image.Format}\"; only qcow2 and raw are taken." : "has a backing file; flatten it with \"qemu-img convert -O qcow2\"."));
        }

        var name = LibvirtMapping.DiskName(machine.Owner);
        var xml = LibvirtMapping.Disk(machine, image).ToString();
        using var made = wire.CreateVolume(pool, xml);
        if (made is not null) return;
        using var there = Found(wire.FindVolume(pool, name), name, host.Name);
        var disk = wire.Describe(there);
        if (disk.Format == "qcow2" && disk.BackingPath == image.Path && disk.Capacity == LibvirtMapping.DiskBytes(machine, image)) return;
        // Half made, by a daemon that died in between: no machine has ever run from it.
        wire.Delete(there);
        using var again = wire.CreateVolume(pool, xml);
    }

    private static void Fill(LibvirtWire wire, PoolHandle pool, string host, string name, byte[] content)
    {
        using var volume = wire.CreateVolume(pool, LibvirtMapping.Raw(name, content.Length).ToString()) ?? Found(wire.FindVolume(pool, name), name, host);
        wire.Upload(volume, new MemoryStream(content, writable: false));
    }

    private static VolumeHandle Found(VolumeHandle? volume, string name, string host) => volume
        ?? throw new ProviderFault(FaultKind.Transient, $"Volume \"{name}\" was there and then was not, on host \"{host}\": somebody else removes it.");

    private static void Remove(LibvirtWire wire, Owner owner)
    {
        var name = owner.ResourceName;
        if (owner.Machine is null)
        {
            using var network = wire.FindNetwork(name);
            if (network is not null) wire.Remove(network);
            return;
        }

        using (var domain = wire.FindDomain(name))
        {
            if (domain is not null)
            {
                wire.TakePowerAway(domain);
                wire.Undefine(domain);
            }
        }

        using var pool = wire.Pool();
        wire.Refresh(pool);
        foreach (var volume in wire.ListVolumes(pool).Where(volume => volume.StartsWith(name + ".", StringComparison.Ordinal)))
        {
            using var handle = wire.FindVolume(pool, volume);
            if (handle is not null) wire.Delete(handle);
        }
    }

    private List<OwnedResource> ListOwned(LibvirtWire wire, string host)
    {
        var owned = new List<OwnedResource>();
        foreach (var domain in wire.ListDomains())
        {
            if (Owner.TryReadName(_installation, domain.Name, out var name))
                owned.Add(new OwnedResource(ResourceKind.Machine, domain.Uuid, domain.Name, name.Id, name.Generation, host));
        }

        foreach (var network in wire.ListNetworks())
        {
            if (Owner.TryReadName(_installation, network, out var name))
                owned.Add(new OwnedResource(ResourceKind.Network, network, network, name.Id, name.Generation, host));
        }

        using var pool = wire.Pool();
        wire.Refresh(pool);
        foreach (var volume in wire.ListVolumes(pool))
        {
            if (Owner.TryReadName(_installation, volume, out var name))
                owned.Add(new OwnedResource(LibvirtMapping.KindOf(name.Suffix), volume, volume, name.Id, name.Generation, host));
        }

        return owned;
    }

    /// <summary>The image, unless it is still on its way: a cut-off import leaves its mark, and with it nothing that counts.</summary>
    private static VolumeDescription? FindImage(LibvirtWire wire, PoolHandle pool, string volume)
    {
        using var found = wire.FindVolume(pool, volume);
        if (found is null)
        {
            // Put there by hand, perhaps, since libvirt last looked.
            wire.Refresh(pool);
            using var later = wire.FindVolume(pool, volume);
            return later is null || IsImporting(wire, pool, volume) ? null : wire.Describe(later);
        }

        return IsImporting(wire, pool, volume) ? null : wire.Describe(found);
    }

    private static bool IsImporting(LibvirtWire wire, PoolHandle pool, string volume)
    {
        using var mark = wire.FindVolume(pool, volume + ImportingSuffix);
        return mark is not null;
    }

    private static string MendImage(ImageBinding image, string host) =>
        $"Build it (\"infra/images {image.Image}\" for those of the sample catalogue) and import the file to host \"{host}\" on the page of the pool's images, "
        + $"or put it into the host's storage pool as \"{image.Settings.GetValueOrDefault("volume", image.Image)}\".";

    /// <summary>
    /// libvirt cannot rename a volume. So a mark stands beside it while it is filled, made before the first byte and taken away after
    /// the last: whatever is cut off, by whomever, leaves the mark, and the next import begins anew.
    /// </summary>
    private static bool Import(LibvirtWire wire, string host, string volume, ImageFile file, Stream content, IProgress<long> progress)
    {
        using var pool = wire.Pool();
        if (FindImage(wire, pool, volume) is { } there)
        {
            // Never overwritten: disks of living machines stand on it.
            if (there.Format != file.Format || there.Capacity != file.Capacity || there.Physical != file.Bytes)
                throw new ProviderFault(FaultKind.Rejected, $"Another image is there as \"{volume}\" already, and machines may stand on it. Bind this version to a volume of another name.");
            progress.Report(file.Bytes);
            return true;
        }

        using var mark = wire.CreateVolume(pool, LibvirtMapping.Raw(volume + ImportingSuffix, 0).ToString())
            ?? Found(wire.FindVolume(pool, volume + ImportingSuffix), volume + ImportingSuffix, host);
        using (var half = wire.FindVolume(pool, volume))
        {
            if (half is not null) wire.Delete(half);
        }

        // As raw, whatever it holds: libvirt would write a header of its own. It sees what it is when it looks again.
        using (var filled = wire.CreateVolume(pool, LibvirtMapping.Raw(volume, file.Bytes).ToString()) ?? Found(wire.FindVolume(pool, volume), volume, host))
        {
            wire.Upload(filled, content, progress);
        }

        wire.Refresh(pool);
        using var done = Found(wire.FindVolume(pool, volume), volume, host);
        var description = wire.Describe(done);
        if (description.Format != file.Format || description.Capacity != file.Capacity || description.BackingPath is { Length: > 0 })
            throw new ProviderFault(FaultKind.Rejected, $"The file was copied, but libvirt sees it as {description.Format} of {description.Capacity} bytes instead of {file.Format} of {file.Capacity}.");
        wire.Delete(mark);
        return true;
    }

    private async Task<IReadOnlyList<PoolProblem>> CheckAsync(LibvirtHost host, CancellationToken cancellation)
    {
        try
        {
            return await host.RunAsync("be checked", wire => Check(wire, host.Settings), cancellation);
        }
        catch (ProviderFault fault)
        {
            return [new PoolProblem(fault.Message, host.Name, fault.Kind == FaultKind.Unauthorized
                ? "Mend the host's URI, or what it names (user, key, certificate)."
                : "Start libvirtd on that host, or mend its URI in the pool's settings.")];
        }
    }

    private static List<PoolProblem> Check(LibvirtWire wire, LibvirtHostSettings host)
    {
        var problems = new List<PoolProblem>();
        using (var pool = wire.FindPool())
        {
            if (pool is null)
                problems.Add(new PoolProblem($"It has no storage pool \"{host.StoragePool}\".", host.Name, $"Run there: virsh pool-define-as {host.StoragePool} dir --target /var/lib/libvirt/images, then pool-start and pool-autostart; or name another in the pool's settings."));
            else if (!wire.IsActive(pool))
                problems.Add(new PoolProblem($"Its storage pool \"{host.StoragePool}\" is not started.", host.Name, $"Run there: virsh pool-start {host.StoragePool}; virsh pool-autostart {host.StoragePool}"));
            else if (wire.ReadPoolType(pool) is var type and not ("dir" or "fs" or "netfs"))
                problems.Add(new PoolProblem($"Its storage pool \"{host.StoragePool}\" is of the type \"{type}\", which holds no files.", host.Name, "Name a pool of the type dir, fs or netfs in the pool's settings."));
        }

        using var network = wire.FindNetwork(host.Network);
        if (network is null)
            problems.Add(new PoolProblem($"It has no network \"{host.Network}\".", host.Name, "Define one there with virsh net-define, or name another in the pool's settings."));
        else if (!wire.IsActive(network))
            problems.Add(new PoolProblem($"Its network \"{host.Network}\" is not started.", host.Name, $"Run there: virsh net-start {host.Network}; virsh net-autostart {host.Network}"));
        return problems;
    }

    private async Task<HostCapacity> ReadCapacityAsync(LibvirtHost host, CancellationToken cancellation)
    {
        try
        {
            var acceleration = await _accelerations[host.Name].ReadAsync(cancellation);
            return await host.RunAsync("tell its capacity", wire =>
            {
                var (cpus, memory) = wire.ReadNode();
                using var pool = wire.Pool();
                var (capacity, free) = wire.ReadSpace(pool);
                return new HostCapacity(host.Name, cpus, memory, capacity >> 30, free >> 30, acceleration, Problem: null);
            }, cancellation);
        }
        catch (ProviderFault fault)
        {
            return new HostCapacity(host.Name, 0, 0, 0, 0, Acceleration: null, fault.Message);
        }
    }

    private async Task<Sight> LookAsync(LibvirtHost host, IReadOnlyList<ResourceRef> references, CancellationToken cancellation)
    {
        try
        {
            return await host.RunAsync("tell the state of its machines", wire => Look(wire, host, references), cancellation);
        }
        catch (ProviderFault fault)
        {
            return new Sight(host.Name, fault, [], [], []);
        }
    }

    private static Sight Look(LibvirtWire wire, LibvirtHost host, IReadOnlyList<ResourceRef> references)
    {
        var wanted = references.Where(reference => reference.Host is null || reference.Host == host.Name).Select(reference => reference.Owner).ToHashSet();
        var names = wanted.Select(owner => owner.ResourceName).ToHashSet();
        var domains = wire.ListDomains().Where(domain => names.Contains(domain.Name)).ToDictionary(domain => domain.Name);
        var networks = wanted.Any(owner => owner.Machine is null) ? wire.ListNetworks().ToHashSet() : [];
        var addresses = new Dictionary<string, IReadOnlyList<IPAddress>>();
        if (domains.Count == 0) return new Sight(host.Name, Fault: null, domains, networks, addresses);

        using var network = wire.FindNetwork(host.Settings.Network);
        var leases = network is null ? [] : wire.ListLeases(network);
        foreach (var owner in wanted)
        {
            if (!domains.TryGetValue(owner.ResourceName, out var domain) || domain.State != LifeState.Running) continue;
            var mac = owner.DerivedMac(0);
            addresses[domain.Name] = leases.Where(lease => string.Equals(lease.Mac, mac, StringComparison.OrdinalIgnoreCase)).Select(lease => lease.Address).Distinct().ToList() is { Count: > 0 } leased
                ? leased
                : AskAgent(wire, domain.Name);
        }

        return new Sight(host.Name, Fault: null, domains, networks, addresses);
    }

    private static IReadOnlyList<IPAddress> AskAgent(LibvirtWire wire, string name)
    {
        using var domain = wire.FindDomain(name);
        return domain is null ? [] : wire.AskAgentForAddresses(domain);
    }

    private Observation Judge(ResourceRef reference, Dictionary<string, Sight> sights)
    {
        if (reference.Owner.Installation != _installation) return new Observation.Unknown(reference, Others);
        if (reference.Host is { } host && !_hosts.ContainsKey(host))
            return new Observation.Unknown(reference, $"Host \"{host}\" is not in the pool's settings any more.");
        var asked = sights.Values.Where(sight => reference.Host is null || sight.Host == reference.Host).ToList();
        var name = reference.Owner.ResourceName;
        foreach (var sight in asked)
        {
            if (sight.Domains.TryGetValue(name, out var domain))
            {
                var (power, problem) = Power(domain);
                return new Observation.Present(reference, power, domain.Uuid, sight.Host, sight.Addresses.GetValueOrDefault(name, []), problem);
            }

            if (sight.Networks.Contains(name)) return new Observation.Present(reference, PowerState.Running, name, sight.Host, []);
        }

        // One host that does not answer may be the one that has it.
        return asked.Find(sight => sight.Fault is not null) is { } silent
            ? new Observation.Unknown(reference, silent.Fault!.Message)
            : new Observation.Absent(reference);
    }

    private static (PowerState Power, string? Problem) Power(DomainState domain) => domain.State switch
    {
        LifeState.ShutOff => (PowerState.Stopped, null),
        LifeState.ShuttingDown => (PowerState.Stopping, null),
        LifeState.Crashed => (PowerState.Failed, "The guest crashed."),
        LifeState.Paused => (PowerState.Running, domain.Reason == PausedByError
            ? "The guest is paused because its disk cannot be written: free space on the host, then resume it."
            : "The guest is paused."),
        _ => (PowerState.Running, null),
    };

    private async Task WithMachineAsync(ResourceRef machine, string doing, Action<LibvirtWire, DomainHandle> act, CancellationToken cancellation)
    {
        RefuseOthers(machine.Owner);
        foreach (var host in HostsOf(machine))
        {
            var found = await host.RunAsync(doing, wire =>
            {
                using var domain = wire.FindDomain(machine.Owner.ResourceName);
                if (domain is not null) act(wire, domain);
                return domain is not null;
            }, cancellation);
            if (found) return;
        }

        throw new ProviderFault(FaultKind.Rejected, $"Nobody could {doing}: {machine.Owner.ResourceName} is not there any more.");
    }

    /// <summary>Where it is already; else the first host. Placement says better, and says so in the spec.</summary>
    private async Task<LibvirtHost> PlaceAsync(Owner owner, CancellationToken cancellation)
    {
        foreach (var host in _hosts.Values)
        {
            var there = await host.RunAsync("look for the machine", wire =>
            {
                using var domain = wire.FindDomain(owner.ResourceName);
                return domain is not null;
            }, cancellation);
            if (there) return host;
        }

        return _hosts.Values.First();
    }

    private void RefuseOthers(Owner owner)
    {
        if (owner.Installation != _installation) throw new ProviderFault(FaultKind.Rejected, Others);
    }

    private IEnumerable<LibvirtHost> HostsOf(ResourceRef reference) => reference.Host is null ? _hosts.Values : [Host(reference.Host)];

    private LibvirtHost Host(string name) => _hosts.GetValueOrDefault(name)
        ?? throw new ProviderFault(FaultKind.Rejected, $"Host \"{name}\" is not in the pool's settings; the pool has {string.Join(", ", _hosts.Keys)}.");

    /// <summary>What one look at one host showed, or why there was none.</summary>
    private sealed record Sight(
        string Host,
        ProviderFault? Fault,
        Dictionary<string, DomainState> Domains,
        HashSet<string> Networks,
        Dictionary<string, IReadOnlyList<IPAddress>> Addresses);
}
