using System.Text.RegularExpressions;
using LabPortal.Testing;

namespace LabPortal.EndToEnd;

/// <summary>The three ways in which the portal is started find the web root and what packages bring along: a wrong content root shows only there.</summary>
public sealed partial class SmokeTests
{
    private static readonly string s_project = Path.Combine(Repository.Root, "src", "LabPortal.Web");

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_build_serves_its_pages_and_their_files_in_development()
    {
        using var folder = new TestFolder();
        var development = new Dictionary<string, string> { ["DOTNET_ENVIRONMENT"] = "Development", ["ASPNETCORE_ENVIRONMENT"] = "Development" };
        // As a developer starts it; --no-build, since it was built with these tests and others run beside them.
        await using var portal = await PortalProcess.StartAsync(folder["data"], command: ["run", "--no-build", "--no-launch-profile", "-c", Repository.Configuration, "--project", s_project], more: development);

        await ServesAsync(portal);
    }

    [Fact]
    public async Task What_is_published_serves_its_pages_and_their_files()
    {
        using var folder = new TestFolder();
        await Tool.RunAsync(Cancellation, "dotnet", "publish", s_project, "--no-build", "-c", Repository.Configuration, "-o", folder["portal"], "-v", "q", "--nologo");
        await using var portal = await PortalProcess.StartAsync(folder["data"], program: Path.Combine(folder["portal"], "LabPortal.Web.dll"));

        await ServesAsync(portal);
    }

    private static async Task ServesAsync(PortalProcess portal)
    {
        using var http = new HttpClient { BaseAddress = portal.Address };
        var page = await http.GetStringAsync("/sign-in", Cancellation);
        Assert.Contains("<form", page, StringComparison.Ordinal);
        Assert.Contains("User-agent", await http.GetStringAsync("/robots.txt", Cancellation), StringComparison.OrdinalIgnoreCase);
        Assert.Contains("Blazor", await http.GetStringAsync("/_framework/blazor.web.js", Cancellation), StringComparison.Ordinal);
        Assert.Contains(".mud-button", await http.GetStringAsync("/_content/MudBlazor/MudBlazor.min.css", Cancellation), StringComparison.Ordinal);
        // Whatever the page itself asks for, by the name that it asks for.
        var files = AssetName().Matches(page).Select(match => match.Groups["file"].Value).Distinct().ToList();
        Assert.True(files.Count >= 2, page);
        foreach (var file in files)
        {
            using var answer = await http.GetAsync(new Uri(file, UriKind.RelativeOrAbsolute), Cancellation);
            Assert.True(answer.IsSuccessStatusCode, $"{file}: {(int)answer.StatusCode}");
            Assert.NotEqual("text/html", answer.Content.Headers.ContentType?.MediaType);
        }
    }

    [GeneratedRegex("""(?:href|src)="(?<file>[^"#]+\.(?:css|js|svg)[^"]*)["]""", RegexOptions.ExplicitCapture)]
    private static partial Regex AssetName();
}
