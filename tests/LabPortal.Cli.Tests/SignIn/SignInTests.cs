using System.Runtime.Versioning;
using System.Text.RegularExpressions;
using LabPortal.Testing;

namespace LabPortal.Cli.Tests.SignIn;

public sealed partial class SignInTests(SharedPortal portal)
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    [Fact]
    [SupportedOSPlatform("linux")]
    public async Task What_works_is_stored_for_this_person_alone_and_forgotten_again()
    {
        using var lab = new LabProcess();

        Assert.Contains("lab login", (await lab.RunAsync("list")).Must(Exit.NotAllowed).Error, StringComparison.Ordinal);
        var signedIn = (await lab.TypeAsync(PortalProcess.AdminToken + "\n", "login", portal.Address.AbsoluteUri)).Must(Exit.Done);
        Assert.Contains("bootstrap", signedIn.Error, StringComparison.Ordinal);
        Assert.DoesNotContain(PortalProcess.AdminToken, signedIn.Output + signedIn.Error, StringComparison.Ordinal);
        Assert.Equal(OwnerOnly, File.GetUnixFileMode(lab.AccountFile));
        Assert.Equal(OwnerOnly | UnixFileMode.UserExecute, File.GetUnixFileMode(Path.GetDirectoryName(lab.AccountFile)!));
        (await lab.RunAsync("list")).Must(Exit.Done);

        (await lab.RunAsync("logout")).Must(Exit.Done);
        Assert.False(File.Exists(lab.AccountFile));
        (await lab.RunAsync("list")).Must(Exit.NotAllowed);
        (await lab.RunAsync("logout")).Must(Exit.Done);
    }

    [Fact]
    public async Task What_does_not_work_is_not_stored_and_does_not_replace_what_does()
    {
        using var lab = new LabProcess();
        (await lab.TypeAsync(PortalProcess.AdminToken + "\n", "login", portal.Address.AbsoluteUri)).Must(Exit.Done);
        var stored = await File.ReadAllTextAsync(lab.AccountFile, TestContext.Current.CancellationToken);

        (await lab.TypeAsync("another-token\n", "login", portal.Address.AbsoluteUri)).Must(Exit.NotAllowed);
        (await lab.TypeAsync(PortalProcess.AdminToken + "\n", "login", "http://127.0.0.1:1")).Must(Exit.Unreachable);
        (await lab.TypeAsync("two words\n", "login", portal.Address.AbsoluteUri)).Must(Exit.Invalid);
        (await lab.TypeAsync("", "login", portal.Address.AbsoluteUri)).Must(Exit.Invalid);
        foreach (var address in new[] { "ftp://labs.example.org", "https://ada:secret@labs.example.org", "http://", "https://labs.example.org/?x=1", "\u001b[31mred" })
            Assert.DoesNotContain('\u001b', (await lab.TypeAsync("token\n", "login", address)).Must(Exit.Invalid).Error);
        (await lab.RunAsync("login")).Must(Exit.Invalid);

        Assert.Equal(stored, await File.ReadAllTextAsync(lab.AccountFile, TestContext.Current.CancellationToken));
        (await lab.RunAsync("list")).Must(Exit.Done);
    }

    [Fact]
    public async Task A_stored_token_is_not_sent_to_another_portal_than_its_own()
    {
        var calls = 0;
        await using var other = await PretendedPortal.StartAsync(context =>
        {
            Interlocked.Increment(ref calls);
            return Task.CompletedTask;
        });
        using var lab = new LabProcess();
        (await lab.TypeAsync(PortalProcess.AdminToken + "\n", "login", portal.Address.AbsoluteUri)).Must(Exit.Done);

        lab.Environment["LAB_URL"] = other.Address.AbsoluteUri;
        (await lab.RunAsync("list")).Must(Exit.NotAllowed);
        Assert.Equal(0, calls);

        // The environment goes before what is stored, and without the last slash it is the same address.
        lab.Environment["LAB_URL"] = portal.Address.AbsoluteUri.TrimEnd('/');
        (await lab.RunAsync("list")).Must(Exit.Done);
        lab.Environment["LAB_TOKEN"] = "another-token";
        (await lab.RunAsync("list")).Must(Exit.NotAllowed);
    }

    [Fact]
    public async Task The_token_is_typed_without_being_seen()
    {
        using var lab = new LabProcess();
        using var terminal = lab.OnTerminal("echo on $(tty); lab login");

        await terminal.SaysAsync("Address of the portal:");
        await terminal.TypeAsync(portal.Address.AbsoluteUri + "\n");
        await terminal.SaysAsync("API token");
        var device = DeviceName().Match(terminal.Output).Groups["device"].Value;
        while (!(await Tool.RunAsync(TestContext.Current.CancellationToken, "stty", "-F", device, "-a")).Contains("-echo ", StringComparison.Ordinal)) await Task.Delay(20, TestContext.Current.CancellationToken);
        await terminal.TypeAsync("wrong\u007f\u007f\u007f\u007f\u007f" + PortalProcess.AdminToken + "\n");
        var ran = await terminal.EndAsync();

        Assert.Contains("Signed in", ran.Must(Exit.Done).Output, StringComparison.Ordinal);
        Assert.DoesNotContain(PortalProcess.AdminToken[..8], ran.Output, StringComparison.Ordinal);
        (await lab.RunAsync("list")).Must(Exit.Done);
    }

    [Fact]
    public async Task Verbose_tells_the_calls_but_no_secret()
    {
        using var lab = portal.Lab();

        var ran = (await lab.RunAsync("pools", "nowhere", "--verbose")).Must(Exit.NotFound);

        Assert.Contains($"> GET {portal.Address}api/v1/pools/nowhere", ran.Error, StringComparison.Ordinal);
        Assert.Matches("< 404 after [0-9]+ ms", ran.Error);
        Assert.Matches("trace id [0-9a-f]{32}", ran.Error);
        Assert.DoesNotContain(PortalProcess.AdminToken, ran.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("trace id", (await lab.RunAsync("pools", "nowhere")).Error, StringComparison.Ordinal);
    }

    [GeneratedRegex(@"on (?<device>/dev/\S+)", RegexOptions.ExplicitCapture)]
    private static partial Regex DeviceName();
}
