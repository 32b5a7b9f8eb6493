using System.Collections.Concurrent;
using System.Net;
using System.Security.Cryptography;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using NodaTime;

namespace LabPortal.Providers.Libvirt;

/// <summary>The flow over a pool's hosts: what is asked of which, and what their answers mean. What is done on one host is in its calls.</summary>
internal sealed partial class LibvirtProvider
    : IProvider, IPowerAbility, ISnapshotAbility, ICapacityAbility, IImportAbility, ISerialLogAbility, ISerialConsoleAbility, INetworkAbility, IWarmStartAbility, IScreenAbility
{
    private const string Others = "It belongs to another installation, which alone may look after it.";
    private const int PausedByError = 5;

    private readonly InstallationId _installation;
    private readonly Dictionary<string, LibvirtHost> _hosts = [];
    private readonly Dictionary<string, Acceleration> _accelerations = [];
    private readonly List<PoolProblem> _misconfigured = [];
    private readonly ConcurrentDictionary<string, bool> _ended = [];
    private readonly TimeSpan _deadline;

    public LibvirtProvider(PoolContext pool, LibvirtSettings settings)
    {
        _installation = pool.Installation;
        _deadline = settings.CallDeadline;
        _warmStates = settings.WarmStates;
        _time = pool.Time;
        foreach (var host in settings.Hosts)
        {
            if (_hosts.ContainsKey(host.Name))
            {
                _misconfigured.Add(new PoolProblem($"Two hosts are called \"{host.Name}\"; the second is not used.", host.Name, "Give each host of the pool a name of its own."));
                continue;
            }

            var opened = _hosts[host.Name] = new LibvirtHost(host, settings.CallDeadline, pool.Time);
            _accelerations[host.Name] = new Acceleration(opened, settings.Acceleration, pool.Installation);
        }
    }

    /// <summary>libvirtd answers from its own memory, which every change goes through.</summary>
    public Duration SettlingTime => Duration.Zero;

    /// <summary>The hosts by name, in the order of the settings.</summary>
    public IReadOnlyCollection<LibvirtHost> Hosts => _hosts.Values;

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
        var image = new SoughtImage(machine.Image.Image, machine.Image.Require("volume"), MendImage(machine.Image, host.Name));
        await host.RunAsync(new MakeMachine(machine.Owner.ResourceName, image, (long)machine.DiskGiB << 30, LibvirtMapping.Seed(machine),
            LibvirtMapping.Domain(machine, host.Settings, acceleration).ToString(),
            [.. machine.Cards.Where(card => card.Openings is not null).Select(card => LibvirtMapping.Filter(machine.Owner, card).ToString())], WishOf(machine)), cancellation);
    }

    public async Task EnsureGoneAsync(ResourceRef reference, CancellationToken cancellation)
    {
        RefuseOthers(reference.Owner);
        var name = reference.Owner.ResourceName;
        LibvirtCall<bool> call = reference.Owner.Machine is null ? new RemoveNetworks(name) : new RemoveMachine(name);
        await Task.WhenAll(HostsOf(reference).Select(host => host.RunAsync(call, cancellation)));
    }

    public async Task<IReadOnlyList<OwnedResource>> ListOwnedAsync(CancellationToken cancellation)
    {
        var lists = await Task.WhenAll(_hosts.Values.Select(host => ListOwnedAsync(host, cancellation)));
        return [.. lists.SelectMany(list => list)];
    }

    public Task StartAsync(ResourceRef machine, CancellationToken cancellation) => ChangePowerAsync(machine, PowerChange.Start, cancellation);

    public Task StopAsync(ResourceRef machine, StopMode mode, CancellationToken cancellation) =>
        ChangePowerAsync(machine, mode == StopMode.Hard ? PowerChange.TakeAway : PowerChange.AskToShutDown, cancellation);

    public Task RestartAsync(ResourceRef machine, CancellationToken cancellation) => ChangePowerAsync(machine, PowerChange.Reset, cancellation);

    public async Task TakeSnapshotAsync(ResourceRef machine, SnapshotId snapshot, CancellationToken cancellation)
    {
        RefuseOthers(machine.Owner);
        var call = new TakeSnapshot(machine.Owner.ResourceName, machine.Owner.SnapshotName(snapshot));
        foreach (var host in HostsOf(machine))
        {
            if (await host.RunAsync(call, cancellation)) return;
        }

        throw NotThere(call.Doing, machine);
    }

    public async Task<IReadOnlyList<MachineSnapshot>> ListSnapshotsAsync(ResourceRef machine, CancellationToken cancellation)
    {
        RefuseOthers(machine.Owner);
        var call = new ListSnapshots(machine.Owner.ResourceName);
        foreach (var host in HostsOf(machine))
        {
            if (await host.RunAsync(call, cancellation) is not { } views) continue;
            // Others, which people took by hand, are theirs.
            return [.. views.SelectMany(view => machine.Owner.ReadSnapshotName(view.Name) is { } id
                ? new[] { new MachineSnapshot(id, view.Name, Instant.FromUnixTimeSeconds(view.TakenAtSeconds), view.WithMemory, view.Bytes) }
                : [])];
        }

        throw NotThere(call.Doing, machine);
    }

    public async Task<long?> ReadDiskBytesAsync(ResourceRef machine, CancellationToken cancellation)
    {
        RefuseOthers(machine.Owner);
        var call = new ReadDisk(machine.Owner.ResourceName);
        foreach (var host in HostsOf(machine))
        {
            if (await host.RunAsync(call, cancellation) is { } bytes) return bytes;
        }

        throw NotThere(call.Doing, machine);
    }

    public async Task RevertAsync(ResourceRef machine, SnapshotId snapshot, CancellationToken cancellation)
    {
        RefuseOthers(machine.Owner);
        var call = new RevertMachine(machine.Owner.ResourceName, machine.Owner.SnapshotName(snapshot));
        foreach (var host in HostsOf(machine))
        {
            switch (await host.RunAsync(call, cancellation))
            {
                case Reverting.Done:
                    return;
                case Reverting.NoSnapshot:
                    throw new ProviderFault(FaultKind.Rejected, $"Host \"{host.Name}\" could not {call.Doing}: {call.Name} is not there.");
            }
        }

        throw NotThere(call.Doing, machine);
    }

    public async Task DeleteSnapshotAsync(ResourceRef machine, SnapshotId snapshot, CancellationToken cancellation)
    {
        RefuseOthers(machine.Owner);
        var call = new DeleteSnapshot(machine.Owner.ResourceName, machine.Owner.SnapshotName(snapshot));
        await Task.WhenAll(HostsOf(machine).Select(host => host.RunAsync(call, cancellation)));
    }

    public async Task<IReadOnlyList<HostCapacity>> ReadCapacityAsync(CancellationToken cancellation) =>
        await Task.WhenAll(_hosts.Values.Select(host => ReadCapacityAsync(host, cancellation)));

    public async Task<IReadOnlyList<ImagePresence>> FindAsync(ImageBinding image, CancellationToken cancellation)
    {
        var volume = image.Require("volume");
        return await Task.WhenAll(_hosts.Values.Select(async host =>
        {
            var found = await host.RunAsync(new FindImage(volume), cancellation);
            return new ImagePresence(host.Name, found is not null, found?.Digest, found?.Bytes ?? 0, found is null ? MendImage(image, host.Name) : null);
        }));
    }

    public async Task ImportAsync(ImageBinding image, string host, string file, IProgress<long> progress, CancellationToken cancellation)
    {
        var importer = Convert.ToHexString(RandomNumberGenerator.GetBytes(16));
        var call = new ImportImage(image.Require("volume"), Path.GetFullPath(file), image.Settings.GetValueOrDefault("format", "qcow2"), image.Image, image.Digest, importer, [.. _ended.Keys], ImportImage.Quiet(_deadline));
        try
        {
            await Host(host).RunAsync(call, cancellation, progress);
        }
        catch
        {
            // Its process is dead or has said so: whatever it left, the next import of ours need not wait for.
            _ended.TryAdd(importer, default);
            throw;
        }
    }

    public async Task ReadDigestAsync(ImageBinding image, string host, IProgress<long> progress, CancellationToken cancellation) =>
        await Host(host).RunAsync(new ReadDigest(image.Require("volume"), image.Image), cancellation, progress);

    public async Task<byte[]> ReadSerialLogAsync(ResourceRef machine, int maxBytes, CancellationToken cancellation)
    {
        RefuseOthers(machine.Owner);
        foreach (var host in HostsOf(machine))
        {
            if (await host.RunAsync(new ReadLog(LibvirtMapping.LogName(machine.Owner), maxBytes), cancellation) is { } log) return log;
        }

        return [];
    }

    public async Task<Stream?> OpenSerialConsoleAsync(ResourceRef machine, bool takeOver, CancellationToken cancellation)
    {
        RefuseOthers(machine.Owner);
        var name = machine.Owner.ResourceName;
        foreach (var host in HostsOf(machine))
        {
            if (machine.Host is not null || await host.RunAsync(new FindMachine(name), cancellation)) return await host.OpenLineAsync(new OpenLine(name, takeOver), cancellation);
        }

        throw new ProviderFault(FaultKind.Rejected, $"Nobody could open the console: {name} is not there any more.");
    }

    /// <summary>A connection by TLS alone leads to libvirtd and nowhere else.</summary>
    public bool HasScreen(ResourceRef machine)
        => machine.Host is { } name && _hosts.TryGetValue(name, out var host) && (LibvirtUri.IsLocal(host.Settings.Uri) || LibvirtUri.Ssh(host.Settings.Uri, "") is not null);

    public async Task<Stream> OpenScreenAsync(ResourceRef machine, CancellationToken cancellation)
    {
        RefuseOthers(machine.Owner);
        var name = machine.Owner.ResourceName;
        foreach (var host in HostsOf(machine))
        {
            if (machine.Host is not null || await host.RunAsync(new FindMachine(name), cancellation)) return await host.OpenScreenAsync(name, cancellation);
        }

        throw NotThere("open the screen", machine);
    }

    public async ValueTask DisposeAsync()
    {
        await Task.WhenAll(_hosts.Values.Select(host => host.DisposeAsync().AsTask()));
        foreach (var acceleration in _accelerations.Values) acceleration.Dispose();
    }

    private async Task<IEnumerable<OwnedResource>> ListOwnedAsync(LibvirtHost host, CancellationToken cancellation)
    {
        var names = await host.RunAsync(new ListNames(Owner.InstallationPrefix(_installation)), cancellation);
        return
        [
            .. names.Domains.SelectMany(domain => Read(domain.Name, domain.Uuid, name => name.Suffix == WarmMapping.Suffix ? ResourceKind.WarmState : ResourceKind.Machine)),
            .. names.Networks.SelectMany(network => Read(network, network, _ => ResourceKind.Network)),
            .. names.Filters.SelectMany(filter => Read(filter, filter, _ => ResourceKind.Card)),
            .. names.Snapshots.SelectMany(snapshot => Read(snapshot, snapshot, _ => ResourceKind.Snapshot)),
            .. names.Volumes.SelectMany(volume => Read(volume, volume, name => LibvirtMapping.KindOf(name.Suffix))),
        ];

        IEnumerable<OwnedResource> Read(string name, string id, Func<OwnedName, ResourceKind> kindOf) =>
            Owner.TryReadName(_installation, name, out var owned) ? [new OwnedResource(kindOf(owned), id, name, owned.Id, owned.Generation, host.Name)] : [];
    }

    private static string MendImage(ImageBinding image, string host) =>
        $"Build it (\"infra/images {image.Image}\" for those of the sample catalogue) and import the file to host \"{host}\" on the page of the pool's images, "
        + $"or put it into the host's storage pool as \"{image.Settings.GetValueOrDefault("volume", image.Image)}\".";

    private static async Task<IReadOnlyList<PoolProblem>> CheckAsync(LibvirtHost host, CancellationToken cancellation)
    {
        try
        {
            return await host.RunAsync(new CheckHost(), cancellation);
        }
        catch (ProviderFault fault)
        {
            return [new PoolProblem(fault.Message, host.Name, fault.Kind == FaultKind.Unauthorized
                ? "Mend the host's URI, or what it names (user, key, certificate)."
                : "Start libvirtd on that host, or mend its URI in the pool's settings.")];
        }
    }

    private async Task<HostCapacity> ReadCapacityAsync(LibvirtHost host, CancellationToken cancellation)
    {
        try
        {
            var acceleration = await _accelerations[host.Name].ReadAsync(cancellation);
            var size = await host.RunAsync(new MeasureHost(), cancellation);
            return new HostCapacity(host.Name, size.Cpus, size.MemoryMiB, size.DiskGiB, size.DiskFreeGiB, acceleration, Problem: null);
        }
        catch (ProviderFault fault)
        {
            return new HostCapacity(host.Name, 0, 0, 0, 0, Acceleration: null, fault.Message);
        }
    }

    private async Task<Sight> LookAsync(LibvirtHost host, IReadOnlyList<ResourceRef> references, CancellationToken cancellation)
    {
        var wanted = references.Where(reference => reference.Host is null || reference.Host == host.Name).Select(reference => reference.Owner).ToHashSet();
        try
        {
            var view = await host.RunAsync(new LookAtMachines(
                [.. wanted.Select(owner => new Sought(owner.ResourceName, owner.DerivedMac(0)))], Networks: wanted.Any(owner => owner.Machine is null), LookAtMachines.ForAgents(_deadline)), cancellation);
            return new Sight(host.Name, Fault: null, view);
        }
        catch (ProviderFault fault)
        {
            return new Sight(host.Name, fault, new HostView([], [], []));
        }
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
            if (sight.View.Domains.Find(domain => domain.Name == name) is { } domain)
            {
                var (power, problem) = Power(domain);
                return new Observation.Present(reference, power, domain.Uuid, sight.Host, [.. sight.View.Addresses.GetValueOrDefault(name, []).Select(IPAddress.Parse)], problem);
            }

            if (reference.Owner.Machine is null && sight.View.Networks.Exists(network => RemoveNetworks.IsOf(name, network))) return new Observation.Present(reference, PowerState.Running, name, sight.Host, []);
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

    private async Task ChangePowerAsync(ResourceRef machine, PowerChange change, CancellationToken cancellation)
    {
        RefuseOthers(machine.Owner);
        var call = new ChangePower(machine.Owner.ResourceName, change);
        foreach (var host in HostsOf(machine))
        {
            if (await host.RunAsync(call, cancellation)) return;
        }

        throw NotThere(call.Doing, machine);
    }

    private static ProviderFault NotThere(string doing, ResourceRef machine)
        => new(FaultKind.Rejected, $"Nobody could {doing}: {machine.Owner.ResourceName} is not there any more.");

    /// <summary>Where it is already; else the first host. Placement says better, and says so in the spec.</summary>
    private async Task<LibvirtHost> PlaceAsync(Owner owner, CancellationToken cancellation)
    {
        foreach (var host in _hosts.Values)
        {
            if (await host.RunAsync(new FindMachine(owner.ResourceName), cancellation)) return host;
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
    private sealed record Sight(string Host, ProviderFault? Fault, HostView View);
}
