using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using LabPortal.Cli.Api;
using LabPortal.Cli.Audit;
using LabPortal.Cli.Blueprints;
using LabPortal.Cli.Consoles;
using LabPortal.Cli.Help;
using LabPortal.Cli.Labs;
using LabPortal.Cli.Leases;
using LabPortal.Cli.Pools;
using LabPortal.Cli.Quotas;
using LabPortal.Cli.Shell;
using LabPortal.Cli.SignIn;
using LabPortal.Cli.Workflows;

namespace LabPortal.Cli;

/// <summary>Every command stands here, in the order of the help.</summary>
internal static class CommandLine
{
    // A value that begins with "@" is a value: no file is read for it.
    private static readonly ParserConfiguration s_parsing = new() { ResponseFileTokenReplacer = null };

    public static RootCommand Root()
    {
        var root = new RootCommand("Labs of a LabPortal from the shell.")
        {
            SignInCommands.Login(),
            SignInCommands.Logout(),
            BlueprintCommands.Blueprints(),
            RequestCommand.Request(),
            LabCommands.List(),
            LabCommands.Show(),
            LabVerbCommands.Start(),
            LabVerbCommands.Stop(),
            LabVerbCommands.Restart(),
            LabVerbCommands.Extend(),
            SnapshotCommands.Snapshot(),
            SnapshotCommands.Revert(),
            LabVerbCommands.Cancel(),
            LabVerbCommands.End(),
            LabCommands.Wait(),
            KeepaliveCommand.Keepalive(),
            SshCommands.Ssh(),
            SshCommands.Copy(),
            SshCommands.Forward(),
            SerialCommand.Console(),
            SshCommands.Tunnel(),
            QuotaCommands.Quota(),
            PoolCommands.Pools(),
            RunCommands.Runs(),
            PoolCommands.Orphans(),
            BlueprintCommands.Apply(),
            BlueprintCommands.Export(),
            AuditCommand.Audit(),
            CompletionCommand.Completion(),
        };
        root.Add(Call.Output);
        root.Add(Call.Verbose);
        root.Add(HelpCommand.Help(root));
        root.Options.Remove(root.Options.OfType<HelpOption>().Single());
        root.Add(new HelpOption("--help", "-h") { Action = new HelpAction { MaxWidth = Terminal.Width } });
        return root;
    }

    public static async Task<Exit> RunAsync(string[] arguments, CancellationToken cancellation)
    {
        try
        {
            var parsed = Root().Parse(arguments, s_parsing);
            if (parsed.Action is ParseErrorAction wrong)
            {
                wrong.ShowHelp = parsed.Tokens.Count == 0;
                await parsed.InvokeAsync(new InvocationConfiguration { Output = Console.Error }, cancellation);
                return Exit.Invalid;
            }

            return (Exit)await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null }, cancellation);
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            Terminal.Say("Interrupted.");
            return Exit.Interrupted;
        }
        catch (PortalRefused refused)
        {
            ProblemText.Say(refused.Problem, Call.IsVerbose);
            return refused.Exit;
        }
        catch (CommandFailed failed)
        {
            Terminal.Say($"lab: {failed.Message}");
            return failed.Exit;
        }
        catch (Exception fault)
        {
            Terminal.Say($"lab: This was not expected ({Safe.Text(fault.GetType().Name)}): {Safe.Text(fault.Message)}");
            return Exit.Unexpected;
        }
    }
}
