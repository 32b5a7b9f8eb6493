using LabPortal.Data.Notices;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.People;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Operations.Tests.Workflows;

public sealed class NoticeTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task The_owner_of_a_lab_that_failed_is_told_once_and_why(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        var lab = await house.RequestAsync();
        using var worker = new Worker(house, Wrapped.Failing(WorkflowNames.Provision, "create", after: true));
        Assert.Equal(RunState.Undone, (await worker.DriveAsync(lab.Id)).State);

        var notice = Assert.Single(await NoticesAsync(house));
        Assert.Equal((NoticeCodes.LabFailed, lab.Id, null), (notice.Code, notice.Lab, notice.ReadAt));
        Assert.Equal((await house.LabAsync(lab.Id)).Reason!.Code, notice.Arguments["reason"]);
        Assert.Equal(lab.Name, notice.Arguments["lab"]);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task The_owner_of_a_lab_whose_run_is_stuck_is_told_once_and_in_which_step(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        var lab = await house.ReadyAsync();
        Assert.Empty(await NoticesAsync(house));
        await house.EndAsync(lab.Id);
        using var worker = new Worker(house, Wrapped.Failing(WorkflowNames.End, "remove", after: false));
        Assert.Equal(RunState.Stuck, (await worker.DriveAsync(lab.Id)).State);
        await worker.Batch.AdvanceDueAsync(Cancellation);

        var notice = Assert.Single(await NoticesAsync(house));
        Assert.Equal((NoticeCodes.RunStuck, "end", "remove", lab.Name), (notice.Code, notice.Arguments["workflow"], notice.Arguments["step"], notice.Arguments["lab"]));
        Assert.Equal(LabState.Ending, (await house.LabAsync(lab.Id)).State);
    }

    private static Task<IReadOnlyList<Notice>> NoticesAsync(House house) => house.Database.ReadAsync(session => NoticeStore.ListAsync(session, house.Person, 10), Cancellation);
}
