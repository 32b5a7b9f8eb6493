using LabPortal.Testing;

namespace LabPortal.Cli.Tests;

public sealed class PackagingTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task It_is_installed_as_a_dotnet_tool_called_lab()
    {
        using var folder = new TestFolder();
        await Tool.RunAsync(Cancellation, "dotnet", "pack", Path.Combine(Repository.Root, "src/LabPortal.Cli"), "--no-build", "-c", Repository.Configuration, "-o", folder["packages"], "-v", "q", "--nologo");
        // Nothing else is needed from anywhere, and nothing of this machine's settings.
        await File.WriteAllTextAsync(folder["nuget.config"], $"""<configuration><packageSources><clear /><add key="here" value="{folder["packages"]}" /></packageSources></configuration>""", Cancellation);
        await Tool.RunAsync(Cancellation, "dotnet", "tool", "install", "LabPortal.Cli", "--tool-path", folder["tools"], "--configfile", folder["nuget.config"]);

        Assert.StartsWith("0.1.0", await Tool.RunAsync(Cancellation, folder["tools/lab"], "--version"), StringComparison.Ordinal);
        Assert.Contains("  8  the portal cannot be reached", await Tool.RunAsync(Cancellation, folder["tools/lab"], "help", "exit-codes"), StringComparison.Ordinal);
    }
    [Fact]
    public async Task It_is_published_as_a_single_file_that_needs_nothing_beside_it()
    {
        using var folder = new TestFolder();
        // In folders of its own: nothing of the build that is tested is touched.
        await Tool.RunAsync(Cancellation, "dotnet", "publish", Path.Combine(Repository.Root, "src/LabPortal.Cli"), "-p:SingleFile=true", "--artifacts-path", folder["build"], "-o", folder["out"], "-v", "q", "--nologo");
        File.Move(folder["out/lab"], folder["lab"]);

        Assert.StartsWith("0.1.0", await Tool.RunAsync(Cancellation, folder["lab"], "--version"), StringComparison.Ordinal);
        Assert.Contains("  8  the portal cannot be reached", await Tool.RunAsync(Cancellation, folder["lab"], "help", "exit-codes"), StringComparison.Ordinal);
        Assert.Contains("complete", await Tool.RunAsync(Cancellation, folder["lab"], "completion", "bash"), StringComparison.Ordinal);
    }
}
