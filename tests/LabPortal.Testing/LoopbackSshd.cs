using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace LabPortal.Testing;

/// <summary>
/// Debian's sshd on a loopback port, with keys of its own: whoever has <see cref="KeyFile"/> comes in as root, nobody else. It may see the files as
/// another process does (<c>seeAs</c>), as on a host whose daemon has not hidden its folders.
/// </summary>
public sealed class LoopbackSshd : IAsyncDisposable
{
    private readonly Process _process;
    private readonly TestFolder _folder;

    private LoopbackSshd(TestFolder folder, int port, Process process)
    {
        _folder = folder;
        Port = port;
        _process = process;
    }

    public int Port { get; }

    public string KeyFile => _folder["key"];

    /// <summary>An ssh that knows this sshd's host key, and leaves the user's own files alone: for the <c>command</c> of a URI.</summary>
    public string ClientFile => _folder["ssh"];

    /// <summary>A key that this sshd does not know.</summary>
    public string StrangersKeyFile => _folder["stranger"];

    /// <summary>The fingerprint of its host key, as <c>ssh-keygen -lf</c> prints it.</summary>
    public async Task<string> FingerprintAsync(CancellationToken cancellation) => (await Tool.RunAsync(cancellation, "ssh-keygen", "-lf", _folder["host.pub"])).Split(' ')[1];

    /// <summary>A new private key, with which nothing but this command may be run; what was asked for is in its <c>SSH_ORIGINAL_COMMAND</c>.</summary>
    public async Task<string> NewKeyAsync(string command, CancellationToken cancellation)
    {
        var file = _folder[$"key-{Guid.NewGuid():n}"];
        await Tool.RunAsync(cancellation, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "forced", "-f", file);
        var line = $"command=\"{command}\",restrict {(await File.ReadAllTextAsync(file + ".pub", cancellation)).Trim()}\n";
        lock (_folder) File.AppendAllText(_folder["more"], line);
        return await File.ReadAllTextAsync(file, cancellation);
    }

    public static async Task<LoopbackSshd> StartAsync(CancellationToken cancellation, int? seeAs = null)
    {
        var own = new TestFolder();
        var folder = own.Path;
        foreach (var name in new[] { "host", "key", "stranger" })
            await Tool.RunAsync(cancellation, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", Path.Combine(folder, name));
        var port = FreePort();
        await File.WriteAllTextAsync(Path.Combine(folder, "known_hosts"), $"[127.0.0.1]:{port} {await File.ReadAllTextAsync(Path.Combine(folder, "host.pub"), cancellation)}", cancellation);
        await File.WriteAllTextAsync(Path.Combine(folder, "ssh"), $"#!/bin/sh\nexec ssh -F none -o UserKnownHostsFile={folder}/known_hosts -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes \"$@\"\n", cancellation);
        await Tool.RunAsync(cancellation, "chmod", "700", Path.Combine(folder, "ssh"));
        await File.WriteAllTextAsync(Path.Combine(folder, "config"), $"""
            Port {port}
            ListenAddress 127.0.0.1
            HostKey {folder}/host
            PidFile none
            AuthorizedKeysFile {folder}/key.pub {folder}/more
            PasswordAuthentication no
            KbdInteractiveAuthentication no
            UsePAM no
            StrictModes no
            PermitRootLogin prohibit-password
            MaxStartups 200
            UseDNS no
            KexAlgorithms curve25519-sha256
            """, cancellation);
        // sshd's own folder, which its init script makes elsewhere.
        Directory.CreateDirectory(seeAs is { } process ? $"/proc/{process}/root/run/sshd" : "/run/sshd");
        string[] command = [.. seeAs is { } other ? ["nsenter", "--mount", "--target", $"{other}"] : Array.Empty<string>(), "/usr/sbin/sshd", "-D", "-e", "-f", Path.Combine(folder, "config")];
        var start = new ProcessStartInfo(command[0], command[1..]) { UseShellExecute = false, RedirectStandardError = true };
        var sshd = new LoopbackSshd(own, port, Process.Start(start)!);
        sshd._process.ErrorDataReceived += (_, _) => { };
        sshd._process.BeginErrorReadLine();
        await sshd.AwaitAsync(cancellation);
        return sshd;
    }

    public async ValueTask DisposeAsync()
    {
        _process.Kill(entireProcessTree: true);
        await _process.WaitForExitAsync();
        _process.Dispose();
        _folder.Dispose();
    }

    private async Task AwaitAsync(CancellationToken cancellation)
    {
        while (true)
        {
            try
            {
                using var probe = new TcpClient();
                await probe.ConnectAsync(IPAddress.Loopback, Port, cancellation);
                return;
            }
            catch (SocketException) when (!_process.HasExited)
            {
                await Task.Delay(20, cancellation);
            }
        }
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return int.Parse(listener.LocalEndpoint.ToString()!.Split(':')[^1], CultureInfo.InvariantCulture);
    }
}
