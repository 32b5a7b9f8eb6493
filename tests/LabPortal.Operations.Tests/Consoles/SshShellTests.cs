using System.Net;
using System.Text;
using LabPortal.Operations.Consoles;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Operations.Tests.Consoles;

/// <summary>Against Debian's own sshd.</summary>
public sealed class SshShellTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_shell_opens_with_the_portals_key_has_the_size_that_is_asked_for_and_is_none_with_another_key_or_host()
    {
        await using var sshd = await LoopbackSshd.StartAsync(Cancellation);
        var key = PortalKey.New();
        await File.WriteAllTextAsync(sshd.KeyFile + ".pub", PortalKey.PublicOf(key) + "\n", Cancellation);
        IPEndPoint[] addresses = [new(IPAddress.Loopback, 1), new(IPAddress.Loopback, sshd.Port)];

        var (shell, fingerprint, _) = await SshShell.OpenAsync(addresses, "root", key, pinned: null, Cancellation);
        await using (shell)
        {
            Assert.Equal((80, 24), shell!.Size);
            await shell.WriteAsync("exec 2>&1; PS1=; echo size-$(stty size)-\n"u8.ToArray(), Cancellation);
            await UntilAsync(shell, "size-24 80-");
            shell.Size = (132, 43);
            await shell.WriteAsync("echo size-$(stty size)-\n"u8.ToArray(), Cancellation);
            await UntilAsync(shell, "size-43 132-");
            // A line without end comes through, and what is typed at its end ends the line.
            await shell.WriteAsync("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo still-$((40+4)); exit\n"u8.ToArray(), Cancellation);
            await UntilAsync(shell, "still-44");
            var portion = new byte[1024];
            while (await shell.ReadAsync(portion, Cancellation) > 0) { }
        }

        var (again, _, _) = await SshShell.OpenAsync(addresses, "root", key, fingerprint, Cancellation);
        await again!.DisposeAsync();
        Assert.Equal(ConsoleEnd.NoKey, (await SshShell.OpenAsync(addresses, "root", PortalKey.New(), fingerprint, Cancellation)).Why);
        Assert.Equal(ConsoleEnd.HostChanged, (await SshShell.OpenAsync(addresses, "root", key, "another", Cancellation)).Why);
        Assert.Equal(ConsoleEnd.NoAnswer, (await SshShell.OpenAsync(addresses[..1], "root", key, fingerprint, Cancellation)).Why);
    }

    private static async Task UntilAsync(Stream line, string word)
    {
        var said = new StringBuilder();
        var portion = new byte[64 * 1024];
        while (!said.ToString().Contains(word, StringComparison.Ordinal))
        {
            var read = await line.ReadAsync(portion, Cancellation);
            Assert.True(read > 0, $"It ended after: {said}");
            said.Append(Encoding.UTF8.GetString(portion, 0, read));
            if (said.Length > 100_000) said.Remove(0, said.Length - 1000);
        }
    }
}
