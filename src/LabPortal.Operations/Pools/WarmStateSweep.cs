using LabPortal.Data;
using LabPortal.Data.Images;
using LabPortal.Data.Pools;
using LabPortal.Domain;
using LabPortal.Domain.Images;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Sweeps;
using Microsoft.Extensions.Logging;
using NodaTime;

namespace LabPortal.Operations.Pools;

/// <summary>
/// Keeps each pool's warm states: those that machines of living labs ask for, and of labs that ended within the last week; the rest is removed. So the first
/// lab of a shape starts cold and has its state made behind it, and the state goes with the last one, with its image's version, or where the pool's settings
/// keep none. What is needed follows from the machines, what is there the provider says; written down is only the room that they hold.
/// </summary>
public sealed class WarmStateSweep(Database database, OpenPools pools, PortalIdentity portal, TimeProvider time, ILogger<WarmStateSweep> log) : PoolByPool(Name, database, pools, time, log)
{
    public const string Name = "warm-states";

    private static readonly Duration s_kept = Duration.FromDays(7);

    /// <summary>Brings this pool's warm states to what its machines need now. Lasts as long as the guests boot that become one.</summary>
    public override async Task LookAsync(PoolId id, CancellationToken cancellation)
    {
        var open = await Pools.OpenAsync(id, cancellation);
        if (open.Provider is not IWarmStartAbility warm) return;
        var (wanted, leaving) = await Database.WriteAsync(session => HoldAsync(session, open.Pool, warm.WarmStatesAHost), cancellation);
        foreach (var problem in await warm.KeepWarmStatesAsync(wanted, cancellation))
            Log.LogWarning("Host {Host} of pool {Pool} has no warm state of image {Image}: {Why}", problem.Host, open.Pool.Name, problem.Image, problem.Why);
        await Database.WriteAsync(session => WarmStore.ReleaseAsync(session, id, leaving), cancellation);
    }

    /// <summary>
    /// Which states are to be there, each with its room on its host's disk (its memory, and what its guest wrote), held under the lock that placement takes; one for which there is no room is
    /// not made. Those that are to go hold theirs until they are gone.
    /// </summary>
    private async Task<(IReadOnlyList<MachineSpec> Wanted, IReadOnlyList<WarmShape> Leaving)> HoldAsync(Session session, Pool pool, int most)
    {
        await CapacityStore.LockPoolsAsync(session, [pool.Id]);
        var held = await WarmStore.HeldAsync(session, pool.Id);
        var hosts = await HostDisks.ReadAsync(session);
        var (wanted, kept) = (new List<MachineSpec>(), new List<WarmShape>());
        foreach (var shape in await WarmStore.ShapesAsync(session, pool.Id, Time.Now() - s_kept))
        {
            if (kept.Count(other => other.Host == shape.Host) >= most) continue;
            if (await ImageStore.FindAsync(session, shape.Image, shape.ImageVersion) is not { Warm: true } image || !image.Bindings.TryGetValue(pool.Provider, out var binding)) continue;
            if (!held.Contains(shape))
            {
                var room = Snapshot.InGiB(shape.MemoryMib + IWarmStartAbility.MostDiskMib);
                if (hosts.MissingOn(pool.Id, shape.Host, room) > 0)
                {
                    Log.LogWarning("Host {Host} of pool {Pool} has no room for a warm state of image {Image}.", shape.Host, pool.Name, shape.Image);
                    continue;
                }

                await WarmStore.HoldAsync(session, pool.Id, shape, room);
                hosts.Hold(pool.Id, shape.Host, room);
            }

            kept.Add(shape);
            wanted.Add(SpecOf(shape, image, binding));
        }

        return (wanted, [.. held.Except(kept)]);
    }

    /// <summary>Any machine of this shape: a warm state knows nothing of whose it will be.</summary>
    private MachineSpec SpecOf(WarmShape shape, Image image, IReadOnlyDictionary<string, string> binding) => new(
        new Owner(portal.Installation, default, default(MachineId), 0), shape.Host, "warm", "warm", new ImageBinding(image.Name, image.Version, binding),
        shape.Cpu, shape.MemoryMib, 1, new GuestSeed(image.User, [], null, new Dictionary<string, object>()))
    {
        WarmStart = true,
    };
}
