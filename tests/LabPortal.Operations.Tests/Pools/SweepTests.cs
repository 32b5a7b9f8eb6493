using System.Text.Json.Nodes;
using LabPortal.Data.Costs;
using LabPortal.Data.Images;
using LabPortal.Data.Labs;
using LabPortal.Data.Pools;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Audit;
using LabPortal.Operations.Pools;
using LabPortal.Providers.Simulated;
using LabPortal.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace LabPortal.Operations.Tests.Pools;

public sealed class SweepTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_pass_looks_at_each_pool_that_is_due_once_and_after_an_edit_again(Engine engine)
    {
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, Cancellation);
        var pool = new Pool { Id = new PoolId(Guid.NewGuid()), Name = "a", Provider = "simulated", Settings = new JsonObject { ["hosts"] = 3 } };
        await portal.Database.WriteAsync(session => PoolStore.SaveAsync(session, pool), Cancellation);

        await portal.Sweep.RunAsync(Cancellation);
        await EventuallyAsync(async () => (await portal.FindAsync("a", Cancellation))!.CheckedAt is not null);
        var first = (await portal.FindAsync("a", Cancellation))!;
        Assert.Equal("healthy", first.State);
        await portal.Sweep.RunAsync(Cancellation);
        Assert.Equal(first.CheckedAt, (await portal.FindAsync("a", Cancellation))!.CheckedAt);

        await portal.Database.WriteAsync(session => PoolStore.SaveAsync(session, pool with { Settings = new JsonObject { ["hosts"] = 5 } }), Cancellation);
        await portal.Sweep.RunAsync(Cancellation);
        await EventuallyAsync(async () => (await portal.Calls.FindAsync(PoolsUnderTest.Admin, "a", Cancellation)).Value.Hosts.Count == 5);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_pool_that_hangs_delays_no_other(Engine engine)
    {
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, Cancellation);
        foreach (var name in (string[])["hangs", "works"])
            await portal.Database.WriteAsync(session => PoolStore.SaveAsync(session, new Pool { Id = new PoolId(Guid.NewGuid()), Name = name, Provider = "simulated" }), Cancellation);
        await using var world = portal.WorldOf("hangs");
        var script = await world.ScriptAsync(new ScriptedFault(Deed.Hang) { Verb = WireVerb.Check }, Cancellation);

        var begun = System.Diagnostics.Stopwatch.StartNew();
        await portal.Sweep.RunAsync(Cancellation);
        Assert.InRange(begun.Elapsed.TotalMinutes, 0, 2);
        Assert.NotNull((await portal.FindAsync("works", Cancellation))!.CheckedAt);
        Assert.Null((await portal.FindAsync("hangs", Cancellation))!.CheckedAt);

        await world.ReleaseAsync(script, Cancellation);
        await EventuallyAsync(async () => (await portal.FindAsync("hangs", Cancellation))!.CheckedAt is not null);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_pool_that_cannot_be_opened_says_why_and_stops_no_other(Engine engine)
    {
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, Cancellation);
        // As another build left them: settings that this one does not take, a kind that it does not have, a secret that is not there.
        (string Name, string Kind, JsonObject Settings, string Problem)[] broken =
        [
            ("a-wrong", "simulated", new JsonObject { ["hosts"] = "many" }, "are wrong: settings.hosts"), ("b-unknown", "mainframe", [], "which this build does not have"),
        ];
        foreach (var (name, kind, settings, _) in broken)
            await portal.Database.WriteAsync(session => PoolStore.SaveAsync(session, new Pool { Id = new PoolId(Guid.NewGuid()), Name = name, Provider = kind, Settings = settings }), Cancellation);
        var works = new Pool { Id = new PoolId(Guid.NewGuid()), Name = "c-works", Provider = "simulated", Overcommit = new Overcommit(1, 1) };
        await portal.Database.WriteAsync(session => PoolStore.SaveAsync(session, works), Cancellation);

        await portal.Sweep.RunAsync(Cancellation);
        await EventuallyAsync(async () => (await portal.FindAsync("c-works", Cancellation))!.CheckedAt is not null);
        var (lab, machine) = await portal.AddRunningLabAsync(works, Cancellation);
        await portal.MakeAsync(works, machine with { Id = new MachineId(Guid.NewGuid()) }, Cancellation);
        await portal.Drift.RunAsync(Cancellation);
        await portal.Orphans.RunAsync(Cancellation);

        foreach (var (name, _, _, problem) in broken)
        {
            await EventuallyAsync(async () => (await portal.FindAsync(name, Cancellation))!.CheckedAt is not null);
            var pool = (await portal.FindAsync(name, Cancellation))!;
            Assert.Equal("sick", pool.State);
            Assert.Contains(problem, Assert.Single(pool.Problems).What, StringComparison.Ordinal);
        }

        Assert.Equal("healthy", (await portal.FindAsync("c-works", Cancellation))!.State);
        await EventuallyAsync(async () => (await portal.Calls.OrphansAsync(PoolsUnderTest.Admin, null, 200, null, Cancellation)).Value.Items.Count > 0);
        Assert.Equal(MachineState.Running, (await portal.FindLabAsync(lab.Id, Cancellation)).Machines[0].State);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_sick_pool_takes_no_labs_and_says_why_and_takes_them_again_when_it_is_back(Engine engine)
    {
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, Cancellation);
        var pool = await portal.AddPoolAsync("a", new JsonObject { ["hosts"] = 2 }, Cancellation);
        await using var world = portal.WorldOf("a");
        foreach (var host in (string[])["h1", "h2"]) await world.HostIsAwayAsync(host, "its power is off", Cancellation);
        await portal.Sweep.CheckAsync(pool.Id, Cancellation);

        Assert.Equal("sick", (await portal.FindAsync("a", Cancellation))!.State);
        var lab = await portal.AddLabAsync(Cancellation);
        var placed = await portal.Database.WriteAsync(session => new Placing().PlaceAsync(session, lab, lab.Machines[0], 1, [], PoolsUnderTest.Now), Cancellation);
        Assert.Equal((null, true), (placed.Pool, placed.CanWait));
        Assert.Contains("is sick", placed.Why);

        // One host that is back makes the pool usable; the other is passed over.
        await world.HostIsAwayAsync("h2", null, Cancellation);
        await portal.Sweep.CheckAsync(pool.Id, Cancellation);
        Assert.Equal("healthy", (await portal.FindAsync("a", Cancellation))!.State);
        placed = await portal.Database.WriteAsync(session => new Placing().PlaceAsync(session, lab, lab.Machines[0], 1, [], PoolsUnderTest.Now), Cancellation);
        Assert.Equal("h2", placed.Host);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_pool_whose_secret_or_settings_are_wrong_is_sick_and_says_so(Engine engine)
    {
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, Cancellation);
        var pool = await portal.AddPoolAsync("a", new JsonObject { ["hosts"] = 0 }, Cancellation);
        Assert.Equal("sick", pool.State);
        Assert.Contains("settings.hosts", Assert.Single(pool.Problems).What);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task What_changed_from_outside_is_seen_and_health_follows(Engine engine)
    {
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, Cancellation);
        var pool = await portal.AddPoolAsync("a", [], Cancellation);
        var (off, offMachine) = await portal.AddRunningLabAsync(pool, Cancellation);
        var (gone, goneMachine) = await portal.AddRunningLabAsync(pool, Cancellation);
        var (same, _) = await portal.AddRunningLabAsync(pool, Cancellation);
        await using var world = portal.WorldOf("a");
        Assert.True(await world.ShutDownFromInsideAsync(offMachine.OwnerIn(portal.Portal.Installation), Cancellation));
        Assert.True(await world.RemoveFromOutsideAsync(goneMachine.OwnerIn(portal.Portal.Installation).ResourceName, Cancellation));

        await portal.Drift.RunAsync(Cancellation);
        await AssertAsync(off.Id, MachineState.Stopped, LabHealth.Degraded);
        await AssertAsync(gone.Id, MachineState.Missing, LabHealth.Degraded);
        await AssertAsync(same.Id, MachineState.Running, LabHealth.Ok);
        Assert.Equal(0, (await portal.FindLabAsync(same.Id, Cancellation)).Version);
        Assert.Equal("stopped", Assert.Single((await portal.Database.ReadAsync(session => MeterStore.OfLabsAsync(session, [off.Id]), Cancellation))[off.Id]).State);

        // A host that is away makes machines unknown, never missing; when it is back they are what they were.
        await world.HostIsAwayAsync("h1", "its power is off", Cancellation);
        foreach (var host in (string[])["h2", "h3", "h4"]) await world.HostIsAwayAsync(host, "its power is off", Cancellation);
        await portal.Drift.LookAsync(pool.Id, Cancellation);
        await AssertAsync(same.Id, MachineState.Unknown, LabHealth.Degraded);
        foreach (var host in (string[])["h1", "h2", "h3", "h4"]) await world.HostIsAwayAsync(host, null, Cancellation);
        await portal.Drift.LookAsync(pool.Id, Cancellation);
        await AssertAsync(same.Id, MachineState.Running, LabHealth.Ok);

        async Task AssertAsync(LabId id, MachineState state, LabHealth health)
        {
            var lab = await portal.FindLabAsync(id, Cancellation);
            Assert.Equal((state, health), (lab.Machines[0].State, lab.Health));
        }
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_lab_on_which_a_run_works_is_left_to_it(Engine engine)
    {
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, Cancellation);
        var pool = await portal.AddPoolAsync("a", [], Cancellation);
        var (lab, machine) = await portal.AddRunningLabAsync(pool, Cancellation);
        await using var world = portal.WorldOf("a");
        await world.RemoveFromOutsideAsync(machine.OwnerIn(portal.Portal.Installation).ResourceName, Cancellation);
        await AddRunAsync(portal, lab.Id, "running");
        await portal.Drift.LookAsync(pool.Id, Cancellation);
        Assert.Equal(MachineState.Running, (await portal.FindLabAsync(lab.Id, Cancellation)).Machines[0].State);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task What_no_living_generation_accounts_for_is_an_orphan_until_it_is_deleted(Engine engine)
    {
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, Cancellation);
        var pool = await portal.AddPoolAsync("a", [], Cancellation);
        var (lab, machine) = await portal.AddRunningLabAsync(pool, Cancellation);
        var stray = machine with { Generation = 7 };
        await portal.MakeAsync(pool, stray, Cancellation);
        await using var world = portal.WorldOf("a");

        // A run that lives may still be making it.
        await AddRunAsync(portal, lab.Id, "running");
        await portal.Orphans.LookAsync(pool.Id, Cancellation);
        Assert.Empty((await portal.Calls.OrphansAsync(PoolsUnderTest.Admin, null, 200, null, Cancellation)).Value.Items);

        await portal.Database.WriteAsync(session => session.ExecuteAsync("UPDATE runs SET state = 'abandoned'"), Cancellation);
        await portal.Orphans.LookAsync(pool.Id, Cancellation);
        var orphans = (await portal.Calls.OrphansAsync(PoolsUnderTest.Admin, null, 200, null, Cancellation)).Value.Items;
        Assert.Equal(5, orphans.Count);
        Assert.All(orphans, orphan => Assert.Equal((7, "qa", lab.Id, "listed"), (orphan.Generation, orphan.Team, orphan.Lab, orphan.State)));
        var resources = (await portal.Calls.ResourcesAsync(PoolsUnderTest.Admin, "a", Cancellation)).Value;
        Assert.Equal([false, true], resources.GroupBy(resource => resource.Generation).OrderByDescending(group => group.Key).Select(group => group.All(resource => resource.Known)));
        await portal.Orphans.LookAsync(pool.Id, Cancellation);
        Assert.Equal(["orphan"], await MeterAsync());

        Assert.Equal("actor.may-not", (await portal.Calls.DeleteOrphanAsync(PoolsUnderTest.Nobody, orphans[0].Id, Cancellation)).Refusal?.Code);
        Assert.Equal("deleting", (await portal.Calls.DeleteOrphanAsync(PoolsUnderTest.Admin, orphans[0].Id, Cancellation)).Value.State);
        await portal.Orphans.RunAsync(Cancellation);
        Assert.Empty((await portal.Calls.OrphansAsync(PoolsUnderTest.Admin, null, 200, null, Cancellation)).Value.Items);
        Assert.Equal(["orphan", "gone"], await MeterAsync());
        Assert.All(await world.ResourcesAsync(Cancellation), resource => Assert.Contains("-g1", resource.Name));
        Assert.Equal(5, (await world.ResourcesAsync(Cancellation)).Count);
        Assert.Equal(
            [("decide-orphan:delete", "actor.may-not"), ("decide-orphan:delete", "done")],
            (await portal.Database.ReadAsync(session => session.QueryAsync<(string, string)>("SELECT verb, outcome FROM audit ORDER BY id"), Cancellation)));

        async Task<IEnumerable<string>> MeterAsync()
            => (await portal.Database.ReadAsync(session => MeterStore.OfLabsAsync(session, [lab.Id]), Cancellation))[lab.Id].Where(meter => meter.Generation == 7).Select(meter => meter.State);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_part_of_a_snapshot_that_was_made_late_is_an_orphan_of_its_own_on_a_machine_that_lives(Engine engine)
    {
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, Cancellation);
        var pool = await portal.AddPoolAsync("a", [], Cancellation);
        var (lab, machine) = await portal.AddRunningLabAsync(pool, Cancellation);
        var owner = machine.OwnerIn(portal.Portal.Installation);
        await using var world = portal.WorldOf("a");
        var (known, late) = (new SnapshotId(Guid.NewGuid()), new SnapshotId(Guid.NewGuid()));
        var snapshots = (ISnapshotAbility)(await portal.Pools.OpenAsync(pool.Id, Cancellation)).Provider;
        foreach (var part in new[] { known, late }) await snapshots.TakeSnapshotAsync(new ResourceRef(owner), part, Cancellation);
        await portal.Database.WriteAsync(session => SnapshotStore.InsertAsync(session, new Snapshot
        {
            Id = known, Lab = lab.Id, Name = "known", State = SnapshotState.Taken, AskedBy = "Ada", AskedAt = PoolsUnderTest.Now,
            Items = [new SnapshotItem(machine.Id, 1, SnapshotItemState.Taken, PoolsUnderTest.Now, true, null)],
        }), Cancellation);

        // Whose run lives, or is stuck, answers for it.
        await AddRunAsync(portal, lab.Id, "stuck");
        await portal.Orphans.LookAsync(pool.Id, Cancellation);
        Assert.Empty((await portal.Calls.OrphansAsync(PoolsUnderTest.Admin, null, 200, null, Cancellation)).Value.Items);

        await portal.Database.WriteAsync(session => session.ExecuteAsync("UPDATE runs SET state = 'undone'"), Cancellation);
        await portal.Orphans.LookAsync(pool.Id, Cancellation);
        var orphan = Assert.Single((await portal.Calls.OrphansAsync(PoolsUnderTest.Admin, null, 200, null, Cancellation)).Value.Items);
        Assert.Equal(("snapshot", owner.SnapshotName(late), "listed"), (orphan.Kind, orphan.Name, orphan.State));
        Assert.Equal([owner.SnapshotName(late)], (await portal.Calls.ResourcesAsync(PoolsUnderTest.Admin, "a", Cancellation)).Value.Where(resource => !resource.Known).Select(resource => resource.Name));

        // It goes alone: its machine, whose meter it does not touch, stays with all that is its own.
        Assert.Equal("deleting", (await portal.Calls.DeleteOrphanAsync(PoolsUnderTest.Admin, orphan.Id, Cancellation)).Value.State);
        await portal.Orphans.LookAsync(pool.Id, Cancellation);
        Assert.Empty((await portal.Calls.OrphansAsync(PoolsUnderTest.Admin, null, 200, null, Cancellation)).Value.Items);
        var left = (await world.ResourcesAsync(Cancellation)).Select(resource => resource.Name).ToList();
        Assert.Equal(6, left.Count);
        Assert.Contains(owner.SnapshotName(known), left);
        Assert.Empty((await portal.Database.ReadAsync(session => MeterStore.OfLabsAsync(session, [lab.Id]), Cancellation))[lab.Id]);

        // A part that people adopted stays, and holds up no other; what was decided waits for a run that lives.
        var (adopted, decided) = (new SnapshotId(Guid.NewGuid()), new SnapshotId(Guid.NewGuid()));
        foreach (var part in new[] { adopted, decided }) await snapshots.TakeSnapshotAsync(new ResourceRef(owner), part, Cancellation);
        await portal.Orphans.LookAsync(pool.Id, Cancellation);
        var listed = (await portal.Calls.OrphansAsync(PoolsUnderTest.Admin, null, 200, null, Cancellation)).Value.Items.ToDictionary(found => found.Name, found => found.Id);
        Assert.True((await portal.Calls.AdoptOrphanAsync(PoolsUnderTest.Admin, listed[owner.SnapshotName(adopted)], Cancellation)).Ok);
        Assert.True((await portal.Calls.DeleteOrphanAsync(PoolsUnderTest.Admin, listed[owner.SnapshotName(decided)], Cancellation)).Ok);
        await portal.Database.WriteAsync(session => session.ExecuteAsync("UPDATE runs SET state = 'stuck'"), Cancellation);
        await portal.Orphans.LookAsync(pool.Id, Cancellation);
        Assert.Equal("deleting", Assert.Single((await portal.Calls.OrphansAsync(PoolsUnderTest.Admin, null, 200, null, Cancellation)).Value.Items).State);
        await portal.Database.WriteAsync(session => session.ExecuteAsync("UPDATE runs SET state = 'undone'"), Cancellation);
        await portal.Orphans.LookAsync(pool.Id, Cancellation);
        Assert.Empty((await portal.Calls.OrphansAsync(PoolsUnderTest.Admin, null, 200, null, Cancellation)).Value.Items);
        left = [.. (await world.ResourcesAsync(Cancellation)).Select(resource => resource.Name)];
        Assert.Contains(owner.SnapshotName(adopted), left);
        Assert.DoesNotContain(owner.SnapshotName(decided), left);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task An_adopted_orphan_is_never_touched_and_automatic_deletion_keeps_its_cap(Engine engine)
    {
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, Cancellation);
        var pool = await portal.AddPoolAsync("a", [], Cancellation);
        await using var world = portal.WorldOf("a");

        // Machines that this database does not know at all, as after it was restored.
        var (lab, strays) = (await portal.AddLabAsync(Cancellation), new List<Machine>());
        for (var i = 0; i < 4; i++) strays.Add(lab.Machines[0] with { Id = new MachineId(Guid.NewGuid()), Generation = 1 });
        foreach (var stray in strays) await portal.MakeAsync(pool, stray, Cancellation);
        await portal.Orphans.LookAsync(pool.Id, Cancellation);
        var adopted = (await portal.Calls.OrphansAsync(PoolsUnderTest.Admin, null, 200, null, Cancellation)).Value.Items[0];
        Assert.True((await portal.Calls.AdoptOrphanAsync(PoolsUnderTest.Admin, adopted.Id, Cancellation)).Ok);
        Assert.Equal("orphan.adopted", (await portal.Calls.DeleteOrphanAsync(PoolsUnderTest.Admin, adopted.Id, Cancellation)).Refusal?.Code);
        await portal.Orphans.LookAsync(pool.Id, Cancellation);
        Assert.Equal(20, (await world.ResourcesAsync(Cancellation)).Count);

        await portal.Database.WriteAsync(session => PoolStore.SaveAsync(session, pool with { Limits = new PoolLimits(OrphanDeletionsPerPass: 2) }), Cancellation);
        await portal.Orphans.LookAsync(pool.Id, Cancellation);
        await portal.Orphans.LookAsync(pool.Id, Cancellation);
        Assert.Equal(10, (await world.ResourcesAsync(Cancellation)).Count);
        // Nobody asked for these: the audit says who decided.
        var decided = (await new AuditCalls(portal.Database, TimeProvider.System).ListAsync(PoolsUnderTest.Admin, new() { Who = "orphans" }, 50, null, Cancellation)).Value.Items;
        Assert.Equal(15, decided.Count);
        Assert.All(decided, line => Assert.Equal(("decide-orphan:delete", "a"), (line.Verb, line.Detail["pool"])));
        await portal.Orphans.LookAsync(pool.Id, Cancellation);
        await portal.Orphans.LookAsync(pool.Id, Cancellation);
        var left = await world.ResourcesAsync(Cancellation);
        Assert.Equal(5, left.Count);
        Assert.Contains(left, resource => resource.Name == adopted.Name);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_listing_that_fails_says_nothing_about_orphans(Engine engine)
    {
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, Cancellation);
        var pool = await portal.AddPoolAsync("a", [], Cancellation);
        var (_, machine) = await portal.AddRunningLabAsync(pool, Cancellation);
        await portal.MakeAsync(pool, machine with { Generation = 2 }, Cancellation);
        await portal.Orphans.LookAsync(pool.Id, Cancellation);
        await using var world = portal.WorldOf("a");
        await world.ScriptAsync(new ScriptedFault(Deed.Fail) { Verb = WireVerb.ListOwned }, Cancellation);
        await Assert.ThrowsAsync<ProviderFault>(() => portal.Orphans.LookAsync(pool.Id, Cancellation));
        var all = (await portal.Calls.OrphansAsync(PoolsUnderTest.Admin, null, 200, null, Cancellation)).Value.Items;
        Assert.Equal(5, all.Count);

        // They are read by pages, also where the last of a page went meanwhile.
        var first = (await portal.Calls.OrphansAsync(PoolsUnderTest.Admin, "a", 3, null, Cancellation)).Value;
        Assert.Equal(all.Take(3).Select(orphan => orphan.Id), first.Items.Select(orphan => orphan.Id));
        await portal.Database.WriteAsync(session => OrphanStore.SetStateAsync(session, first.Items[^1].Id, OrphanState.Gone, null), Cancellation);
        var rest = (await portal.Calls.OrphansAsync(PoolsUnderTest.Admin, "a", 3, first.Next, Cancellation)).Value;
        Assert.Equal(all.Skip(3).Select(orphan => orphan.Id), rest.Items.Select(orphan => orphan.Id));
        Assert.Null(rest.Next);
        Assert.Empty((await portal.Calls.OrphansAsync(PoolsUnderTest.Admin, "b", 3, null, Cancellation)).Value.Items);
        Assert.Equal("page.unknown-key", (await portal.Calls.OrphansAsync(PoolsUnderTest.Admin, null, 3, "x", Cancellation)).Refusal!.Errors!.Single().Code);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task An_image_that_is_missing_is_imported_in_the_background_and_then_there(Engine engine)
    {
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, Cancellation);
        await portal.AddPoolAsync("a", new JsonObject { ["hosts"] = 2, ["missingImages"] = new JsonArray(new JsonObject { ["image"] = "tiny" }) }, Cancellation);
        var lab = await portal.AddLabAsync(Cancellation);
        var placed = await portal.Database.WriteAsync(session => new Placing().PlaceAsync(session, lab, lab.Machines[0], 1, [], PoolsUnderTest.Now), Cancellation);
        Assert.Equal((null, false), (placed.Pool, placed.CanWait));
        Assert.Contains("does not have image tiny: Import image tiny", placed.Why);

        var file = portal.Folder["tiny.img"];
        Assert.Equal(["file"], (await portal.Calls.ImportImageAsync(PoolsUnderTest.Admin, "a", "tiny", file, Cancellation)).Refusal!.Errors!.Select(error => error.Field));
        await File.WriteAllBytesAsync(file, new byte[3_000_000], Cancellation);
        Assert.Equal("actor.may-not", (await portal.Calls.ImportImageAsync(PoolsUnderTest.Nobody, "a", "tiny", file, Cancellation)).Refusal?.Code);
        var asked = (await portal.Calls.ImportImageAsync(PoolsUnderTest.Admin, "a", "tiny", file, Cancellation)).Value;
        Assert.All(asked.Images, image => Assert.Equal(("importing", 3_000_000L, 0L), (image.State, image.Bytes, image.BytesDone)));

        await portal.Imports.RunAsync(Cancellation);
        await EventuallyAsync(async () => (await portal.Calls.FindAsync(PoolsUnderTest.Admin, "a", Cancellation)).Value.Images.All(image => image is { State: "present", BytesDone: 3_000_000 }));
        placed = await portal.Database.WriteAsync(session => new Placing().PlaceAsync(session, lab, lab.Machines[0], 1, [], PoolsUnderTest.Now), Cancellation);
        Assert.NotNull(placed.Pool);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task An_import_that_was_cut_off_begins_again_and_one_that_fails_says_why(Engine engine)
    {
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, Cancellation);
        await portal.AddPoolAsync("a", new JsonObject { ["hosts"] = 1, ["missingImages"] = new JsonArray(new JsonObject { ["image"] = "tiny" }) }, Cancellation);
        await using var world = portal.WorldOf("a");
        var file = portal.Folder["tiny.img"];
        await File.WriteAllBytesAsync(file, new byte[1000], Cancellation);

        await world.ScriptAsync(new ScriptedFault(Deed.Fail) { Verb = WireVerb.ImportImage, Fault = FaultKind.Rejected, Message = "The disk is full." }, Cancellation);
        await portal.Calls.ImportImageAsync(PoolsUnderTest.Admin, "a", "tiny", file, Cancellation);
        await portal.Imports.RunAsync(Cancellation);
        await EventuallyAsync(async () => await StateAsync() is { State: "failed" } image && image.Note!.StartsWith("The disk is full."));

        var script = await world.ScriptAsync(new ScriptedFault(Deed.Hang) { Verb = WireVerb.ImportImage }, Cancellation);
        await portal.Calls.ImportImageAsync(PoolsUnderTest.Admin, "a", "tiny", file, Cancellation);
        using (var portalEnds = CancellationTokenSource.CreateLinkedTokenSource(Cancellation))
        {
            // A pass that comes before the failed one is forgotten leaves it to the next.
            await EventuallyAsync(async () =>
            {
                await portal.Imports.RunAsync(portalEnds.Token);
                return await world.HangingAsync(script, Cancellation) == 1;
            });
            await portalEnds.CancelAsync();
        }

        Assert.Equal("importing", (await StateAsync()).State);
        // As after half a minute without a beat.
        await portal.Database.WriteAsync(session => session.ExecuteAsync("UPDATE image_presence SET seen_at = 0"), Cancellation);
        await EventuallyAsync(async () =>
        {
            await portal.Imports.RunAsync(Cancellation);
            return (await StateAsync()).State == "present";
        });

        async Task<ImagePresenceView> StateAsync() => Assert.Single((await portal.Calls.FindAsync(PoolsUnderTest.Admin, "a", Cancellation)).Value.Images);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task An_image_without_a_digest_is_read_when_it_is_asked_for_and_may_be_used_meanwhile(Engine engine)
    {
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, Cancellation);
        var pool = await portal.AddPoolAsync("a", new JsonObject { ["hosts"] = 2 }, Cancellation);
        await using var world = portal.WorldOf("a");
        Assert.All(await ImagesAsync(), image => Assert.Equal(("present", null, false), (image.State, image.Digest, image.BeingRead)));
        Assert.Equal("actor.may-not", (await portal.Calls.ReadDigestAsync(PoolsUnderTest.Nobody, "a", "tiny", Cancellation)).Refusal?.Code);
        Assert.Equal("image", Assert.Single((await portal.Calls.ReadDigestAsync(PoolsUnderTest.Admin, "a", "nothing", Cancellation)).Refusal!.Errors!).Field);
        await portal.AddPoolAsync("lacks", new JsonObject { ["hosts"] = 1, ["missingImages"] = new JsonArray(new JsonObject { ["image"] = "tiny" }) }, Cancellation);
        Assert.Equal("image.no-digest-missing", (await portal.Calls.ReadDigestAsync(PoolsUnderTest.Admin, "lacks", "tiny", Cancellation)).Refusal?.Code);

        var broken = new ScriptedFault(Deed.Fail) { Verb = WireVerb.ReadImage, Fault = FaultKind.Broken, Message = "The disk cannot be read." };
        await world.ScriptAsync(broken, Cancellation);
        await portal.Calls.ReadDigestAsync(PoolsUnderTest.Admin, "a", "tiny", Cancellation);
        await portal.Imports.RunAsync(Cancellation);
        await EventuallyAsync(async () => (await ImagesAsync()).All(image => !image.BeingRead));
        await portal.Sweep.CheckAsync(pool.Id, Cancellation);
        Assert.StartsWith("The disk cannot be read.", Assert.Single(await ImagesAsync(), image => image.Digest is null).Note);

        var script = await world.ScriptAsync(new ScriptedFault(Deed.Hang) { Verb = WireVerb.ReadImage }, Cancellation);
        await portal.Calls.ReadDigestAsync(PoolsUnderTest.Admin, "a", "tiny", Cancellation);
        using (var portalEnds = CancellationTokenSource.CreateLinkedTokenSource(Cancellation))
        {
            await portal.Imports.RunAsync(portalEnds.Token);
            await EventuallyAsync(async () => await world.HangingAsync(script, Cancellation) == 1);
            Assert.Null((await portal.Calls.ReadDigestAsync(PoolsUnderTest.Admin, "a", "tiny", Cancellation)).Refusal);
            await portalEnds.CancelAsync();
        }

        // Cut off, and looked at by the pool's own sweep: it is there, it may be used, and its reading is not forgotten.
        await portal.Sweep.CheckAsync(pool.Id, Cancellation);
        Assert.Equal(("present", null, null), Assert.Single(await ImagesAsync(), image => image.BeingRead) is var read ? (read.State, read.Digest, read.Note) : default);
        var lab = await portal.AddLabAsync(Cancellation);
        Assert.NotNull((await portal.Database.WriteAsync(session => new Placing().PlaceAsync(session, lab, lab.Machines[0], 1, [], PoolsUnderTest.Now), Cancellation)).Pool);

        // As after half a minute without a beat.
        await portal.Database.WriteAsync(session => session.ExecuteAsync("UPDATE image_presence SET read_at = 0 WHERE read_at IS NOT NULL"), Cancellation);
        await EventuallyAsync(async () =>
        {
            await portal.Imports.RunAsync(Cancellation);
            return (await ImagesAsync()).All(image => image is { BeingRead: false, Digest.Length: > 60, Note: null });
        });
        Assert.Single((await ImagesAsync()).Select(image => image.Digest).Distinct());
        Assert.Equal("image.no-digest-missing", (await portal.Calls.ReadDigestAsync(PoolsUnderTest.Admin, "a", "tiny", Cancellation)).Refusal?.Code);

        async Task<IReadOnlyList<ImagePresenceView>> ImagesAsync() => (await portal.Calls.FindAsync(PoolsUnderTest.Admin, "a", Cancellation)).Value.Images;
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Images_come_from_their_folders_alone_also_by_a_link(Engine engine)
    {
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, Cancellation);
        await portal.AddPoolAsync("a", new JsonObject { ["hosts"] = 1, ["missingImages"] = new JsonArray(new JsonObject { ["image"] = "tiny" }) }, Cancellation);
        File.CreateSymbolicLink(portal.Folder["link.img"], "/etc/hostname");
        Directory.CreateSymbolicLink(portal.Folder["folder"], "/etc");
        foreach (var file in new[] { "/etc/hostname", portal.Folder["../../etc/hostname"], portal.Folder["link.img"], portal.Folder["folder/hostname"], portal.Folder.Path + "-beside" })
        {
            var refusal = (await portal.Calls.ImportImageAsync(PoolsUnderTest.Admin, "a", "tiny", file, Cancellation)).Refusal!;
            Assert.Equal(("file", "file.elsewhere"), refusal.Errors!.Select(error => (error.Field, error.Code)).Single());
        }
    }

    [Fact]
    public async Task An_import_whose_file_no_node_has_fails_with_a_sentence()
    {
        await using var portal = await PoolsUnderTest.StartAsync(databases, Engine.Postgres, Cancellation);
        var pool = await portal.AddPoolAsync("a", new JsonObject { ["hosts"] = 1, ["missingImages"] = new JsonArray(new JsonObject { ["image"] = "tiny" }) }, Cancellation);
        var file = portal.Folder["tiny.img"];
        await File.WriteAllBytesAsync(file, new byte[1000], Cancellation);
        await portal.Calls.ImportImageAsync(PoolsUnderTest.Admin, "a", "tiny", file, Cancellation);
        File.Delete(file);
        var time = new FakeTimeProvider(TimeProvider.System.GetUtcNow());
        var imports = new ImportSweep(portal.Database, portal.Pools, new ImageFolders([portal.Folder.Path]), time, NullLogger<ImportSweep>.Instance);
        await imports.RunAsync(Cancellation);
        time.Advance(TimeSpan.FromMinutes(1));

        // Another node copies something else to the same host, and may have this file, too.
        await portal.Database.WriteAsync(session => ImagePresenceStore.AskImportAsync(session, pool.Id, "h1", "other", "1", file, 1, time.Now()), Cancellation);
        await imports.RunAsync(Cancellation);
        await portal.Database.WriteAsync(session => session.ExecuteAsync("DELETE FROM image_presence WHERE image = 'other'"), Cancellation);
        time.Advance(TimeSpan.FromMinutes(1.5));
        await imports.RunAsync(Cancellation);
        Assert.Equal("importing", Assert.Single((await portal.Calls.FindAsync(PoolsUnderTest.Admin, "a", Cancellation)).Value.Images).State);

        time.Advance(TimeSpan.FromMinutes(2));
        await imports.RunAsync(Cancellation);
        var failed = Assert.Single((await portal.Calls.FindAsync(PoolsUnderTest.Admin, "a", Cancellation)).Value.Images);
        Assert.Equal("failed", failed.State);
        Assert.Contains("No node of the portal has the file", failed.Note);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_copy_does_not_go_on_when_nobody_watches_it_any_more(Engine engine)
    {
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, Cancellation);
        await portal.AddPoolAsync("a", new JsonObject { ["hosts"] = 1, ["missingImages"] = new JsonArray(new JsonObject { ["image"] = "tiny" }) }, Cancellation);
        await using var world = portal.WorldOf("a");
        var file = portal.Folder["tiny.img"];
        await File.WriteAllBytesAsync(file, new byte[1000], Cancellation);
        var script = await world.ScriptAsync(new ScriptedFault(Deed.Hang) { Verb = WireVerb.ImportImage }, Cancellation);
        await portal.Calls.ImportImageAsync(PoolsUnderTest.Admin, "a", "tiny", file, Cancellation);
        var pass = portal.Imports.RunAsync(Cancellation);
        await EventuallyAsync(async () => await world.HangingAsync(script, Cancellation) == 1);

        // The next beat finds no table.
        await portal.Database.WriteAsync(session => session.ExecuteAsync("ALTER TABLE image_presence RENAME TO elsewhere"), Cancellation);
        await EventuallyAsync(async () => await world.HangingAsync(script, Cancellation) == 0);
        await pass;
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_pool_in_maintenance_keeps_its_open_provider_and_takes_nothing(Engine engine)
    {
        await using var portal = await PoolsUnderTest.StartAsync(databases, engine, Cancellation);
        var pool = await portal.AddPoolAsync("a", [], Cancellation);
        var before = await portal.Pools.OpenAsync(pool.Id, Cancellation);
        Assert.Equal("actor.may-not", (await portal.Calls.SetModeAsync(PoolsUnderTest.Nobody, "a", PoolMode.Maintenance, Cancellation)).Refusal?.Code);
        Assert.Equal("maintenance", (await portal.Calls.SetModeAsync(PoolsUnderTest.Admin, "a", PoolMode.Maintenance, Cancellation)).Value.State);
        var lab = await portal.AddLabAsync(Cancellation);
        var placed = await portal.Database.WriteAsync(session => new Placing().PlaceAsync(session, lab, lab.Machines[0], 1, [], PoolsUnderTest.Now), Cancellation);
        Assert.Equal((null, true), (placed.Pool, placed.CanWait));

        var after = await portal.Pools.OpenAsync(pool.Id, Cancellation);
        Assert.Same(before.Provider, after.Provider);
        await portal.Database.WriteAsync(session => PoolStore.SaveAsync(session, pool with { Settings = new JsonObject { ["hosts"] = 1 } }), Cancellation);
        Assert.NotSame(before.Provider, (await portal.Pools.OpenAsync(pool.Id, Cancellation)).Provider);
    }

    private static Task AddRunAsync(PoolsUnderTest portal, LabId lab, string state) => portal.Database.WriteAsync(
        session => session.ExecuteAsync("""
            INSERT INTO runs (id, lab_id, team_id, workflow, version, state, asked_by, created_at, due_at, since) VALUES (@Id, @lab, @Team, 'start', 1, @state, 'x', 0, 0, 0)
            """, new { Id = Guid.NewGuid(), lab, portal.Team, state }), Cancellation);

    private static async Task EventuallyAsync(Func<Task<bool>> holds)
    {
        for (var deadline = System.Diagnostics.Stopwatch.StartNew(); !await holds(); await Task.Delay(50, Cancellation))
            Assert.True(deadline.Elapsed < TimeSpan.FromMinutes(5), "It did not come true.");
    }
}
