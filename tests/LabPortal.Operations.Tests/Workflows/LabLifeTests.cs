using LabPortal.Data.Costs;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Workflows;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Operations.Tests.Workflows;

public sealed class LabLifeTests(TestDatabases databases)
{
    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_lab_is_built_used_and_ended_without_a_trace(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine, """{"createSeconds": 2, "bootSeconds": 3, "stopSeconds": 1, "deleteSeconds": 1, "settlingSeconds": 1}""");
        var lab = await house.ReadyAsync();
        Assert.Equal((LabState.Ready, RunState.Done), (lab.State, (await house.RunAsync(lab.Id)).State));
        Assert.All(lab.Machines, machine => Assert.Equal((MachineState.Running, 1, 1), (machine.State, machine.Generation, machine.Addresses.Count)));
        Assert.NotNull(lab.Lease.End);

        using var worker = new Worker(house);
        foreach (var (verb, state) in new[] { (WorkflowNames.Stop, LabState.Stopped), (WorkflowNames.Start, LabState.Ready), (WorkflowNames.Restart, LabState.Ready) })
        {
            await house.BeginAsync(lab, verb);
            Assert.Equal(RunState.Done, (await worker.DriveAsync(lab.Id)).State);
            lab = await house.LabAsync(lab.Id);
            Assert.Equal(state, lab.State);
        }

        Assert.Equal((2, 0), await house.MachinesMadeAsync(lab));
        await house.EndAsync(lab.Id);
        Assert.Equal(LabState.Ending, (await house.LabAsync(lab.Id)).State);
        Assert.Equal(RunState.Done, (await worker.DriveAsync(lab.Id)).State);
        lab = await house.LabAsync(lab.Id);
        Assert.Equal(LabState.Ended, lab.State);
        Assert.All(lab.Machines, machine => Assert.Equal(MachineState.Gone, machine.State));
        Assert.Empty(await house.ResourcesAsync(lab));
        Assert.False(await house.HoldsAnythingAsync(lab));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_machine_that_is_made_at_once_is_being_built_until_it_runs(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine, """{"createSeconds": 0, "bootSeconds": 1}""");
        var lab = await house.ReadyAsync();

        var metered = (await house.Database.ReadAsync(session => MeterStore.OfLabsAsync(session, [lab.Id]), TestContext.Current.CancellationToken))[lab.Id].ToList();
        Assert.All(metered.GroupBy(meter => meter.Machine), machine => Assert.Equal(["pending", "building", "running"], machine.Select(meter => meter.State)));
        Assert.Equal(6, metered.Count);
    }
}
