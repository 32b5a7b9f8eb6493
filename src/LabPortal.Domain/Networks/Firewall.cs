using System.Globalization;
using System.Net;
using System.Text.Json;
using System.Text.Json.Serialization;
using LabPortal.Domain.Blueprints;

namespace LabPortal.Domain.Networks;

public enum Protocol
{
    Tcp,
    Udp,
    Icmp,
}

/// <summary>Ports, both ends included; stored as people write them.</summary>
[JsonConverter(typeof(PortRangeConverter))]
public sealed record PortRange(int First, int Last)
{
    /// <summary><c>22</c> or <c>8000-8100</c>; empty where it is neither.</summary>
    public static PortRange? Parse(string text)
    {
        var ends = text.Split('-');
        return ends.Length <= 2 && Read(ends[0]) is { } first && Read(ends[^1]) is { } last && first <= last ? new PortRange(first, last) : null;

        static int? Read(string end) => int.TryParse(end, NumberStyles.None, CultureInfo.InvariantCulture, out var port) && port is > 0 and <= 65535 ? port : null;
    }

    public override string ToString() => First == Last ? $"{First}" : $"{First}-{Last}";
}

internal sealed class PortRangeConverter : JsonConverter<PortRange>
{
    public override PortRange Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
        => PortRange.Parse(reader.GetString() ?? "") ?? throw new JsonException("No range of ports.");

    public override void Write(Utf8JsonWriter writer, PortRange value, JsonSerializerOptions options) => writer.WriteStringValue(value.ToString());
}

/// <summary>
/// Who may begin to talk to whom: machines by name, or <see cref="Firewall.Outside"/>. Answers come back without a rule of their own. Without a protocol
/// everything is meant, without ports all of them.
/// </summary>
public sealed record FirewallRule(string From, string To, Protocol? Protocol, IReadOnlyList<PortRange> Ports);

/// <summary>What may be begun through one card; empty stands for whoever, whichever, all.</summary>
public sealed record Opening(OpeningWay Way, IPAddress? Peer, Protocol? Protocol, PortRange? Ports);

public enum OpeningWay
{
    In,
    Out,
}

/// <summary>
/// A blueprint's rules as each card has to hold them. Where a blueprint has rules, nothing else passes any card of its machines, but for what a machine is
/// reached and known by: an address from the pool's network, and SSH.
/// </summary>
public static class Firewall
{
    /// <summary>Everything that comes or goes by the pool's own network, this lab's machines there included.</summary>
    public const string Outside = "outside";

    /// <summary>What may be begun through this card of this machine; empty where the blueprint has no rules, and everything passes.</summary>
    public static IReadOnlyList<Opening>? OpeningsOf(Blueprint blueprint, string machine, Card card)
    {
        if (blueprint.Firewall is not { } rules) return null;
        return
        [
            .. card.IsShared ? [new Opening(OpeningWay.In, null, Protocol.Tcp, new PortRange(22, 22))] : Array.Empty<Opening>(),
            .. rules.Where(rule => rule.From == machine).SelectMany(rule => Of(rule, OpeningWay.Out, rule.To)),
            .. rules.Where(rule => rule.To == machine).SelectMany(rule => Of(rule, OpeningWay.In, rule.From)),
        ];

        IEnumerable<Opening> Of(FirewallRule rule, OpeningWay way, string other)
        {
            var peer = other == Outside ? null : blueprint.Machines.FirstOrDefault(found => found.Name == other)?.Cards.FirstOrDefault(found => found.Network == card.Network)?.Address;
            if (card.IsShared != (other == Outside) || (peer is null && !card.IsShared)) return [];
            return (rule.Ports.Count == 0 ? [null] : rule.Ports.Cast<PortRange?>()).Select(ports => new Opening(way, peer is null ? null : IPAddress.Parse(peer), rule.Protocol, ports));
        }
    }
}
