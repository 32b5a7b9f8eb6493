using System.Globalization;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

// Snapshots inside the machine's qcow2 disk, with its memory where it runs: libvirt takes them as one deed, knows them by name, and starts a
// machine anew where a revert needs it. What is written while one is taken is written by QEMU alone, so a connection that is lost costs nothing.

/// <summary>What may last as long as its memory is large: a deadline of its own.</summary>
internal abstract record SnapshotCall<T> : LibvirtCall<T>
{
    public override TimeSpan Patience(TimeSpan deadline) => 8 * deadline;
}

/// <summary>False where there is no such machine.</summary>
internal sealed record TakeSnapshot(string Machine, string Name) : SnapshotCall<bool>
{
    public override string Doing => "take a snapshot";

    protected override bool Do(LibvirtWire wire)
    {
        using var domain = wire.FindDomain(Machine);
        if (domain is null) return false;
        var runs = wire.ReadState(domain) is { State: not (LifeState.ShutOff or LifeState.Crashed) };
        using (var there = wire.FindSnapshot(domain, Name))
        {
            if (there is null && runs) RequireRoom(wire, domain);
        }

        wire.TakeSnapshot(domain, Name, LibvirtMapping.Snapshot(Name, runs).ToString());
        return true;
    }

    /// <summary>
    /// A disk that is full in the middle of it costs more than the snapshot: what was written of the memory by then stays in the machine's disk until the next one is
    /// taken, and every guest of the host stands still at its next write.
    /// </summary>
    private static void RequireRoom(LibvirtWire wire, DomainHandle domain)
    {
        using var pool = wire.Pool();
        wire.Refresh(pool);
        var (memory, free) = (long.Parse(wire.Describe(domain).Element("memory")!.Value, CultureInfo.InvariantCulture) << 10, wire.ReadSpace(pool).Free);
        if (free < memory)
        {
            throw new ProviderFault(FaultKind.NoCapacity,
                $"Host \"{wire.Host.Name}\" has no room for a snapshot: the machine's memory may take {memory >> 20} MiB, and {free >> 20} MiB are free on its disk. Free space there.");
        }
    }
}

/// <param name="Bytes">Its memory; null where its disk does not say.</param>
internal sealed record SnapshotView(string Name, long TakenAtSeconds, bool WithMemory, long? Bytes);

/// <summary>Null where there is no such machine.</summary>
internal sealed record ListSnapshots(string Machine) : LibvirtCall<List<SnapshotView>?>
{
    public override string Doing => "list a machine's snapshots";

    protected override List<SnapshotView>? Do(LibvirtWire wire)
    {
        using var domain = wire.FindDomain(Machine);
        if (domain is null) return null;
        var (views, sizes) = (new List<SnapshotView>(), default(IReadOnlyDictionary<string, long>));
        foreach (var snapshot in wire.ListSnapshots(domain))
        {
            sizes ??= ReadSizes(wire);
            using (snapshot)
            {
                var said = wire.Describe(snapshot);
                _ = long.TryParse(said.Element("creationTime")?.Value, CultureInfo.InvariantCulture, out var at);
                var name = LibvirtWire.NameOf(snapshot);
                views.Add(new SnapshotView(name, at, said.Element("memory")?.Attribute("snapshot")?.Value == "internal", sizes.TryGetValue(name, out var bytes) ? bytes : null));
            }
        }

        return views;
    }

    /// <summary>By libvirt's own way to a volume, so from every kind of host; QEMU has written the table by the time at which libvirt knows the snapshot.</summary>
    private IReadOnlyDictionary<string, long> ReadSizes(LibvirtWire wire)
    {
        using var pool = wire.Pool();
        using var disk = wire.FindVolume(pool, Machine + LibvirtMapping.DiskSuffix);
        return disk is not null && wire.TryDownload(disk, SnapshotTable.HeadBytes) is { } head && SnapshotTable.Find(head) is var (offset, count) && count > 0
            && wire.TryDownload(disk, SnapshotTable.MostBytes(count), offset) is { } table
            ? SnapshotTable.Read(table, count)
            : new Dictionary<string, long>();
    }
}

/// <summary>What a machine's disk takes of the host's, in bytes. Null where there is none of that name.</summary>
internal sealed record ReadDisk(string Machine) : LibvirtCall<long?>
{
    public override string Doing => "tell what a machine's disk takes";

    protected override long? Do(LibvirtWire wire)
    {
        using var pool = wire.Pool();
        using var disk = wire.FindVolume(pool, Machine + LibvirtMapping.DiskSuffix);
        return disk is null ? null : wire.ReadAllocation(disk);
    }
}

internal enum Reverting
{
    Done,
    NoMachine,
    NoSnapshot,
}

internal sealed record RevertMachine(string Machine, string Name) : SnapshotCall<Reverting>
{
    public override string Doing => "revert to a snapshot";

    protected override Reverting Do(LibvirtWire wire)
    {
        using var domain = wire.FindDomain(Machine);
        if (domain is null) return Reverting.NoMachine;
        using var snapshot = wire.FindSnapshot(domain, Name);
        if (snapshot is null) return Reverting.NoSnapshot;
        wire.Revert(snapshot);
        // Its clock stood still since the snapshot was taken; a guest without an agent sees that by itself, or stays behind.
        if (wire.ReadState(domain) is { State: LifeState.Running }) wire.SetClock(domain);
        return Reverting.Done;
    }
}

internal sealed record DeleteSnapshot(string Machine, string Name) : SnapshotCall<bool>
{
    public override string Doing => "delete a snapshot";

    protected override bool Do(LibvirtWire wire)
    {
        using var domain = wire.FindDomain(Machine);
        if (domain is null) return true;
        using var snapshot = wire.FindSnapshot(domain, Name);
        if (snapshot is not null) wire.Delete(snapshot);
        return true;
    }
}
