using System.Net;
using System.Net.Sockets;
using LabPortal.Operations.Settings;

namespace LabPortal.Operations.People;

/// <summary>What was to be called leads to an address inside that no admin listed.</summary>
internal sealed class AddressInsideException(string host) : Exception($"{host} leads to an address inside.");

/// <summary>
/// An address that people chose may lead outside only. It is resolved once and the connection goes to what was checked, so a name that
/// changes its answer in between gains nothing.
/// </summary>
internal static class OutsideAddress
{
    // RFC 6890 and its registries: this host, private, shared, loopback, link-local (cloud metadata), special, benchmarking, multicast, reserved.
    private static readonly IPNetwork[] s_inside =
    [
        .. new[]
        {
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
            "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
            "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
        }.Select(IPNetwork.Parse),
    ];

    public static bool IsInside(IPAddress address)
    {
        if (address.IsIPv4MappedToIPv6) address = address.MapToIPv4();
        return s_inside.Any(network => network.BaseAddress.AddressFamily == address.AddressFamily && network.Contains(address));
    }

    /// <summary>A handler that connects to checked addresses only, follows nothing and uses no proxy. An address inside is an <see cref="AddressInsideException"/> within its fault.</summary>
    public static SocketsHttpHandler Handler(LiveSettings settings) => new()
    {
        AllowAutoRedirect = false,
        UseProxy = false,
        UseCookies = false,
        ConnectTimeout = TimeSpan.FromSeconds(5),
        MaxResponseHeadersLength = 16,
        ConnectCallback = async (context, cancellation) =>
        {
            var host = context.DnsEndPoint.Host;
            var addresses = await Dns.GetHostAddressesAsync(host, cancellation);
            var usable = addresses.Where(address => !IsInside(address) || settings.Now.WebhookHosts.Contains(host, StringComparer.OrdinalIgnoreCase) || settings.Now.WebhookHosts.Contains(address.ToString())).ToArray();
            if (usable.Length == 0) throw new AddressInsideException(host);
            var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            try
            {
                await socket.ConnectAsync(usable, context.DnsEndPoint.Port, cancellation);
                return new NetworkStream(socket, ownsSocket: true);
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        },
    };
}
