using System.Text.RegularExpressions;
using LabPortal.Domain;
using LabPortal.Web.Texts;
using Xunit;

namespace LabPortal.Web.Tests.Texts;

public sealed partial class SentencesTests
{
    [Fact]
    public void Every_code_in_the_sources_has_a_sentence()
    {
        var lines = Sources.Files("src", "*.cs").SelectMany(file => File.ReadLines(file).Select(line => (File: file, Line: line))).ToList();
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

    private static IEnumerable<string> Codes(string line) => Literal().Matches(line).Select(match => match.Groups[1].Value);

    private static bool IsFile(string code) => code.EndsWith(".json", StringComparison.Ordinal) || code.EndsWith(".yaml", StringComparison.Ordinal) || code.EndsWith(".db", StringComparison.Ordinal);

    [GeneratedRegex(@"(FieldError|Refusal|Reason|Offer)(\(|\.\w+\()|RefusalKind\.|public const string|new\(\w*[fF]ield|Errors?\.Add\(")]
    private static partial Regex Maker();

    [GeneratedRegex("\"([a-z]+(?:-[a-z]+)*(?:\\.[a-z0-9]+(?:-[a-z0-9]+)*)+)\"")]
    private static partial Regex Literal();
}
