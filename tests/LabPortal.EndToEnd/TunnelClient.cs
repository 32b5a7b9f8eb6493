using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Net.WebSockets;
using System.Text.Json.Nodes;

namespace LabPortal.EndToEnd;

/// <summary>
/// What the system's own ssh starts as its ProxyCommand: asks the portal for a way into a machine and carries bytes between it and its own
/// standard input and output. It knows the portal's contract and nothing else of it.
/// </summary>
internal static class TunnelClient
{
    public const string Word = "tunnel";
    public const string TokenVariable = "LABPORTAL_TOKEN";

    public static async Task<int> RunAsync(string portal, string lab, string machine)
    {
        var token = Environment.GetEnvironmentVariable(TokenVariable) ?? throw new InvalidOperationException($"{TokenVariable} is not set.");
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false });
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        using var answer = await http.PostAsJsonAsync(new Uri(new Uri(portal), $"/api/v1/labs/{lab}/machines/{machine}/console"), new JsonObject { ["kind"] = "ssh" });
        if (!answer.IsSuccessStatusCode)
        {
            await Console.Error.WriteLineAsync(await answer.Content.ReadAsStringAsync());
            return 1;
        }

        using var socket = new ClientWebSocket();
        socket.Options.Proxy = null;
        socket.Options.SetRequestHeader("Authorization", $"Bearer {token}");
        await socket.ConnectAsync(new Uri((string)JsonNode.Parse(await answer.Content.ReadAsStringAsync())!["address"]!), CancellationToken.None);
        _ = SendAsync(socket);
        return await ReceiveAsync(socket);
    }

    private static async Task SendAsync(ClientWebSocket socket)
    {
        await using var input = Console.OpenStandardInput();
        var portion = new byte[16 * 1024];
        for (int read; (read = await input.ReadAsync(portion)) > 0;) await socket.SendAsync(portion.AsMemory(0, read), WebSocketMessageType.Binary, endOfMessage: true, CancellationToken.None);
        await socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, CancellationToken.None);
    }

    private static async Task<int> ReceiveAsync(ClientWebSocket socket)
    {
        await using var output = Console.OpenStandardOutput();
        var portion = new byte[16 * 1024];
        while (await socket.ReceiveAsync(portion.AsMemory(), CancellationToken.None) is { MessageType: WebSocketMessageType.Binary } part) await output.WriteAsync(portion.AsMemory(0, part.Count));
        if (socket.CloseStatus == WebSocketCloseStatus.NormalClosure) return 0;
        await Console.Error.WriteLineAsync($"The portal closed the tunnel: {socket.CloseStatusDescription}");
        return 1;
    }
}
