using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using LabPortal.Testing;

namespace LabPortal.EndToEnd;

/// <summary>What a pipeline and a person do with <c>lab</c>, on a real guest that they cannot reach: their network leads to the portal alone.</summary>
[Collection(typeof(WithRealGuests))]
public sealed class CommandLineTests(RealGuests guests)
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(2);
    internal static readonly string Lab = Path.Combine(Repository.Root, "src", "LabPortal.Cli", "bin", Repository.Configuration, "net10.0", "lab.dll");

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task From_a_network_without_a_route_to_it_a_lab_is_requested_signed_in_to_copied_to_forwarded_to_typed_at_and_ended()
    {
        Assert.SkipWhen(PrivateLibvirt.WhyNot is not null, PrivateLibvirt.WhyNot ?? "");
        using var folder = new TestFolder();
        await File.WriteAllTextAsync(folder["apply.yaml"], guests.Yaml() + """

            ---
            kind: Blueprint
            name: one
            title: One small Linux machine
            machines: [{ name: web, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1 }]
            lease: { default: 1h, max: 4h, grace: 1h }
            """, Cancellation);
        var key = await SshIdentity.MakeAsync(folder.Path);
        await using var network = await SeparateNetwork.StartAsync(Cancellation);
        await using var portal = await PortalProcess.StartAsync(folder["data"], applyFile: folder["apply.yaml"], more: new Dictionary<string, string> { ["ASPNETCORE_URLS"] = $"http://{network.Here}:0" });
        using var client = portal.Client();
        (await client.PostAsync("me/keys", new JsonObject { ["publicKey"] = key.PublicKey }, Cancellation)).Must(201);
        string[] surroundings = ["env", "NO_PROXY=*", $"XDG_CONFIG_HOME={folder.Path}", $"HOME={folder.Path}", "TERM=xterm", "SHELL=/bin/sh", $"LAB_URL={portal.Address}", $"LAB_TOKEN={PortalProcess.AdminToken}"];
        string[] Command(params string[] words) => [.. network.Inside([.. surroundings, "dotnet", Lab, .. words])];
        async Task<string> LabAsync(string typed, params string[] words)
        {
            var command = Command(words);
            var (exit, output, error) = await Tool.TypeAsync(typed, Cancellation, command[0], command[1..]);
            return exit == 0 ? output : throw new InvalidOperationException($"lab {string.Join(' ', words)} ended with {exit}:\n{output}{error}");
        }

        var ready = JsonNode.Parse(await LabAsync("", "request", "one", "--team", "qa", "--name", "ci", "--wait", "--timeout", "5m", "-o", "json"))!;
        Assert.Equal("ready", (string)ready["state"]!);
        var address = (string)ready["machines"]![0]!["addresses"]![0]!;
        Assert.Contains("unreachable", (await Assert.ThrowsAsync<InvalidOperationException>(() => network.RunAsync(Cancellation, "ip", "route", "get", address))).Message, StringComparison.OrdinalIgnoreCase);

        // ssh: the person's key, the image's user, bytes whole, the command's own end.
        string[] mine = ["--identity", folder["key"], "--ssh-option", "BatchMode=yes", "--ssh-option", "IdentitiesOnly=yes"];
        Assert.Equal("web\n", await LabAsync("", ["ssh", "ci", .. mine, "--", "hostname"]));
        var bytes = Convert.ToHexString(RandomNumberGenerator.GetBytes(300_000));
        Assert.Equal(bytes, await LabAsync(bytes, ["ssh", "ci/web", .. mine, "--", "cat"]));
        var seven = Command(["ssh", "ci/web", .. mine, "--", "exit 7"]);
        Assert.Equal(7, (await Tool.TryAsync(Cancellation, seven[0], seven[1..])).Exit);
        // One host, by the machine's generation and by no address, with the key that the portal had given it: nothing was believed at first sight.
        Assert.Equal([$"{(string)ready["machines"]![0]!["id"]!}-1.given.lab {(string)ready["machines"]![0]!["access"]![0]!["hostKey"]!}"], await File.ReadAllLinesAsync(folder["labportal/known_hosts"], Cancellation));

        // scp, with the server for it that this guest has not: given through ssh.
        await LabAsync(Convert.ToBase64String(await File.ReadAllBytesAsync("/usr/lib/openssh/sftp-server", Cancellation)), ["ssh", "ci", .. mine, "--", "mkdir -p /usr/lib; base64 -d > /usr/lib/sftp-server && chmod +x /usr/lib/sftp-server"]);
        await File.WriteAllTextAsync(folder["a file"], bytes, Cancellation);
        await LabAsync("", ["cp", .. mine, folder["a file"], "ci/web:/tmp/there"]);
        await LabAsync("", ["cp", .. mine, "ci/web:/tmp/there", folder["back"]]);
        Assert.Equal(bytes, await File.ReadAllTextAsync(folder["back"], Cancellation));

        // A port in the network that cannot reach the guest leads to a program in it.
        await LabAsync("", ["ssh", "ci", .. mine, "--", "mkdir /tmp/www && echo served-by-web > /tmp/www/index.html && busybox httpd -p 127.0.0.1:8080 -h /tmp/www"]);
        using (var forward = Terminal.Start(Command(["forward", "ci/web", .. mine, "18080:8080"])))
        {
            await forward.SaysAsync("127.0.0.1:18080 leads to web port 8080");
            await UntilAsync(async () => await network.RunAsync(Cancellation, "busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:18080/") == "served-by-web\n");
            forward.Interrupt();
            Assert.Equal(130, await forward.EndAsync());
        }

        // Who has a key has no password: one for the login at the console.
        await LabAsync("", ["ssh", "ci", .. mine, "--", "hash=$(printf %s at-the-console | mkpasswd -P 0 -m sha512) && printf 'root:%s:19000:0:99999:7:::\\n' \"$hash\" > /etc/shadow"]);
        await TypeAtConsoleAsync(Command("console", "ci"), "at-the-console");

        // Somebody else's key at the machine's address, as ssh and scp see it: neither signs in.
        await LabAsync("", ["ssh", "ci", .. mine, "--", RealGuests.OtherHostKey]);
        foreach (var words in new string[][] { ["ssh", "ci", .. mine, "--", "touch /root/was-here"], ["cp", .. mine, folder["a file"], "ci/web:/root/was-here"] })
        {
            var refused = Command(words);
            var (exit, _, why) = await Tool.TryAsync(Cancellation, refused[0], refused[1..]);
            Assert.NotEqual(0, exit);
            Assert.Contains("Host key verification failed", why, StringComparison.Ordinal);
        }

        await LabAsync("", "end", "ci", "--yes", "--wait", "--timeout", "5m");
        await guests.HoldsNothingAsync();
    }

    /// <summary>The guest prints what would change, ask or bring along a terminal; the terminal around it is then as it was.</summary>
    private static async Task TypeAtConsoleAsync(string[] command, string password)
    {
        var quoted = string.Join(' ', command.Select(word => $"'{word.Replace("'", "'\\''", StringComparison.Ordinal)}'"));
        using var terminal = Terminal.Start(["script", "-qefc", $"stty -g; {quoted}; echo left=$?; stty -g", "/dev/null"]);
        await terminal.SaysAsync("you type; nobody else is here");
        await terminal.SaysAsync("ssh ready host=web");
        await terminal.TypeAsync("\n", "login:");
        await terminal.TypeAsync("root\n", "Password:");
        await terminal.TypeAsync(password + "\n", "# ");
        await terminal.TypeAsync("echo seen-$((6*7))\n", "seen-42");
        await terminal.TypeAsync("""printf '\033]0;evil\007\033]52;c;ZXZpbA==\007\033P$qm\033\\\033[8;200;400t\033[21t\033[5i\033[?1000h\033[?1049h\033[?25l\033[31m\033(0\033[2;5r'; echo left-$((40+4)); printf '\033]2;open'""" + "\n", "left-44");
        await terminal.TypeAsync("\u001d.", "left=0");
        Assert.Equal(0, await terminal.EndAsync());

        var (before, inside, after) = terminal.Output.Split("\r\n") is [var first, .. var middle, var last, ""] ? (first, string.Join('\n', middle), last) : throw new InvalidOperationException(terminal.Output);
        Assert.Equal(before, after);
        Assert.DoesNotContain("\u001b]", inside.Replace("\\033]", "", StringComparison.Ordinal), StringComparison.Ordinal);
        Assert.DoesNotContain("\u001bP", inside, StringComparison.Ordinal);
        Assert.DoesNotContain("\u001b[5i", inside, StringComparison.Ordinal);
        Assert.DoesNotContain("\u001b[21t", inside, StringComparison.Ordinal);
        Assert.InRange(inside.LastIndexOf("\u001b[?1049l", StringComparison.Ordinal), inside.LastIndexOf("\u001b[?1049h", StringComparison.Ordinal), int.MaxValue);
        Assert.InRange(inside.LastIndexOf("\u001b[!p", StringComparison.Ordinal), inside.LastIndexOf("\u001b(0", StringComparison.Ordinal), int.MaxValue);
    }

    private static async Task UntilAsync(Func<Task<bool>> isSo)
    {
        for (var since = Stopwatch.GetTimestamp(); ; await Task.Delay(200, Cancellation))
        {
            try
            {
                if (await isSo()) return;
            }
            catch (InvalidOperationException) when (Stopwatch.GetElapsedTime(since) < s_patience)
            {
                // Not yet.
            }
        }
    }

    /// <summary>A program beside the test, and what it has printed so far.</summary>
    private sealed class Terminal : IDisposable
    {
        private readonly Process _process;
        private readonly StringBuilder _output = new();
        private readonly Task _reading;

        private Terminal(Process process)
        {
            _process = process;
            _reading = Task.WhenAll(ReadAsync(process.StandardOutput), ReadAsync(process.StandardError));
        }

        public string Output
        {
            get
            {
                lock (_output) return _output.ToString();
            }
        }

        public static Terminal Start(string[] command) => new(Process.Start(new ProcessStartInfo(command[0], command[1..])
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = Encoding.UTF8,
        })!);

        public void Interrupt()
        {
            using var kill = Process.Start("kill", ["-TERM", _process.Id.ToString(CultureInfo.InvariantCulture)]);
            kill.WaitForExit();
        }

        /// <summary>Typed, and what comes then that was not there before.</summary>
        public async Task TypeAsync(string keys, string answer)
        {
            var from = Output.Length;
            await _process.StandardInput.WriteAsync(keys.AsMemory(), Cancellation);
            await _process.StandardInput.FlushAsync(Cancellation);
            await SaysAsync(answer, from);
        }

        public async Task SaysAsync(string text, int from = 0)
        {
            for (var since = Stopwatch.GetTimestamp(); !Output[from..].Contains(text, StringComparison.Ordinal); await Task.Delay(50, Cancellation))
            {
                if (Stopwatch.GetElapsedTime(since) > s_patience || (_reading.IsCompleted && !Output[from..].Contains(text, StringComparison.Ordinal)))
                    throw new InvalidOperationException($"\"{text}\" was not said:\n{Output}");
            }
        }

        public async Task<int> EndAsync()
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
            limit.CancelAfter(s_patience);
            await _process.WaitForExitAsync(limit.Token);
            await _reading.WaitAsync(limit.Token);
            return _process.ExitCode;
        }

        public void Dispose()
        {
            if (!_process.HasExited) _process.Kill(entireProcessTree: true);
            _process.Dispose();
        }

        private async Task ReadAsync(StreamReader reader)
        {
            var buffer = new char[4096];
            while (await reader.ReadAsync(buffer) is > 0 and var count)
            {
                lock (_output) _output.Append(buffer, 0, count);
            }
        }
    }
}
