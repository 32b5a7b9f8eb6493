using LabPortal.Domain.Labs;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Workflows.Steps;

namespace LabPortal.Operations.Workflows;

/// <summary>One small machine on one pool, from nothing to nothing: what fails on the way takes everything back, and says where it failed.</summary>
internal static class Trial
{
    public static readonly Workflow V1 = new()
    {
        Name = WorkflowNames.Try,
        Version = 1,
        Steps =
        [
            new Place(trial: true),
            new Create(),
            new Boot(),
            new WaitForAddress(),
            new WaitForSsh(),
            new Remove(),
            new LetGo(),
        ],
        UndoneAsync = (session, run, lab, now) => Runs.SetOverAsync(session, lab.Id, LabState.Failed, run.Problem, now),
    };
}
