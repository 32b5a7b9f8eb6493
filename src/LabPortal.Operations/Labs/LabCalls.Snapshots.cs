using LabPortal.Data;
using LabPortal.Data.Labs;
using LabPortal.Data.Pools;
using LabPortal.Data.Quotas;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.People;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Quotas;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Pools;
using NodaTime;

namespace LabPortal.Operations.Labs;

/// <summary>Snapshots of a lab: each a verb on it, by the one table of its life.</summary>
public sealed partial class LabCalls
{
    /// <summary>The newest first. Whoever sees the lab sees them.</summary>
    public Task<Outcome<IReadOnlyList<SnapshotView>>> SnapshotsAsync(Actor actor, LabId id, CancellationToken cancellation) => database.ReadAsync<Outcome<IReadOnlyList<SnapshotView>>>(
        async session =>
        {
            var seen = await SeeAsync(session, actor, id);
            if (seen.Refusal is { } no) return no;
            return new List<SnapshotView>((await SnapshotStore.ListAsync(session, id)).Select(snapshot => SnapshotView.Of(snapshot, seen.Value)));
        },
        cancellation);

    /// <summary>Takes one of all machines, running or stopped as they are. Its row, its quota and its run are made in one transaction.</summary>
    public async Task<Outcome<LabView>> SnapshotAsync(Actor actor, LabId id, string name, CancellationToken cancellation)
    {
        var cannot = await WhichCannotAsync(id, cancellation);
        return await VerbAsync(actor, id, LabVerb.Snapshot, async (session, lab, _, draft, now) =>
        {
            draft.Detail["snapshot"] = Short(name);
            if (cannot is not null) return Refusal.Conflict("snapshot.pool-cannot", ("pool", cannot));
            var errors = new List<FieldError>();
            if (Snapshot.CheckName(name) is { } form) errors.Add(form);
            else if ((await SnapshotStore.ListAsync(session, id)).Any(snapshot => snapshot.Name == name)) errors.Add(new("name", "snapshot.name-taken", [("name", name)]));
            var full = Offers.RefuseSnapshot(lab, await QuotaHoldStore.LockAsync(session, lab.Team, now), now);
            // Everything at once: also what would come up next.
            if (errors.Count > 0) return Refusal.Invalid([.. errors, .. full?.Errors ?? []]);
            if (full is not null) return full;

            var planned = PlannedSnapshot(lab, name, actor.Name, now);
            if (await WhyNoRoomAsync(session, lab, planned) is { } noRoom) return noRoom;
            await SnapshotStore.InsertAsync(session, planned);
            await QuotaHoldStore.AddOneAsync(session, lab, Dimension.Snapshots, now, lab.Lease.HoldUntil(now));
            await BeginAsync(session, lab, WorkflowNames.Snapshot, planned.Id, actor, now);
            return new Done();
        }, cancellation);
    }

    /// <summary>All machines become what they were; what was written since is lost. It cannot be cancelled: a half-done one is stuck until it is whole.</summary>
    public Task<Outcome<LabView>> RevertAsync(Actor actor, LabId id, string name, CancellationToken cancellation) => VerbAsync(actor, id, LabVerb.Revert, async (session, lab, _, draft, now) =>
    {
        draft.Detail["snapshot"] = Short(name);
        var all = await SnapshotStore.ListAsync(session, id);
        if (all.FirstOrDefault(snapshot => snapshot.Name == name) is not { } found)
            return Refusal.Invalid("name", "snapshot.unknown", ("name", Short(name)), ("known", all.Count == 0 ? "-" : string.Join(", ", all.Select(snapshot => snapshot.Name))));
        if (found.State != SnapshotState.Taken) return Refusal.Conflict("snapshot.not-whole", ("name", name));
        if (!SnapshotView.Of(found, lab).Usable) return Refusal.Conflict("snapshot.other-generation", ("name", name));
        await BeginAsync(session, lab, WorkflowNames.Revert, found.Id, actor, now);
        return new Done();
    }, cancellation);

    /// <summary>Its quota is free once every machine's part is gone.</summary>
    public Task<Outcome<LabView>> DeleteSnapshotAsync(Actor actor, LabId id, string name, CancellationToken cancellation) => VerbAsync(actor, id, LabVerb.DeleteSnapshot, async (session, lab, _, draft, now) =>
    {
        draft.Detail["snapshot"] = Short(name);
        if ((await SnapshotStore.ListAsync(session, id)).FirstOrDefault(snapshot => snapshot.Name == name) is not { } found) return Refusal.NotFound("snapshot", Short(name));
        await SnapshotStore.SetStateAsync(session, found.Id, SnapshotState.Deleting);
        await BeginAsync(session, lab, WorkflowNames.DeleteSnapshot, found.Id, actor, now);
        return new Done();
    }, cancellation);

    private Snapshot PlannedSnapshot(Lab lab, string name, string by, Instant now) => new()
    {
        Id = new SnapshotId(Ids.New(time)),
        Lab = lab.Id,
        Name = name,
        State = SnapshotState.Taking,
        AskedBy = by,
        AskedAt = now,
        Items = [.. lab.Machines.Select(machine => new SnapshotItem(machine.Id, machine.Generation, SnapshotItemState.Taking, null, false, null)
        {
            RoomGiB = Snapshot.RoomOf(machine.DiskGiB, machine.MemoryMiB, runs: machine.State != MachineState.Stopped),
        })],
    };

    /// <summary>Under the lock that placement takes, so that what is free stays free until the snapshot's rows hold it.</summary>
    private static async Task<Refusal?> WhyNoRoomAsync(Session session, Lab lab, Snapshot planned)
    {
        await CapacityStore.LockPoolsAsync(session, lab.Machines.Select(machine => machine.Pool).OfType<PoolId>());
        var disks = await HostDisks.ReadAsync(session);
        foreach (var host in lab.Machines.Zip(planned.Items).Where(pair => pair.First.Pool is not null).GroupBy(pair => (Pool: pair.First.Pool!.Value, Host: pair.First.Host ?? "")))
        {
            var asked = host.Sum(pair => pair.Second.RoomGiB);
            if (disks.MissingOn(host.Key.Pool, host.Key.Host, asked) is > 0 and var missing)
                return Refusal.Conflict("snapshot.no-room", ("host", host.Key.Host), ("asked", new Amount(Dimension.DiskGiB, asked)), ("missing", new Amount(Dimension.DiskGiB, missing)));
        }

        return null;
    }

    private Task<Run> BeginAsync(Session session, Lab lab, string workflow, SnapshotId snapshot, Actor actor, Instant now)
        => runs.BeginAsync(session, lab, workflow, new Dictionary<string, string> { [RunArguments.Snapshot] = snapshot.ToString() }, actor.Name, now);

    /// <summary>A pool of the lab's that cannot take snapshots, by name. One that cannot even be opened says so when the run comes to it.</summary>
    private async Task<string?> WhichCannotAsync(LabId id, CancellationToken cancellation)
    {
        var lab = await database.ReadAsync(session => LabStore.FindAsync(session, id), cancellation);
        foreach (var pool in lab?.Machines.Select(machine => machine.Pool).OfType<PoolId>().Distinct() ?? [])
        {
            try
            {
                var open = await pools.OpenAsync(pool, cancellation);
                if (open.Provider is not ISnapshotAbility) return open.Pool.Name;
            }
            catch (ProviderFault)
            {
                continue;
            }
        }

        return null;
    }
}
