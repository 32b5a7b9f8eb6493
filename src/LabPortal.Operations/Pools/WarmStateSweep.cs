using LabPortal.Data;
using LabPortal.Data.Images;
using LabPortal.Data.Pools;
using LabPortal.Domain;
using LabPortal.Domain.Images;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Sweeps;
using Microsoft.Extensions.Logging;
using NodaTime;

namespace LabPortal.Operations.Pools;

/// <summary>
/// Keeps each pool's warm states: those that machines of living labs ask for, and of labs that ended within the last week; the rest is removed. So the first
/// lab of a shape starts cold and has its state made behind it, and the state goes with the last one, with its image's version, or where the pool's settings
/// keep none. Nothing about states is written down here: what is needed follows from the machines, what is there the provider says.
/// </summary>
public sealed class WarmStateSweep
{
    public const string Name = "warm-states";

    private static readonly Duration s_interval = Duration.FromMinutes(1);
    private static readonly Duration s_kept = Duration.FromDays(7);

    private readonly Database _database;
    private readonly OpenPools _pools;
    private readonly PortalIdentity _portal;
    private readonly TimeProvider _time;
    private readonly ILogger<WarmStateSweep> _log;
    private readonly PoolByPool _poolByPool;

    public WarmStateSweep(Database database, OpenPools pools, PortalIdentity portal, TimeProvider time, ILogger<WarmStateSweep> log)
    {
        (_database, _pools, _portal, _time, _log) = (database, pools, portal, time, log);
        _poolByPool = new PoolByPool(Name, database, time, log, s_interval, LookAsync);
    }

    /// <summary>One pass over the pools that are due.</summary>
    public Task RunAsync(CancellationToken cancellation) => _poolByPool.RunAsync(cancellation);

    /// <summary>Brings this pool's warm states to what its machines need now. Lasts as long as the guests boot that become one.</summary>
    public async Task LookAsync(PoolId id, CancellationToken cancellation)
    {
        var open = await _pools.OpenAsync(id, cancellation);
        if (open.Provider is not IWarmStartAbility warm) return;
        var wanted = await _database.ReadAsync(
            async session =>
            {
                var specs = new List<MachineSpec>();
                foreach (var shape in await WarmStore.ShapesAsync(session, id, _time.Now() - s_kept))
                {
                    if (await ImageStore.FindAsync(session, shape.Image, shape.ImageVersion) is { Warm: true } image && image.Bindings.TryGetValue(open.Pool.Provider, out var binding))
                        specs.Add(SpecOf(shape, image, binding));
                }

                return specs;
            },
            cancellation);
        foreach (var problem in await warm.KeepWarmStatesAsync(wanted, cancellation))
            _log.LogWarning("Host {Host} of pool {Pool} has no warm state of image {Image}: {Why}", problem.Host, open.Pool.Name, problem.Image, problem.Why);
    }

    /// <summary>Any machine of this shape: a warm state knows nothing of whose it will be.</summary>
    private MachineSpec SpecOf(WarmShape shape, Image image, IReadOnlyDictionary<string, string> binding) => new(
        new Owner(_portal.Installation, default, default(MachineId), 0), shape.Host, "warm", "warm", new ImageBinding(image.Name, image.Version, binding),
        shape.Cpu, shape.MemoryMib, 1, new GuestSeed(image.User, [], null, new Dictionary<string, object>()))
    {
        WarmStart = true,
    };
}
