using System.Text.Json.Nodes;
using LabPortal.Testing;

namespace LabPortal.Cli.Tests.Shell;

/// <summary>The answer of each command that reads: in JSON and YAML what the API gave, in a table for people.</summary>
public sealed class AnswerTests(SharedPortal portal)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static TheoryData<string, string, string> Reads => new()
    {
        { "blueprints", "blueprints?limit=200", "Two small Linux machines" },
        { "blueprints pair", "blueprints/pair", "motd" },
        { "list --team calm", "labs?team=calm&limit=200", "nobody touches it" },
        { "pools", "pools?limit=200", "simulated" },
        { "pools slow", "pools/slow", "tiny" },
        { "quota calm", "teams/calm/quota", "nobody touches it" },
        { "orphans", "orphans?limit=200", "FIRST SEEN" },
        { "runs --state stuck", "runs?state=stuck&limit=200", "WORKFLOW" },
    };

    [Theory]
    [MemberData(nameof(Reads))]
    public async Task Json_and_yaml_are_what_the_api_gave(string command, string path, string shown)
    {
        using var client = portal.Client();
        using var lab = portal.Lab();

        var given = Still((await client.GetAsync(path, Cancellation)).Must(200).Body);
        var json = (await lab.RunAsync([.. command.Split(' '), "-o", "json"])).Must(Exit.Done);
        var yaml = (await lab.RunAsync([.. command.Split(' '), "-o", "yaml"])).Must(Exit.Done);
        Assert.True(JsonNode.DeepEquals(given, Still(json.Json)), $"{given}\n\n{json.Output}");
        Assert.True(JsonNode.DeepEquals(given, Still(Yaml.Read(yaml.Output))), $"{given}\n\n{yaml.Output}");
        Assert.Equal("", json.Error + yaml.Error);

        var table = (await lab.RunAsync(command.Split(' '))).Must(Exit.Done).Output;
        Assert.Contains(shown, table, StringComparison.Ordinal);
        Assert.DoesNotContain('\u001b', table);
    }

    [Fact]
    public async Task One_lab_and_one_run_are_what_the_api_gave()
    {
        using var client = portal.Client();
        using var lab = portal.Lab();
        var made = (await lab.RunAsync("request", "single", "--team", "qa", "--name", "looked-at", "--wait", "-o", "json")).Must(Exit.Done).Id;
        var ended = (await lab.RunAsync("end", made, "--yes", "--wait", "-o", "json")).Must(Exit.Done).Json;

        Assert.True(JsonNode.DeepEquals((await client.GetAsync($"labs/{made}", Cancellation)).Body, ended));
        var run = (string)ended["run"]!["id"]!;
        Assert.True(JsonNode.DeepEquals((await client.GetAsync($"runs/{run}", Cancellation)).Must(200).Body, (await lab.RunAsync("runs", run, "-o", "json")).Must(Exit.Done).Json));
        Assert.Contains("looked-at of qa", (await lab.RunAsync("runs", run)).Must(Exit.Done).Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Yaml_is_applied_whole_or_not_at_all()
    {
        using var lab = portal.Lab();
        await File.WriteAllTextAsync(lab["size.yaml"], "kind: Size\nname: cli-size\ncpu: 1\nmemoryMiB: 128\ndiskGiB: 1\n", Cancellation);
        using var client = portal.Client();

        Assert.Contains("cli-size", (await lab.RunAsync("apply", "-f", lab["size.yaml"], "--dry-run")).Must(Exit.Done).Output, StringComparison.Ordinal);
        (await client.GetAsync("sizes/cli-size", Cancellation)).Must(404);
        Assert.Single((await lab.RunAsync("apply", "-f", lab["size.yaml"], "-o", "json")).Must(Exit.Done).Json["created"]!.AsArray());
        (await client.GetAsync("sizes/cli-size", Cancellation)).Must(200);
        var mistakes = (await lab.TypeAsync("kind: Size\nname: other\ncpu: many\ncolour: red\n", "apply", "-f", "-")).Must(Exit.Invalid).Error;
        Assert.Contains("cpu", mistakes, StringComparison.Ordinal);
        Assert.Contains("colour", mistakes, StringComparison.Ordinal);
        Assert.Contains("4", mistakes, StringComparison.Ordinal);

        // Everything else that was applied has to stay: only this file's size is taken away.
        var pruned = (await lab.TypeAsync(SharedPortal.Catalogue, "apply", "--prune", "--dry-run", "-f", "-", "-o", "json")).Must(Exit.Done).Json["pruned"]!.AsArray();
        Assert.Contains("cli-size", Assert.Single(pruned)!.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_exported_and_applied_again_is_unchanged()
    {
        using var lab = portal.Lab();

        var yaml = (await lab.RunAsync("export")).Must(Exit.Done).Output;

        Assert.Contains("name: pretend", yaml, StringComparison.Ordinal);
        var applied = (await lab.TypeAsync(yaml, "apply", "-f", "-", "--dry-run", "-o", "json")).Must(Exit.Done).Json;
        Assert.Empty(applied["created"]!.AsArray().Concat(applied["changed"]!.AsArray()));
        Assert.Contains("Team/calm", applied["unchanged"]!.AsArray().Select(name => (string)name!));
    }

    [Fact]
    public async Task An_orphan_is_adopted_or_deleted_by_its_id()
    {
        using var lab = portal.Lab();

        foreach (var arguments in new[] { new[] { "orphans", "adopt", "x" }, ["orphans", "delete", "x", "--yes"], ["orphans", "adopt", $"{Guid.CreateVersion7()}"] }) (await lab.RunAsync(arguments)).Must(Exit.NotFound);
        Assert.Contains("--yes", (await lab.RunAsync("orphans", "delete", "x")).Must(Exit.Invalid).Error, StringComparison.Ordinal);
    }

    /// <summary>Without the load of a pool, which other tests move meanwhile.</summary>
    private static JsonNode? Still(JsonNode? node)
    {
        foreach (var item in (node as JsonArray ?? []).ToList()) Still(item);
        foreach (var (name, value) in (node as JsonObject ?? []).ToList())
        {
            if (name is "checkedAt" or "operationsNow" or "bootsNow" or "cpuHeld" or "memoryMiBHeld" or "diskGiBHeld" or "diskFreeGiB" || name == "machines" && value is JsonValue) ((JsonObject)node!).Remove(name);
            else Still(value);
        }

        return node;
    }
}
