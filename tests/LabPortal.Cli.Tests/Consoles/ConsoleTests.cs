using System.Text.Json.Nodes;
using LabPortal.Cli.Consoles;

namespace LabPortal.Cli.Tests.Consoles;

/// <summary>Consoles on terminals of their own, and what is said where there is no way in. The ways into real guests are tested end to end.</summary>
public sealed class ConsoleTests(SharedPortal portal)
{
    [Fact]
    public async Task Two_look_at_a_serial_port_one_types_and_each_terminal_is_as_it_was()
    {
        using var lab = portal.Lab();
        (await lab.RunAsync("request", "pair", "--team", "qa", "--name", "looked-at", "--wait")).Must(Exit.Done);
        const string look = "stty -g; lab console looked-at/web; echo left=$?; stty -g";
        using var first = lab.OnTerminal(look);
        await first.SaysAsync("you type; nobody else is here");
        await first.TypeAsync("hostname\r");
        await first.SaysAsync("web\r\nweb# ");

        using var second = lab.OnTerminal(look);
        await second.SaysAsync("Ctrl-] t asks for the keyboard; also here: bootstrap");
        await first.SaysAsync("you type; also here: bootstrap");
        await second.TypeAsync("echo not-typed\r");
        await second.TypeAsync("\u001dt");
        await second.SaysAsync("[you type; also here: bootstrap]");
        await second.TypeAsync("echo second\u001d\u001d-typed\r\u001d?");
        await second.SaysAsync("second-typed\r\nweb# ");
        await second.SaysAsync("takes the keyboard or asks for it");
        await first.SaysAsync("second-typed");
        Assert.DoesNotContain("not-typed\r\nweb#", first.Output, StringComparison.Ordinal);

        // One leaves by its keys, of the other's machine nothing is left: both find their terminal again.
        await second.TypeAsync("\u001d.");
        await second.SaysAsync("left=0");
        (await lab.RunAsync("stop", "looked-at/web", "--wait")).Must(Exit.Done);
        await first.SaysAsync("left=");
        foreach (var terminal in new[] { first, second })
        {
            var said = (await terminal.EndAsync()).Output.Split("\r\n", StringSplitOptions.RemoveEmptyEntries);
            Assert.Equal(said[0], said[^1]);
            Assert.Contains(said, line => line.Contains(GuestOutput.Afterwards.Trim(), StringComparison.Ordinal));
        }
    }

    [Fact]
    public async Task Without_a_way_in_it_is_said_why_before_anything_is_started()
    {
        using var lab = portal.Lab();
        (await lab.RunAsync("request", "pair", "--team", "qa", "--name", "no-way-in", "--wait")).Must(Exit.Done);
        (await lab.RunAsync("stop", "no-way-in/db", "--wait")).Must(Exit.Done);

        Assert.Contains("no-way-in/MACHINE with one of: ", (await lab.RunAsync("ssh", "no-way-in")).Must(Exit.Invalid).Error, StringComparison.Ordinal);
        Assert.Contains("is stopped", (await lab.RunAsync("ssh", "no-way-in/db")).Must(Exit.Refused).Error, StringComparison.Ordinal);
        (await lab.RunAsync("ssh", "no-way-in/cache")).Must(Exit.NotFound);
        (await lab.RunAsync("ssh", "no-way-in/web", "--user", "a; touch x")).Must(Exit.Invalid);
        Assert.Contains("needs a terminal", (await lab.RunAsync("console", "no-way-in/web")).Must(Exit.Invalid).Error, StringComparison.Ordinal);
        foreach (var paths in new[] { new[] { "a", "b" }, ["no-way-in/web:a", "no-way-in/db:b"], ["no-way-in/web:a", "no-way-in/web:b"], ["./no:a", "/no:b"] })
            Assert.Contains("one side is", (await lab.RunAsync(["cp", .. paths])).Must(Exit.Invalid).Error, StringComparison.Ordinal);
        foreach (var port in new[] { "0", "65536", "x", "1:y", "1:a b:2", "-oProxyCommand=x:1" })
            Assert.NotEqual("", (await lab.RunAsync("forward", "no-way-in/web", "--", port)).Must(Exit.Invalid).Error);
    }

    [Theory]
    [InlineData("8080", 8080, "localhost", 8080)]
    [InlineData("8080:80", 8080, "localhost", 80)]
    [InlineData("db:5432", 5432, "db", 5432)]
    [InlineData("10.0.0.7:22", 22, "10.0.0.7", 22)]
    [InlineData("15432:db.inner:5432", 15432, "db.inner", 5432)]
    [InlineData("8080:[fd00::1]:80", 8080, "[fd00::1]", 80)]
    public void A_forward_is_read_as_ssh_reads_it(string text, int local, string host, int port) => Assert.Equal((local, host, port), SshCommands.Read(text));

    [Fact]
    public async Task The_commands_that_ssh_is_given_hold_nothing_that_a_shell_or_ssh_would_read_otherwise()
    {
        // In place of ssh: what it is given, a word a line.
        var machine = new JsonObject
        {
            ["name"] = "web",
            ["id"] = "0199-a",
            ["generation"] = 3,
            ["state"] = "running",
            ["access"] = new JsonArray(new JsonObject { ["kind"] = "ssh", ["user"] = "root" }),
        };
        var told = new JsonObject { ["id"] = "7e57", ["name"] = "ci", ["state"] = "ready", ["machines"] = new JsonArray(machine) };
        await using var pretended = await PretendedPortal.StartAsync(context => Microsoft.AspNetCore.Http.HttpResponseJsonExtensions.WriteAsJsonAsync(context.Response, told));
        using var lab = new LabProcess(pretended.Address);
        await File.WriteAllTextAsync(lab["ssh"], "#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit 42\n", TestContext.Current.CancellationToken);
        using (var chmod = lab.Start("chmod", "700", lab["ssh"])) (await chmod.EndAsync()).Must(Exit.Done);

        var ran = await lab.RunAsync("ssh", Guid.CreateVersion7().ToString(), "-i", "my key", "--", "ls", "-la", "$HOME");

        Assert.Equal(42, ran.Exit);
        var words = ran.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(["-i", "my key", "root@web.7e57.lab", "--", "ls", "-la", "$HOME"], words[^7..]);
        Assert.Contains("HostKeyAlias=0199-a-3.lab", words);
        Assert.Contains("StrictHostKeyChecking=accept-new", words);

        // A key that the portal gave the machine is the only one, from the first time on.
        var way = (JsonObject)machine["access"]![0]!;
        way["hostKey"] = "ssh-ed25519 AAAAC3Nza";
        for (var times = 0; times < 2; times++) ran = await lab.RunAsync("ssh", Guid.CreateVersion7().ToString());
        words = ran.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Contains("HostKeyAlias=0199-a-3.given.lab", words);
        Assert.Contains("StrictHostKeyChecking=yes", words);
        var file = words.Single(word => word.StartsWith("UserKnownHostsFile=", StringComparison.Ordinal))["UserKnownHostsFile=".Length..].Trim('"');
        Assert.Equal(["0199-a-3.given.lab ssh-ed25519 AAAAC3Nza"], await File.ReadAllLinesAsync(file, TestContext.Current.CancellationToken));
        foreach (var none in new[] { "ssh-ed25519 AAAA\n* ssh-ed25519 BBBB", "@cert-authority * ssh-ed25519 AAAA", "AAAA" })
        {
            way["hostKey"] = none;
            (await lab.RunAsync("ssh", Guid.CreateVersion7().ToString())).Must(Exit.Invalid);
        }

        way.Remove("hostKey");
        words = (await lab.RunAsync("ssh", Guid.CreateVersion7().ToString())).Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Matches(@"^ProxyCommand='[^']*dotnet' '[^']*lab\.dll' tunnel '7e57/web'$", words.Single(word => word.StartsWith("ProxyCommand=", StringComparison.Ordinal)));

        // A portal that is none of ours gives names that are orders.
        foreach (var (field, value) in new[] { ("name", "$(touch x)"), ("id", "-oProxyCommand=x"), ("name", "a\nb") })
        {
            var before = machine[field]!.DeepClone();
            machine[field] = value;
            (await lab.RunAsync("ssh", Guid.CreateVersion7().ToString())).Must(Exit.Invalid);
            machine[field] = before;
        }

        ((JsonObject)machine["access"]![0]!)["user"] = "-l evil";
        (await lab.RunAsync("ssh", Guid.CreateVersion7().ToString())).Must(Exit.Invalid);
    }
}
