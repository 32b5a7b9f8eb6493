using LabPortal.Domain.Workflows;
using LabPortal.Operations.Workflows.Steps;

namespace LabPortal.Operations.Workflows;

/// <summary>Nothing is left, and that is confirmed. It only goes forward; what it cannot take away makes it stuck, never forgotten.</summary>
internal static class End
{
    public static readonly Workflow V1 = new()
    {
        Name = WorkflowNames.End,
        Version = 1,
        Undoes = false,
        Steps =
        [
            new Remove(),
            new RemoveNetworks(),
            new LetGo(),
        ],
    };
}
