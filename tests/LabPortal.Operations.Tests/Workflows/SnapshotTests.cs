using LabPortal.Data.Labs;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.People;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Labs;
using LabPortal.Operations.Workflows;
using LabPortal.Providers.Simulated;
using LabPortal.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace LabPortal.Operations.Tests.Workflows;

/// <summary>What holds of snapshots beyond the laws of their workflows.</summary>
public sealed class SnapshotTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_lab_that_asks_for_it_is_ready_only_with_its_snapshot_and_fails_without_a_trace_otherwise(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine, """{"createSeconds": 1, "bootSeconds": 1, "settlingSeconds": 1}""");
        var lab = await house.RequestAsync(snapshotAtReady: Snapshot.Clean);
        using (var worker = new Worker(house)) Assert.Equal(RunState.Done, (await worker.DriveAsync(lab.Id)).State);
        lab = await house.LabAsync(lab.Id);
        var clean = Assert.Single(await house.SnapshotsAsync(lab));
        Assert.Equal((LabState.Ready, Snapshot.Clean, SnapshotState.Taken), (lab.State, clean.Name, clean.State));
        Assert.All(clean.Items, item => Assert.Equal((SnapshotItemState.Taken, 1, true), (item.State, item.Generation, item.WithMemory)));
        Assert.Equal(2, (await house.SnapshotResourcesAsync(lab)).Count);

        // What the disks take with it is asked of their hosts; one that is away says nothing, and who may not see the lab sees no disk.
        var disks = new LabDisks(house.Database, house.Pools, house.Time, NullLogger<LabDisks>.Instance);
        Assert.Equal(
            [.. lab.Machines.Zip(clean.Items, (machine, item) => new DiskView(machine.Name, 128 << 20, 1, item.RoomGiB))],
            (await disks.ReadAsync(Actor.Portal("test"), lab.Id, Cancellation)).Value);
        Assert.Equal(RefusalKind.NotFound, (await disks.ReadAsync(Actor.Portal("test") with { IsAdmin = false }, lab.Id, Cancellation)).Refusal!.Kind);
        foreach (var host in new[] { "h1", "h2" }) await house.World.HostIsAwayAsync(host, "no route", Cancellation);
        house.Clock.Advance(TimeSpan.FromSeconds(5));
        Assert.All((await disks.ReadAsync(Actor.Portal("test"), lab.Id, Cancellation)).Value, disk => Assert.Null(disk.Bytes));
        foreach (var host in new[] { "h1", "h2" }) await house.World.HostIsAwayAsync(host, null, Cancellation);

        // It goes with the lab.
        await house.EndAsync(lab.Id);
        using (var worker = new Worker(house)) Assert.Equal(RunState.Done, (await worker.DriveAsync(lab.Id)).State);
        Assert.Empty(await house.ResourcesAsync(lab));
        Assert.Empty(await house.SnapshotsAsync(lab));
        Assert.False(await house.HoldsAnythingAsync(lab));

        var failing = await house.RequestAsync(snapshotAtReady: Snapshot.Clean);
        using (var worker = new Worker(house, Wrapped.Failing(WorkflowNames.Provision, "snapshot", after: true))) Assert.Equal(RunState.Undone, (await worker.DriveAsync(failing.Id)).State);
        Assert.Equal(LabState.Failed, (await house.LabAsync(failing.Id)).State);
        Assert.Empty(await house.ResourcesAsync(failing));
        Assert.Empty(await house.SnapshotsAsync(failing));
        Assert.False(await house.HoldsAnythingAsync(failing));
    }

    [Fact]
    public async Task Of_a_lab_s_disks_one_is_asked_for_at_a_time_once_for_all_who_ask_within_seconds()
    {
        await using var house = await House.BuildAsync(databases, Engine.Sqlite, """{"createSeconds": 1, "bootSeconds": 1, "settlingSeconds": 1}""");
        var lab = await house.ReadyAsync();
        var disks = new LabDisks(house.Database, house.Pools, house.Time, NullLogger<LabDisks>.Instance);
        var hung = await house.World.ScriptAsync(new ScriptedFault(Deed.Hang) { Verb = WireVerb.ReadDisk, Times = ScriptedFault.Always }, Cancellation);

        // Whoever goes, and whoever has no more patience, ends nothing but their waiting.
        using var leaving = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        var left = disks.ReadAsync(Actor.Portal("test"), lab.Id, leaving.Token);
        var patient = Enumerable.Range(0, 8).Select(_ => disks.ReadAsync(Actor.Portal("test"), lab.Id, Cancellation)).ToList();
        while (await house.World.HangingAsync(hung, Cancellation) == 0) await Task.Delay(20, Cancellation);
        await leaving.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => left);
        while (!patient.TrueForAll(task => task.IsCompleted))
        {
            house.Clock.Advance(TimeSpan.FromSeconds(1));
            await Task.Delay(20, Cancellation);
        }

        foreach (var task in patient) Assert.All((await task).Value, disk => Assert.Null(disk.Bytes));
        Assert.Equal(1, await house.World.HangingAsync(hung, Cancellation));
        await house.World.ReleaseAsync(hung, Cancellation);

        // What hung goes on, and what it says is there for the next; then it is asked again.
        Assert.DoesNotContain((await disks.ReadAsync(Actor.Portal("test"), lab.Id, Cancellation)).Value, disk => disk.Bytes is null);
        Assert.Equal(2, await AskedAsync());
        house.Clock.Advance(TimeSpan.FromSeconds(5));
        await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => disks.ReadAsync(Actor.Portal("test"), lab.Id, Cancellation)));
        Assert.Equal(4, await AskedAsync());

        // What the lab became since counts at once.
        await house.Database.WriteAsync(session => session.ExecuteAsync("UPDATE labs SET version = version + 1"), Cancellation);
        await disks.ReadAsync(Actor.Portal("test"), lab.Id, Cancellation);
        Assert.Equal(6, await AskedAsync());

        async Task<int> AskedAsync() => (await house.World.HistoryAsync(Cancellation)).Count(call => call.Verb == "read-disk");
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_lab_is_reverted_to_how_it_was_running_or_stopped(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine, """{"createSeconds": 1, "bootSeconds": 30, "stopSeconds": 1, "settlingSeconds": 1}""");
        var lab = await house.ReadyAsync();
        using var worker = new Worker(house);
        async Task DoAsync(string workflow, params (string, string)[] arguments)
        {
            if (workflow != "") await house.BeginAsync(await house.LabAsync(lab.Id), workflow, arguments);
            Assert.Equal(RunState.Done, (await worker.DriveAsync(lab.Id)).State);
        }

        await house.WriteDisksAsync(lab, "ran");
        var running = await house.BeginSnapshotAsync(lab, "running");
        await DoAsync("");
        await DoAsync(WorkflowNames.Stop);
        await house.WriteDisksAsync(lab, "stood");
        var stopped = await house.BeginSnapshotAsync(await house.LabAsync(lab.Id), "stopped");
        await DoAsync("");
        Assert.Equal([false, false], (await house.SnapshotsAsync(lab)).Single(snapshot => snapshot.Id == stopped).Items.Select(item => item.WithMemory));

        foreach (var (snapshot, state, machines, disk) in new[] { (running, LabState.Ready, MachineState.Running, "ran"), (stopped, LabState.Stopped, MachineState.Stopped, "stood"), (running, LabState.Ready, MachineState.Running, "ran") })
        {
            await house.WriteDisksAsync(lab, "lost");
            var began = house.Now;
            await DoAsync(WorkflowNames.Revert, (RunArguments.Snapshot, snapshot.ToString()));
            // No boot: it runs on from its memory.
            Assert.True(house.Now - began < NodaTime.Duration.FromSeconds(20), $"It took {house.Now - began}.");
            var now = await house.LabAsync(lab.Id);
            Assert.Equal(state, now.State);
            foreach (var machine in now.Machines)
            {
                Assert.Equal((machines, machines == MachineState.Running ? 1 : 0), (machine.State, machine.Addresses.Count));
                Assert.Equal(disk, await house.World.ReadDiskAsync(machine.OwnerIn(house.Identity.Installation), Cancellation));
            }
        }

        Assert.Equal((2, 0), await house.MachinesMadeAsync(lab));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_half_done_revert_is_stuck_with_the_snapshot_whole_and_the_lab_can_still_end(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        var lab = await Law.Of[WorkflowNames.Revert].BeginAsync(house);
        var owners = lab.Machines.Select(machine => machine.OwnerIn(house.Identity.Installation)).ToList();
        await house.World.ScriptAsync(new ScriptedFault(Deed.Fail) { Verb = WireVerb.Revert, Subject = owners[1].ResourceName, Fault = FaultKind.Broken }, Cancellation);
        using var worker = new Worker(house);
        var run = await worker.DriveAsync(lab.Id);
        Assert.Equal((RunState.Stuck, "run.step-failed", "revert"), (run.State, run.Problem?.Code, run.Step));
        Assert.Equal(("before", "after"), (await house.World.ReadDiskAsync(owners[0], Cancellation), await house.World.ReadDiskAsync(owners[1], Cancellation)));
        var snapshot = Assert.Single(await house.SnapshotsAsync(lab));
        Assert.Equal(SnapshotState.Taken, snapshot.State);
        Assert.Equal(2, (await house.SnapshotResourcesAsync(lab)).Count);
        Assert.Equal((2, 0), await house.MachinesMadeAsync(lab));

        // Given up, the lab is as far as it came, and the same snapshot can be reverted to once more.
        await house.Database.WriteAsync(session => Runs.AbandonAsync(session, run, "the host is away", house.Now), Cancellation);
        await house.BeginAsync(await house.LabAsync(lab.Id), WorkflowNames.Revert, (RunArguments.Snapshot, snapshot.Id.ToString()));
        await Law.Of[WorkflowNames.Revert].HoldsDoneAsync(house, lab, await worker.DriveAsync(lab.Id));

        await house.BeginAsync(await house.LabAsync(lab.Id), WorkflowNames.Revert, (RunArguments.Snapshot, snapshot.Id.ToString()));
        await house.EndAsync(lab.Id);
        Assert.Equal(RunState.Done, (await worker.DriveAsync(lab.Id)).State);
        Assert.Empty(await house.ResourcesAsync(lab));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_snapshot_that_somebody_removed_at_the_pool_is_found_missing_before_anything_is_lost(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        var lab = await Law.Of[WorkflowNames.Revert].BeginAsync(house);
        var snapshot = Assert.Single(await house.SnapshotsAsync(lab));
        var owners = lab.Machines.Select(machine => machine.OwnerIn(house.Identity.Installation)).ToList();
        Assert.True(await house.World.RemoveFromOutsideAsync(owners[1].SnapshotName(snapshot.Id), Cancellation));
        using var worker = new Worker(house);
        var run = await worker.DriveAsync(lab.Id);
        Assert.Equal((RunState.Undone, "snapshot.machine-lacks"), (run.State, run.Problem?.Code));
        foreach (var owner in owners) Assert.Equal("after", await house.World.ReadDiskAsync(owner, Cancellation));
        Assert.Equal(LabState.Ready, (await house.LabAsync(lab.Id)).State);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_take_whose_undo_fails_and_is_given_up_stays_listed_and_is_deleted_later(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        var lab = await Law.Of[WorkflowNames.Snapshot].BeginAsync(house);
        await house.World.ScriptAsync(new ScriptedFault(Deed.Fail) { Verb = WireVerb.DeleteSnapshot, Fault = FaultKind.Broken }, Cancellation);
        Run stuck;
        using (var failing = new Worker(house, Wrapped.Failing(WorkflowNames.Snapshot, "keep", after: false))) stuck = await failing.DriveAsync(lab.Id);
        Assert.Equal((RunState.Stuck, "run.undo-failed"), (stuck.State, stuck.Problem?.Code));
        await house.Database.WriteAsync(session => Runs.AbandonAsync(session, stuck, "no time", house.Now), Cancellation);
        var broken = Assert.Single(await house.SnapshotsAsync(lab));
        Assert.Equal((SnapshotState.Broken, 1L), (broken.State, await house.HeldSnapshotsAsync(lab)));
        Assert.NotEmpty(await house.SnapshotResourcesAsync(lab));

        using var worker = new Worker(house);
        await house.BeginAsync(await house.LabAsync(lab.Id), WorkflowNames.DeleteSnapshot, (RunArguments.Snapshot, broken.Id.ToString()));
        Assert.Equal(RunState.Done, (await worker.DriveAsync(lab.Id)).State);
        Assert.Empty(await house.SnapshotsAsync(lab));
        Assert.Empty(await house.SnapshotResourcesAsync(lab));
        Assert.Equal(0, await house.HeldSnapshotsAsync(lab));

        // Given up before any part was taken: none is still to be taken, and a machine that is placed anew reckons with none.
        await house.BeginSnapshotAsync(await house.LabAsync(lab.Id), "begun");
        await house.Database.WriteAsync(session => SnapshotStore.BreakAsync(session, lab.Id), Cancellation);
        Assert.All(Assert.Single(await house.SnapshotsAsync(lab)).Items, item => Assert.Equal(SnapshotItemState.Deleting, item.State));
        foreach (var machine in lab.Machines) Assert.Equal(0, await house.Database.ReadAsync(session => SnapshotStore.PlannedRoomAsync(session, machine.Id), Cancellation));
    }
}
