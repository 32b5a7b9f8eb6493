using System.CommandLine;
using LabPortal.Cli.Shell;

namespace LabPortal.Cli.Help;

internal static class HelpCommand
{
    private const string ExitCodes = "exit-codes";

    public static Command Help(RootCommand root)
    {
        var topic = new Argument<string[]>("TOPIC") { HelpName = "TOPIC", Description = $"A command, or {ExitCodes}.", Arity = ArgumentArity.ZeroOrMore };
        topic.CompletionSources.Add(_ => root.Subcommands.Select(command => command.Name).Append(ExitCodes));
        var help = new Command("help", $"Help for a command; \"lab help {ExitCodes}\" for what the exit codes mean.") { topic };
        help.SetAction(parsed =>
        {
            var words = parsed.GetValue(topic) ?? [];
            if (words is [ExitCodes])
            {
                foreach (var exit in Enum.GetValues<Exit>()) Console.Out.WriteLine($"{(int)exit,3}  {exit.Meaning()}");
                Console.Out.WriteLine($"  *  {Exits.OfOthers}");
                return (int)Exit.Done;
            }

            if (!Names(root, words))
                throw new CommandFailed(Exit.Invalid, $"There is no help for \"{Safe.Text(string.Join(' ', words))}\".");
            return root.Parse([.. words, "--help"]).Invoke();
        });
        return help;
    }

    private static bool Names(Command command, IEnumerable<string> words)
    {
        foreach (var word in words)
        {
            if (command.Subcommands.FirstOrDefault(inner => inner.Name == word) is not { } found) return false;
            command = found;
        }

        return true;
    }
}
