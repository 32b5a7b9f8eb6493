using LabPortal.Data.Labs;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using LabPortal.Domain.Machines;
using LabPortal.Domain.People;
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
