using LabPortal.Data;
using LabPortal.Data.Pools;
using LabPortal.Domain;
using LabPortal.Domain.Pools;

namespace LabPortal.Operations.Pools;

/// <summary>What is left to be held of hosts' disks, by placement's own measure; read under the lock of their pools, it stays true until the lock is given back.</summary>
internal sealed class HostDisks
{
    private readonly Dictionary<(PoolId, string), HostCapacity> _hosts;
    private readonly Dictionary<(PoolId, string), long> _held;
    private readonly IReadOnlyDictionary<(PoolId Pool, string Host), long> _largest;

    private HostDisks(Dictionary<(PoolId, string), HostCapacity> hosts, Dictionary<(PoolId, string), long> held, IReadOnlyDictionary<(PoolId Pool, string Host), long> largest)
        => (_hosts, _held, _largest) = (hosts, held, largest);

    public static async Task<HostDisks> ReadAsync(Session session) => new(
        (await PoolStore.ListHostsAsync(session)).SelectMany(pool => pool.Select(host => (Place: (pool.Key, host.Host), Host: host))).ToDictionary(each => each.Place, each => each.Host),
        (await CapacityStore.ListHeldAsync(session)).ToDictionary(held => (held.Pool, held.Host), held => held.DiskGiB),
        await PoolStore.ListLargestDisksAsync(session));

    /// <summary>How many GiB the host lacks for so many more. A pool without hosts says itself when it is full; what a host in trouble says of its size is not believed.</summary>
    public long MissingOn(PoolId pool, string host, long asked)
    {
        if (!_hosts.TryGetValue((pool, host), out var capacity)) return 0;
        var limit = capacity.Problem is null ? capacity.DiskGiB : _largest.GetValueOrDefault((pool, host));
        var free = Placement.DiskFree(limit, _held.GetValueOrDefault((pool, host)), capacity.Problem is null ? capacity.DiskFreeGiB : long.MaxValue);
        return Math.Max(0, asked - free);
    }

    public void Hold(PoolId pool, string host, long room) => _held[(pool, host)] = _held.GetValueOrDefault((pool, host)) + room;
}
