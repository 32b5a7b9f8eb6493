using System.Management.Automation;
using System.Management.Automation.Runspaces;
using System.Text.Json.Nodes;
using LabPortal.Testing;

namespace LabPortal.Cli.Tests.Help;

/// <summary>Completion as it is used: in the shells themselves.</summary>
public sealed class CompletionTests(SharedPortal portal)
{
    [Theory]
    [InlineData("lab bluep", "lab blueprints ")]
    [InlineData("lab request sl", "lab request slow ")]
    [InlineData("lab list --stat", "lab list --state ")]
    [InlineData("lab list --state sched", "lab list --state scheduled ")]
    [InlineData("lab wait --state=awai", "lab wait --state=awaiting-approval ")]
    [InlineData("lab help exit", "lab help exit-codes ")]
    [InlineData("lab quota man", "lab quota many ")]
    public async Task Bash_completes(string typed, string completed)
    {
        using var lab = portal.Lab();
        using var terminal = lab.OnTerminal("bash --norc --noprofile -i");
        await terminal.TypeAsync("PS1='type> '; source <(lab completion bash); echo sourced=$?\n");
        await terminal.SaysAsync("sourced=0\r\n");

        await terminal.TypeAsync(typed + "\t");
        await terminal.SaysAsync(completed);
        await terminal.TypeAsync("\u0015exit\n");
        await terminal.EndAsync();
    }

    [Theory]
    [InlineData("lab bluep", "rints")]
    [InlineData("lab request sl", "ow")]
    [InlineData("lab wait --state=awai", "ting-approval")]
    public async Task Zsh_completes(string typed, string completed)
    {
        using var lab = portal.Lab();
        // Without a line editor's own drawing what is completed is printed as it is.
        lab.Environment["TERM"] = "dumb";
        using var terminal = lab.OnTerminal("zsh -f -i");
        await terminal.TypeAsync("PS1='type> '; autoload -Uz compinit && compinit -D; source <(lab completion zsh); echo sourced=$?\n");
        await terminal.SaysAsync("sourced=0");

        await terminal.TypeAsync(typed + "\t");
        await terminal.SaysAsync(typed + completed);
        await terminal.TypeAsync("\u0015exit\n");
        await terminal.EndAsync();
    }

    /// <summary>By PowerShell's own engine; its host, which draws what is chosen, is another program.</summary>
    [Theory]
    [InlineData("lab bluep", "blueprints")]
    [InlineData("lab request sl", "slow")]
    [InlineData("lab list --stat", "--state")]
    [InlineData("lab list --state sched", "scheduled")]
    [InlineData("lab wait --state=awai", "--state=awaiting-approval")]
    [InlineData("$x = 1; lab help exit", "exit-codes")]
    [InlineData("lab snapshot t", "take")]
    [InlineData("lab no-such", null)]
    public async Task PowerShell_completes(string typed, string? completed)
    {
        using var lab = portal.Lab();
        var script = (await lab.RunAsync("completion", "pwsh")).Must(Exit.Done).Output;
        using var shell = PowerShell.Create(InitialSessionState.CreateDefault2());
        foreach (var (name, value) in lab.Environment.Where(pair => pair.Key is "LAB_URL" or "LAB_TOKEN" or "XDG_CONFIG_HOME")) shell.Runspace.SessionStateProxy.SetVariable(name, value);
        // The program itself, in the surroundings of this test, which are not those of this process.
        shell.AddScript("function lab { & env \"LAB_URL=$LAB_URL\" \"LAB_TOKEN=$LAB_TOKEN\" \"XDG_CONFIG_HOME=$XDG_CONFIG_HOME\" NO_PROXY=* LAB_COMPLETION_SECONDS=60 TERM=dumb \"$XDG_CONFIG_HOME/lab\" @args }").Invoke();
        shell.Commands.Clear();
        shell.AddScript(script).Invoke();
        Assert.Empty(shell.Streams.Error);
        shell.Commands.Clear();

        var found = CommandCompletion.CompleteInput(typed, typed.Length, null, shell);

        // Where nothing is completed the engine goes on with files.
        if (completed is null) Assert.DoesNotContain(found.CompletionMatches, match => match.ResultType == CompletionResultType.ParameterValue);
        else Assert.Equal(completed, Assert.Single(found.CompletionMatches).CompletionText);
        Assert.Empty(shell.Streams.Error);
    }

    [Fact]
    public async Task A_name_that_is_more_than_a_word_is_not_put_into_a_command_line()
    {
        string[] names = ["good-1", "$(touch x)", "two words", "a;b", "`id`", "-rf", "tab\tbed", "\u001b[2J"];
        await using var pretended = await PretendedPortal.SayingAsync(new JsonObject { ["items"] = new JsonArray([.. names.Select(name => new JsonObject { ["name"] = name })]) }.ToJsonString());
        using var lab = new LabProcess(pretended.Address);

        var suggested = (await lab.RunAsync("[suggest:9]", "lab show ")).Must(Exit.Done).Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);

        Assert.Contains("good-1", suggested);
        Assert.Empty(suggested.Intersect(names[1..]));
    }

    [Fact]
    public async Task Help_and_completion_do_without_a_portal()
    {
        using var lab = new LabProcess(new Uri("http://127.0.0.1:1/"));

        Assert.Contains("request", (await lab.RunAsync("[suggest:6]", "lab re")).Must(Exit.Done).Output, StringComparison.Ordinal);
        (await lab.RunAsync("[suggest:9]", "lab show ")).Must(Exit.Done);
        var help = (await lab.RunAsync("help", "request")).Must(Exit.Done).Output;
        Assert.Equal(help, (await lab.RunAsync("request", "--help")).Must(Exit.Done).Output);
        Assert.Contains("--idempotency-key <KEY>", help, StringComparison.Ordinal);
        Assert.Equal((await lab.RunAsync("help")).Must(Exit.Done).Output, (await lab.RunAsync("--help")).Must(Exit.Done).Output);
        foreach (var shell in new[] { "bash", "zsh", "pwsh" }) Assert.Contains("[suggest:", (await lab.RunAsync("completion", shell)).Must(Exit.Done).Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_readme_lists_each_command_and_exit_code()
    {
        var readme = await File.ReadAllTextAsync(Path.Combine(Repository.Root, "src/LabPortal.Cli/README.md"), TestContext.Current.CancellationToken);

        Assert.All(CommandLine.Root().Subcommands, command => Assert.Contains($"`{command.Name}", readme, StringComparison.Ordinal));
        Assert.Contains($"| * | {Exits.OfOthers} |", readme, StringComparison.Ordinal);
        Assert.All(Enum.GetValues<Exit>(), exit => Assert.Contains($"| {(int)exit} | {exit.Meaning()} |", readme, StringComparison.Ordinal));
    }
}
