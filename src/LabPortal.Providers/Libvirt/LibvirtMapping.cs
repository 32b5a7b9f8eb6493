using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using System.Xml;
using System.Xml.Linq;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

/// <summary>A spec → what libvirt and the guest are told. Pure: the same spec gives the same bytes.</summary>
internal static partial class LibvirtMapping
{
    public const string DiskSuffix = ".qcow2";
    public const string SeedSuffix = ".seed";
    public const string LogSuffix = ".log";

    public const string DiskDevice = "vda";
    private const string SeedDevice = "vdb";

    private static readonly XNamespace Lab = "urn:labportal:owner:1";

    public static string DiskName(Owner owner) => owner.ResourceName + DiskSuffix;

    public static string SeedName(Owner owner) => owner.ResourceName + SeedSuffix;

    public static string LogName(Owner owner) => owner.ResourceName + LogSuffix;

    /// <summary>What a volume of ours is, by what stands behind its name: <c>.log.0</c> is a log that libvirt rotated.</summary>
    public static ResourceKind KindOf(string suffix) => suffix switch
    {
        SeedSuffix => ResourceKind.Seed,
        _ when WarmMapping.IsPart(suffix) => ResourceKind.WarmState,
        _ when suffix == LogSuffix || suffix.StartsWith(LogSuffix + ".", StringComparison.Ordinal) => ResourceKind.Log,
        _ => ResourceKind.Disk,
    };

    /// <summary>A copy-on-write clone: never smaller than its image, and with the image's format said rather than guessed.</summary>
    public static XElement Disk(string name, long bytes, VolumeDescription image) => new("volume",
        new XElement("name", name),
        Bytes("capacity", Math.Max(bytes, image.Capacity)),
        Bytes("allocation", 0),
        Target("qcow2"),
        new XElement("backingStore", new XElement("path", image.Path), new XElement("format", new XAttribute("type", image.Format))));

    public static XElement Raw(string name, long capacity) => new("volume",
        new XElement("name", name), Bytes("capacity", capacity), Bytes("allocation", 0), Target("raw"));

    /// <param name="machine">What is wanted.</param>
    /// <param name="host">Where.</param>
    /// <param name="acceleration"><c>kvm</c>, or emulated.</param>
    /// <returns>All but the path of its log: <see cref="WithLog"/>.</returns>
    public static XElement Domain(MachineSpec machine, LibvirtHostSettings host, string acceleration)
    {
        var owner = machine.Owner;
        var kvm = acceleration == Acceleration.Kvm;
        return new XElement("domain", new XAttribute("type", kvm ? "kvm" : "qemu"),
            new XElement("name", owner.ResourceName),
            new XElement("uuid", owner.DerivedUuid("domain").ToString("D")),
            new XElement("title", OneLine(machine.Title)),
            new XElement("metadata", Tag(owner)),
            machine.WarmStart ? WarmMapping.Sysinfo() : null,
            new XElement("memory", new XAttribute("unit", "MiB"), machine.MemoryMiB),
            new XElement("vcpu", machine.Cpu),
            new XElement("os", new XElement("type", new XAttribute("arch", "x86_64"), new XAttribute("machine", "pc"), "hvm"), new XElement("boot", new XAttribute("dev", "hd"))),
            new XElement("features", new XElement("acpi"), new XElement("apic")),
            kvm ? new XElement("cpu", new XAttribute("mode", "host-model")) : null,
            new XElement("clock", new XAttribute("offset", "utc")),
            new XElement("on_poweroff", "destroy"),
            new XElement("on_reboot", "restart"),
            new XElement("on_crash", "destroy"),
            new XElement("devices",
                VolumeDisk(host, DiskName(owner), "qcow2", DiskDevice),
                VolumeDisk(host, SeedName(owner), "raw", SeedDevice, new XElement("readonly")),
                // Without a USB controller, which no guest of a lab needs, an emulated boot is shorter.
                new XElement("controller", new XAttribute("type", "usb"), new XAttribute("model", "none")),
                machine.Cards.Select(card => Interface(machine, host, card)),
                // A terminal that may be opened, with a log of all that goes through it, whether somebody has it open or not.
                new XElement("serial", new XAttribute("type", "pty"),
                    new XElement("log", new XAttribute("append", "on")),
                    new XElement("target", new XAttribute("port", 0))),
                new XElement("channel", new XAttribute("type", "unix"),
                    new XElement("target", new XAttribute("type", "virtio"), new XAttribute("name", "org.qemu.guest_agent.0"))),
                // Nowhere on a network, not even for others on the host: a socket in libvirt's own folder of this machine.
                new XElement("graphics", new XAttribute("type", "vnc"), new XElement("listen", new XAttribute("type", "socket"))),
                new XElement("video", new XElement("model", new XAttribute("type", "vga"))),
                new XElement("memballoon", new XAttribute("model", "none")),
                new XElement("rng", new XAttribute("model", "virtio"), new XElement("backend", new XAttribute("model", "random"), "/dev/urandom"))));
    }

    /// <summary>
    /// Inside the machine's own disk, which goes with it; with its memory where it <paramref name="runs"/>. The seed is read-only, and libvirt is told so: by itself it
    /// would refuse what is not qcow2.
    /// </summary>
    public static XElement Snapshot(string name, bool runs) => new("domainsnapshot",
        new XElement("name", name),
        new XElement("memory", new XAttribute("snapshot", runs ? "internal" : "no")),
        new XElement("disks",
            new XElement("disk", new XAttribute("name", DiskDevice), new XAttribute("snapshot", "internal")),
            new XElement("disk", new XAttribute("name", SeedDevice), new XAttribute("snapshot", "no"))));

    /// <summary>How it was started, beside whose it is.</summary>
    public static XElement WithStart(XElement domain, MachineStart start)
    {
        var owner = domain.Element("metadata")!.Element(Lab + "owner")!;
        owner.SetAttributeValue("start", start.Warm ? "warm" : "cold");
        owner.SetAttributeValue("why", start.Why is null ? null : OneLine(start.Why));
        return domain;
    }

    public static MachineStart? StartOf(XElement domain) => domain.Element("metadata")?.Element(Lab + "owner") is { } owner
        ? owner.Attribute("start")?.Value switch
        {
            "warm" => MachineStart.FromState,
            "cold" => MachineStart.Cold(owner.Attribute("why")?.Value ?? ""),
            _ => null,
        }
        : null;

    /// <summary>The log volume's path on the host: a serial port takes no volume.</summary>
    public static XElement WithLog(XElement domain, string path)
    {
        domain.Element("devices")!.Element("serial")!.Element("log")!.SetAttributeValue("file", path);
        return domain;
    }

    public static byte[] Seed(MachineSpec machine) => CloudConfig.NoCloud(machine);

    private static XElement VolumeDisk(LibvirtHostSettings host, string volume, string format, string device, XElement? more = null) =>
        new("disk", new XAttribute("type", "volume"), new XAttribute("device", "disk"),
            new XElement("driver", new XAttribute("name", "qemu"), new XAttribute("type", format)),
            new XElement("source", new XAttribute("pool", host.StoragePool), new XAttribute("volume", volume)),
            new XElement("target", new XAttribute("dev", device), new XAttribute("bus", "virtio")),
            more);

    private static XElement Bytes(string name, long value) => new(name, new XAttribute("unit", "bytes"), value.ToString(CultureInfo.InvariantCulture));

    // The owner's alone: a seed may hold a password.
    private static XElement Target(string format) =>
        new("target", new XElement("format", new XAttribute("type", format)), new XElement("permissions", new XElement("mode", "0600")));

    /// <summary>A title of libvirt is one line, and XML has no other control characters at all.</summary>
    private static string OneLine(string title)
    {
        var line = Breaks().Replace(title, " ").Trim();
        var clean = new StringBuilder(line.Length);
        for (var i = 0; i < line.Length; i++)
        {
            if (XmlConvert.IsXmlChar(line[i])) clean.Append(line[i]);
            else if (i + 1 < line.Length && XmlConvert.IsXmlSurrogatePair(line[i + 1], line[i])) clean.Append(line[i]).Append(line[++i]);
            else clean.Append(' ');
        }

        return clean.Length == 0 ? "machine" : clean.ToString();
    }

    [GeneratedRegex(@"\s+")]
    private static partial Regex Breaks();
}

/// <summary>What libvirt says of a volume. <paramref name="Physical"/> is the length of its file, <paramref name="Modified"/> when that was written last.</summary>
internal sealed record VolumeDescription(string Path, string Format, long Capacity, long Physical, string? BackingPath, string Modified = "")
{
    public static VolumeDescription Read(XElement volume) => new(
        volume.Element("target")?.Element("path")?.Value ?? "",
        volume.Element("target")?.Element("format")?.Attribute("type")?.Value ?? "",
        ReadBytes(volume.Element("capacity")),
        ReadBytes(volume.Element("physical") ?? volume.Element("allocation")),
        volume.Element("backingStore")?.Element("path")?.Value,
        volume.Element("target")?.Element("timestamps")?.Element("mtime")?.Value ?? "");

    private static long ReadBytes(XElement? element) => long.TryParse(element?.Value, CultureInfo.InvariantCulture, out var bytes) ? bytes : 0;
}
