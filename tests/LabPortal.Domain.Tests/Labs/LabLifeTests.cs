using LabPortal.Domain.Labs;
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
}
