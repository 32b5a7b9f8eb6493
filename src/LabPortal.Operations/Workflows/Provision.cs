using LabPortal.Domain.Labs;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.People;
using LabPortal.Operations.Workflows.Steps;

namespace LabPortal.Operations.Workflows;

/// <summary>From a request to a lab that can be used; or a clean slate.</summary>
internal static class Provision
{
    public static readonly Workflow V1 = new()
    {
        Name = WorkflowNames.Provision,
        Version = 1,
        Steps =
        [
            new MakeNetworks(),
            new Place(),
            new Create(),
            new Boot(),
            new WaitForAddress(),
            new WaitForSsh(),
            new TakeSnapshot(onlyWhereAsked: true),
            new HandOver(),
        ],
        UndoneAsync = async (session, run, lab, now) =>
        {
            await Runs.SetOverAsync(session, lab.Id, LabState.Failed, run.Problem, now);
            await Notices.WriteAsync(session, lab, NoticeCodes.LabFailed, now, ("reason", run.Problem?.Code ?? ""));
        },
    };
}
