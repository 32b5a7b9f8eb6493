using System.Text.Json.Nodes;

namespace LabPortal.Cli.Tests.Audit;

public sealed class AuditCommandTests(SharedPortal portal)
{
    [Fact]
    public async Task What_was_done_is_found_and_given_as_a_table_as_csv_and_as_a_line_of_json_each()
    {
        using var lab = portal.Lab();
        var id = (await lab.RunAsync("request", "single", "--team", "qa", "--name", "found-in-the-audit", "--start", LabProcess.Later, "-o", "json")).Must(Exit.Done).Id;
        (await lab.RunAsync("end", id, "--yes")).Must(Exit.Done);

        string[] asked = ["audit", "--object", "found-in-the-audit", "--kind", "lab", "--who", "boot"];
        var verbs = (await lab.RunAsync([.. asked, "-o", "json"])).Must(Exit.Done).Json["items"]!.AsArray().Select(line => (string)line!["verb"]!).ToList();
        Assert.Equal(2, verbs.Count);
        Assert.Matches($"{verbs[0]} +lab found-in-the-audit +done", (await lab.RunAsync([.. asked, "--what", verbs[0]])).Must(Exit.Done).Output);
        Assert.Single((await lab.RunAsync([.. asked, "--limit", "1", "-o", "json"])).Must(Exit.Done).Json["items"]!.AsArray());
        Assert.Empty((await lab.RunAsync([.. asked, "--from", LabProcess.Later, "-o", "json"])).Must(Exit.Done).Json["items"]!.AsArray());

        var csv = (await lab.RunAsync([.. asked, "--csv"])).Must(Exit.Done).Output.Split("\r\n", StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(3, csv.Length);
        Assert.StartsWith("at,actor,", csv[0], StringComparison.Ordinal);
        var lines = (await lab.RunAsync([.. asked, "--jsonl"])).Must(Exit.Done).Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(verbs, lines.Select(line => (string)JsonNode.Parse(line)!["verb"]!));

        (await lab.RunAsync("audit", "--csv", "--jsonl")).Must(Exit.Invalid);
        (await lab.RunAsync("audit", "--mine", "--csv")).Must(Exit.Invalid);
    }
}
