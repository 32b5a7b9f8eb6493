using LabPortal.Data;
using LabPortal.Data.Blueprints;
using LabPortal.Data.Images;
using LabPortal.Data.Pools;
using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Costs;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using NodaTime;

namespace LabPortal.Operations.Pools;

/// <summary>Chooses pool and host for a machine and holds the capacity, under the pool's lock.</summary>
public sealed class Placing
{
    /// <summary>
    /// Places this machine in generation <paramref name="generation"/> and writes the capacity hold and the explanation. Calling it again
    /// for the same generation gives the same answer. <paramref name="full"/> names the pool/host pairs that answered <i>no capacity</i>
    /// in earlier generations of this run (an empty host stands for the whole pool). Where it finds no place it writes nothing.
    /// </summary>
    public async Task<Placed> PlaceAsync(Session session, Lab lab, Machine machine, int generation, IReadOnlyList<(PoolId Pool, string? Host)> full, Instant now)
    {
        if (await CapacityStore.FindPlacementAsync(session, machine.Id, generation) is { } before) return new Placed(before.Pool, before.Host, null, CanWait: false, before.Why);

        var need = new MachineNeed(machine.Image, machine.ImageVersion, machine.Cpu, machine.MemoryMiB, machine.DiskGiB);
        var kinds = await KindsOfAsync(session, need);
        var rules = (await BlueprintStore.FindAsync(session, lab.Blueprint, lab.BlueprintVersion))?.Placement ?? new PlacementRules([], []);

        // Only pools that could take it are locked; they are read after that, so that what is seen free stays free.
        await CapacityStore.LockPoolsAsync(session, (await PoolStore.ListAsync(session))
            .Where(pool => kinds.Contains(pool.Provider) && (lab.AskedPool ?? pool.Name) == pool.Name).Select(pool => pool.Id));
        var together = await CapacityStore.PoolOfLabAsync(session, lab.Id, machine.Id);
        var question = new PlacementQuestion(need, kinds, rules, lab.AskedPool, full, together, await PoolStore.ListLargestDisksAsync(session));
        var decision = Placement.Decide(question, await PoolsNowAsync(session, need, await CapacityStore.ListHeldAsync(session)));
        if (decision.Chosen is not { } chosen)
        {
            var whyNot = new Reason(decision.CanWait ? "placement.wait" : "placement.nowhere", ("machine", machine.Name), ("why", decision.Why));
            return new Placed(null, null, whyNot, decision.CanWait, decision.Why);
        }

        await CapacityStore.HoldAsync(session, machine.Id, generation, new StoredPlacement(chosen.Pool.Id, chosen.Host, decision.Why), machine.Cpu, machine.MemoryMiB, machine.DiskGiB, now);
        return new Placed(chosen.Pool.Id, chosen.Host, null, CanWait: false, decision.Why);
    }

    /// <summary>Ends the capacity hold of this generation.</summary>
    public static Task ReleaseAsync(Session session, MachineId machine, int generation, Instant now) => CapacityStore.ReleaseAsync(session, machine, generation, now);

    /// <summary>
    /// The same decision for all machines of a lab that is not there yet, without writing or locking: every pool, whether it would be
    /// chosen (several may be), and why or why not.
    /// </summary>
    public async Task<IReadOnlyList<PoolConsidered>> ConsiderAsync(Session session, PlacementRules rules, IReadOnlyList<MachineNeed> machines, string? askedPool, Instant now)
    {
        var held = (await CapacityStore.ListHeldAsync(session)).ToList();
        var chosen = new Dictionary<PoolId, List<MachineNeed>>();
        var explained = new Dictionary<string, string>();
        PoolId? together = null;
        foreach (var need in machines)
        {
            var decision = Placement.Decide(
                new PlacementQuestion(need, await KindsOfAsync(session, need), rules, askedPool, [], together), await PoolsNowAsync(session, need, held));

            // A pool is explained by the first machine that it does not take.
            foreach (var pool in decision.Verdicts.Select(verdict => verdict.Pool).DistinctBy(pool => pool.Id))
            {
                if (!explained.ContainsKey(pool.Name) || !decision.Verdicts.Any(verdict => verdict.Fits && verdict.Pool.Id == pool.Id))
                    explained[pool.Name] = PlacementText.OfPool(decision, pool.Name);
            }

            if (decision.Chosen is not { } place) continue;
            together ??= place.Pool.Id;
            if (!chosen.TryGetValue(place.Pool.Id, out var there)) chosen[place.Pool.Id] = there = [];
            there.Add(need);
            held.Add(new Held(place.Pool.Id, place.Host ?? "", need.Cpu, need.MemoryMiB, need.DiskGiB, 1));
        }

        var building = await BuildStore.BuildingAsync(session);
        var considered = new List<PoolConsidered>();
        foreach (var pool in await PoolStore.ListAsync(session))
        {
            if (!explained.TryGetValue(pool.Name, out var why)) continue;
            var there = chosen.GetValueOrDefault(pool.Id) ?? machines;
            considered.Add(new PoolConsidered(pool.Id, pool.Name, chosen.ContainsKey(pool.Id), why,
                await ReadyByAsync(session, pool, there, building.GetValueOrDefault(pool.Id), now), PricePerHour(pool, there)));
        }

        return considered;
    }

    /// <summary>The machines (by their place in the list) that no pool could ever take as the catalogue is now, each with why; those that only have to wait are not among them.</summary>
    public async Task<IReadOnlyList<(int Machine, string Why)>> NowhereAsync(Session session, PlacementRules rules, IReadOnlyList<MachineNeed> machines, string? askedPool)
    {
        var nowhere = new List<(int, string)>();
        for (var i = 0; i < machines.Count; i++)
        {
            var question = new PlacementQuestion(machines[i], await KindsOfAsync(session, machines[i]), rules, askedPool, [], null);
            var decision = Placement.Decide(question, await PoolsNowAsync(session, machines[i], []));
            if (decision.Chosen is null && !decision.CanWait) nowhere.Add((i, decision.Why));
        }

        return nowhere;
    }

    /// <summary>
    /// What each of these groups of machines would cost per hour where it would be placed now; nothing where it has no place, no price, or several
    /// currencies. Each table is read once, however many groups there are.
    /// </summary>
    internal static async Task<IReadOnlyList<Money?>> PricesAsync(Session session, IReadOnlyList<(PlacementRules Rules, IReadOnlyList<MachineNeed> Machines)> groups)
    {
        var pools = await PoolStore.ListAsync(session);
        if (pools.All(pool => pool.Prices is null)) return [.. groups.Select(_ => default(Money?))];
        var hosts = await PoolStore.ListHostsAsync(session);
        var held = await CapacityStore.ListHeldAsync(session);
        var presence = (await ImagePresenceStore.ListAsync(session)).ToLookup(row => (row.Image, row.Version));
        var kinds = (await ImageStore.ListAsync(session)).ToDictionary(image => (image.Name, image.Version), image => image.Bindings.Keys.ToHashSet());
        return [.. groups.Select(group => PriceOf(group.Rules, group.Machines))];

        Money? PriceOf(PlacementRules rules, IReadOnlyList<MachineNeed> machines)
        {
            var taken = held.ToList();
            var prices = new List<Money>();
            PoolId? together = null;
            foreach (var need in machines)
            {
                var question = new PlacementQuestion(need, kinds.GetValueOrDefault((need.Image, need.ImageVersion)) ?? [], rules, null, [], together);
                if (Placement.Decide(question, PoolsNow(pools, hosts, presence[(need.Image, need.ImageVersion)], taken)).Chosen is not { } place || PricePerHour(place.Pool, [need]) is not { } price) return null;
                together ??= place.Pool.Id;
                prices.Add(price);
                taken.Add(new Held(place.Pool.Id, place.Host ?? "", need.Cpu, need.MemoryMiB, need.DiskGiB, 1));
            }

            return prices.Select(price => price.Currency).Distinct().Count() == 1 ? new Money(prices.Sum(price => price.Millionths), prices[0].Currency) : null;
        }
    }

    /// <summary>The slowest image's median, once for each round of boots that the machines ahead and these need.</summary>
    private static async Task<Instant?> ReadyByAsync(Session session, Pool pool, IReadOnlyList<MachineNeed> machines, int ahead, Instant now)
    {
        var slowest = Duration.Zero;
        foreach (var image in machines.Select(machine => machine.Image).Distinct())
        {
            if (await BuildStore.MedianAsync(session, pool.Id, image) is not { } median) return null;
            slowest = Duration.Max(slowest, median);
        }

        var rounds = Math.Max(1, Math.Ceiling((ahead + machines.Count) / (double)Math.Max(1, pool.Limits.BootsAtOnce)));
        return now + (slowest * rounds);
    }

    private static Money? PricePerHour(Pool pool, IReadOnlyList<MachineNeed> machines) => pool.Prices is not { } prices ? null
        : new Money(machines.Sum(machine => prices.Hour(machine.Cpu, machine.MemoryMiB, machine.DiskGiB, running: true).Millionths), prices.Currency);

    private static async Task<IReadOnlyCollection<string>> KindsOfAsync(Session session, MachineNeed need)
        => (await ImageStore.FindAsync(session, need.Image, need.ImageVersion))?.Bindings.Keys.ToHashSet() ?? [];

    private static async Task<IReadOnlyList<PoolNow>> PoolsNowAsync(Session session, MachineNeed need, IReadOnlyList<Held> held)
        => PoolsNow(await PoolStore.ListAsync(session), await PoolStore.ListHostsAsync(session), await ImagePresenceStore.OfImageAsync(session, need.Image, need.ImageVersion), held);

    private static IReadOnlyList<PoolNow> PoolsNow(IReadOnlyList<Pool> pools, ILookup<PoolId, HostCapacity> hosts, IEnumerable<PresenceRow> ofImage, IEnumerable<Held> held)
    {
        var presence = ofImage.ToDictionary(
            row => (row.Pool, row.Host),
            row => new ImageNow(row.State == PresenceState.Present, row.State == PresenceState.Importing, row.Note));
        var holds = held.ToLookup(hold => (hold.Pool, hold.Host));
        return [.. pools.Select(pool => new PoolNow(
            pool,
            [.. hosts[pool.Id].Select(host => new HostNow(
                host,
                holds[(pool.Id, host.Host)].Sum(hold => hold.Cpu),
                holds[(pool.Id, host.Host)].Sum(hold => hold.MemoryMiB),
                holds[(pool.Id, host.Host)].Sum(hold => hold.DiskGiB),
                presence.GetValueOrDefault((pool.Id, host.Host))))],
            presence.GetValueOrDefault((pool.Id, ""))))];
    }
}

/// <summary>
/// Where a machine goes, or why nowhere. <paramref name="CanWait"/>: something that fits is only busy or sick now, so waiting may help;
/// otherwise no pool could ever take it.
/// </summary>
public sealed record Placed(PoolId? Pool, string? Host, Reason? WhyNot, bool CanWait, string Why);

/// <summary>
/// A pool that was considered for a whole lab. <paramref name="ReadyBy"/> is empty before there is history; the price is that of the machines
/// that would go there (of all, where it is not chosen), empty where the pool has none.
/// </summary>
public sealed record PoolConsidered(PoolId Pool, string Name, bool Chosen, string Why, Instant? ReadyBy, Money? PricePerHour);
