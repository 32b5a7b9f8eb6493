using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using LabPortal.Domain.Pools;
using Renci.SshNet;
using Renci.SshNet.Common;
using Renci.SshNet.Messages.Transport;

namespace LabPortal.Providers.HyperV;

/// <summary>
/// One resident PowerShell on a host. It is sent frames (<c>Scripts/loop.ps1</c> says their form) and answers each; one call at a time. One that a call was cut off on is
/// not used again. Input is data: no text of it ever becomes part of a command.
/// </summary>
internal sealed partial class HyperVShell : IAsyncDisposable
{
    /// <summary>So long a command line <c>cmd.exe</c> takes, which is what Windows' sshd starts unless it is told otherwise.</summary>
    public const int LongestCommand = 8191;

    private static readonly JsonSerializerOptions s_json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly string _host;
    private readonly Stream _input;
    private readonly StreamReader _output;
    private readonly Func<string> _complaint;
    private readonly Action _close;

    private HyperVShell(string host, Stream input, Stream output, Func<string> complaint, Action close)
        => (_host, _input, _output, _complaint, _close) = (host, input, new StreamReader(output, Encoding.ASCII), complaint, close);

    /// <summary>How far the host's clock is ahead of ours.</summary>
    public TimeSpan Ahead { get; private set; }

    public static IReadOnlyDictionary<string, string> Scripts { get; } = Assembly.GetExecutingAssembly().GetManifestResourceNames()
        .Where(name => name.EndsWith(".ps1", StringComparison.Ordinal)).ToDictionary(name => name.Split('.')[^2], Read);

    private static IReadOnlyList<string> Arguments { get; } = ["-NoProfile", "-NonInteractive", "-InputFormat", "Text", "-OutputFormat", "Text", "-EncodedCommand",
        Convert.ToBase64String(Encoding.Unicode.GetBytes(Bare(Scripts["loop"])))];

    public static string Command { get; } = $"powershell.exe {string.Join(' ', Arguments)}";

    public static async Task<HyperVShell> OpenAsync(HyperVHostSettings host, HyperVSettings settings, TimeProvider time, CancellationToken cancellation)
    {
        var shell = host.Local ? OpenLocal(host.Name, "powershell.exe") : await OpenOverSshAsync(host, settings, cancellation);
        try
        {
            var scripts = new JsonObject(Scripts.Where(script => script.Key != "loop").Select(script => KeyValuePair.Create<string, JsonNode?>(script.Key, script.Value)));
            var before = time.GetUtcNow();
            var answer = await shell.CallAsync("scripts", scripts, cancellation);
            var there = DateTimeOffset.Parse(answer!["time"]!.GetValue<string>(), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal);
            shell.Ahead = there - before > TimeSpan.Zero && there < time.GetUtcNow() ? TimeSpan.Zero : there - before;
            return shell;
        }
        catch
        {
            await shell.DisposeAsync();
            throw;
        }
    }

    /// <summary>A process of this machine; <paramref name="program"/> is what PowerShell is called here.</summary>
    public static HyperVShell OpenLocal(string host, string program)
    {
        var process = new Process { StartInfo = new ProcessStartInfo(program, Arguments) { UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true } };
        var complaint = new StringBuilder();
        process.ErrorDataReceived += (_, line) =>
        {
            lock (complaint) complaint.AppendLine(line.Data);
        };
        try
        {
            process.Start();
        }
        catch (System.ComponentModel.Win32Exception fault)
        {
            process.Dispose();
            throw new ProviderFault(FaultKind.Broken, $"Host {host} has no {program}: {fault.Message}.", fault);
        }

        process.BeginErrorReadLine();
        return new HyperVShell(host, process.StandardInput.BaseStream, process.StandardOutput.BaseStream, Complaint, () =>
        {
            if (!process.HasExited) process.Kill(entireProcessTree: true);
            process.Dispose();
        });

        string Complaint()
        {
            lock (complaint) return complaint.ToString();
        }
    }

    /// <summary>The output of one script. Its error is a fault; a line that ends, or says what is no frame, makes this shell useless.</summary>
    public async Task<JsonNode?> CallAsync(string script, JsonObject input, CancellationToken cancellation)
    {
        var frame = Convert.ToBase64String(Encoding.UTF8.GetBytes(new JsonObject { ["name"] = script, ["input"] = input }.ToJsonString(s_json)));
        await _input.WriteAsync(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{frame.Length}:{frame}\n")), cancellation).AsTask().WaitAsync(cancellation);
        await _input.FlushAsync(cancellation).WaitAsync(cancellation);
        var line = await _output.ReadLineAsync(cancellation).AsTask().WaitAsync(cancellation) ?? throw new IOException(_complaint() is { Length: > 0 } said ? $"its PowerShell ended, saying {said.Trim()}" : "its PowerShell ended");
        JsonNode answer;
        try
        {
            var colon = line.IndexOf(':', StringComparison.Ordinal);
            if (colon < 1 || int.Parse(line.AsSpan(0, colon), NumberStyles.None, CultureInfo.InvariantCulture) != line.Length - colon - 1) throw new FormatException("A frame is incomplete.");
            answer = JsonNode.Parse(Convert.FromBase64String(line[(colon + 1)..]))!;
        }
        catch (Exception fault) when (fault is FormatException or JsonException)
        {
            throw new InvalidFrame(_host, fault);
        }

        return answer["error"] is { } error ? throw new ScriptError(HyperVFaults.Of(_host, error)) : answer["output"];
    }

    public ValueTask DisposeAsync()
    {
        // Whatever hangs there is waited for by nobody; closing may wait for an answer of its own.
        _ = Task.Run(_close);
        return ValueTask.CompletedTask;
    }

    private static async Task<HyperVShell> OpenOverSshAsync(HyperVHostSettings host, HyperVSettings settings, CancellationToken cancellation)
    {
        var client = new SshClient(new ConnectionInfo(host.Address, host.Port, settings.User, Proof(settings)) { Timeout = settings.CallDeadline });
        try
        {
            // A way that forgets who is quiet would else be noticed by the next call, at its deadline.
            client.KeepAliveInterval = TimeSpan.FromSeconds(30);
            var (trusted, shownKey) = (true, "");
            client.HostKeyReceived += (_, shown) =>
            {
                shownKey = Fingerprint(shown.HostKey);
                shown.CanTrust = trusted = host.HostKey.Trim().TrimEnd('=') == shownKey;
            };
            try
            {
                await client.ConnectAsync(cancellation);
            }
            catch (SshException fault) when (!trusted)
            {
                throw new SshConnectionException(shownKey, DisconnectReason.HostKeyNotVerifiable, fault);
            }

            var command = client.CreateCommand(Command);
            var running = command.ExecuteAsync(CancellationToken.None);
            _ = running.ContinueWith(ended => ended.Exception, TaskScheduler.Default);
            return new HyperVShell(host.Name, command.CreateInputStream(), command.OutputStream, () => running.IsCompleted ? command.Error : "", client.Dispose);
        }
        catch
        {
            _ = Task.Run(client.Dispose, CancellationToken.None);
            throw;
        }
    }

    /// <summary>As OpenSSH prints it.</summary>
    private static string Fingerprint(byte[] key) => "SHA256:" + Convert.ToBase64String(SHA256.HashData(key)).TrimEnd('=');

    private static AuthenticationMethod Proof(HyperVSettings settings)
    {
        if (settings.PrivateKey.Reveal() is not { Length: > 0 } key) return new PasswordAuthenticationMethod(settings.User, settings.Password.Reveal());
        try
        {
            return new PrivateKeyAuthenticationMethod(settings.User, new PrivateKeyFile(new MemoryStream(Encoding.UTF8.GetBytes(Lines(key)))));
        }
        catch (Exception fault) when (fault is SshException or FormatException or ArgumentException or InvalidOperationException)
        {
            throw new ProviderFault(FaultKind.Unauthorized, "The pool's private key cannot be read: it has to be as OpenSSH writes it, without a passphrase.", fault);
        }
    }

    /// <summary>In lines again: a field of one line, as forms have it for a secret, takes them away.</summary>
    private static string Lines(string key)
    {
        if (Armoured().Match(key) is not { Success: true } match) return key;
        var body = string.Concat(match.Groups["body"].Value.Where(letter => !char.IsWhiteSpace(letter)));
        return $"-----BEGIN {match.Groups["kind"].Value}-----\n{string.Join('\n', body.Chunk(64).Select(line => new string(line)))}\n-----END {match.Groups["kind"].Value}-----\n";
    }

    [GeneratedRegex("-----BEGIN (?<kind>[A-Z ]+)-----(?<body>[A-Za-z0-9+/=\\s]+)-----END \\k<kind>-----", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Armoured();

    private static string Read(string name)
    {
        using var reader = new StreamReader(Assembly.GetExecutingAssembly().GetManifestResourceStream(name)!);
        return reader.ReadToEnd();
    }

    /// <summary>Without what is there for its readers: the command line is short.</summary>
    private static string Bare(string script) => string.Join('\n', script.Split('\n').Select(line => line.Trim()).Where(line => line.Length > 0 && line[0] != '#'));

    /// <summary>A script ended with an error; the shell is well.</summary>
    public sealed class ScriptError(ProviderFault fault) : Exception(fault.Message)
    {
        public ProviderFault Fault => fault;
    }

    private sealed class InvalidFrame(string host, Exception cause) : IOException($"what {host}'s PowerShell said is no answer", cause);
}
