using System.Diagnostics;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json.Nodes;
using LabPortal.Testing;
using static LabPortal.Bench.Figures;

namespace LabPortal.Bench;

/// <summary>
/// One letter typed at a real guest's login prompt until its echo: through the portal, by a WebSocket with the address and messages that a page uses, against
/// the same serial port's terminal opened here. The port is one's at a time: turn about, in blocks, in one run.
/// </summary>
internal static class Echo
{
    private const int Blocks = 12;
    private const int Letters = 25;
    private const double Aim = 20;

    public static async Task<bool> RunAsync(CancellationToken cancellation)
    {
        await using var real = await RealPortal.StartAsync(Blueprint, cancellation);
        var lab = (string)(await real.RequestAsync("one", cancellation))["id"]!;
        await real.Client.WaitForAsync(lab, "ready", cancellation: cancellation);
        var guest = (await real.Libvirt.VirshAsync(cancellation, "list", "--name")).Trim();
        var terminal = (await real.Libvirt.VirshAsync(cancellation, "ttyconsole", guest)).Trim();

        // The pauses of somebody who types quickly. The first block of each side warms it and does not count.
        var pauses = new Random(1);
        var (direct, through) = (new List<double>(), new List<double>());
        for (var block = 0; block <= Blocks; block++)
        {
            using (var line = new TerminalLine(terminal)) await TypeAsync(line, block == 0 ? [] : direct, pauses, cancellation);
            using (var line = await PortalLine.OpenAsync(real.Client, lab, cancellation)) await TypeAsync(line, block == 0 ? [] : through, pauses, cancellation);
        }

        await real.EndAsync(lab, cancellation);
        var more = At(through, 0.95) - At(direct, 0.95);
        Console.WriteLine($"{direct.Count} letters each        p50        p95");
        Console.WriteLine($"directly            {At(direct, 0.5),6:F1} ms  {At(direct, 0.95),6:F1} ms");
        Console.WriteLine($"through the portal  {At(through, 0.5),6:F1} ms  {At(through, 0.95),6:F1} ms");
        Console.WriteLine($"more                {At(through, 0.5) - At(direct, 0.5),6:F1} ms  {more,6:F1} ms   (aim: at most {Aim} ms at p95)");
        return more <= Aim;
    }

    /// <summary>Each letter is taken back, so that the prompt stays what it is.</summary>
    private static async Task TypeAsync(ILine line, List<double> took, Random pauses, CancellationToken cancellation)
    {
        // A prompt that was not asked for yet is asked for, until there is one.
        await line.WriteAsync("\r"u8.ToArray(), cancellation);
        await UntilAsync(line, "login: ", cancellation);
        await Task.Delay(500, cancellation);
        for (var i = 0; i < Letters; i++)
        {
            var since = Stopwatch.GetTimestamp();
            await line.WriteAsync("a"u8.ToArray(), cancellation);
            await UntilAsync(line, "a", cancellation);
            took.Add(Stopwatch.GetElapsedTime(since).TotalMilliseconds);
            await Task.Delay(pauses.Next(40, 120), cancellation);
            await line.WriteAsync("\b"u8.ToArray(), cancellation);
            await UntilAsync(line, "\b \b", cancellation);
            await Task.Delay(pauses.Next(40, 120), cancellation);
        }
    }

    private static async Task UntilAsync(ILine line, string word, CancellationToken cancellation)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(TimeSpan.FromSeconds(30));
        var said = new StringBuilder();
        while (!said.ToString().Contains(word, StringComparison.Ordinal)) said.Append(await line.ReadAsync(limit.Token));
    }

    private const string Blueprint = """
        kind: Blueprint
        name: one
        title: One machine
        machines: [{ name: one, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1 }]
        lease: { default: 4h, max: 72h, grace: 0 }
        """;

    private interface ILine : IDisposable
    {
        Task WriteAsync(byte[] bytes, CancellationToken cancellation);

        Task<string> ReadAsync(CancellationToken cancellation);
    }

    /// <summary>The terminal that QEMU made for the port; it has it raw already.</summary>
    private sealed class TerminalLine(string path) : ILine
    {
        private readonly FileStream _file = new(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite, bufferSize: 0, FileOptions.None);
        private readonly byte[] _read = new byte[4096];

        public Task WriteAsync(byte[] bytes, CancellationToken cancellation)
        {
            _file.Write(bytes);
            return Task.CompletedTask;
        }

        // On a thread that waits in the read, so that nothing stands between the byte and the clock.
        public Task<string> ReadAsync(CancellationToken cancellation) => Task.Run(() => Encoding.Latin1.GetString(_read, 0, _file.Read(_read))).WaitAsync(cancellation);

        public void Dispose() => _file.Dispose();
    }

    private sealed class PortalLine(ClientWebSocket socket) : ILine
    {
        private readonly byte[] _read = new byte[4096];

        public static async Task<ILine> OpenAsync(PortalClient client, string lab, CancellationToken cancellation)
        {
            var way = (await client.PostAsync($"labs/{lab}/machines/one/console", new JsonObject { ["kind"] = "serial" }, cancellation)).Must(200);
            var socket = new ClientWebSocket { Options = { Proxy = null } };
            socket.Options.SetRequestHeader("Authorization", $"Bearer {PortalProcess.AdminToken}");
            await socket.ConnectAsync(new Uri((string)way["address"]!), cancellation);
            var line = new PortalLine(socket);
            // What was printed before comes first: nothing of it is an echo.
            while (!Encoding.UTF8.GetString(line._read, 0, (await socket.ReceiveAsync(line._read, cancellation)).Count).Contains("\"live\":true", StringComparison.Ordinal)) { }
            return line;
        }

        public Task WriteAsync(byte[] bytes, CancellationToken cancellation) => socket.SendAsync(bytes, WebSocketMessageType.Binary, endOfMessage: true, cancellation);

        public async Task<string> ReadAsync(CancellationToken cancellation)
        {
            var part = await socket.ReceiveAsync(_read, cancellation);
            if (part.MessageType == WebSocketMessageType.Close) throw new InvalidOperationException($"The console was closed: {part.CloseStatusDescription}");
            return part.MessageType == WebSocketMessageType.Binary ? Encoding.Latin1.GetString(_read, 0, part.Count) : "";
        }

        public void Dispose()
        {
            socket.Abort();
            socket.Dispose();
        }
    }
}
