using System.Globalization;
using System.Text;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace LabPortal.Cli.Shell;

/// <summary>
/// What this process prints to and is typed into. The answer alone goes to the standard output; everything that is said beside it goes to
/// the error output.
/// </summary>
internal static class Terminal
{
    /// <summary>Somebody can be asked.</summary>
    public static bool CanAsk => !Console.IsInputRedirected && !Console.IsErrorRedirected;

    /// <summary>Somebody watches: what is drawn may be drawn over.</summary>
    public static bool IsWatched => !Console.IsOutputRedirected && !Console.IsErrorRedirected && Environment.GetEnvironmentVariable("TERM") is not (null or "" or "dumb");

    /// <summary>Of the standard output. A file or another program has no width of its own, and some terminals do not say theirs.</summary>
    public static int Width => Console.IsOutputRedirected ? 120 : Console.WindowWidth is >= 20 and var columns ? columns : 80;

    public static IAnsiConsole Error { get; } = Make(Console.Error, Console.IsErrorRedirected);

    /// <summary>A table on the standard output. A file or another program gets whole lines, without the blanks that fill the last column.</summary>
    public static void Draw(IRenderable table)
    {
        if (!Console.IsOutputRedirected)
        {
            Make(Console.Out, redirected: false).Write(table);
            return;
        }

        using var drawn = new StringWriter(CultureInfo.InvariantCulture);
        Make(drawn, redirected: true).Write(table);
        foreach (var line in drawn.ToString().TrimEnd().Split('\n')) Console.Out.WriteLine(line.TrimEnd());
    }

    /// <summary>A text that is the answer, on the standard output: as it is for a file or another program, harmless for a terminal.</summary>
    public static async Task CopyAsync(Stream text, CancellationToken cancellation)
    {
        if (Console.IsOutputRedirected)
        {
            await using var output = Console.OpenStandardOutput();
            await text.CopyToAsync(output, cancellation);
            return;
        }

        using var reader = new StreamReader(text);
        while (await reader.ReadLineAsync(cancellation) is { } line) Console.Out.WriteLine(Safe.Text(line));
    }

    /// <summary>
    /// What is said beside the answer, in lines of a bearable length. Names from outside are made safe before, so that none can begin a line; whatever was
    /// missed does nothing here.
    /// </summary>
    public static void Say(string text)
    {
        foreach (var line in text.Split('\n')) Console.Error.WriteLine(Safe.Line(line));
    }

    public static Task<string> AskAsync(string question, CancellationToken cancellation)
    {
        Console.Error.Write(Safe.Line(question));
        return TypedAsync(() => Console.ReadLine() ?? "", cancellation);
    }

    /// <summary>What is typed is not shown.</summary>
    public static async Task<string> AskSecretAsync(string question, CancellationToken cancellation)
    {
        Console.Error.Write(question);
        var typed = await TypedAsync(ReadSecret, cancellation);
        Console.Error.WriteLine();
        return typed;
    }

    /// <summary>Before something is destroyed. Without a terminal nobody can answer: only <c>--yes</c> counts.</summary>
    public static async Task ConfirmAsync(string what, bool yes, CancellationToken cancellation)
    {
        if (yes) return;
        if (!CanAsk) throw new CommandFailed(Exit.Invalid, $"{what} Nobody can be asked here: say --yes.");
        if ((await AskAsync($"{what} Go on? [y/N] ", cancellation)).Trim().ToLowerInvariant() is not ("y" or "yes"))
            throw new CommandFailed(Exit.Interrupted, "Nothing was done.");
    }

    private static string ReadSecret()
    {
        var typed = new StringBuilder();
        while (Console.ReadKey(intercept: true) is { Key: not ConsoleKey.Enter } key)
        {
            if (key.Key == ConsoleKey.Backspace) typed.Length = Math.Max(0, typed.Length - 1);
            else if (!char.IsControl(key.KeyChar)) typed.Append(key.KeyChar);
        }

        return typed.ToString();
    }

    // Reading from a terminal cannot be cancelled: it is left alone, and the process ends without it.
    private static Task<string> TypedAsync(Func<string> read, CancellationToken cancellation) => Task.Run(read, CancellationToken.None).WaitAsync(cancellation);

    private static IAnsiConsole Make(TextWriter writer, bool redirected)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(writer),
            Ansi = redirected ? AnsiSupport.No : AnsiSupport.Detect,
            ColorSystem = redirected ? ColorSystemSupport.NoColors : ColorSystemSupport.Detect,
            Interactive = redirected ? InteractionSupport.No : InteractionSupport.Detect,
        });
        console.Profile.Width = redirected ? short.MaxValue : Width;
        return console;
    }
}
