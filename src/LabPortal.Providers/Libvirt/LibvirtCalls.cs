using System.Security.Cryptography;
using System.Text;
using System.Xml.Linq;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

// What is done on one host, in which order. Each call finds out first what an earlier one left.

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

internal sealed record LookAtMachines(List<Sought> Machines, bool Networks) : LibvirtCall<HostView>
{
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
        {
            var leased = leases.Where(lease => string.Equals(lease.Mac, machine.Mac, StringComparison.OrdinalIgnoreCase)).Select(lease => lease.Address).Distinct().ToList();
            view.Addresses[machine.Name] = [.. (leased.Count > 0 ? leased : AskAgent(wire, machine.Name)).Select(address => address.ToString())];
        }

        return view;
    }

    private static IReadOnlyList<System.Net.IPAddress> AskAgent(LibvirtWire wire, string name)
    {
        using var domain = wire.FindDomain(name);
        return domain is null ? [] : wire.AskAgentForAddresses(domain);
    }
}

internal sealed record HostNames(List<DomainState> Domains, List<string> Networks, List<string> Volumes);

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
            [.. wire.ListVolumes(pool).Where(IsOurs)]);
    }

    private bool IsOurs(string name) => name.StartsWith(Prefix, StringComparison.Ordinal);
}

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
/// Disk, seed, log, power, definition: in this order. What does not run and is not defined has never run, and may be written anew;
/// what is defined has been started once, and is left as it is, running or not.
/// </summary>
/// <param name="Name">The domain's, and what the names of its volumes begin with.</param>
/// <param name="Image">What its disk is a clone of.</param>
/// <param name="DiskBytes">How large its disk is, where the image is not larger.</param>
/// <param name="Seed">The seed's content, which may hold a password.</param>
/// <param name="Domain">Its XML, where the log's path, which the host alone knows, is still missing.</param>
internal sealed record MakeMachine(string Name, SoughtImage Image, long DiskBytes, byte[] Seed, string Domain) : LibvirtCall<bool>
{
    public override string Doing => "make the machine";

    protected override bool Do(LibvirtWire wire)
    {
        using var there = wire.FindDomain(Name);
        if (there is not null && wire.IsDefined(there)) return true;
        using var pool = wire.Pool();
        if (there is null)
        {
            MakeDisk(wire, pool);
            wire.Fill(pool, Name + LibvirtMapping.SeedSuffix, Seed);
        }

        var log = Name + LibvirtMapping.LogSuffix;
        using var logVolume = wire.CreateVolume(pool, LibvirtMapping.Raw(log, 0).ToString()) ?? wire.Again(pool, log);
        var xml = LibvirtMapping.WithLog(XElement.Parse(Domain), wire.ReadPath(logVolume)).ToString();
        if (there is null) Start(wire, xml);
        wire.Define(xml).Dispose();
        return true;
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

    private void MakeDisk(LibvirtWire wire, PoolHandle pool)
    {
        var host = wire.Host.Name;
        var image = FindImage.Find(wire, pool, Image.Volume)
            ?? throw new ProviderFault(FaultKind.Rejected, $"Image \"{Image.Name}\" is not on host \"{host}\". {Image.Mend}");
        if (image.Format is not ("qcow2" or "raw") || image.BackingPath is { Length: > 0 })
        {
            throw new ProviderFault(FaultKind.Rejected, $"Image \"{Image.Name}\" on host \"{host}\" "
                + (image.BackingPath is null ? $"is of the format \"{image.Format}\"; only qcow2 and raw are taken." : "has a backing file; flatten it with \"qemu-img convert -O qcow2\"."));
        }

        var name = Name + LibvirtMapping.DiskSuffix;
        var bytes = Math.Max(DiskBytes, image.Capacity);
        var xml = LibvirtMapping.Disk(name, bytes, image).ToString();
        using var made = wire.CreateVolume(pool, xml);
        if (made is not null) return;
        using var there = wire.Again(pool, name);
        var disk = wire.Describe(there);
        if (disk.Format == "qcow2" && disk.BackingPath == image.Path && disk.Capacity == bytes) return;
        // Half made, by a daemon that died in between: no machine has ever run from it.
        wire.Delete(there);
        using var again = wire.CreateVolume(pool, xml);
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

internal sealed record RemoveNetwork(string Name) : LibvirtCall<bool>
{
    public override string Doing => "remove the network";

    protected override bool Do(LibvirtWire wire)
    {
        using var network = wire.FindNetwork(Name);
        if (network is not null) wire.Remove(network);
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
        var log = ReadEnd(wire, pool, Name, MaxBytes);
        if (log is null || log.Length == MaxBytes) return log;
        wire.Refresh(pool);
        return [.. ReadEnd(wire, pool, Name + ".0", MaxBytes - log.Length) ?? [], .. log];
    }

    private static byte[]? ReadEnd(LibvirtWire wire, PoolHandle pool, string name, int bytes)
    {
        using var volume = wire.FindVolume(pool, name);
        if (volume is null) return null;
        var size = wire.ReadSize(volume);
        return size == 0 ? [] : wire.Download(volume, Math.Max(0, size - bytes), (int)Math.Min(size, bytes));
    }
}

/// <summary>An image that is there; its digest (<c>sha256:…</c>) is known where an import of ours has written the file that is there.</summary>
internal sealed record ImageOnHost(long Bytes, string? Digest);

/// <summary>The image, unless it is still on its way: a cut-off import leaves its mark, and with it nothing that counts.</summary>
internal sealed record FindImage(string Volume) : LibvirtCall<ImageOnHost?>
{
    public const string ImportingSuffix = ".importing";
    public const string DigestSuffix = ".sha256";
    private const int MostOfANote = 1000;

    public override string Doing => "look for an image";

    public static VolumeDescription? Find(LibvirtWire wire, PoolHandle pool, string volume)
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

    /// <summary>What stands in the note beside an image: its digest, and the state of the file that it is true of.</summary>
    public static byte[] Note(string digest, VolumeDescription image) => Encoding.UTF8.GetBytes($"{digest} {image.Physical} {image.Modified}\n");

    protected override ImageOnHost? Do(LibvirtWire wire)
    {
        using var pool = wire.Pool();
        return Find(wire, pool, Volume) is { } image ? new ImageOnHost(image.Physical, ReadDigest(wire, pool, image)) : null;
    }

    private string? ReadDigest(LibvirtWire wire, PoolHandle pool, VolumeDescription image)
    {
        using var volume = wire.FindVolume(pool, Volume + DigestSuffix);
        if (volume is null) return null;
        var note = wire.Download(volume, 0, (int)Math.Min(MostOfANote, wire.ReadSize(volume)));
        var digest = Encoding.UTF8.GetString(note).Split(' ')[0];
        // Of a file that was changed or replaced since, nothing is known.
        return note.AsSpan().SequenceEqual(Note(digest, image)) ? digest : null;
    }

    private static bool IsImporting(LibvirtWire wire, PoolHandle pool, string volume)
    {
        using var mark = wire.FindVolume(pool, volume + ImportingSuffix);
        return mark is not null;
    }
}

/// <summary>
/// libvirt cannot rename a volume. So a mark stands beside it while it is filled, made before the first byte and taken away after
/// the last: whatever is cut off, by whomever, leaves the mark, and the next import begins anew. In it stands whose import it is:
/// one that finds that another has begun anew in the meantime (another portal's, or that of a page where it was asked for again)
/// leaves everything to that one.
/// </summary>
internal sealed record ImportImage(string Volume, string File, string Format, string Image) : LibvirtCall<bool>
{
    public override string Doing => "take an image";

    /// <summary>How long all of it takes is for the image and the line to say; only a host that takes nothing for so long is given up.
    /// Four deadlines, because at the end libvirt is silent while the last of it goes to disk.</summary>
    public override TimeSpan Patience(TimeSpan deadline) => 4 * deadline;

    protected override bool Do(LibvirtWire wire)
    {
        using var content = ImageFile.Open(File);
        var file = ImageFile.Read(content, Format, Image);
        using var pool = wire.Pool();
        if (FindImage.Find(wire, pool, Volume) is { } there)
        {
            // Never overwritten: disks of living machines stand on it.
            if (there.Format != file.Format || there.Capacity != file.Capacity || there.Physical != file.Bytes)
                throw new ProviderFault(FaultKind.Rejected, $"Another image is there as \"{Volume}\" already, and machines may stand on it. Bind this version to a volume of another name.");
            wire.Report(file.Bytes);
            return true;
        }

        var importing = Volume + FindImage.ImportingSuffix;
        var own = RandomNumberGenerator.GetBytes(16);
        wire.Fill(pool, importing, own);
        using (var half = wire.FindVolume(pool, Volume))
        {
            if (half is not null)
            {
                RequireMark(wire, pool, importing, own).Dispose();
                wire.Delete(half);
            }
        }

        long sent = 0;
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        // As raw, whatever it holds: libvirt would write a header of its own. It sees what it is when it looks again.
        using (var filled = wire.CreateVolume(pool, LibvirtMapping.Raw(Volume, file.Bytes).ToString()) ?? wire.Again(pool, Volume))
        {
            wire.Upload(filled, content, piece =>
            {
                hash.AppendData(piece);
                wire.Report(sent += piece.Length);
            });
        }

        wire.Refresh(pool);
        using var done = wire.Again(pool, Volume);
        var description = wire.Describe(done);
        if (description.Format != file.Format || description.Capacity != file.Capacity || description.BackingPath is { Length: > 0 })
            throw new ProviderFault(FaultKind.Rejected, $"The file was copied, but libvirt sees it as {description.Format} of {description.Capacity} bytes instead of {file.Format} of {file.Capacity}.");
        RequireMark(wire, pool, importing, own).Dispose();
        var note = Volume + FindImage.DigestSuffix;
        using (var old = wire.FindVolume(pool, note))
        {
            if (old is not null) wire.Delete(old);
        }

        wire.Fill(pool, note, FindImage.Note($"sha256:{Convert.ToHexStringLower(hash.GetHashAndReset())}", description));
        using var mark = RequireMark(wire, pool, importing, own);
        wire.Delete(mark);
        return true;
    }

    private VolumeHandle RequireMark(LibvirtWire wire, PoolHandle pool, string name, byte[] own)
    {
        var mark = wire.FindVolume(pool, name);
        if (mark is not null && wire.ReadSize(mark) == own.Length && wire.Download(mark, 0, own.Length).AsSpan().SequenceEqual(own)) return mark;
        mark?.Dispose();
        throw new ProviderFault(FaultKind.Transient, $"Another import has begun to write \"{Volume}\" on host \"{wire.Host.Name}\" anew.");
    }
}
