using System.Net.Sockets;
using System.Text;

namespace LabPortal.Operations.Machines;

/// <summary>Does a guest answer on its SSH port? In production over TCP; laws use one of their own.</summary>
public interface IReach
{
    /// <summary>True when something that speaks SSH answered within a few seconds.</summary>
    Task<bool> AnswersAsync(string address, CancellationToken cancellation);
}

/// <summary>Connects and reads the banner (RFC 4253, 4.2: a line that begins with <c>SSH-</c>). Nothing is sent.</summary>
public sealed class SshBannerReach : IReach
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(3);

    public async Task<bool> AnswersAsync(string address, CancellationToken cancellation)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(s_patience);
        try
        {
            using var client = new TcpClient();
            await client.ConnectAsync(address, 22, limit.Token);
            var banner = new byte[4];
            return await client.GetStream().ReadAtLeastAsync(banner, banner.Length, throwOnEndOfStream: false, limit.Token) == banner.Length
                && Encoding.ASCII.GetString(banner) == "SSH-";
        }
        catch (Exception fault) when (fault is SocketException or IOException || (fault is OperationCanceledException && !cancellation.IsCancellationRequested))
        {
            return false;
        }
    }
}
