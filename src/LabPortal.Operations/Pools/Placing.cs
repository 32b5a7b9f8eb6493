using LabPortal.Data;
using LabPortal.Data.Blueprints;
using LabPortal.Data.Images;
using LabPortal.Data.Labs;
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
    private const int FirstGeneration = 1;
    private const string OnOneHost = " The lab's networks keep its machines on one host.";

    /// <summary>
    /// Places this machine in generation <paramref name="generation"/> and writes the capacity hold and the explanation. Calling it again
    /// for the same generation gives the same answer. <paramref name="full"/> names the pool/host pairs that answered <i>no capacity</i>
    /// in earlier generations of this run (an empty host stands for the whole pool). A <paramref name="trial"/> also goes to a pool in maintenance. Where it finds no place it writes nothing.
    /// </summary>
    public async Task<Placed> PlaceAsync(Session session, Lab lab, Machine machine, int generation, IReadOnlyList<(PoolId Pool, string? Host)> full, Instant now, bool trial = false)
    {
        if (await CapacityStore.FindPlacementAsync(session, machine.Id, generation) is { } before) return new Placed(before.Pool, before.Host, null, CanWait: false, before.Why);

        var need = await NeedOfAsync(session, machine);
        var ground = await StandAsync(session, lab, [need]);
        var together = await CapacityStore.PoolOfLabAsync(session, lab.Id, machine.Id);
        var question = new PlacementQuestion(need, ground.Kinds[0], ground.Rules, lab.AskedPool, full, together, ground.LargestDisks, trial);
        var pools = await PoolsNowAsync(session, need, ground.Held, ground.Rules);
        var bound = lab.Networks.Count > 0 ? await CapacityStore.PlaceOfLabAsync(session, lab.Id) : null;
        if (bound is not null) pools = Placement.Without(pools, (pool, host) => (pool, host) != (bound.Pool, bound.Host));
        var decision = Placement.Decide(question, pools);
        if (decision.Chosen is not { } chosen) return Nowhere(machine, decision, onOneHost: bound is not null);
        await HoldAsync(session, machine, generation, new StoredPlacement(chosen.Pool.Id, chosen.Host, decision.Why), now);
        return new Placed(chosen.Pool.Id, chosen.Host, null, CanWait: false, decision.Why);
    }

    /// <summary>
    /// Places all machines of a lab on one host, each in its first generation: <see cref="PlaceAsync"/> finds them there. Calling it again gives the same
    /// answer. Where no host has room for all of them it writes nothing.
    /// </summary>
    public async Task<Placed> PlaceTogetherAsync(Session session, Lab lab, Instant now)
    {
        if (await CapacityStore.PlaceOfLabAsync(session, lab.Id) is { } before) return new Placed(before.Pool, before.Host, null, CanWait: false, before.Why);

        var each = new List<MachineNeed>();
        foreach (var machine in lab.Machines) each.Add(await NeedOfAsync(session, machine));
        var needs = Together(each);
        var ground = await StandAsync(session, lab, needs);
        var asked = new List<(PlacementQuestion, IReadOnlyList<PoolNow>)>();
        foreach (var (need, kinds) in needs.Zip(ground.Kinds))
            asked.Add((new PlacementQuestion(need, kinds, ground.Rules, lab.AskedPool, [], null, ground.LargestDisks), await PoolsNowAsync(session, need, ground.Held, ground.Rules)));
        var decision = Placement.DecideTogether(asked);
        if (decision.Chosen is not { } chosen) return Nowhere(lab.Machines[0], decision, onOneHost: true);
        foreach (var machine in lab.Machines) await HoldAsync(session, machine, FirstGeneration, new StoredPlacement(chosen.Pool.Id, chosen.Host, decision.Why + OnOneHost), now);
        return new Placed(chosen.Pool.Id, chosen.Host, null, CanWait: false, decision.Why);
    }

    /// <summary>Ends the capacity hold of this generation.</summary>
    public static Task ReleaseAsync(Session session, MachineId machine, int generation, Instant now) => CapacityStore.ReleaseAsync(session, machine, generation, now);

    /// <summary>
    /// The same decision for all machines of a lab that is not there yet, without writing or locking: every pool, whether it would be
    /// chosen (several may be), and why or why not.
    /// </summary>
    public async Task<IReadOnlyList<PoolConsidered>> ConsiderAsync(Session session, PlacementRules rules, IReadOnlyList<MachineNeed> machines, string? askedPool, Instant now, bool onOneHost = false)
    {
        var held = (await CapacityStore.ListHeldAsync(session)).ToList();
        var chosen = new Dictionary<PoolId, List<MachineNeed>>();
        var explained = new Dictionary<string, string>();
        PoolId? together = null;
        foreach (var needs in onOneHost ? [machines] : machines.Select(need => (IReadOnlyList<MachineNeed>)[need]))
        {
            var decision = await DecideAsync(session, needs, rules, askedPool, together, held);

            // A pool is explained by the first machine that it does not take.
            foreach (var pool in decision.Verdicts.Select(verdict => verdict.Pool).DistinctBy(pool => pool.Id))
            {
                if (!explained.ContainsKey(pool.Name) || !decision.Verdicts.Any(verdict => verdict.Fits && verdict.Pool.Id == pool.Id))
                    explained[pool.Name] = PlacementText.OfPool(decision, pool.Name);
            }

            if (decision.Chosen is not { } place) continue;
            together ??= place.Pool.Id;
            if (!chosen.TryGetValue(place.Pool.Id, out var there)) chosen[place.Pool.Id] = there = [];
            there.AddRange(needs);
            held.AddRange(needs.Select(need => new Held(place.Pool.Id, place.Host ?? "", need.Cpu, need.MemoryMiB, need.RoomGiB, 1)));
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
    public async Task<IReadOnlyList<(int Machine, string Why)>> NowhereAsync(Session session, PlacementRules rules, IReadOnlyList<MachineNeed> machines, string? askedPool, bool onOneHost = false)
    {
        var nowhere = new List<(int, string)>();
        for (var i = 0; i < (onOneHost ? 1 : machines.Count); i++)
        {
            var decision = await DecideAsync(session, onOneHost ? machines : [machines[i]], rules, askedPool, null, []);
            if (decision.Chosen is null && !decision.CanWait) nowhere.Add((i, decision.Why + (onOneHost ? OnOneHost : "")));
        }

        return nowhere;
    }

    private static async Task<PlacementDecision> DecideAsync(Session session, IReadOnlyList<MachineNeed> machines, PlacementRules rules, string? askedPool, PoolId? together, IReadOnlyList<Held> held)
    {
        var asked = new List<(PlacementQuestion, IReadOnlyList<PoolNow>)>();
        foreach (var need in Together(machines))
            asked.Add((new PlacementQuestion(need, await KindsOfAsync(session, need), rules, askedPool, [], together), await PoolsNowAsync(session, need, held, rules)));
        return Placement.DecideTogether(asked);
    }

    /// <summary>What machines ask of a host that takes all of them: their sum, with each of their images.</summary>
    private static IReadOnlyList<MachineNeed> Together(IReadOnlyList<MachineNeed> machines) =>
    [
        .. machines.DistinctBy(machine => (machine.Image, machine.ImageVersion)).Select(machine => machine with
        {
            Cpu = machines.Sum(each => each.Cpu), MemoryMiB = machines.Sum(each => each.MemoryMiB), DiskGiB = machines.Sum(each => each.DiskGiB),
            SnapshotGiB = machines.Sum(each => each.SnapshotGiB),
        }),
    ];

    private static async Task<MachineNeed> NeedOfAsync(Session session, Machine machine)
        => new(machine.Image, machine.ImageVersion, machine.Cpu, machine.MemoryMiB, machine.DiskGiB) { SnapshotGiB = await SnapshotStore.PlannedRoomAsync(session, machine.Id) };

    private static async Task HoldAsync(Session session, Machine machine, int generation, StoredPlacement place, Instant now)
    {
        await CapacityStore.HoldAsync(session, machine.Id, generation, place, machine.Cpu, machine.MemoryMiB, machine.DiskGiB, now);
        await SnapshotStore.PlaceAsync(session, machine.Id, generation);
    }

    private static Placed Nowhere(Machine machine, PlacementDecision decision, bool onOneHost)
    {
        var why = decision.Why + (onOneHost ? OnOneHost : "");
        return new Placed(null, null, new Reason(decision.CanWait ? "placement.wait" : "placement.nowhere", ("machine", machine.Name), ("why", why)), decision.CanWait, why);
    }

    /// <summary>What a decision stands on. Only pools that could take it are locked; they are read after that, so that what is seen free stays free.</summary>
    private static async Task<Ground> StandAsync(Session session, Lab lab, IReadOnlyList<MachineNeed> needs)
    {
        var kinds = new List<IReadOnlyCollection<string>>();
        foreach (var need in needs) kinds.Add(await KindsOfAsync(session, need));
        var rules = (await BlueprintStore.FindAsync(session, lab.Blueprint, lab.BlueprintVersion))?.Placement ?? new PlacementRules([], []);
        await CapacityStore.LockPoolsAsync(session, (await PoolStore.ListAsync(session))
            .Where(pool => kinds.TrueForAll(some => some.Contains(pool.Provider)) && (lab.AskedPool ?? pool.Name) == pool.Name).Select(pool => pool.Id));
        return new Ground(kinds, rules, await PoolStore.ListLargestDisksAsync(session), await CapacityStore.ListHeldAsync(session));
    }

    private sealed record Ground(
        IReadOnlyList<IReadOnlyCollection<string>> Kinds, PlacementRules Rules, IReadOnlyDictionary<(PoolId Pool, string Host), long> LargestDisks, IReadOnlyList<Held> Held);

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
        var ready = await ReadyAsync(session, pools, [.. groups.Where(group => group.Rules.Policy == PlacementPolicy.FastestToReady).SelectMany(group => group.Machines).Select(machine => machine.Image).Distinct()]);
        return [.. groups.Select(group => PriceOf(group.Rules, group.Machines))];

        Money? PriceOf(PlacementRules rules, IReadOnlyList<MachineNeed> machines)
        {
            var taken = held.ToList();
            var prices = new List<Money>();
            PoolId? together = null;
            foreach (var need in machines)
            {
                var question = new PlacementQuestion(need, kinds.GetValueOrDefault((need.Image, need.ImageVersion)) ?? [], rules, null, [], together);
                if (Placement.Decide(question, [.. PoolsNow(pools, hosts, presence[(need.Image, need.ImageVersion)], taken).Select(pool => pool with { Ready = ready.TryGetValue((pool.Pool.Id, need.Image), out var time) ? time : null })]).Chosen is not { } place || PricePerHour(place.Pool, [need]) is not { } price) return null;
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

    private static async Task<IReadOnlyList<PoolNow>> PoolsNowAsync(Session session, MachineNeed need, IReadOnlyList<Held> held, PlacementRules rules)
    {
        var pools = await PoolStore.ListAsync(session);
        var now = PoolsNow(pools, await PoolStore.ListHostsAsync(session), await ImagePresenceStore.OfImageAsync(session, need.Image, need.ImageVersion), held);
        if (rules.Policy != PlacementPolicy.FastestToReady) return now;
        var ready = await ReadyAsync(session, pools, [need.Image]);
        return [.. now.Select(pool => pool with { Ready = ready.TryGetValue((pool.Pool.Id, need.Image), out var time) ? time : null })];
    }

    /// <summary>How long one more machine of each image would take on each pool, behind those that are being built there; only where there is a history.</summary>
    private static async Task<Dictionary<(PoolId Pool, string Image), Duration>> ReadyAsync(Session session, IReadOnlyList<Pool> pools, IReadOnlyList<string> images)
    {
        var building = await BuildStore.BuildingAsync(session);
        var ready = new Dictionary<(PoolId, string), Duration>();
        foreach (var (pool, image) in pools.SelectMany(pool => images.Select(image => (pool, image))))
        {
            if (await BuildStore.MedianAsync(session, pool.Id, image) is { } median)
                ready[(pool.Id, image)] = median * Math.Ceiling((building.GetValueOrDefault(pool.Id) + 1) / (double)Math.Max(1, pool.Limits.BootsAtOnce));
        }

        return ready;
    }

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
