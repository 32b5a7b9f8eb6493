using System.Collections.Concurrent;
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

/// <summary>
/// What the disks of a lab's machines take on their hosts, snapshots and all. No trouble of a pool is one of whoever asks, and however many ask, a pool
/// hears of one machine of a lab at a time: an answer is shared by all who ask within seconds.
/// </summary>
public sealed class LabDisks(Database database, OpenPools pools, TimeProvider time, ILogger<LabDisks> log)
{
    /// <summary>Somebody looks at a page: a host that does not answer by then says nothing.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan s_fresh = TimeSpan.FromSeconds(5);

    private readonly Dictionary<LabId, Reading> _readings = [];

    /// <summary>A line for each machine that is placed. Whoever sees the lab sees them.</summary>
    public async Task<Outcome<IReadOnlyList<DiskView>>> ReadAsync(Actor actor, LabId id, CancellationToken cancellation)
    {
        var (lab, snapshots, installation) = await database.ReadAsync(
            async session => (await LabStore.FindAsync(session, id), await SnapshotStore.ListAsync(session, id), await Installation.ReadAsync(session)), cancellation);
        if (lab is null || !May.Do(actor, Verb.SeeLab, lab.Owner, lab.Team)) return Refusal.NotFound("lab", id.ToString());
        var placed = lab.Machines.Where(machine => machine is { Pool: not null, State: not (MachineState.Pending or MachineState.Gone) }).ToList();
        var bytes = await BytesAsync(lab, placed, installation, cancellation);
        var held = snapshots.SelectMany(snapshot => snapshot.Items).Where(item => item.State != SnapshotItemState.Gone).ToLookup(item => (item.Machine, item.Generation), item => item.RoomGiB);
        return new List<DiskView>(placed.Select(machine => new DiskView(
            machine.Name, bytes.TryGetValue((machine.Id, machine.Generation), out var taken) ? taken : null, machine.DiskGiB, held[(machine.Id, machine.Generation)].Sum())));
    }

    /// <summary>What is known when all were read, or patience ends. Whoever goes ends their waiting only: a call that is cancelled costs its host a process.</summary>
    private async Task<ConcurrentDictionary<(MachineId, int), long>> BytesAsync(Lab lab, IReadOnlyList<Machine> placed, InstallationId installation, CancellationToken cancellation)
    {
        using var limit = new CancellationTokenSource(s_patience, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellation);
        while (true)
        {
            var reading = Share(lab, placed, installation);
            try
            {
                await reading.Ended.WaitAsync(both.Token);
            }
            catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
            {
                return reading.Bytes;
            }

            // One that began before the lab became what it is now had to end first.
            if (reading.Version >= lab.Version) return reading.Bytes;
        }
    }

    private Reading Share(Lab lab, IReadOnlyList<Machine> placed, InstallationId installation)
    {
        lock (_readings)
        {
            foreach (var (id, old) in _readings)
            {
                if (old.Ended.IsCompleted && time.GetElapsedTime(old.EndedAt) >= s_fresh) _readings.Remove(id);
            }

            if (_readings.TryGetValue(lab.Id, out var reading) && (!reading.Ended.IsCompleted || reading.Version >= lab.Version)) return reading;
            reading = new Reading(lab.Version);
            reading.Ended = Task.Run(() => ReadAsync(placed, installation, reading), CancellationToken.None);
            return _readings[lab.Id] = reading;
        }
    }

    private async Task ReadAsync(IReadOnlyList<Machine> placed, InstallationId installation, Reading reading)
    {
        await Task.WhenAll(placed.GroupBy(machine => machine.Pool!.Value).Select(async machines =>
        {
            foreach (var machine in machines)
            {
                try
                {
                    if ((await pools.OpenAsync(machine.Pool!.Value, CancellationToken.None)).Provider is ISnapshotAbility snapshots
                        && await snapshots.ReadDiskBytesAsync(new ResourceRef(machine.OwnerIn(installation), machine.Host), CancellationToken.None) is { } taken)
                        reading.Bytes[(machine.Id, machine.Generation)] = taken;
                }
                catch (Exception fault)
                {
                    log.LogWarning(fault, "What the disk of {Machine} in lab {Lab} takes on its host could not be read.", machine.Name, machine.Lab);
                }
            }
        }));
        reading.EndedAt = time.GetTimestamp();
    }

    private sealed class Reading(long version)
    {
        public long Version { get; } = version;

        public ConcurrentDictionary<(MachineId, int), long> Bytes { get; } = [];

        public Task Ended { get; set; } = Task.CompletedTask;

        /// <summary>Of one that has ended.</summary>
        public long EndedAt { get; set; }
    }
}
