using System.Text.RegularExpressions;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.People;
using LabPortal.Domain.Workflows;
using LabPortal.Web.Texts;

namespace LabPortal.Web.Tests.Features;

public sealed partial class LookTests
{
    [Fact]
    public void Every_state_verb_and_role_has_words()
    {
        string[] codes =
        [
            .. Words.All<LabState>().Select(word => $"lab-state.{word}"),
            .. Words.All<MachineState>().Select(word => $"machine-state.{word}"),
            .. Words.All<RunState>().Select(word => $"run-state.{word}"),
            .. Words.All<TeamRole>().Select(word => $"role.{word}"),
            .. Words.All<LabVerb>().Except(["snapshot", "revert"]).Select(word => $"verb.{word}"),
            .. new[] { "healthy", "sick", "maintenance", "draining" }.Select(word => $"pool-state.{word}"),
            .. new[] { "present", "missing", "importing", "failed" }.Select(word => $"image-state.{word}"),
            .. new[] { WorkflowNames.Provision, WorkflowNames.Start, WorkflowNames.Stop, WorkflowNames.Restart, WorkflowNames.Extend, WorkflowNames.End }.Select(word => $"workflow.{word}"),
        ];

        Assert.DoesNotContain(codes, code => Sentences.Find(code) is null);
    }

    [Fact]
    public void Every_step_of_the_sources_has_words()
    {
        var steps = Sources.Files("src/LabPortal.Operations/Workflows", "*.cs").SelectMany(file => StepName().Matches(File.ReadAllText(file)).Select(match => match.Groups[1].Value)).Distinct().ToList();

        Assert.NotEmpty(steps);
        Assert.DoesNotContain(steps, step => Sentences.Find($"step.{step}") is null);
    }

    [Fact]
    public void No_component_is_longer_than_150_lines()
        => Assert.DoesNotContain(Sources.Files("src/LabPortal.Web/Features", "*.razor"), file => File.ReadLines(file).Count() > 150);

    [Fact]
    public void No_text_stands_in_a_component()
    {
        var found = Sources.Files("src/LabPortal.Web/Features", "*.razor")
            .SelectMany(file => File.ReadAllText(file).Split("@code {")[0].Split('\n').Where(line => BareText().IsMatch(line)).Select(line => $"{Path.GetFileName(file)}: {line.Trim()}"));

        Assert.Empty(found);
    }

    [GeneratedRegex("Step\\(\"([a-z-]+)\"")]
    private static partial Regex StepName();

    [GeneratedRegex(@"(?<!=)>\s*[A-Za-z]{2,}[^<>@{}()]*</")]
    private static partial Regex BareText();
}
