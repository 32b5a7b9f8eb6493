using System.Text.Json.Nodes;
using LabPortal.Cli.Api;
using LabPortal.Cli.Labs;
using LabPortal.Cli.Shell;
using LabPortal.Cli.SignIn;

namespace LabPortal.Cli.Consoles;

/// <summary>
/// One machine as the system's own ssh reaches it: by <c>lab tunnel</c> as its ProxyCommand, and by a name for its host key that is another
/// one for each generation. Keys, agent and the person's own configuration (<c>Host *.lab</c>) are as ever.
/// </summary>
internal sealed record SshWay(string Lab, string Machine, string MachineId, string Generation, string User)
{
    public string Host => $"{Machine}.{Lab}.lab";

    public string Destination => $"{User}@{Host}";

    public IEnumerable<string> Arguments =>
    [
        "-o", $"ProxyCommand={Own} tunnel {Quoted($"{Lab}/{Machine}")}",
        "-o", $"HostKeyAlias={MachineId}-{Generation}.lab",
        "-o", $"UserKnownHostsFile=\"{Percents(KnownHosts)}\"",
        "-o", "StrictHostKeyChecking=accept-new",
        "-o", "CheckHostIP=no",
    ];

    /// <summary>Of lab alone: nobody's own file is written to.</summary>
    private static string KnownHosts => Path.Combine(Path.GetDirectoryName(AccountFile.Location)!, "known_hosts");

    /// <summary>This program, as a shell starts it again.</summary>
    private static string Own => Path.GetFileNameWithoutExtension(Environment.ProcessPath!) == "dotnet"
        ? $"{Quoted(Environment.ProcessPath!)} {Quoted(Environment.GetCommandLineArgs()[0])}"
        : Quoted(Environment.ProcessPath!);

    public static async Task<SshWay> FindAsync(PortalApi api, string text, string? user, CancellationToken cancellation)
    {
        var (lab, machine) = await LabFinder.FindOneMachineAsync(api, text, cancellation);
        var name = machine.Text("name");
        if (machine.Text("state") != "running") throw new CommandFailed(Exit.Refused, Safe.Text($"{name} of {lab.Text("name")} is {machine.Text("state")}: there is no way in."));
        var who = user ?? machine.Items("access").FirstOrDefault(way => way.Text("kind") == "ssh").Text("user");
        if (who.Length == 0) throw new CommandFailed(Exit.Refused, Safe.Text($"{name} of {lab.Text("name")} has no way in by ssh; with \"--user\" it is tried anyway."));
        // All of these become part of a command: what is not one harmless word comes from no portal of ours.
        foreach (var word in new[] { lab.Text("id"), name, machine.Text("id"), who })
        {
            if (!Safe.IsWord(word)) throw new CommandFailed(Exit.Invalid, $"\"{Safe.Cell(word)}\" is nothing to give to ssh.");
        }

        Directory.CreateDirectory(Path.GetDirectoryName(KnownHosts)!);
        return new SshWay(lab.Text("id"), name, machine.Text("id"), machine.Text("generation"), who);
    }

    // ssh hands the command to the person's shell, after it has replaced what begins with a percent sign.
    private static string Quoted(string word) => Percents(OperatingSystem.IsWindows() ? $"\"{word}\"" : $"'{word.Replace("'", "'\\''", StringComparison.Ordinal)}'");

    private static string Percents(string text) => text.Replace("%", "%%", StringComparison.Ordinal);
}
