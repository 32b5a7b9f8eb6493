using System.CommandLine;

namespace LabPortal.Cli.Help;

internal static class CompletionCommand
{
    private static readonly string[] s_shells = ["bash", "zsh", "pwsh"];

    public static Command Completion()
    {
        var shell = new Argument<string>("SHELL") { Description = string.Join(", ", s_shells) };
        shell.AcceptOnlyFromAmong(s_shells);
        return new Command("completion", "The script that makes a shell complete lab's commands; for bash: source <(lab completion bash).") { shell }.Does(async (call, cancellation) =>
        {
            await using var script = typeof(CompletionCommand).Assembly.GetManifestResourceStream(call.Value(shell)!)!;
            using var text = new StreamReader(script);
            await Console.Out.WriteAsync(await text.ReadToEndAsync(cancellation));
        });
    }
}
