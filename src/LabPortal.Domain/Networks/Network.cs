using System.Net;
using System.Text.Json.Serialization;

namespace LabPortal.Domain.Networks;

/// <summary>
/// A network that each lab of a blueprint has for itself, with the same addresses in every copy: without an address of the host, without DHCP, and with no
/// way to anywhere else. <paramref name="Subnet"/> is IPv4 in CIDR notation (RFC 4632).
/// </summary>
public sealed record Network(string Name, string Subnet)
{
    /// <summary>What a card names that is on the pool's own network, by which people and the portal reach the machine.</summary>
    public const string Shared = "shared";

    [JsonIgnore]
    public int PrefixLength => IPNetwork.Parse(Subnet).PrefixLength;
}

/// <summary>A machine's card. Its address is fixed by the blueprint, but on the pool's own network, which gives one.</summary>
public sealed record Card(string Network, string? Address = null)
{
    /// <summary>What a machine has whose blueprint says nothing of cards.</summary>
    public static readonly IReadOnlyList<Card> Usual = [new(Networks.Network.Shared)];

    [JsonIgnore]
    public bool IsShared => Network == Networks.Network.Shared;
}
