using System.Diagnostics;
using LabPortal.Domain;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Operations.Tests.People;

public sealed class SshPublicKeyTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData("ed25519", "256"), InlineData("ecdsa", "256"), InlineData("ecdsa", "384"), InlineData("ecdsa", "521"), InlineData("rsa", "2048"), InlineData("rsa", "3072")]
    public async Task A_key_that_OpenSSH_makes_has_the_fingerprint_that_OpenSSH_says(string type, string bits)
    {
        using var folder = new TestFolder();
        await RunAsync("ssh-keygen", "-q", "-t", type, "-b", bits, "-N", "", "-C", "ada's \"laptop\" $(rm)", "-f", folder["key"]);
        var said = (await RunAsync("ssh-keygen", "-l", "-f", folder["key.pub"])).Split(' ')[1];
        await using var portal = await PortalPeople.CreateAsync(databases, Engine.Sqlite);
        var line = await File.ReadAllTextAsync(folder["key.pub"], Cancellation);
        var key = (await portal.Calls.AddKeyAsync(portal.Admin, null, line, Cancellation)).Value;
        Assert.Equal(said, key.Fingerprint);
        Assert.Equal("ada's \"laptop\" $(rm)", key.Name);
        Assert.Equal(string.Join(' ', line.Split(' ')[..2]), key.PublicKey);
        Assert.Equal("key.exists", (await portal.Calls.AddKeyAsync(portal.Admin, "twice", line, Cancellation)).Refusal!.Code);
        Assert.True((await portal.Calls.RemoveKeyAsync(portal.Admin, key.Id, Cancellation)).Ok);
        Assert.Empty((await portal.Calls.KeysAsync(portal.Admin, Cancellation)).Value);
    }

    [Fact]
    public async Task A_key_that_is_short_broken_or_something_else_is_refused_by_name()
    {
        using var folder = new TestFolder();
        await RunAsync("ssh-keygen", "-q", "-t", "rsa", "-b", "1024", "-N", "", "-f", folder["short"]);
        await RunAsync("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder["good"]);
        await RunAsync("ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", folder["curve"]);
        var good = (await File.ReadAllTextAsync(folder["good.pub"], Cancellation)).Trim();
        var parts = good.Split(' ');
        var curve = (await File.ReadAllTextAsync(folder["curve.pub"], Cancellation)).Split(' ');
        var off = Convert.FromBase64String(curve[1]);
        off[^1] ^= 1;
        var cases = new Dictionary<string, string>
        {
            [await File.ReadAllTextAsync(folder["short.pub"], Cancellation)] = "key.rsa-size",
            [await File.ReadAllTextAsync(folder["good"], Cancellation)] = "key.not-public",
            ["ssh-rsa " + parts[1]] = "key.type-inside",
            ["command=\"reboot\" " + good] = "key.type",
            [good + "\nssh-ed25519 AAAA"] = "key.one-line",
            ["ssh-ed25519 " + parts[1][..^4] + "!!!!"] = "key.base64",
            ["ssh-ed25519 " + Convert.ToBase64String(Convert.FromBase64String(parts[1])[..^1])] = "key.broken",
            ["ssh-ed25519 " + Convert.ToBase64String([.. Convert.FromBase64String(parts[1]), 0])] = "key.broken",
            ["ecdsa-sha2-nistp256 " + Convert.ToBase64String(off)] = "key.broken",
            ["ssh-dss AAAAB3NzaC1kc3M="] = "key.type",
            [""] = "key.form",
        };
        await using var portal = await PortalPeople.CreateAsync(databases, Engine.Sqlite);
        foreach (var (line, code) in cases)
        {
            var refusal = (await portal.Calls.AddKeyAsync(portal.Admin, "mine", line, Cancellation)).Refusal;
            Assert.Equal((code, "publicKey", RefusalKind.Invalid), (refusal!.Errors![0].Code, refusal.Errors[0].Field, refusal.Kind));
        }
    }

    private static async Task<string> RunAsync(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, UseShellExecute = false })!;
        var output = await process.StandardOutput.ReadToEndAsync(Cancellation);
        await process.WaitForExitAsync(Cancellation);
        Assert.Equal(0, process.ExitCode);
        return output;
    }
}
