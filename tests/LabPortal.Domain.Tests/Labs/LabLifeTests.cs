using LabPortal.Domain.Labs;
using LabPortal.Domain.Workflows;
using Xunit;

namespace LabPortal.Domain.Tests.Labs;

public sealed class LabLifeTests
{
    [Fact]
    public void A_ready_lab_is_started_only_while_something_in_it_does_not_run()
    {
        Assert.Equal("lab.all-running", LabLife.WhyNot(LabState.Ready, LabHealth.Ok, LabVerb.Start, null, null));
        Assert.Null(LabLife.WhyNot(LabState.Ready, LabHealth.Degraded, LabVerb.Start, null, null));
        Assert.Null(LabLife.WhyNot(LabState.Stopped, LabHealth.Ok, LabVerb.Start, null, null));
        Assert.Equal([LabVerb.Start], LabLife.VerbsOf(LabState.Ready, LabHealth.Degraded, null, null).Except(LabLife.VerbsOf(LabState.Ready, LabHealth.Ok, null, null)));
    }

    [Fact]
    public void A_revert_that_has_begun_is_not_cancelled_and_the_end_still_wins()
    {
        Assert.Equal("lab.revert-cannot-be-cancelled", LabLife.WhyNot(LabState.Ready, LabHealth.Ok, LabVerb.Cancel, RunState.Running, WorkflowNames.Revert));
        Assert.Null(LabLife.WhyNot(LabState.Ready, LabHealth.Ok, LabVerb.Cancel, RunState.Running, WorkflowNames.Snapshot));
        Assert.Null(LabLife.WhyNot(LabState.Ready, LabHealth.Ok, LabVerb.End, RunState.Running, WorkflowNames.Revert));
    }

    [Theory]
    [InlineData(LabState.Ready, true, true)]
    [InlineData(LabState.Stopped, true, true)]
    [InlineData(LabState.Grace, false, true)]
    [InlineData(LabState.Provisioning, false, false)]
    [InlineData(LabState.Ended, false, false)]
    public void Snapshots_are_of_labs_that_live_and_in_grace_they_can_only_be_deleted(LabState state, bool takesAndReverts, bool deletes)
    {
        var verbs = LabLife.VerbsOf(state, LabHealth.Ok, null, null).ToList();
        Assert.Equal((takesAndReverts, takesAndReverts, deletes), (verbs.Contains(LabVerb.Snapshot), verbs.Contains(LabVerb.Revert), verbs.Contains(LabVerb.DeleteSnapshot)));
    }
}
