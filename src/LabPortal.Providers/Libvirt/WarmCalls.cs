using System.Diagnostics;
using System.Text;
using System.Xml.Linq;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

// Warm states on one host: made, removed, and machines started from them. Each call finds out first what an earlier one left.

/// <summary>A machine that asks for a warm start: whose state it may be, or why it may have none (<paramref name="Never"/>).</summary>
internal sealed record WarmWish(Guid Installation, string? Never);

/// <summary>What a warm state is for: a machine's XML, and its image.</summary>
internal sealed record WarmWant(SoughtImage Image, string Domain);

/// <summary>Removes every warm state that none of these needs, with all that making one left behind. The answer is which of those needed are still to be made.</summary>
/// <param name="Installation">Whose.</param>
/// <param name="Wants">The most needed first.</param>
/// <param name="Most">So many are kept.</param>
internal sealed record KeepWarmStates(Guid Installation, List<WarmWant> Wants, int Most) : LibvirtCall<List<int>>
{
    public override string Doing => "keep its warm states";

    protected override List<int> Do(LibvirtWire wire)
    {
        using var pool = wire.Pool();
        wire.Refresh(pool);
        var kept = new Dictionary<string, int>();
        for (var i = 0; i < Wants.Count && kept.Count < Most; i++)
        {
            if (FindImage.Find(wire, pool, Wants[i].Image.Volume) is not { } image) continue;
            kept.TryAdd(WarmMapping.NameOf(new InstallationId(Installation), XElement.Parse(Wants[i].Domain), image, wire.ReadVersions()), i);
        }

        var prefix = Owner.InstallationPrefix(new InstallationId(Installation));
        var making = new HashSet<string>();
        foreach (var guest in wire.ListDomains().Where(domain => domain.Name.StartsWith(prefix, StringComparison.Ordinal) && domain.Name.EndsWith(WarmMapping.Suffix, StringComparison.Ordinal)))
        {
            if (kept.ContainsKey(guest.Name[..^WarmMapping.Suffix.Length])) making.Add(guest.Name[..^WarmMapping.Suffix.Length]);
            else WarmState.End(wire, guest.Name);
        }

        var states = wire.ListVolumes(pool).Where(volume => volume.StartsWith(prefix, StringComparison.Ordinal) && volume.Contains(WarmMapping.Suffix, StringComparison.Ordinal))
            .Select(volume => volume[..volume.IndexOf('.', StringComparison.Ordinal)]).ToHashSet();
        foreach (var state in states.Where(state => !making.Contains(state))) WarmState.DeleteParts(wire, pool, state, withState: !kept.ContainsKey(state) || !WarmState.IsWhole(wire, pool, state));

        return [.. kept.Where(state => !WarmState.IsWhole(wire, pool, state.Key)).Select(state => state.Value)];
    }
}

/// <summary>
/// Boots a guest that waits, saves its memory and ends it. It dies with the connection that started it; what else a cut-off making leaves, the next pass removes
/// (<see cref="KeepWarmStates"/>). The answer is null, or why the image has no warm state.
/// </summary>
/// <param name="Installation">Whose.</param>
/// <param name="Want">What it is for.</param>
/// <param name="Limit">How long the guest may take until it waits.</param>
internal sealed record MakeWarmState(Guid Installation, WarmWant Want, TimeSpan Limit) : LibvirtCall<string>
{
    private const int MostOfALog = 8192;
    private static readonly TimeSpan Between = TimeSpan.FromMilliseconds(100);

    public override string Doing => "make a warm state";

    /// <summary>Of one silence: while the guest boots there is a report at each look, and none while libvirt writes its memory.</summary>
    public override TimeSpan Patience(TimeSpan deadline) => 4 * deadline;

    protected override string Do(LibvirtWire wire)
    {
        using var pool = wire.Pool();
        var image = MakeMachine.ReadImage(wire, pool, Want.Image);
        var domain = XElement.Parse(Want.Domain);
        var name = WarmMapping.NameOf(new InstallationId(Installation), domain, image, wire.ReadVersions());
        if (WarmState.IsWhole(wire, pool, name)) return "";
        using (var other = wire.FindDomain(name + WarmMapping.Suffix))
        {
            if (other is not null) throw new ProviderFault(FaultKind.Transient, $"A warm state of image \"{Want.Image.Name}\" is being made on host \"{wire.Host.Name}\" already.");
        }

        WarmState.DeleteParts(wire, pool, name, withState: true);
        var template = WarmMapping.Template(domain, name, wire.Host.Network);
        VolumeDescription disk;
        using (var volume = wire.CreateVolume(pool, LibvirtMapping.Disk(name + WarmMapping.DiskSuffix, image.Capacity, image).ToString()) ?? wire.Again(pool, name + WarmMapping.DiskSuffix))
            disk = wire.Describe(volume);
        wire.Fill(pool, name + WarmMapping.SeedSuffix, new byte[512]);
        using (var log = wire.CreateVolume(pool, LibvirtMapping.Raw(name + WarmMapping.LogSuffix, 0).ToString()) ?? wire.Again(pool, name + WarmMapping.LogSuffix))
            LibvirtMapping.WithLog(template, wire.ReadPath(log));
        using var guest = wire.StartUndefined(template.ToString(), dieWithConnection: true);
        string? why = null;
        try
        {
            why = Save(wire, pool, guest, name, disk);
            return why ?? "";
        }
        finally
        {
            // With the connection the guest is gone too, and the rest is for the next pass.
            if (wire.IsAlive)
            {
                WarmState.End(wire, name + WarmMapping.Suffix);
                wire.Refresh(pool);
                WarmState.DeleteParts(wire, pool, name, withState: !WarmState.IsWhole(wire, pool, name));
            }
        }
    }

    private string? Save(LibvirtWire wire, PoolHandle pool, DomainHandle guest, string name, VolumeDescription disk)
    {
        for (var watch = Stopwatch.StartNew(); !HasSaid(wire, pool, name); LibvirtWire.Pause(Between))
        {
            wire.Report(0);
            if (watch.Elapsed > Limit)
                return $"The guest of image \"{Want.Image.Name}\" did not say within {Limit.TotalSeconds:0} s that it {WarmMapping.Waits}: the image is not made for warm start.";
            if (wire.ReadState(guest) is not { State: LifeState.Running or LifeState.Blocked or LifeState.None })
                return $"The guest of image \"{Want.Image.Name}\" ended before it waited: the image is not made for warm start.";
        }

        // Its end is what brings all that it wrote from QEMU to the disk.
        wire.Save(guest, disk.Path[..^WarmMapping.DiskSuffix.Length] + WarmMapping.Suffix);
        return WarmLayer.Keep(wire, pool, name, disk.Physical, Want.Image.Name);
    }

    private static bool HasSaid(LibvirtWire wire, PoolHandle pool, string name) =>
        MachineLog.ReadEnd(wire, pool, name + WarmMapping.LogSuffix, MostOfALog) is { } log && Encoding.Latin1.GetString(log).Contains(WarmMapping.Waits, StringComparison.Ordinal);
}

/// <summary>What a warm state is on its host.</summary>
internal static class WarmState
{
    public static bool IsWhole(LibvirtWire wire, PoolHandle pool, string name)
    {
        using var state = wire.FindVolume(pool, name + WarmMapping.Suffix);
        if (state is null || SavedMemory.LengthOf(wire.TryDownload(state, SavedMemory.FixedBytes)) is null) return false;
        using var layer = WarmLayer.Find(wire, pool, name, out var half);
        return !half;
    }

    /// <summary>
    /// Starts the machine from its warm state. Null where it runs now; else why it does not, and then nothing of it runs. While there is a copy of the memory for it,
    /// its disk may be another than the clone of the image that it boots from.
    /// </summary>
    public static string? TryResume(LibvirtWire wire, PoolHandle pool, InstallationId installation, string machine, XElement domain, VolumeDescription image)
    {
        var name = WarmMapping.NameOf(installation, domain, image, wire.ReadVersions());
        using var state = wire.FindVolume(pool, name + WarmMapping.Suffix);
        using var layer = WarmLayer.Find(wire, pool, name, out var half);
        if (half || state is null || SavedMemory.LengthOf(wire.TryDownload(state, SavedMemory.FixedBytes)) is not { } length)
            return "There is no warm state for this image and shape on this host yet; one is made.";
        if (SavedMemory.For(wire.Download(state, 0, length), domain.ToString()) is not { } head) return "Its description is too long for a warm state.";
        try
        {
            Delete(wire, pool, machine + WarmMapping.ResumeSuffix);
            using var own = wire.Copy(pool, state, machine + WarmMapping.ResumeSuffix);
            wire.Overwrite(own, head);
            if (layer is not null) WarmLayer.CopyTo(wire, pool, layer, machine + LibvirtMapping.DiskSuffix);
            wire.Resume(wire.ReadPath(own));
            return null;
        }
        catch (ProviderFault fault) when (wire.IsAlive)
        {
            using var there = wire.FindDomain(machine);
            if (there is not null) return null;
            // Nothing of it may stand in the way of the next one; whether QEMU takes a new one, that one shows.
            wire.Delete(state);
            return $"The warm state could not be resumed, and is made anew. {fault.Message}";
        }
    }

    public static void End(LibvirtWire wire, string guest)
    {
        using var domain = wire.FindDomain(guest);
        if (domain is not null) wire.TakePowerAway(domain);
    }

    public static void DeleteParts(LibvirtWire wire, PoolHandle pool, string name, bool withState)
    {
        // In this order the memory goes before its layer: without one it would be the memory of a guest that wrote nothing.
        foreach (var volume in wire.ListVolumes(pool).Where(volume => volume.StartsWith(name, StringComparison.Ordinal) && WarmMapping.IsPart(volume[name.Length..])).Order(StringComparer.Ordinal))
        {
            if (withState || volume[name.Length..] is not (WarmMapping.Suffix or WarmMapping.DiskSuffix)) Delete(wire, pool, volume);
        }
    }

    public static void Delete(LibvirtWire wire, PoolHandle pool, string volume)
    {
        using var found = wire.FindVolume(pool, volume);
        if (found is not null) wire.Delete(found);
    }
}

/// <summary>How a machine that asked for a warm start was started; null where it did not ask, or is not there.</summary>
internal sealed record ReadStart(string Name) : LibvirtCall<MachineStart?>
{
    public override string Doing => "tell how the machine was started";

    protected override MachineStart? Do(LibvirtWire wire)
    {
        using var domain = wire.FindDomain(Name);
        return domain is null ? null : LibvirtMapping.StartOf(wire.Describe(domain));
    }
}
