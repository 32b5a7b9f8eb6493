using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using LabPortal.Cli.Api;
using LabPortal.Cli.Labs;
using LabPortal.Cli.Shell;
using LabPortal.Cli.SignIn;

namespace LabPortal.Cli.Consoles;

/// <summary>
/// One machine as the system's own ssh reaches it: by <c>lab tunnel</c> as its ProxyCommand, and by a name for its host key that is another
/// one for each generation. Keys, agent and the person's own configuration (<c>Host *.lab</c>) are as ever. <paramref name="HostKey"/>: what the portal gave the
/// machine, and the only one that is let in; empty where what the machine shows first is believed.
/// </summary>
internal sealed partial record SshWay(string Lab, string Machine, string MachineId, string Generation, string User, string HostKey)
{
    public string Host => $"{Machine}.{Lab}.lab";

    public string Destination => $"{User}@{Host}";

    public IEnumerable<string> Arguments =>
    [
        "-o", $"ProxyCommand={Own} tunnel {Quoted($"{Lab}/{Machine}")}",
        "-o", $"HostKeyAlias={Alias}",
        "-o", $"UserKnownHostsFile=\"{Percents(KnownHosts)}\"",
        "-o", $"StrictHostKeyChecking={(HostKey.Length > 0 ? "yes" : "accept-new")}",
        "-o", "CheckHostIP=no",
    ];

    // What was believed at first sight counts for nothing where the key is known.
    private string Alias => $"{MachineId}-{Generation}{(HostKey.Length > 0 ? ".given" : "")}.lab";

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

        var hostKey = machine.Items("access").FirstOrDefault(way => way.Text("kind") == "ssh").Text("hostKey");
        if (hostKey.Length > 0 && !PublicKey().IsMatch(hostKey)) throw new CommandFailed(Exit.Invalid, $"\"{Safe.Cell(hostKey)}\" is no host key.");
        Directory.CreateDirectory(Path.GetDirectoryName(KnownHosts)!);
        var way = new SshWay(lab.Text("id"), name, machine.Text("id"), machine.Text("generation"), who, hostKey);
        if (hostKey.Length > 0) await way.KnowAsync(cancellation);
        return way;
    }

    /// <summary>A name has one key for ever, so that a line is only ever added; twice is as good as once.</summary>
    private async Task KnowAsync(CancellationToken cancellation)
    {
        var line = $"{Alias} {HostKey}";
        if (!File.Exists(KnownHosts) || !(await File.ReadAllLinesAsync(KnownHosts, cancellation)).Contains(line)) await File.AppendAllTextAsync(KnownHosts, line + "\n", cancellation);
    }

    [GeneratedRegex(@"\A[a-z0-9-]{1,40} [A-Za-z0-9+/]{1,1000}={0,2}\z", RegexOptions.CultureInvariant)]
    private static partial Regex PublicKey();

    // ssh hands the command to the person's shell, after it has replaced what begins with a percent sign.
    private static string Quoted(string word) => Percents(OperatingSystem.IsWindows() ? $"\"{word}\"" : $"'{word.Replace("'", "'\\''", StringComparison.Ordinal)}'");

    private static string Percents(string text) => text.Replace("%", "%%", StringComparison.Ordinal);
}
