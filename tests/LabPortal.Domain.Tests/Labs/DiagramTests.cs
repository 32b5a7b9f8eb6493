using System.Runtime.CompilerServices;
using LabPortal.Domain.Labs;
using Xunit;

namespace LabPortal.Domain.Tests.Labs;

public sealed class DiagramTests
{
    /// <summary>Renew it with <c>UPDATE_SNAPSHOTS=1 infra/test domain</c>.</summary>
    [Fact]
    public async Task The_diagram_in_the_readme_is_the_table()
    {
        const string Begin = "<!-- lab life: begin -->\n```mermaid\n";
        const string End = "\n```\n<!-- lab life: end -->";
        var readme = Path.Combine(Path.GetDirectoryName(Here())!, "../../../README.md");
        var text = await File.ReadAllTextAsync(readme, TestContext.Current.CancellationToken);
        var begin = text.IndexOf(Begin, StringComparison.Ordinal) + Begin.Length;
        var end = text.IndexOf(End, begin, StringComparison.Ordinal);
        Assert.True(begin >= Begin.Length && end > begin, "README.md has lost the marks of the diagram.");
        if (Environment.GetEnvironmentVariable("UPDATE_SNAPSHOTS") == "1")
            await File.WriteAllTextAsync(readme, text[..begin] + LabLife.Diagram() + text[end..], TestContext.Current.CancellationToken);
        else Assert.Equal(LabLife.Diagram(), text[begin..end]);
    }

    private static string Here([CallerFilePath] string path = "") => path;
}
