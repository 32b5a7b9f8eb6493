using LabPortal.Data;
using LabPortal.Data.Labs;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.People;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Machines;
using LabPortal.Operations.Pools;
using Microsoft.Extensions.Logging;

namespace LabPortal.Operations.Labs;

/// <summary>What the disks of a lab's machines take on their hosts, snapshots and all. Pools are asked at this moment; no trouble of theirs is one of whoever asks.</summary>
public sealed class LabDisks(Database database, OpenPools pools, TimeProvider time, ILogger<LabDisks> log)
{
    /// <summary>Somebody looks at a page: a host that does not answer by then says nothing.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(5);

    /// <summary>A line for each machine that is placed. Whoever sees the lab sees them.</summary>
    public async Task<Outcome<IReadOnlyList<DiskView>>> ReadAsync(Actor actor, LabId id, CancellationToken cancellation)
    {
        var (lab, snapshots, installation) = await database.ReadAsync(
            async session => (await LabStore.FindAsync(session, id), await SnapshotStore.ListAsync(session, id), await Installation.ReadAsync(session)), cancellation);
        if (lab is null || !May.Do(actor, Verb.SeeLab, lab.Owner, lab.Team)) return Refusal.NotFound("lab", id.ToString());
        var placed = lab.Machines.Where(machine => machine is { Pool: not null, State: not (MachineState.Pending or MachineState.Gone) }).ToList();
        using var limit = new CancellationTokenSource(s_patience, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellation);
        var bytes = await Task.WhenAll(placed.Select(machine => ReadAsync(machine)));
        var held = snapshots.SelectMany(snapshot => snapshot.Items).Where(item => item.State != SnapshotItemState.Gone).ToLookup(item => (item.Machine, item.Generation), item => item.RoomGiB);
        return new List<DiskView>(placed.Zip(bytes, (machine, taken) => new DiskView(machine.Name, taken, machine.DiskGiB, held[(machine.Id, machine.Generation)].Sum())));

        async Task<long?> ReadAsync(Machine machine)
        {
            try
            {
                return (await pools.OpenAsync(machine.Pool!.Value, both.Token)).Provider is ISnapshotAbility snapshots
                    ? await snapshots.ReadDiskBytesAsync(new ResourceRef(machine.OwnerIn(installation), machine.Host), both.Token)
                    : null;
            }
            catch (Exception fault) when (!cancellation.IsCancellationRequested)
            {
                log.LogWarning(fault, "What the disk of {Machine} in lab {Lab} takes on its host could not be read.", machine.Name, id);
                return null;
            }
        }
    }
}
