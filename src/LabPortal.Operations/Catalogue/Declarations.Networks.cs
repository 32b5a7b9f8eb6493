using System.Net;
using System.Net.Sockets;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Networks;

namespace LabPortal.Operations.Catalogue;

/// <summary>Networks, cards and firewall rules of a blueprint. What refers to each other is checked where the whole blueprint is known.</summary>
internal sealed partial class Declarations
{
    private const int MostNetworks = 8;
    private const int MostRules = 200;

    // RFC 1918: a guest that takes another's address for its own cannot reach that other.
    private static readonly IPNetwork[] s_private = [.. new[] { "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16" }.Select(IPNetwork.Parse)];

    private static List<Network> ReadNetworks(YamlFields fields)
    {
        var networks = new List<Network>();
        var subnets = new List<IPNetwork>();
        foreach (var network in fields.Maps("networks"))
        {
            var name = network.Text("name", required: true);
            if (name is not null && !CatalogueRules.IsHostName(name)) network.Tell("name", "name.form");
            else if (name == Network.Shared) network.Tell("name", "network.shared");
            else if (networks.Exists(other => other.Name == name)) network.Tell("name", "yaml.twice");
            var subnet = ReadSubnet(network);
            if (subnet is { } range && subnets.Exists(other => other.Contains(range.BaseAddress) || range.Contains(other.BaseAddress))) network.Tell("subnet", "network.overlap");
            if (subnet is not null) subnets.Add(subnet.Value);
            network.Close();
            // What is wrong is told of; what refers to it is not wrong for that.
            networks.Add(new Network(name ?? "", subnet?.ToString() ?? ""));
        }

        if (networks.Count > MostNetworks) fields.Tell("networks", "yaml.length", ("min", 0), ("max", MostNetworks));
        return networks;
    }

    private static IPNetwork? ReadSubnet(YamlFields network)
    {
        if (network.Text("subnet", required: true) is not { } text) return null;
        if (IPNetwork.TryParse(text, out var subnet) && subnet.ToString() == text && subnet.PrefixLength is >= 16 and <= 29
            && s_private.Any(range => subnet.BaseAddress.AddressFamily == AddressFamily.InterNetwork && range.Contains(subnet.BaseAddress))) return subnet;
        network.Tell("subnet", "network.subnet-form");
        return null;
    }

    private static IReadOnlyList<Card> ReadCards(YamlFields fields)
    {
        if (!fields.Has("cards")) return Card.Usual;
        var cards = new List<Card>();
        foreach (var card in fields.Maps("cards"))
        {
            cards.Add(new Card(card.Text("network", required: true) ?? "", card.Text("address")));
            card.Close();
        }

        if (cards.Count is 0 or > MostNetworks + 1) fields.Tell("cards", "yaml.length", ("min", 1), ("max", MostNetworks + 1));
        return cards;
    }

    private static void CheckCards(YamlFields fields, IReadOnlyList<Network> networks, IReadOnlyList<MachineTemplate> machines)
    {
        var taken = new HashSet<(string, string)>();
        foreach (var (machine, i) in machines.Select((machine, i) => (machine, i)))
        {
            foreach (var (card, j) in machine.Cards.Select((card, j) => (card, j)))
            {
                var (at, network) = ($"machines[{i}].cards[{j}]", networks.FirstOrDefault(found => found.Name == card.Network));
                if (card.Network.Length == 0) continue;
                if (machine.Cards.Take(j).Any(other => other.Network == card.Network)) Tell(fields, $"{at}.network", "card.twice", ("network", card.Network));
                if (card.IsShared)
                {
                    if (card.Address is not null) Tell(fields, $"{at}.address", "card.address-of-shared");
                }
                else if (network is null)
                {
                    Tell(fields, $"{at}.network", "card.unknown-network", ("network", card.Network), ("known", string.Join(", ", networks.Select(found => found.Name).Append(Network.Shared))));
                }
                else if (card.Address is null)
                {
                    Tell(fields, $"{at}.address", "card.address-missing", ("network", network.Name));
                }
                else if (network.Subnet.Length > 0 && !IsHostAddress(card.Address, IPNetwork.Parse(network.Subnet)))
                {
                    Tell(fields, $"{at}.address", "card.address-form", ("subnet", network.Subnet));
                }
                else if (!taken.Add((network.Name, card.Address)))
                {
                    Tell(fields, $"{at}.address", "card.address-taken", ("address", card.Address));
                }
            }
        }
    }

    /// <summary>An address of the subnet that one card may have: neither its first, which names it, nor its last, which means all.</summary>
    private static bool IsHostAddress(string text, IPNetwork subnet)
    {
        if (!IPAddress.TryParse(text, out var address) || address.AddressFamily != AddressFamily.InterNetwork || address.ToString() != text || !subnet.Contains(address)) return false;
        var host = BitConverter.ToUInt32([.. address.GetAddressBytes().Reverse()]) & (uint.MaxValue >> subnet.PrefixLength);
        return host != 0 && host != uint.MaxValue >> subnet.PrefixLength;
    }

    private static List<FirewallRule>? ReadFirewall(YamlFields fields, IReadOnlyList<MachineTemplate> machines)
    {
        if (!fields.Has("firewall"))
        {
            fields.Node("firewall");
            return null;
        }

        if (machines.Any(machine => machine.Name == Firewall.Outside)) fields.Tell("firewall", "firewall.outside-name");
        var rules = new List<FirewallRule>();
        foreach (var rule in fields.Maps("firewall"))
        {
            var (from, to, protocol) = (rule.Text("from", required: true), rule.Text("to", required: true), rule.Word<Protocol>("protocol"));
            var ports = rule.Texts("ports", text => PortRange.Parse(text) is null ? "firewall.port-form" : null).Select(text => PortRange.Parse(text)!).ToList();
            if (rule.Has("ports") && protocol is not (Protocol.Tcp or Protocol.Udp)) rule.Tell("ports", "firewall.ports-of-what");
            CheckEnds(rule, from, to, machines);
            rule.Close();
            rules.Add(new FirewallRule(from ?? "", to ?? "", protocol, ports));
        }

        if (rules.Count > MostRules) fields.Tell("firewall", "yaml.length", ("min", 0), ("max", MostRules));
        return rules;
    }

    private static void CheckEnds(YamlFields rule, string? from, string? to, IReadOnlyList<MachineTemplate> machines)
    {
        var known = true;
        foreach (var (key, end) in new[] { ("from", from), ("to", to) })
        {
            if (end is null or Firewall.Outside || machines.Any(machine => machine.Name == end)) continue;
            rule.Tell(key, "firewall.unknown-end", ("name", end), ("known", string.Join(", ", machines.Select(machine => machine.Name).Append(Firewall.Outside))));
            known = false;
        }

        if (!known || from is null || to is null) return;
        var (one, other) = (Find(from), Find(to));
        if (from == to) rule.Tell("to", "firewall.same-end");
        else if ((one ?? other) is { } machine && (one is null || other is null))
        {
            if (!machine.Cards.Any(card => card.IsShared)) rule.Tell(one is null ? "to" : "from", "firewall.no-way-out", ("machine", machine.Name));
        }
        else if (!one!.Cards.Any(card => !card.IsShared && other!.Cards.Any(peer => peer.Network == card.Network)))
        {
            rule.Tell("to", "firewall.no-network", ("from", from), ("to", to));
        }

        MachineTemplate? Find(string name) => name == Firewall.Outside ? null : machines.FirstOrDefault(machine => machine.Name == name);
    }

    private static void Tell(YamlFields fields, string path, string code, params (string Name, object Value)[] arguments)
        => fields.Reading.Tell(fields.Document, YamlData.LineOf(fields.Document.Root, path), path, code, arguments);
}
