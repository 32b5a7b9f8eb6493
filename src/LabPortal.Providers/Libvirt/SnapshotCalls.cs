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
        wire.TakeSnapshot(domain, Name, LibvirtMapping.Snapshot(Name, runs).ToString());
        return true;
    }
}

internal sealed record SnapshotView(string Name, long TakenAtSeconds, bool WithMemory);

/// <summary>Null where there is no such machine.</summary>
internal sealed record ListSnapshots(string Machine) : LibvirtCall<List<SnapshotView>?>
{
    public override string Doing => "list a machine's snapshots";

    protected override List<SnapshotView>? Do(LibvirtWire wire)
    {
        using var domain = wire.FindDomain(Machine);
        if (domain is null) return null;
        var views = new List<SnapshotView>();
        foreach (var snapshot in wire.ListSnapshots(domain))
        {
            using (snapshot)
            {
                var said = wire.Describe(snapshot);
                _ = long.TryParse(said.Element("creationTime")?.Value, CultureInfo.InvariantCulture, out var at);
                views.Add(new SnapshotView(LibvirtWire.NameOf(snapshot), at, said.Element("memory")?.Attribute("snapshot")?.Value == "internal"));
            }
        }

        return views;
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
