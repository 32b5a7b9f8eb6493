using System.Diagnostics;
using System.Net;
using System.Security.Cryptography;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

// What one host is asked about itself and all that is on it.

internal sealed record CheckHost : LibvirtCall<List<PoolProblem>>
{
    public override string Doing => "be checked";

    protected override List<PoolProblem> Do(LibvirtWire wire)
    {
        var host = wire.Host;
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
}

internal sealed record HostSize(int Cpus, long MemoryMiB, long DiskGiB, long DiskFreeGiB);

internal sealed record MeasureHost : LibvirtCall<HostSize>
{
    public override string Doing => "tell its capacity";

    protected override HostSize Do(LibvirtWire wire)
    {
        var (cpus, memory) = wire.ReadNode();
        using var pool = wire.Pool();
        var (capacity, free) = wire.ReadSpace(pool);
        return new HostSize(cpus, memory, capacity >> 30, free >> 30);
    }
}

/// <summary>A name that somebody asks about, and the MAC address of its first card.</summary>
internal sealed record Sought(string Name, string Mac);

/// <summary>What one look at one host showed: those domains that were asked about, all networks, and addresses by domain.</summary>
internal sealed record HostView(List<DomainState> Domains, List<string> Networks, Dictionary<string, List<string>> Addresses);

/// <param name="Machines">Whom somebody asks about.</param>
/// <param name="Networks">Whether networks are asked about as well.</param>
/// <param name="Agents">After so long no further guest's agent is asked.</param>
internal sealed record LookAtMachines(List<Sought> Machines, bool Networks, TimeSpan Agents) : LibvirtCall<HostView>
{
    private static readonly TimeSpan MostForAgents = TimeSpan.FromSeconds(4);

    /// <summary>A part of the deadline: a look that overruns it shows nothing of any machine.</summary>
    public static TimeSpan ForAgents(TimeSpan deadline) => deadline / 4 < MostForAgents ? deadline / 4 : MostForAgents;

    public override string Doing => "tell the state of its machines";

    protected override HostView Do(LibvirtWire wire)
    {
        var names = Machines.Select(machine => machine.Name).ToHashSet();
        var domains = wire.ListDomains().Where(domain => names.Contains(domain.Name)).ToList();
        var view = new HostView(domains, Networks ? [.. wire.ListNetworks()] : [], []);
        if (domains.Count == 0) return view;

        var running = domains.Where(domain => domain.State == LifeState.Running).Select(domain => domain.Name).ToHashSet();
        using var network = wire.FindNetwork(wire.Host.Network);
        var leases = network is null ? [] : wire.ListLeases(network);
        foreach (var machine in Machines.Where(machine => running.Contains(machine.Name)))
            view.Addresses[machine.Name] = Texts(leases.Where(lease => string.Equals(lease.Mac, machine.Mac, StringComparison.OrdinalIgnoreCase)).Select(lease => lease.Address));
        AskAgents(wire, view, Machines.ToDictionary(machine => machine.Name, machine => machine.Mac));
        return view;
    }

    /// <summary>
    /// Those that have no lease are asked themselves. A guest can make its agent hang, and must not hide the others of its host by it: all of
    /// them together get so long, and the one that is being asked then; who comes first is another one each time.
    /// </summary>
    private void AskAgents(LibvirtWire wire, HostView view, Dictionary<string, string> macs)
    {
        var asked = view.Addresses.Where(machine => machine.Value.Count == 0).Select(machine => machine.Key).ToArray();
        RandomNumberGenerator.Shuffle<string>(asked);
        var watch = Stopwatch.StartNew();
        foreach (var name in asked.TakeWhile(_ => watch.Elapsed < Agents))
        {
            using var domain = wire.FindDomain(name);
            if (domain is not null) view.Addresses[name] = Texts(wire.AskAgentForAddresses(domain, macs[name]));
        }
    }

    private static List<string> Texts(IEnumerable<IPAddress> addresses) => [.. addresses.Select(address => address.ToString()).Distinct()];
}

internal sealed record HostNames(List<DomainState> Domains, List<string> Networks, List<string> Filters, List<string> Volumes, List<string> Snapshots);

/// <summary>Everything whose name begins so.</summary>
internal sealed record ListNames(string Prefix) : LibvirtCall<HostNames>
{
    public override string Doing => "list what is ours";

    protected override HostNames Do(LibvirtWire wire)
    {
        using var pool = wire.Pool();
        wire.Refresh(pool);
        return new HostNames(
            [.. wire.ListDomains().Where(domain => IsOurs(domain.Name))],
            [.. wire.ListNetworks().Where(IsOurs)],
            [.. wire.ListFilters().Where(IsOurs)],
            [.. wire.ListVolumes(pool).Where(IsOurs)],
            [.. wire.ListSnapshotNames().Where(IsOurs)]);
    }

    private bool IsOurs(string name) => name.StartsWith(Prefix, StringComparison.Ordinal);
}
