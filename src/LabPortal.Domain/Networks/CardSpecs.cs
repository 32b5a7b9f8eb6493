using System.Net;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;

namespace LabPortal.Domain.Networks;

/// <summary>What a provider is told of a machine's cards: the same for every copy, but for the lab in their networks' names.</summary>
public static class CardSpecs
{
    public static IReadOnlyList<CardSpec> Of(Blueprint blueprint, string machine, IReadOnlyList<Card> cards, Owner lab)
    {
        var inner = 0;
        return
        [
            .. cards.Select(card => card.IsShared
                ? CardSpec.Shared with { Openings = Firewall.OpeningsOf(blueprint, machine, card) }
                : new CardSpec(
                    ++inner, lab.NetworkName(card.Network), IPAddress.Parse(card.Address!), blueprint.Networks.Single(network => network.Name == card.Network).PrefixLength,
                    Firewall.OpeningsOf(blueprint, machine, card))),
        ];
    }
}
