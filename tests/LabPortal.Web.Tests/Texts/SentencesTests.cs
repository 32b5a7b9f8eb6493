using System.Text.RegularExpressions;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.People;
using LabPortal.Domain.Quotas;
using LabPortal.Web.Features.Audit;
using LabPortal.Web.Texts;
using Xunit;

namespace LabPortal.Web.Tests.Texts;

public sealed partial class SentencesTests
{
    [Fact]
    public void Every_code_in_the_sources_has_a_sentence()
    {
        // The command line knows fields of answers, which look alike, and no codes.
        var lines = Sources.Files("src", "*.cs").Where(file => !file.Contains("/LabPortal.Cli/", StringComparison.Ordinal)).SelectMany(file => File.ReadLines(file).Select(line => (File: file, Line: line))).ToList();
        var direct = lines.Where(line => Maker().IsMatch(line.Line)).SelectMany(line => Codes(line.Line)).ToHashSet();
        Assert.Contains("lab.busy", lines.SelectMany(line => Codes(line.Line)));
        // A code may stand on another line than what is made of it: every literal of a family that occurs there counts.
        var families = direct.Select(code => code.Split('.')[0]).Append("lab").ToHashSet();
        var all = lines.SelectMany(line => Codes(line.Line)).Where(code => families.Contains(code.Split('.')[0]));

        var missing = direct.Union(all).Where(code => Sentences.Find(code) is null && !IsFile(code)).Order().ToList();

        Assert.True(missing.Count == 0, "No sentence for: " + string.Join(", ", missing));
    }

    [Fact]
    public void A_code_without_a_sentence_is_named()
        => Assert.Contains("never.heard-of", Sentences.Of("never.heard-of", null), StringComparison.Ordinal);

    [Fact]
    public void Arguments_are_data_and_are_filled_in_once()
    {
        var sentence = Sentences.Of("object.not-found", [("kind", "{name}"), ("name", "<b>")]);

        Assert.Contains("{name}", sentence, StringComparison.Ordinal);
        Assert.Contains("<b>", sentence, StringComparison.Ordinal);
    }

    [Fact]
    public void A_refusal_is_told_with_its_own_arguments()
        => Assert.Contains("3", Sentences.Of(new FieldError("x", "parameter.too-short", [("min", 3)])), StringComparison.Ordinal);

    [Theory]
    [InlineData(Dimension.Labs, 1, 0, 10, "The team’s quota of labs is full. Asked for: 1; left: 0 of 10.")]
    [InlineData(Dimension.Machines, 20, 3, 40, "The team’s quota of machines is full. Asked for: 20; left: 3 of 40.")]
    [InlineData(Dimension.Cpu, 4, 2, 40, "The team’s quota of vCPU is full. Asked for: 4; left: 2 of 40.")]
    [InlineData(Dimension.MemoryMiB, 8192, 2048, 40960, "The team’s quota of memory is full. Asked for: 8 GiB; left: 2 GiB of 40 GiB.")]
    [InlineData(Dimension.MemoryMiB, 8192, 8191, 8191, "The team’s quota of memory is full. Asked for: 8 GiB; left: 7.999 GiB of 7.999 GiB.")]
    [InlineData(Dimension.MemoryMiB, 9195, 9194, 9194, "The team’s quota of memory is full. Asked for: 8.9795 GiB; left: 8.9785 GiB of 8.9785 GiB.")]
    [InlineData(Dimension.DiskGiB, 20, 5, 2048, "The team’s quota of disk is full. Asked for: 20 GiB; left: 5 GiB of 2 TiB.")]
    public void A_full_quota_is_told_in_words_and_units_for_people(Dimension dimension, long asked, long free, long limit, string sentence)
        => Assert.Equal(sentence, Sentences.Of(new FieldError("quota", "quota.full",
        [
            ("scope", "team"), ("dimension", dimension.Name()), ("asked", new Amount(dimension, asked)), ("free", new Amount(dimension, free)), ("limit", new Amount(dimension, limit)),
        ])));

    [Fact]
    public void Every_dimension_and_scope_has_a_word()
    {
        Assert.All(Enum.GetValues<Dimension>(), dimension => Assert.NotNull(Sentences.Find($"dimension.{dimension.Name()}")));
        Assert.All(Enum.GetValues<QuotaScope>(), scope => Assert.NotNull(Sentences.Find($"scope.{scope.Word()}")));
    }

    [Fact]
    public void Steps_and_workflows_are_told_in_words_and_what_has_none_by_its_name()
    {
        Assert.Equal("Building the lab is stuck at “Start it”.", Sentences.Of(new Reason("run.stuck", ("workflow", "provision"), ("step", "boot"))));
        Assert.Equal("Building the lab is stuck at “warp”.", Sentences.Of(new Reason("run.stuck", ("workflow", "provision"), ("step", "warp"))));
    }

    [Fact]
    public void Every_verb_and_kind_of_the_audit_is_told_in_words()
    {
        var drafts = Sources.Files("src/LabPortal.Operations", "*.cs").SelectMany(file => Draft().Matches(File.ReadAllText(file))).ToList();
        Assert.True(drafts.Count > 10, $"Only {drafts.Count} audit lines are made.");
        var verbs = drafts.SelectMany(draft => new[] { draft.Groups[1].Value, draft.Groups[2].Value }).Where(verb => verb.Length > 0).Concat(Words.All<Verb>().Where(verb => !verb.StartsWith("see-", StringComparison.Ordinal) && verb != "decide-orphan"));
        var missing = verbs.Distinct().Where(verb => Sentences.Find($"audit-verb.{verb}") is null).Concat(AuditWords.Kinds.Where(kind => Sentences.Find($"object-kind.{kind}") is null));

        Assert.Empty(missing);
    }

    private static IEnumerable<string> Codes(string line) => Literal().Matches(line).Select(match => match.Groups[1].Value);

    private static bool IsFile(string code) => Path.GetExtension(code) is ".json" or ".jsonl" or ".csv" or ".yaml" or ".db";

    [GeneratedRegex(@"(FieldError|Refusal|Reason|Offer)(\(|\.\w+\()|RefusalKind\.|public const string|new\(\w*[fF]ield|[eE]rrors?\.Add\(|yield return new\(")]
    private static partial Regex Maker();

    [GeneratedRegex(@"new AuditDraft\((?:\w+ \? )?""([a-z-]+)""(?: : ""([a-z-]+)"")?,")]
    private static partial Regex Draft();

    [GeneratedRegex("\"([a-z]+(?:-[a-z]+)*(?:\\.[a-z0-9]+(?:-[a-z0-9]+)*)+)\"")]
    private static partial Regex Literal();
}
