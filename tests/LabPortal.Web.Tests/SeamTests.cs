using System.Text.RegularExpressions;
using System.Xml.Linq;
using Xunit;

namespace LabPortal.Web.Tests;

/// <summary>A project exists because of what it depends on.</summary>
public sealed partial class SeamTests
{
    [Fact]
    public void Pages_use_only_operations_and_domain()
    {
        var strangers = Sources.Files("src/LabPortal.Web/Features", "*.*")
            .Where(file => Path.GetExtension(file) is ".cs" or ".razor")
            .SelectMany(file => OwnNamespace().Matches(File.ReadAllText(file)).Select(match => (File: Path.GetFileName(file), Name: match.Value)))
            .Where(use => use.Name is not ("LabPortal.Domain" or "LabPortal.Operations" or "LabPortal.Web"))
            .Distinct().ToList();

        Assert.True(strangers.Count == 0, string.Join(", ", strangers));
    }

    [Theory]
    [InlineData("LabPortal.Domain")]
    [InlineData("LabPortal.Data", "LabPortal.Domain")]
    [InlineData("LabPortal.Providers", "LabPortal.Domain")]
    [InlineData("LabPortal.Operations", "LabPortal.Domain", "LabPortal.Data")]
    public void Each_project_sees_only_what_it_exists_for(string project, params string[] seen)
    {
        var references = XDocument.Load(Path.Combine(Sources.Root, "src", project, project + ".csproj"))
            .Descendants("ProjectReference").Select(reference => Path.GetFileNameWithoutExtension(reference.Attribute("Include")!.Value.Replace('\\', '/')));

        Assert.Empty(references.Except(seen));
    }

    [Fact]
    public void The_domain_needs_nothing_but_NodaTime()
    {
        var packages = XDocument.Load(Path.Combine(Sources.Root, "src/LabPortal.Domain/LabPortal.Domain.csproj"))
            .Descendants("PackageReference").Select(package => package.Attribute("Include")!.Value);

        Assert.Equal(["NodaTime"], packages);
    }

    [GeneratedRegex(@"LabPortal\.(Domain|Data|Providers|Operations|Web|Cli)\b")]
    private static partial Regex OwnNamespace();
}
