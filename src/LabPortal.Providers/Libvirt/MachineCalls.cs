using System.Xml.Linq;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

// What is done with one machine on one host, in which order. Each call finds out first what an earlier one left.

internal sealed record FindMachine(string Name) : LibvirtCall<bool>
{
    public override string Doing => "look for the machine";

    protected override bool Do(LibvirtWire wire)
    {
        using var domain = wire.FindDomain(Name);
        return domain is not null;
    }
}

/// <summary>
/// Disk, seed, filters, log, power, definition: in this order. What does not run and is not defined has never run, and may be written anew;
/// what is defined has been started once, and is left as it is, running or not.
/// </summary>
/// <param name="Name">The domain's, and what the names of its volumes begin with.</param>
/// <param name="Image">What its disk is a clone of.</param>
/// <param name="DiskBytes">How large its disk is, where the image is not larger.</param>
/// <param name="Seed">The seed's content, which may hold a password.</param>
/// <param name="Domain">Its XML, where the log's path, which the host alone knows, is still missing.</param>
/// <param name="Filters">The XML of its cards' filters, to which that refers.</param>
/// <param name="Warm">Where it asks for a warm start.</param>
internal sealed record MakeMachine(string Name, SoughtImage Image, long DiskBytes, byte[] Seed, string Domain, List<string> Filters, WarmWish? Warm) : LibvirtCall<bool>
{
    public override string Doing => "make the machine";

    /// <summary>A memory is read, and its copy written before.</summary>
    public override TimeSpan Patience(TimeSpan deadline) => Warm is { Never: null } ? 4 * deadline : deadline;

    protected override bool Do(LibvirtWire wire)
    {
        using var there = wire.FindDomain(Name);
        if (there is not null && wire.IsDefined(there)) return true;
        using var pool = wire.Pool();
        VolumeDescription? image = null;
        if (there is null)
        {
            image = MakeDisk(wire, pool);
            wire.Fill(pool, Name + LibvirtMapping.SeedSuffix, Seed);
            foreach (var filter in Filters) wire.DefineFilter(filter);
        }

        var log = Name + LibvirtMapping.LogSuffix;
        using var logVolume = wire.CreateVolume(pool, LibvirtMapping.Raw(log, 0).ToString()) ?? wire.Again(pool, log);
        var domain = LibvirtMapping.WithLog(XElement.Parse(Domain), wire.ReadPath(logVolume));
        if (image is not null) Start(wire, pool, domain, image);
        if (Warm is not null) Settle(wire, pool, domain);
        wire.Define(domain.ToString()).Dispose();
        return true;
    }

    private void Start(LibvirtWire wire, PoolHandle pool, XElement domain, VolumeDescription image)
    {
        if (Warm is null)
        {
            Start(wire, domain.ToString());
            return;
        }

        var why = Warm.Never ?? WarmState.TryResume(wire, pool, new InstallationId(Warm.Installation), Name, LibvirtMapping.WithStart(new XElement(domain), MachineStart.FromState), image);
        if (why is null) return;
        MakeDisk(wire, pool);
        Start(wire, LibvirtMapping.WithStart(new XElement(domain), MachineStart.Cold(why)).ToString());
    }

    /// <summary>Whoever started it, this call or one that was cut off: what runs says how. From a layer it has a disk as small as its image, until it is told otherwise.</summary>
    private void Settle(LibvirtWire wire, PoolHandle pool, XElement domain)
    {
        using (var running = wire.FindDomain(Name))
        {
            if (running is not null && LibvirtMapping.StartOf(wire.Describe(running)) is { } start)
            {
                LibvirtMapping.WithStart(domain, start);
                if (start.Warm && wire.ReadCapacity(running, LibvirtMapping.DiskDevice) < DiskBytes) wire.Grow(running, LibvirtMapping.DiskDevice, DiskBytes);
            }
        }

        WarmState.Delete(wire, pool, Name + WarmMapping.ResumeSuffix);
    }

    private void Start(LibvirtWire wire, string xml)
    {
        try
        {
            wire.StartUndefined(xml).Dispose();
        }
        catch (ProviderFault)
        {
            // Another call of ours was faster, or it runs already and only the answer was lost.
            using var there = wire.FindDomain(Name);
            if (there is null) throw;
        }
    }

    public static VolumeDescription ReadImage(LibvirtWire wire, PoolHandle pool, SoughtImage sought)
    {
        var host = wire.Host.Name;
        var image = FindImage.Find(wire, pool, sought.Volume)
            ?? throw new ProviderFault(FaultKind.Rejected, $"Image \"{sought.Name}\" is not on host \"{host}\". {sought.Mend}");
        if (image.Format is not ("qcow2" or "raw") || image.BackingPath is { Length: > 0 })
        {
            throw new ProviderFault(FaultKind.Rejected, $"Image \"{sought.Name}\" on host \"{host}\" "
                + (image.BackingPath is null ? $"is of the format \"{image.Format}\"; only qcow2 and raw are taken." : "has a backing file; flatten it with \"qemu-img convert -O qcow2\"."));
        }

        return image;
    }

    private VolumeDescription MakeDisk(LibvirtWire wire, PoolHandle pool)
    {
        var image = ReadImage(wire, pool, Image);
        var name = Name + LibvirtMapping.DiskSuffix;
        var bytes = Math.Max(DiskBytes, image.Capacity);
        var xml = LibvirtMapping.Disk(name, bytes, image).ToString();
        using var made = wire.CreateVolume(pool, xml);
        if (made is not null) return image;
        using var there = wire.Again(pool, name);
        var disk = wire.Describe(there);
        using var resume = wire.FindVolume(pool, Name + WarmMapping.ResumeSuffix);
        if (resume is null && disk.Format == "qcow2" && disk.BackingPath == image.Path && disk.Capacity == bytes) return image;
        // Half made, by a daemon that died in between, or what a warm state's guest wrote: no machine has ever run from it.
        wire.Delete(there);
        using var again = wire.CreateVolume(pool, xml);
        return image;
    }
}

/// <summary>An image, the volume that it is bound to, and the sentence that says how it comes to a host.</summary>
internal sealed record SoughtImage(string Name, string Volume, string Mend);

internal sealed record RemoveMachine(string Name) : LibvirtCall<bool>
{
    public override string Doing => "remove the machine";

    protected override bool Do(LibvirtWire wire)
    {
        using (var domain = wire.FindDomain(Name))
        {
            if (domain is not null)
            {
                wire.TakePowerAway(domain);
                wire.Undefine(domain);
            }
        }

        foreach (var filter in wire.ListFilters().Where(filter => filter.StartsWith(Name + LibvirtMapping.CardSuffix, StringComparison.Ordinal))) wire.RemoveFilter(filter);

        using var pool = wire.Pool();
        wire.Refresh(pool);
        foreach (var volume in wire.ListVolumes(pool).Where(volume => volume.StartsWith(Name + ".", StringComparison.Ordinal)))
        {
            using var handle = wire.FindVolume(pool, volume);
            if (handle is not null) wire.Delete(handle);
        }

        return true;
    }
}

internal enum PowerChange
{
    Start,
    AskToShutDown,
    TakeAway,
    Reset,
}

/// <summary>False where there is no such machine.</summary>
internal sealed record ChangePower(string Name, PowerChange Change) : LibvirtCall<bool>
{
    public override string Doing => Change switch
    {
        PowerChange.Start => "start the machine",
        PowerChange.Reset => "restart the machine",
        _ => "stop the machine",
    };

    protected override bool Do(LibvirtWire wire)
    {
        using var domain = wire.FindDomain(Name);
        if (domain is null) return false;
        switch (Change)
        {
            case PowerChange.Start: wire.Start(domain); break;
            case PowerChange.AskToShutDown: wire.AskToShutDown(domain); break;
            case PowerChange.TakeAway: wire.TakePowerAway(domain); break;
            case PowerChange.Reset: wire.Reset(domain); break;
            default: throw new NotSupportedException(Change.ToString());
        }

        return true;
    }
}

/// <summary>The end of a serial log, over the file that virtlogd puts away when it begins a new one; null where there is none.</summary>
internal sealed record ReadLog(string Name, int MaxBytes) : LibvirtCall<byte[]?>
{
    public override string Doing => "read a serial log";

    protected override byte[]? Do(LibvirtWire wire)
    {
        using var pool = wire.Pool();
        var log = MachineLog.ReadEnd(wire, pool, Name, MaxBytes);
        if (log is null || log.Length == MaxBytes) return log;
        wire.Refresh(pool);
        return [.. MachineLog.ReadEnd(wire, pool, Name + ".0", MaxBytes - log.Length) ?? [], .. log];
    }
}

internal static class MachineLog
{
    /// <summary>Null where there is no such log.</summary>
    public static byte[]? ReadEnd(LibvirtWire wire, PoolHandle pool, string name, int bytes)
    {
        using var volume = wire.FindVolume(pool, name);
        if (volume is null) return null;
        var size = wire.ReadSize(volume);
        return size == 0 ? [] : wire.Download(volume, Math.Max(0, size - bytes), (int)Math.Min(size, bytes));
    }
}
