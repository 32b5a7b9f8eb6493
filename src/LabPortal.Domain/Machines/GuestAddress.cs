using System.Net;

namespace LabPortal.Domain.Machines;

/// <summary>
/// Addresses as a guest or its pool tells them. A guest's agent may say anything: what leads back to the portal's own machine, to everybody, or to a cloud's metadata
/// is no address of a guest, and no guest has more than a few.
/// </summary>
public static class GuestAddress
{
    public const int Most = 16;

    private static readonly IPNetwork[] s_never =
        [.. new[] { "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "::/128", "::1/128", "fe80::/10", "ff00::/8" }.Select(IPNetwork.Parse)];

    public static IReadOnlyList<IPAddress> Of(IEnumerable<IPAddress> told) =>
    [
        .. told.Select(address => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address)
            .Where(address => !s_never.Any(network => network.BaseAddress.AddressFamily == address.AddressFamily && network.Contains(address))).Distinct().Take(Most),
    ];
}
