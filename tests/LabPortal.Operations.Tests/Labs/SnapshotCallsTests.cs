using LabPortal.Data.Labs;
using LabPortal.Data.Pools;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using LabPortal.Domain.Machines;
using LabPortal.Domain.People;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Labs;
using LabPortal.Testing;
using NodaTime;
using Xunit;

namespace LabPortal.Operations.Tests.Labs;

public sealed class SnapshotCallsTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_snapshot_its_hold_its_run_and_its_audit_line_are_made_together_or_not_at_all(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa", ("team", "snapshots", 2));
        var lab = await ReadyAsync(labs, ada);
        var taken = (await labs.Calls.SnapshotAsync(ada, lab, "before-upgrade", Cancellation)).Value;
        Assert.Equal((WorkflowNames.Snapshot, RunState.Running), (taken.Run!.Workflow, taken.Run.State));
        var snapshot = Assert.Single((await labs.Calls.SnapshotsAsync(ada, lab, Cancellation)).Value);
        Assert.Equal(("before-upgrade", SnapshotState.Taking, "Ada", false), (snapshot.Name, snapshot.State, snapshot.AskedBy, snapshot.Usable));
        Assert.Equal(["m1", "m2"], snapshot.Machines.Select(machine => machine.Machine));
        Assert.Equal(1, await HeldAsync(labs));
        Assert.Equal(1, await labs.CountAsync("SELECT count(*) FROM audit WHERE verb = 'snapshot-lab' AND outcome = 'done'"));

        // While that run lives nothing else begins, and nothing is written but the line.
        var rows = await labs.RowsAsync();
        Assert.Equal("lab.busy", (await labs.Calls.SnapshotAsync(ada, lab, "second", Cancellation)).Refusal!.Code);
        Assert.Equal("lab.busy", (await labs.Calls.RevertAsync(ada, lab, "before-upgrade", Cancellation)).Refusal!.Code);
        Assert.Equal("lab.busy", (await labs.Calls.DeleteSnapshotAsync(ada, lab, "before-upgrade", Cancellation)).Refusal!.Code);
        Assert.Equal(rows.Select(row => row.Table == "audit" ? row with { Rows = row.Rows + 3 } : row), await labs.RowsAsync());
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Names_are_checked_and_everything_that_is_wrong_is_told_at_once(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa", ("team", "snapshots", 1));
        var lab = await ReadyAsync(labs, ada);
        foreach (var bad in new[] { "", " ", "-x", "a b", "a/b", "../x", "ü", "x\n", new string('x', 41), "$(reboot)" })
            Assert.Equal("snapshot.name-form", Assert.Single((await labs.Calls.SnapshotAsync(ada, lab, bad, Cancellation)).Refusal!.Errors!).Code);
        Assert.Equal(0, await HeldAsync(labs));

        await TakenAsync(labs, ada, lab, "one");
        var both = (await labs.Calls.SnapshotAsync(ada, lab, "one", Cancellation)).Refusal!;
        Assert.Equal((RefusalKind.Invalid, "snapshot.name-taken, quota.full"), (both.Kind, string.Join(", ", both.Errors!.Select(error => error.Code))));
        var full = (await labs.Calls.SnapshotAsync(ada, lab, "two", Cancellation)).Refusal!;
        Assert.Equal(("quota.full", "team.snapshots", 1L, 1L, 1L), (full.Code, full.Quota!.Rule, full.Quota.Limit, full.Quota.Held, full.Quota.Asked));
        Assert.Equal((lab.Value, "Ada"), (Assert.Single(full.Quota.Holders).Lab, full.Quota.Holders[0].Owner));

        var unknown = (await labs.Calls.RevertAsync(ada, lab, "two", Cancellation)).Refusal!;
        Assert.Equal((RefusalKind.Invalid, "snapshot.unknown"), (unknown.Kind, Assert.Single(unknown.Errors!).Code));
        Assert.Contains(("known", (object)"one"), unknown.Errors![0].Arguments!);
        Assert.Equal(RefusalKind.NotFound, (await labs.Calls.DeleteSnapshotAsync(ada, lab, "two", Cancellation)).Refusal!.Kind);
        Assert.Equal(1, await HeldAsync(labs));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task What_is_not_whole_or_of_another_generation_is_never_reverted_to(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        var lab = await ReadyAsync(labs, ada);
        var id = await TakenAsync(labs, ada, lab, "one");
        Assert.True(Assert.Single((await labs.Calls.SnapshotsAsync(ada, lab, Cancellation)).Value).Usable);

        await labs.Database.WriteAsync(session => SnapshotStore.SetStateAsync(session, id, SnapshotState.Broken), Cancellation);
        Assert.Equal("snapshot.not-whole", (await labs.Calls.RevertAsync(ada, lab, "one", Cancellation)).Refusal!.Code);
        await labs.Database.WriteAsync(session => SnapshotStore.SetStateAsync(session, id, SnapshotState.Taken), Cancellation);
        await labs.Database.WriteAsync(session => session.ExecuteAsync("UPDATE machines SET generation = generation + 1 WHERE name = 'm2'"), Cancellation);
        Assert.Equal("snapshot.other-generation", (await labs.Calls.RevertAsync(ada, lab, "one", Cancellation)).Refusal!.Code);
        Assert.False(Assert.Single((await labs.Calls.SnapshotsAsync(ada, lab, Cancellation)).Value).Usable);

        // It can be deleted all the same.
        Assert.Equal(WorkflowNames.DeleteSnapshot, (await labs.Calls.DeleteSnapshotAsync(ada, lab, "one", Cancellation)).Value.Run!.Workflow);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Another_member_sees_snapshots_and_does_nothing_to_them_and_a_stranger_sees_none(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        var lab = await ReadyAsync(labs, ada);
        await TakenAsync(labs, ada, lab, "one");
        var grace = ada with { Person = new PersonId(Guid.NewGuid()), Name = "Grace" };
        Assert.Single((await labs.Calls.SnapshotsAsync(grace, lab, Cancellation)).Value);
        foreach (var call in new[] { labs.Calls.SnapshotAsync(grace, lab, "x", Cancellation), labs.Calls.RevertAsync(grace, lab, "one", Cancellation), labs.Calls.DeleteSnapshotAsync(grace, lab, "one", Cancellation) })
            Assert.Equal(RefusalKind.Forbidden, (await call).Refusal!.Kind);
        var stranger = await labs.TeamAsync("others");
        Assert.Equal(RefusalKind.NotFound, (await labs.Calls.SnapshotsAsync(stranger, lab, Cancellation)).Refusal!.Kind);
        Assert.Equal(RefusalKind.NotFound, (await labs.Calls.DeleteSnapshotAsync(stranger, lab, "one", Cancellation)).Refusal!.Kind);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_blueprint_that_has_one_taken_at_ready_holds_its_quota_from_the_request_on(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        await labs.AddBlueprintAsync(new Blueprint
        {
            Name = "resettable", Title = "resettable", SnapshotAtReady = true, Lease = new LeaseRules(Duration.FromHours(4), Duration.FromHours(72), Duration.FromHours(1)),
            Machines = [new MachineTemplate { Name = "m1", Image = "tiny", Cpu = 1, MemoryMiB = 128, DiskGiB = 1 }],
        });
        var ada = await labs.TeamAsync("qa", ("team", "snapshots", 1));
        var request = LabsUnderTest.Pair() with { Blueprint = "resettable" };
        var lab = (await labs.Calls.RequestAsync(ada, request, null, Cancellation)).Value;
        var planned = Assert.Single((await labs.Calls.SnapshotsAsync(ada, lab.Id, Cancellation)).Value);
        Assert.Equal((Snapshot.Clean, SnapshotState.Taking, false), (planned.Name, planned.State, lab.HasClean));
        var run = await labs.Database.ReadAsync(session => RunStore.LastOfAsync(session, lab.Id), Cancellation);
        Assert.True(run!.Arguments.ContainsKey(RunArguments.Snapshot));
        Assert.Contains(lab.Run!.Steps, step => step.Step == "snapshot");
        Assert.Equal("team.snapshots", (await labs.Calls.RequestAsync(ada, request, null, Cancellation)).Refusal!.Quota!.Rule);

        // Without it the step is no part of the run, and no snapshot is counted.
        var plain = (await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(), null, Cancellation)).Value;
        Assert.DoesNotContain(plain.Run!.Steps, step => step.Step == "snapshot");
        Assert.Equal(1, await HeldAsync(labs));

        // One that starts later has it too.
        var bob = await labs.TeamAsync("bobs");
        var later = (await labs.Calls.RequestAsync(bob, request with { Team = "bobs", Start = labs.Now + Duration.FromHours(1) }, null, Cancellation)).Value;
        labs.Time.Advance(TimeSpan.FromMinutes(61));
        await labs.Sweep().PassAsync(Cancellation);
        Assert.True((await labs.Database.ReadAsync(session => RunStore.LastOfAsync(session, later.Id), Cancellation))!.Arguments.ContainsKey(RunArguments.Snapshot));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_snapshot_holds_its_room_on_the_host_with_its_rows_and_one_without_room_is_told_how_much_is_missing(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        var lab = await OnHostAsync(labs, ada, LabsUnderTest.Pair(), diskGiB: 5);
        Assert.Equal(2, await DiskHeldAsync(labs));

        // Two disks of 1 GiB, and two memories of 128 MiB, which is not more than 1 GiB each.
        var full = (await labs.Calls.SnapshotAsync(ada, lab, "one", Cancellation)).Refusal!;
        Assert.Equal((RefusalKind.Conflict, "snapshot.no-room"), (full.Kind, full.Code));
        Assert.Equal([("host", "h1"), ("asked", "4 GiB"), ("missing", "1 GiB")], full.Arguments!.Select(argument => (argument.Name, argument.Value.ToString()!)));
        Assert.Equal((2, 0), (await DiskHeldAsync(labs), await HeldAsync(labs)));

        await SeeHostAsync(labs, diskGiB: 6);
        var one = await TakenAsync(labs, ada, lab, "one");
        Assert.Equal(6, await DiskHeldAsync(labs));
        Assert.Equal("snapshot.no-room", (await labs.Calls.SnapshotAsync(ada, lab, "two", Cancellation)).Refusal!.Code);

        // What is gone holds nothing, machine by machine; what may still be there does.
        var item = (await labs.Database.ReadAsync(session => SnapshotStore.FindAsync(session, one), Cancellation))!.Items[0];
        await labs.Database.WriteAsync(session => SnapshotStore.SetItemAsync(session, one, item with { State = SnapshotItemState.Deleting }), Cancellation);
        Assert.Equal(6, await DiskHeldAsync(labs));
        await labs.Database.WriteAsync(session => SnapshotStore.SetItemAsync(session, one, item with { State = SnapshotItemState.Gone }), Cancellation);
        Assert.Equal(4, await DiskHeldAsync(labs));
        await labs.Database.WriteAsync(session => SnapshotStore.DeleteAsync(session, one), Cancellation);
        Assert.Equal(2, await DiskHeldAsync(labs));

        // Of a stopped machine there is no memory to keep; what others put on the disk leaves no room either.
        await labs.Database.WriteAsync(session => session.ExecuteAsync("UPDATE machines SET state = 'stopped'"), Cancellation);
        await SeeHostAsync(labs, diskGiB: 6, freeGiB: 1);
        Assert.Equal("1 GiB", (await labs.Calls.SnapshotAsync(ada, lab, "cold", Cancellation)).Refusal!.Arguments!.Single(argument => argument.Name == "missing").Value.ToString());
        await SeeHostAsync(labs, diskGiB: 6);
        Assert.True((await labs.Calls.SnapshotAsync(ada, lab, "cold", Cancellation)).Ok);
        Assert.Equal(4, await DiskHeldAsync(labs));
        await labs.Database.WriteAsync(session => session.ExecuteAsync("UPDATE capacity_holds SET to_at = 1"), Cancellation);
        Assert.Equal(0, await DiskHeldAsync(labs));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Snapshots_asked_for_at_once_never_hold_more_than_their_host_has(Engine engine)
    {
        await using var labs = await LabsUnderTest.CreateAsync(databases, engine);
        var ada = await labs.TeamAsync("qa");
        var several = new List<LabId>();
        for (var i = 0; i < 8; i++) several.Add(await OnHostAsync(labs, ada, LabsUnderTest.Pair() with { Blueprint = "single" }, diskGiB: 8 + (3 * 2) + 1));
        var asked = await Task.WhenAll(several.Select(lab => Task.Run(() => labs.Calls.SnapshotAsync(ada, lab, "at-once", Cancellation))));
        Assert.Equal(3, asked.Count(outcome => outcome.Ok));
        Assert.All(asked.Where(outcome => !outcome.Ok), outcome => Assert.Equal("snapshot.no-room", outcome.Refusal!.Code));
        Assert.Equal((8 + (3 * 2), 3), (await DiskHeldAsync(labs), await HeldAsync(labs)));
    }

    private static async Task<LabId> OnHostAsync(LabsUnderTest labs, Actor ada, LabRequest request, long diskGiB)
    {
        await SeeHostAsync(labs, diskGiB);
        var id = (await labs.Calls.RequestAsync(ada, request, null, Cancellation)).Value.Id;
        await labs.BecomeAsync(id, LabState.Ready);
        await labs.Database.WriteAsync(
            async session =>
            {
                var pool = (await PoolStore.ListAsync(session)).Single().Id;
                foreach (var machine in (await LabStore.FindAsync(session, id))!.Machines)
                {
                    await CapacityStore.HoldAsync(session, machine.Id, 1, new StoredPlacement(pool, "h1", ""), machine.Cpu, machine.MemoryMiB, machine.DiskGiB, labs.Now);
                    await LabStore.SaveMachineAsync(session, machine with { State = MachineState.Running, Generation = 1, Pool = pool, Host = "h1" });
                }
            },
            Cancellation);
        return id;
    }

    private static Task SeeHostAsync(LabsUnderTest labs, long diskGiB, long? freeGiB = null) => labs.Database.WriteAsync(
        async session => await PoolStore.SaveHostsAsync(
            session, (await PoolStore.ListAsync(session)).Single().Id, [new HostCapacity("h1", 64, 1 << 20, diskGiB, freeGiB ?? diskGiB, null, null)], labs.Now),
        Cancellation);

    private static async Task<long> DiskHeldAsync(LabsUnderTest labs) => (await labs.Database.ReadAsync(CapacityStore.ListHeldAsync, Cancellation)).Sum(held => held.DiskGiB);

    private static Task<long> HeldAsync(LabsUnderTest labs) => labs.CountAsync("SELECT coalesce(sum(amount), 0) FROM quota_holds WHERE dimension = 'snapshots'");

    private static async Task<LabId> ReadyAsync(LabsUnderTest labs, Actor ada)
    {
        var lab = (await labs.Calls.RequestAsync(ada, LabsUnderTest.Pair(), null, Cancellation)).Value.Id;
        await labs.BecomeAsync(lab, LabState.Ready);
        return lab;
    }

    /// <summary>As if its run had finished.</summary>
    private static async Task<SnapshotId> TakenAsync(LabsUnderTest labs, Actor ada, LabId lab, string name)
    {
        Assert.True((await labs.Calls.SnapshotAsync(ada, lab, name, Cancellation)).Ok);
        await labs.BecomeAsync(lab, LabState.Ready);
        return await labs.Database.WriteAsync(
            async session =>
            {
                var snapshot = (await SnapshotStore.ListAsync(session, lab)).Single(each => each.Name == name);
                foreach (var item in snapshot.Items) await SnapshotStore.SetItemAsync(session, snapshot.Id, item with { State = SnapshotItemState.Taken, TakenAt = labs.Now, WithMemory = true });
                await SnapshotStore.SetTakenAsync(session, snapshot.Id, labs.Now);
                return snapshot.Id;
            },
            Cancellation);
    }
}
