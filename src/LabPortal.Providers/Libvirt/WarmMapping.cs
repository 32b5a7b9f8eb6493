using System.Security.Cryptography;
using System.Text;
using System.Xml.Linq;
using LabPortal.Domain;
using LabPortal.Domain.Machines;

namespace LabPortal.Providers.Libvirt;

/// <summary>A machine's XML → its warm state's name, and the XML of the guest whose memory becomes that state. Pure.</summary>
internal static class WarmMapping
{
    /// <summary>The state itself; its guest is called so too, while it is made.</summary>
    public const string Suffix = ".warm";
    public const string DiskSuffix = ".warm-disk";
    public const string SeedSuffix = ".warm-seed";
    public const string LogSuffix = ".warm-log";

    /// <summary>The copy with a machine's own head, beside that machine's volumes, while it is resumed.</summary>
    public const string ResumeSuffix = ".resume";

    /// <summary>What a guest that is made for warm start says on its serial port when it may be saved.</summary>
    public const string Waits = "waits to become a machine";

    /// <summary>What the guest reads of QEMU's firmware configuration, by QEMU's own rules for names of others (<c>docs/specs/fw_cfg.txt</c>): the words are equally long.</summary>
    private const string Word = "opt/org.labportal/start";
    private const string Wait = "wait";
    private const string Go = "boot";

    /// <summary>What a machine that may be started warm has beside the others' devices: a guest that was saved waiting reads it until it says that there is no more to wait for.</summary>
    public static XElement Sysinfo() => new("sysinfo", new XAttribute("type", "fwcfg"), new XElement("entry", new XAttribute("name", Word), Go));

    public static bool IsPart(string suffix) => suffix == Suffix || suffix.StartsWith(Suffix + ".", StringComparison.Ordinal) || suffix is DiskSuffix or SeedSuffix
        || suffix == LogSuffix || suffix.StartsWith(LogSuffix + ".", StringComparison.Ordinal);

    /// <summary>Of machines that differ only in whose they are, and in the size of their disk, the same; of another image, host or version another.</summary>
    public static string NameOf(InstallationId installation, XElement domain, VolumeDescription image, string host)
    {
        var of = $"{Template(domain, "", "")}\n{image.Path} {image.Physical} {image.Modified}\n{host}";
        return new Owner(installation, new LabId(new Guid(SHA256.HashData(Encoding.UTF8.GetBytes(of)).AsSpan(0, 16), bigEndian: true)), null, 1).ResourceName;
    }

    /// <summary>The guest that waits: the machine without anything of its own, on the network that the pool names; it is silent there, its card has no driver yet.</summary>
    public static XElement Template(XElement domain, string name, string network)
    {
        var template = new XElement(domain);
        template.SetElementValue("name", name + Suffix);
        template.SetElementValue("title", "Becomes a warm state");
        foreach (var own in new[] { "uuid", "metadata" }) template.Element(own)?.Remove();
        template.Element("sysinfo")?.Element("entry")?.SetValue(Wait);
        var devices = template.Element("devices")!;
        foreach (var (disk, suffix) in devices.Elements("disk").Zip([DiskSuffix, SeedSuffix])) disk.Element("source")!.SetAttributeValue("volume", name + suffix);
        var card = 0;
        foreach (var each in devices.Elements("interface"))
        {
            each.Element("mac")!.SetAttributeValue("address", $"52:54:00:00:00:{++card:x2}");
            each.Element("source")!.ReplaceWith(new XElement("source", new XAttribute("network", network)));
            foreach (var rule in each.Elements("filterref").ToList()) rule.Remove();
        }

        devices.Element("serial")?.Element("log")?.Attribute("file")?.Remove();
        return template;
    }
}
