using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Xml.Linq;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Networks;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

internal static partial class LibvirtMapping
{
    /// <summary>What stands behind a machine's name in that of the filter of its card with this number.</summary>
    public const string CardSuffix = ".card";

    // What is earlier in a filter has the lower number. Frames are judged first, packets of what is left after them.
    private const int Forged = 100;
    private const int Allowed = 500;
    private const int Rest = 900;

    public static string FilterName(Owner owner, CardSpec card) => string.Create(CultureInfo.InvariantCulture, $"{owner.ResourceName}{CardSuffix}{card.Number}");

    /// <summary>A bridge and nothing else: no address of the host, no DHCP, nothing forwarded (https://libvirt.org/formatnetwork.html, "Isolated network").</summary>
    public static XElement Network(LabNetworks networks, string name)
    {
        var (owner, full) = (networks.Owner, networks.Owner.NetworkName(name));
        return new XElement("network",
            new XElement("name", full),
            new XElement("uuid", owner.DerivedUuid($"network {name}").ToString("D")),
            new XElement("title", OneLine(networks.Title)),
            new XElement("metadata", Tag(owner)),
            // Linux takes 15 characters for the name of an interface. Without a delay, ports of a bridge that has no loops pass frames at once.
            new XElement("bridge", new XAttribute("name", $"lp{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(full)))[..12]}"), new XAttribute("stp", "off"), new XAttribute("delay", 0)));
    }

    /// <summary>
    /// What passes a card that has rules (https://libvirt.org/formatnwfilter.html): nothing under another's address, ARP, what may be begun, and what answers that.
    /// </summary>
    public static XElement Filter(Owner owner, CardSpec card)
    {
        var rules = new List<XElement> { Rule("drop", "out", Forged, "mac", ("srcmacaddr", owner.DerivedMac(card.Number)), ("match", "no")) };
        if (card.Address is { } address)
        {
            rules.Add(Rule("drop", "out", Forged, "arp", ("arpsrcipaddr", address), ("match", "no")));
            rules.Add(Rule("drop", "out", Forged, "ip", ("srcipaddr", address), ("match", "no")));
        }
        else
        {
            // Asked as a broadcast and answered from an address: no answer to that, as connections are followed.
            rules.Add(Stateless(Rule("accept", "out", Allowed, "udp", ("srcportstart", 68), ("dstportstart", 67))));
            rules.Add(Stateless(Rule("accept", "in", Allowed, "udp", ("srcportstart", 67), ("dstportstart", 68))));
        }

        rules.Add(Rule("accept", "inout", Allowed, "mac", ("protocolid", "arp")));
        rules.Add(Rule("accept", "inout", Allowed, "mac", ("protocolid", "ipv4")));
        rules.Add(Rule("drop", "inout", Rest, "mac"));
        rules.AddRange(card.Openings!.Select(Rule));
        rules.Add(Rule("drop", "inout", Rest, "all"));
        return new XElement("filter", new XAttribute("name", FilterName(owner, card)), new XAttribute("chain", "root"),
            new XElement("uuid", owner.DerivedUuid(string.Create(CultureInfo.InvariantCulture, $"filter {card.Number}")).ToString("D")), rules);
    }

    private static XElement Interface(MachineSpec machine, LibvirtHostSettings host, CardSpec card) => new("interface", new XAttribute("type", "network"),
        new XElement("mac", new XAttribute("address", machine.Owner.DerivedMac(card.Number))),
        new XElement("source", new XAttribute("network", card.Network ?? host.Network)),
        new XElement("model", new XAttribute("type", "virtio")),
        card.Openings is null ? null : new XElement("filterref", new XAttribute("filter", FilterName(machine.Owner, card))));

    private static XElement Rule(Opening opening)
    {
        var (peer, protocol) = (opening.Way == OpeningWay.In ? "srcipaddr" : "dstipaddr", opening.Protocol switch { Protocol.Tcp => "tcp", Protocol.Udp => "udp", Protocol.Icmp => "icmp", _ => "all" });
        return Rule("accept", opening.Way == OpeningWay.In ? "in" : "out", Allowed, protocol,
            [.. opening.Peer is { } other ? [(peer, (object)other)] : Array.Empty<(string, object)>(),
                .. opening.Ports is { } ports ? [("dstportstart", ports.First), ("dstportend", ports.Last)] : Array.Empty<(string, object)>()]);
    }

    private static XElement Rule(string action, string direction, int priority, string protocol, params ReadOnlySpan<(string Name, object Value)> match)
    {
        var what = new XElement(protocol);
        foreach (var (name, value) in match) what.SetAttributeValue(name, value);
        return new XElement("rule", new XAttribute("action", action), new XAttribute("direction", direction), new XAttribute("priority", priority), what);
    }

    private static XElement Stateless(XElement rule)
    {
        rule.SetAttributeValue("statematch", "false");
        return rule;
    }

    private static XElement Tag(Owner owner) => new(Lab + "owner",
        new XAttribute("installation", owner.Installation.ToString()),
        new XAttribute("lab", owner.Lab.ToString()),
        new XAttribute("machine", owner.Machine?.ToString() ?? ""),
        new XAttribute("generation", owner.Generation));
}
