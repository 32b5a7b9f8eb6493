using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using LabPortal.Domain.Machines;

namespace LabPortal.Operations.Consoles;

/// <summary>The way to a guest's SSH port. It leads to addresses that the provider told for this machine; a caller names none.</summary>
internal static class Tunnel
{
    public const int Port = 22;
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(10);

    public static IReadOnlyList<IPAddress> AddressesOf(Machine machine)
        => GuestAddress.Of(machine.Addresses.Select(text => IPAddress.TryParse(text, out var address) ? address : null).OfType<IPAddress>());

    /// <summary>Where its SSH port may be: never at the portal's own machine, whatever its agent says.</summary>
    public static IReadOnlyList<IPEndPoint> EndsOf(Machine machine)
    {
        var own = NetworkInterface.GetAllNetworkInterfaces().SelectMany(face => face.GetIPProperties().UnicastAddresses).Select(face => face.Address).ToHashSet();
        return [.. AddressesOf(machine).Where(address => !own.Contains(address)).Select(address => new IPEndPoint(address, Port))];
    }

    /// <summary>Empty where no address answers.</summary>
    public static async Task<Stream?> OpenAsync(Machine machine, CancellationToken cancellation)
    {
        foreach (var end in EndsOf(machine))
        {
            var socket = new Socket(end.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            limit.CancelAfter(s_patience);
            try
            {
                await socket.ConnectAsync(end, limit.Token);
                return new NetworkStream(socket, ownsSocket: true);
            }
            catch (Exception fault) when (fault is SocketException || (fault is OperationCanceledException && !cancellation.IsCancellationRequested))
            {
                socket.Dispose();
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        }

        return null;
    }
}
