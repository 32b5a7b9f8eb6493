using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Simulated;

/// <summary>A pool's hosts: who answers, and what each has left, counted from the resources that are on it.</summary>
internal sealed class SimulatedHosts(string pool, SimulatedSettings settings, SimulatedWorld world)
{
    public IReadOnlyList<HostCapacity> ReadCapacity(Rows rows)
    {
        var away = Away(rows);
        return [.. settings.Hosts.Select(host => new HostCapacity(host, settings.HostCpu, settings.HostMemoryMiB, settings.HostDiskGiB,
            Math.Max(0, FreeDiskGiB(rows, host)), null, away.GetValueOrDefault(host)))];
    }

    public void Require(string host)
    {
        if (!settings.Hosts.Contains(host)) throw new ProviderFault(FaultKind.Rejected, $"Host {host} is not one of this pool's, which are h1 to h{settings.Hosts.Count}.");
    }

    /// <summary>Less than nothing where a setting was made smaller.</summary>
    public long FreeDiskGiB(Rows rows, string host) => settings.HostDiskGiB - Use(rows, host).Disk;

    /// <summary>The host with most room; full where there is none.</summary>
    public string Roomiest(Rows rows, MachineSpec machine)
    {
        var away = Away(rows);
        return settings.Hosts.Where(host => !away.ContainsKey(host) && WhatIsShort(rows, host, machine) is null && FreeDiskGiB(rows, host) >= machine.DiskGiB)
            .MinBy(host => Use(rows, host).Memory)
            ?? throw new ProviderFault(FaultKind.NoCapacity,
                $"None of the {settings.Hosts.Count} hosts of pool {pool} has room for {machine.Cpu} processors, {machine.MemoryMiB} MiB and {machine.DiskGiB} GiB.");
    }

    /// <summary>What a machine would have too little of here, as a sentence.</summary>
    public string? WhatIsShort(Rows rows, string host, MachineSpec machine)
    {
        var use = Use(rows, host);
        var (cpu, memory) = ((settings.HostCpu * settings.CpuOvercommit) - use.Cpu, settings.HostMemoryMiB - use.Memory);
        return cpu < machine.Cpu ? $"Host {host} has {Math.Max(0, Math.Floor(cpu))} processors left, and the machine asks for {machine.Cpu}."
            : memory < machine.MemoryMiB ? $"Host {host} has {Math.Max(0, memory)} MiB of memory left, and the machine asks for {machine.MemoryMiB} MiB."
            : null;
    }

    /// <summary>Those that do not answer, and why.</summary>
    public static Dictionary<string, string> Away(Rows rows) =>
        rows.Query("SELECT host, why FROM away", row => (Host: row.GetString(0), Why: row.GetString(1))).ToDictionary(row => row.Host, row => row.Why);

    public static void RequireAnswering(Rows rows, string host)
    {
        if (rows.Value<string>("SELECT why FROM away WHERE host = @0", host) is { } why) throw DoesNotAnswer(host, why);
    }

    public static ProviderFault DoesNotAnswer(string host, string why) => new(FaultKind.Transient, $"Host {host} does not answer: {why}");

    private (long Cpu, long Memory, long Disk) Use(Rows rows, string host) => rows.Query(
        "SELECT coalesce(sum(cpu), 0), coalesce(sum(memory_mib), 0), coalesce(sum(disk_gib), 0) FROM resources WHERE host = @0 AND (gone_at IS NULL OR gone_at > @1)",
        row => (row.GetInt64(0), row.GetInt64(1), row.GetInt64(2)), host, world.Now)[0];
}
