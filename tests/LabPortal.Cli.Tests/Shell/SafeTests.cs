using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using CsCheck;
using LabPortal.Cli.Shell;
using LabPortal.Testing;

namespace LabPortal.Cli.Tests.Shell;

/// <summary>What comes from a server is data, whatever it holds.</summary>
public sealed partial class SafeTests
{
    private const string Hostile = "a\u001b[2Jb\u0007c\u009b31md\u202ee\u2066f\nlab: ok\tg\u200fh\u007fi [red]j[/] \u2028k $(touch x) \"'`l\ud800";

    /// <summary>Texts with many of the characters that a terminal obeys or hides.</summary>
    private static readonly Gen<string> s_texts = Gen.String[Gen.OneOf(Gen.Char, Gen.Char['\0', '\u001f'], Gen.Char['\u007f', '\u009f'], Gen.Char['\u2000', '\u206f']), 0, 30];

    [Fact]
    public async Task A_hostile_name_moves_nothing_on_the_terminal_and_is_kept_in_json_and_yaml()
    {
        var lab = new JsonObject { ["id"] = "1", ["name"] = Hostile, ["state"] = Hostile, ["lease"] = new JsonObject { ["end"] = Hostile }, [Hostile] = Hostile };
        var listing = new JsonObject { ["items"] = new JsonArray(lab), ["next"] = null };
        await using var pretended = await PretendedPortal.SayingAsync(listing.ToJsonString());
        using var command = new LabProcess(pretended.Address);

        var table = (await command.RunAsync("list")).Must(Exit.Done).Output;
        Assert.Equal(2, table.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        Assert.True(IsHarmless(table), table);
        Assert.Contains("[red]j[/]", table, StringComparison.Ordinal);
        var served = JsonNode.Parse(listing.ToJsonString());
        foreach (var form in new[] { "json", "yaml" })
        {
            var answer = (await command.RunAsync("list", "-o", form)).Must(Exit.Done).Output;
            Assert.True(IsHarmless(answer), answer);
            Assert.True(JsonNode.DeepEquals(served, form == "json" ? JsonNode.Parse(answer) : Yaml.Read(answer)), answer);
        }
    }

    [Fact]
    public async Task A_hostile_problem_is_told_harmlessly()
    {
        var problem = new JsonObject
        {
            ["title"] = Hostile,
            ["detail"] = Hostile,
            ["traceId"] = Hostile,
            ["errors"] = new JsonArray(new JsonObject { ["field"] = Hostile, ["message"] = Hostile }),
            ["refusal"] = new JsonObject
            {
                ["dimension"] = Hostile,
                ["holders"] = new JsonArray(new JsonObject { ["name"] = Hostile, ["owner"] = Hostile, ["until"] = Hostile }),
                ["offers"] = new JsonArray(new JsonObject { ["say"] = Hostile, ["change"] = new JsonObject { ["blueprint"] = "x; touch /tmp/y", ["lease"] = new JsonObject { ["until"] = Hostile }, [Hostile] = Hostile } }),
            },
        };
        await using var pretended = await PretendedPortal.SayingAsync(problem.ToJsonString(), 409);
        using var command = new LabProcess(pretended.Address);

        var said = (await command.RunAsync("pools", "--verbose")).Must(Exit.Refused).Error;

        Assert.True(IsHarmless(said), said);
        Assert.Contains("lab request 'x; touch /tmp/y'", said, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_hostile_lab_and_its_progress_are_told_harmlessly()
    {
        var lab = new JsonObject
        {
            ["id"] = "1",
            ["name"] = Hostile,
            ["state"] = "failed",
            ["reason"] = Hostile,
            ["machines"] = new JsonArray(new JsonObject { ["name"] = Hostile, ["state"] = Hostile, ["access"] = new JsonArray(new JsonObject { ["kind"] = "ssh", ["via"] = "direct", ["host"] = "-oProxyCommand=touch x", ["user"] = Hostile, ["port"] = 22 }) }),
        };
        await using var pretended = await PretendedPortal.SayingAsync(lab.ToJsonString());
        using var command = new LabProcess(pretended.Address);

        var shown = (await command.RunAsync("show", Guid.CreateVersion7().ToString())).Must(Exit.Done).Output;
        var waited = (await command.RunAsync("wait", Guid.CreateVersion7().ToString())).Must(Exit.LabFailed).Error;

        Assert.True(IsHarmless(shown), shown);
        Assert.True(IsHarmless(waited), waited);
        Assert.DoesNotContain("ProxyCommand", shown, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Whatever_a_portal_says_no_command_passes_it_on_to_the_terminal()
    {
        string[] commands =
        [
            "list", "show ID", "blueprints", "blueprints x", "pools", "pools x", "orphans", "orphans adopt x", "runs", "runs x", "quota", "request x --team y", "snapshot list ID", "revert ID", "end ID",
            "audit", "ssh ID", "ssh ID/x", "cp x ID:y", "keepalive ID -- true", "wait ID --timeout 1s", "login", "apply -f -",
        ];
        // Everything that any of them looks for, each of it hostile and one of it 10 kB.
        var all = new JsonObject();
        string[] fields =
        [
            "id", "title", "reason", "state", "blueprint", "team", "owner", "health", "provider", "labels", "verb", "actor", "tokenName", "objectKind", "objectName", "outcome", "detail", "dimension",
            "limit", "held", "free", "version", "description", "labName", "workflow", "step", "problem", "askedBy", "since", "at", "kind", "firstSeenAt", "note", "takenAt", "message", "field", "what", "host", "mend", "address", "image",
        ];
        foreach (var field in fields) all[field] = Hostile;
        all["name"] = Hostile + new string('x', 10_000);
        var one = all.DeepClone();
        foreach (var list in new[] { "items", "machines", "hosts", "problems", "images", "holds", "parameters", "steps", "access", "addresses", "verbs", "teams", "created", "changed" }) all[list] = new JsonArray(one.DeepClone(), one.DeepClone());
        foreach (var part in new[] { "run", "lease", "usage" }) all[part] = one.DeepClone();
        await using var pretended = await PretendedPortal.SayingAsync(all.ToJsonString());
        using var lab = new LabProcess(pretended.Address);

        await Parallel.ForEachAsync(commands, new ParallelOptions { MaxDegreeOfParallelism = 4, CancellationToken = TestContext.Current.CancellationToken }, async (typed, _) =>
        {
            var ran = await lab.RunAsync(typed.Replace("ID", $"{Guid.CreateVersion7()}", StringComparison.Ordinal).Split(' '));
            var said = ran.Output + ran.Error;
            Assert.True(IsHarmless(said), $"{typed}: {said}");
            Assert.NotEqual("", said);
            // Nothing begins a line that is not lab's own, and nobody has to scroll for pages.
            Assert.DoesNotContain("\nlab: ok", said, StringComparison.Ordinal);
            Assert.True(said.Length < 60_000, $"{typed}: {said.Length} characters");
            Assert.DoesNotContain("This was not expected", said, StringComparison.Ordinal);
        });
    }

    [Fact]
    public void Any_text_becomes_harmless_and_harmless_text_stays() => s_texts.Sample(text =>
    {
        var safe = Safe.Text(text);
        return IsHarmless(safe.Replace("\n", "\u0001", StringComparison.Ordinal)) && Safe.Text(safe) == safe && (!IsHarmless(text) || text.Contains('\n', StringComparison.Ordinal) || safe == text) && Safe.Cell(text).Length <= 200;
    });

    [Fact]
    public void Hostile_text_fills_no_more_than_its_cell()
    {
        TestContext.Current.TestOutputHelper?.WriteLine($"Seed {HostileStrings.Seed}");
        Assert.All(HostileStrings.Some(3_000), text =>
        {
            var cell = Safe.Cell(text);
            Assert.DoesNotContain('\n', cell);
            Assert.True(IsHarmless(cell) && cell.Length <= 200, cell);
        });
    }

    [Fact]
    public void Any_text_is_the_same_after_yaml() => s_texts.Where(text => text.EnumerateRunes().All(rune => rune != Rune.ReplacementChar)).Sample(text =>
    {
        var value = new JsonObject { ["a"] = text, ["list"] = new JsonArray(text, 1, 1.5, true, null, new JsonArray(), new JsonObject()) };
        var yaml = YamlText.Of(value);
        return IsHarmless(yaml) && JsonNode.DeepEquals(value, Yaml.Read(yaml));
    });

    [Theory]
    [InlineData("true")]
    [InlineData("Null")]
    [InlineData("1")]
    [InlineData("1e3")]
    [InlineData("2030-01-31")]
    [InlineData("~")]
    [InlineData("")]
    [InlineData("- a")]
    [InlineData("a: b")]
    [InlineData("!x")]
    [InlineData("NO")]
    public void A_text_that_looks_like_something_else_stays_a_text(string text) => Assert.Equal($"a: \"{text}\"\n", YamlText.Of(new JsonObject { ["a"] = text }));

    // By Unicode's own words, not by the code that is tested.
    private static bool IsHarmless(string text) => !Harmful().IsMatch(text);

    [GeneratedRegex(@"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}-[\n]]|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]|[\uD800-\uDBFF](?![\uDC00-\uDFFF])")]
    private static partial Regex Harmful();
}
