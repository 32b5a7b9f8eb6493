using System.Net;
using System.Net.Sockets;
using System.Net.WebSockets;
using LabPortal.Operations.Consoles;
using LabPortal.Web.Api;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;

namespace LabPortal.Web.Hosting;

/// <summary>
/// From the node that somebody's browser reached to the one that has the console's room. What they showed here is shown there, and decided there:
/// token, session, rights, audit. Here nothing is used up.
/// </summary>
internal static class ConsolePassage
{
    private const string Mark = "X-LabPortal-Passed-On";
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(10);

    // What tells who asks, from which page, and how they reach the portal.
    private static readonly string[] s_shown = ["Cookie", "Authorization", "Origin", "User-Agent", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Prefix"];

    public static bool IsPassedOn(HttpContext context) => context.Request.Headers.ContainsKey(Mark);

    /// <summary>What this node listens on; by this machine's name where it listens on every address. Empty where it listens on none.</summary>
    public static string? OwnAddress(IServer server)
    {
        if (server.Features.Get<IServerAddressesFeature>()?.Addresses.FirstOrDefault() is not { } text) return null;
        var address = BindingAddress.Parse(text);
        var isAny = address.Host is "*" or "+" || (IPAddress.TryParse(address.Host.Trim('[', ']'), out var ip) && (ip.Equals(IPAddress.Any) || ip.Equals(IPAddress.IPv6Any)));
        return $"{address.Scheme}://{(isAny ? Dns.GetHostName() : address.Host)}:{address.Port}";
    }

    /// <summary>False where nobody listens at the node's address any more; then nothing was answered.</summary>
    public static async Task<bool> PassOnAsync(HttpContext context, string node, CancellationToken stopping)
    {
        using var there = new ClientWebSocket();
        there.Options.CollectHttpResponseDetails = true;
        foreach (var name in s_shown.Where(context.Request.Headers.ContainsKey)) there.Options.SetRequestHeader(name, context.Request.Headers[name]);
        there.Options.SetRequestHeader("Host", context.Request.Host.Value);
        there.Options.SetRequestHeader("X-Forwarded-For", context.Connection.RemoteIpAddress?.ToString());
        there.Options.SetRequestHeader(Mark, "1");
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(stopping, context.RequestAborted);
        limit.CancelAfter(s_patience);
        try
        {
            // http → ws, https → wss.
            await there.ConnectAsync(new Uri($"ws{node["http".Length..]}{context.Request.Path}{context.Request.QueryString}"), limit.Token);
        }
        catch (WebSocketException fault) when (fault.GetBaseException() is SocketException { SocketErrorCode: SocketError.ConnectionRefused })
        {
            return false;
        }
        catch (Exception fault) when (fault is WebSocketException or OperationCanceledException)
        {
            // Refused there, and audited; or it is not there any more, which the beat of its worker will show.
            var status = there.HttpStatusCode;
            await Problems.WriteAsync(context, (int)status is >= 400 and < 500 ? (int)status : StatusCodes.Status502BadGateway, (int)status is >= 400 and < 500 ? "console.refused-there" : "console.no-answer");
            return true;
        }

        using var here = await context.WebSockets.AcceptWebSocketAsync();
        await CarryAsync(here, there, stopping);
        return true;
    }

    /// <summary>Both ways, until both are over.</summary>
    internal static Task CarryAsync(WebSocket here, WebSocket there, CancellationToken stopping) => Task.WhenAll(TypeAsync(here, there, stopping), ShowAsync(there, here, stopping));

    private static async Task TypeAsync(WebSocket here, WebSocket there, CancellationToken stopping)
    {
        // Nobody would see what it shows any more; or it is gone, and who looks on is told so by the other way.
        if (!await CopyAsync(here, there, stopping)) there.Abort();
    }

    /// <summary>Who looks on is told where the node has gone without a word.</summary>
    private static async Task ShowAsync(WebSocket there, WebSocket here, CancellationToken stopping)
    {
        if (await CopyAsync(there, here, stopping)) return;
        try
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(stopping);
            limit.CancelAfter(s_patience);
            if (here.State is WebSocketState.Open or WebSocketState.CloseReceived) await here.CloseOutputAsync(WebSocketCloseStatus.EndpointUnavailable, ConsoleEnd.Lost, limit.Token);
        }
        catch (Exception fault) when (IsGone(fault))
        {
            here.Abort();
        }
    }

    /// <summary>Until it closes, and the other is closed likewise; false where one of both is gone, and that one alone is given up.</summary>
    private static async Task<bool> CopyAsync(WebSocket from, WebSocket to, CancellationToken stopping)
    {
        var portion = new byte[16 * 1024];
        while (true)
        {
            ValueWebSocketReceiveResult part;
            try
            {
                part = await from.ReceiveAsync(portion.AsMemory(), stopping);
            }
            catch (Exception fault) when (IsGone(fault))
            {
                from.Abort();
                return false;
            }

            try
            {
                if (part.MessageType == WebSocketMessageType.Close)
                {
                    await to.CloseOutputAsync(from.CloseStatus ?? WebSocketCloseStatus.Empty, from.CloseStatusDescription, stopping);
                    return true;
                }

                await to.SendAsync(portion.AsMemory(0, part.Count), part.MessageType, part.EndOfMessage, stopping);
            }
            catch (Exception fault) when (IsGone(fault))
            {
                to.Abort();
                return false;
            }
        }
    }

    private static bool IsGone(Exception fault) => fault is WebSocketException or OperationCanceledException or IOException or ObjectDisposedException;
}
