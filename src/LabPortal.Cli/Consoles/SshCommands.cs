using System.CommandLine;
using System.Globalization;
using System.Text.RegularExpressions;
using LabPortal.Cli.Help;
using LabPortal.Cli.Labs;
using LabPortal.Cli.Shell;

namespace LabPortal.Cli.Consoles;

/// <summary>The system's own ssh and scp, through the portal. They end as those do.</summary>
internal static partial class SshCommands
{
    public static Command Ssh()
    {
        var machine = LabArguments.LabOrMachine();
        var words = new Argument<string[]>("COMMAND") { HelpName = "COMMAND", Description = "What is run there instead of a shell; after \"--\".", Arity = ArgumentArity.ZeroOrMore };
        var terminal = new Option<bool>("--tty", "-t") { Description = "Give the command a terminal." };
        var common = new Common();
        return common.AddTo(new Command("ssh", "Sign in to a machine, or run a command there: the system's own ssh, through the portal.") { machine, words, terminal }).Ends(async (call, cancellation) =>
        {
            var way = await SshWay.FindAsync(call.Api, call.Value(machine)!, call.Value(common.User), cancellation);
            var given = call.Value(words) ?? [];
            return await SystemProgram.RunAsync("ssh", [.. way.Arguments, .. common.Given(call), .. call.Value(terminal) ? ["-t"] : Array.Empty<string>(), way.Destination, .. given.Length > 0 ? ["--", .. given] : given], cancellation);
        });
    }

    public static Command Copy()
    {
        var paths = new Argument<string[]>("PATH") { HelpName = "PATH", Description = "The last one is where to; LAB[/MACHINE]:PATH is over there, ./ before it makes a path with a colon one of here.", Arity = new ArgumentArity(2, 1000), CompletionSources = { Suggestions.Labs } };
        var recursive = new Option<bool>("--recursive", "-r") { Description = "Folders with what is in them." };
        var preserve = new Option<bool>("--preserve", "-p") { Description = "Keep times and modes." };
        var common = new Common();
        return common.AddTo(new Command("cp", "Copy files to a machine or from it: the system's own scp, through the portal.") { paths, recursive, preserve }).Ends(async (call, cancellation) =>
        {
            var given = call.Value(paths)!.Select(text => (Text: text, There: There().Match(text))).ToList();
            var machines = given.Where(path => path.There.Success).Select(path => path.There.Groups["machine"].Value).Distinct().ToList();
            if (machines is not [var one] || given[..^1].Any(path => path.There.Success) == given[^1].There.Success)
                throw new CommandFailed(Exit.Invalid, "Between this machine and one of a lab: one side is LAB/MACHINE:PATH, the other a path of here.");
            var way = await SshWay.FindAsync(call.Api, one, call.Value(common.User), cancellation);
            var named = given.Select(path => path.There.Success ? $"{way.Destination}:{path.There.Groups["path"].Value}" : path.Text);
            return await SystemProgram.RunAsync("scp", [.. way.Arguments, .. common.Given(call), .. call.Value(recursive) ? ["-r"] : Array.Empty<string>(), .. call.Value(preserve) ? ["-p"] : Array.Empty<string>(), "--", .. named], cancellation);
        });
    }

    public static Command Forward()
    {
        var machine = LabArguments.LabOrMachine();
        var ports = new Argument<string[]>("PORTS") { HelpName = "[LOCAL:][HOST:]PORT", Description = "A port of this machine, which leads to that port of the machine, or of a host that the machine reaches.", Arity = ArgumentArity.OneOrMore };
        var common = new Common();
        return common.AddTo(new Command("forward", "Ports of this machine that lead into a lab, until it is interrupted.") { machine, ports }).Ends(async (call, cancellation) =>
        {
            var forwards = call.Value(ports)!.Select(Read).ToList();
            var way = await SshWay.FindAsync(call.Api, call.Value(machine)!, call.Value(common.User), cancellation);
            foreach (var (local, host, port) in forwards) Terminal.Say(Safe.Text($"127.0.0.1:{local} leads to {(host == "localhost" ? way.Machine : $"{host}, from {way.Machine},")} port {port}; Ctrl-C ends it."));
            return await SystemProgram.RunAsync(
                "ssh", [.. way.Arguments, .. common.Given(call), "-N", "-T", "-o", "ExitOnForwardFailure=yes", .. forwards.SelectMany(forward => new[] { "-L", $"127.0.0.1:{forward.Local}:{forward.Host}:{forward.Port}" }), way.Destination], cancellation);
        });
    }

    /// <summary>What ssh starts to reach a machine.</summary>
    public static Command Tunnel()
    {
        var machine = LabArguments.LabOrMachine();
        return new Command("tunnel", "A machine's SSH port as the standard input and output: for the ProxyCommand of an ssh of your own.") { machine }.Does(async (call, cancellation) =>
        {
            var (lab, one) = await LabFinder.FindOneMachineAsync(call.Api, call.Value(machine)!, cancellation);
            using var line = await ConsoleLine.OpenAsync(call.Api, lab, one.Text("name"), "ssh", takeOver: false, cancellation);
            await using var output = Console.OpenStandardOutput();
            // Left alone where the other side ends first: reading from a pipe cannot be cancelled, and the process ends without it.
            var typing = Task.Run(() => line.CarryAsync(Console.OpenStandardInput(), cancellation), cancellation);
            await line.ReadAsync(async bytes => await output.WriteAsync(bytes, cancellation), _ => Task.CompletedTask, cancellation);
            if (typing.IsFaulted) await typing;
        });
    }

    internal static (int Local, string Host, int Port) Read(string text)
    {
        if (Ports().Match(text) is { Success: true } match && Port(match.Groups["port"].Value) is { } port && Port(match.Groups["local"] is { Success: true } group ? group.Value : match.Groups["port"].Value) is { } local)
            return (local, match.Groups["host"] is { Success: true } host ? host.Value : "localhost", port);
        throw new CommandFailed(Exit.Invalid, $"\"{Safe.Text(text)}\" is no port; it looks like 8080, 8080:80 or 8080:db:5432.");

        static int? Port(string digits) => int.Parse(digits, CultureInfo.InvariantCulture) is > 0 and <= 65535 and var number ? number : null;
    }

    // What stands before the first colon is a machine, unless it is a path: it begins with one.
    [GeneratedRegex(@"\A(?<machine>[^./~:][^:]*):(?<path>.*)\z", RegexOptions.CultureInvariant | RegexOptions.Singleline | RegexOptions.ExplicitCapture)]
    private static partial Regex There();

    [GeneratedRegex(@"\A((?<local>[0-9]{1,5}):)?((?<host>[A-Za-z0-9_-][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:]+\]):)??(?<port>[0-9]{1,5})\z", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture)]
    private static partial Regex Ports();

    /// <summary>What each of them takes.</summary>
    private sealed class Common
    {
        public Option<string?> User { get; } = new("--user", "-l") { HelpName = "USER", Description = "Who signs in; else the user of the machine's image." };

        private Option<string?> Identity { get; } = new("--identity", "-i") { HelpName = "FILE", Description = "The private key; else what your ssh takes." };

        private Option<string[]> Options { get; } = new("--ssh-option") { HelpName = "NAME=VALUE", Description = "One of ssh_config(5); may be repeated." };

        public Command AddTo(Command command)
        {
            command.Add(User);
            command.Add(Identity);
            command.Add(Options);
            return command;
        }

        public IEnumerable<string> Given(Call call) => [.. call.Value(Identity) is { } file ? ["-i", file] : Array.Empty<string>(), .. (call.Value(Options) ?? []).SelectMany(option => new[] { "-o", option })];
    }
}
