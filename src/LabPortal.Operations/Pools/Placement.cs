using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Quotas;

namespace LabPortal.Operations.Pools;

/// <summary>What a machine needs of the place where it is built.</summary>
public sealed record MachineNeed(string Image, string ImageVersion, int Cpu, int MemoryMiB, int DiskGiB)
{
    /// <summary>For its part of the snapshot that is taken at <i>ready</i>.</summary>
    public int SnapshotGiB { get; init; }

    /// <summary>What is held of the host's disk.</summary>
    public int RoomGiB => DiskGiB + SnapshotGiB;
}

/// <summary>
/// Where should this machine go? <paramref name="Kinds"/> are the kinds of pool that the image is bound for. <paramref name="LargestDisks"/>, where its
/// lab was let in already: the largest disk that each host has shown.
/// </summary>
internal sealed record PlacementQuestion(
    MachineNeed Machine,
    IReadOnlyCollection<string> Kinds,
    PlacementRules Rules,
    string? AskedPool,
    IReadOnlyList<(PoolId Pool, string? Host)> Full,
    PoolId? PoolOfLab,
    IReadOnlyDictionary<(PoolId Pool, string Host), long>? LargestDisks = null,
    bool Trial = false);

/// <summary>A pool as placement sees it. Without hosts it is one place of unknown size (a cloud), which says itself when it is full.</summary>
internal sealed record PoolNow(Pool Pool, IReadOnlyList<HostNow> Hosts, ImageNow? Image = null)
{
    /// <summary>How long the machine would take there; empty where nobody knows, or nobody asked.</summary>
    public NodaTime.Duration? Ready { get; init; }
}

internal sealed record HostNow(HostCapacity Capacity, long CpuHeld, long MemoryMiBHeld, long DiskGiBHeld, ImageNow? Image);

/// <summary>What is known of the image on one host; empty where nothing is.</summary>
internal sealed record ImageNow(bool Present, bool Coming, string? Note);

/// <summary>
/// What was decided about one place (a host, or a pool where the host is empty), and why. <paramref name="CanWait"/>: it would fit, and what
/// is in the way may pass.
/// </summary>
internal sealed record Verdict(Pool Pool, string? Host, Reason Why, bool Fits, bool CanWait);

/// <summary>The decision, with a verdict for every place that was considered, in the order of pool and host names.</summary>
internal sealed record PlacementDecision(Verdict? Chosen, IReadOnlyList<Verdict> Verdicts, PlacementPolicy? Policy = null)
{
    public bool CanWait => Chosen is null && Verdicts.Any(verdict => verdict.CanWait);

    public string Why => PlacementText.Of(this);
}

/// <summary>
/// Chooses a place for a machine; pure, and the same question always gives the same answer. What can never pass (kind, image, labels, size)
/// is looked at first, then what may (mode, health, an import, other labs' holds). Of the places that fit, in this order: the pool of the lab's
/// other machines; most preferred labels; what the policy says (own hardware, or soonest ready); lowest price per hour (where all that fit price in one
/// currency or not at all); most left free by share of its scarcest amount; names.
/// </summary>
internal static class Placement
{
    public static PlacementDecision Decide(PlacementQuestion question, IReadOnlyList<PoolNow> pools)
    {
        var verdicts = new List<Verdict>();
        var fitting = new List<(Verdict Verdict, bool Together, int Preferred, double Rank, Domain.Costs.Money? Price, double Free)>();
        foreach (var pool in pools.OrderBy(pool => pool.Pool.Name, StringComparer.Ordinal))
        {
            if (WhyNotPool(question, pool) is { } no)
            {
                verdicts.Add(no);
                continue;
            }

            foreach (var host in pool.Hosts.Count == 0 ? [null] : pool.Hosts.OrderBy(host => host.Capacity.Host, StringComparer.Ordinal).Cast<HostNow?>())
            {
                var verdict = Consider(question, pool, host);
                verdicts.Add(verdict);
                if (!verdict.Fits) continue;
                fitting.Add((verdict, pool.Pool.Id == question.PoolOfLab, question.Rules.Prefer.Count(LabelsOf(pool.Pool, host).Contains), RankOf(question.Rules.Policy, pool),
                    pool.Pool.Prices?.Hour(question.Machine.Cpu, question.Machine.MemoryMiB, question.Machine.DiskGiB, running: true), FreeShare(question.Machine, pool.Pool, host)));
            }
        }

        var comparable = fitting.Select(place => place.Price?.Currency).OfType<string>().Distinct().Count() <= 1;
        var chosen = fitting
            .OrderByDescending(place => place.Together)
            .ThenByDescending(place => place.Preferred)
            .ThenBy(place => place.Rank)
            .ThenBy(place => comparable ? place.Price?.Millionths ?? 0 : 0)
            .ThenByDescending(place => place.Free)
            .ThenBy(place => place.Verdict.Pool.Name, StringComparer.Ordinal)
            .ThenBy(place => place.Verdict.Host, StringComparer.Ordinal)
            .Select(place => place.Verdict)
            .FirstOrDefault();
        return new PlacementDecision(chosen, verdicts, question.Rules.Policy);
    }

    /// <summary>
    /// One host for several machines: it fits where it fits for each of these questions, and of those it is the choice of the first. What never passes for
    /// one of them never passes for all, whatever else is in the way there.
    /// </summary>
    public static PlacementDecision DecideTogether(IReadOnlyList<(PlacementQuestion Question, IReadOnlyList<PoolNow> Pools)> asked)
    {
        var sternest = asked.SelectMany(one => Decide(one.Question, one.Pools).Verdicts).Where(verdict => !verdict.Fits)
            .GroupBy(verdict => (verdict.Pool.Id, verdict.Host)).Select(place => place.FirstOrDefault(verdict => !verdict.CanWait) ?? place.First()).ToList();

        // A pool that one of them can never go to needs no word for each of its hosts.
        var no = sternest.Where(verdict => verdict.Host is null || !sternest.Exists(whole => whole.Host is null && whole.Pool.Id == verdict.Pool.Id)).ToList();
        var decision = Decide(asked[0].Question, Without(asked[0].Pools, (pool, host) => no.Exists(verdict => verdict.Pool.Id == pool && (verdict.Host is null || verdict.Host == host))));
        return decision with
        {
            Verdicts = [.. decision.Verdicts.Concat(no).OrderBy(verdict => verdict.Pool.Name, StringComparer.Ordinal).ThenBy(verdict => verdict.Host, StringComparer.Ordinal)],
        };
    }

    /// <summary>What is left of these pools. One of which no host is left is not there, and not one without hosts.</summary>
    public static IReadOnlyList<PoolNow> Without(IReadOnlyList<PoolNow> pools, Func<PoolId, string?, bool> leftOut) =>
    [
        .. pools.Select(pool => (Was: pool, Is: pool with { Hosts = [.. pool.Hosts.Where(host => !leftOut(pool.Pool.Id, host.Capacity.Host))] }))
            .Where(pool => pool.Was.Hosts.Count == 0 ? !leftOut(pool.Was.Pool.Id, null) : pool.Is.Hosts.Count > 0)
            .Select(pool => pool.Is),
    ];

    /// <summary>How much of a host may be promised.</summary>
    public static (double Cpu, double MemoryMiB, long DiskGiB) LimitOf(Pool pool, HostCapacity host)
        => (Math.Floor(host.Cpu * pool.Overcommit.Cpu), Math.Floor(host.MemoryMiB * pool.Overcommit.Memory), host.DiskGiB);

    /// <summary>What others put on the disk counts as well: promises are measured against all of it, what comes now against what is really free.</summary>
    public static long DiskFree(long limit, long held, long free) => Math.Min(limit - held, free);

    /// <summary>What never passes for the whole pool.</summary>
    private static Verdict? WhyNotPool(PlacementQuestion question, PoolNow now)
    {
        var pool = now.Pool;
        if (question.AskedPool is { } asked && asked != pool.Name) return Never("pool.not-asked", ("asked", asked));
        if (!question.Kinds.Contains(pool.Provider)) return Never("pool.image-not-bound", ("image", question.Machine.Image), ("kind", pool.Provider));

        // How a host runs its guests (kvm, emulated) counts as a label of that host alone.
        var missing = question.Rules.Require.Where(label => now.Hosts.Count == 0 ? !LabelsOf(pool, null).Contains(label) : !now.Hosts.Any(host => LabelsOf(pool, host).Contains(label))).ToList();
        return missing.Count > 0 ? Never("pool.lacks-labels", ("labels", string.Join(", ", missing))) : null;

        Verdict Never(string code, params (string, string)[] arguments) => new(pool, null, new Reason(code, arguments), Fits: false, CanWait: false);
    }

    private static Verdict Consider(PlacementQuestion question, PoolNow now, HostNow? host)
    {
        var (pool, need) = (now.Pool, question.Machine);
        var name = host?.Capacity.Host;

        var missing = question.Rules.Require.Where(label => !LabelsOf(pool, host).Contains(label)).ToList();
        if (missing.Count > 0) return Never("host.lacks-labels", ("labels", string.Join(", ", missing)));
        var blocking = host is null ? null : host.Capacity.Problem ?? pool.Problems.FirstOrDefault(problem => problem.Blocks && problem.Host == name)?.What;

        // What a host in trouble says of its size (mostly nothing) is no proof that a machine never fits.
        if (host is not null && blocking is null)
        {
            var (cpu, memory, disk) = LimitOf(pool, host.Capacity);
            if (need.Cpu > cpu) return Never("host.too-small-cpu", ("asked", Text(Dimension.Cpu, need.Cpu)), ("limit", Text(Dimension.Cpu, cpu)));
            if (need.MemoryMiB > memory) return Never("host.too-small-memory", ("asked", Text(Dimension.MemoryMiB, need.MemoryMiB)), ("limit", Text(Dimension.MemoryMiB, memory)));

            // A disk that was large enough has lost a part, a mount that is not there as a rule, and may get it back.
            (string, string)[] tooSmall = [("asked", Text(Dimension.DiskGiB, need.RoomGiB)), ("limit", Text(Dimension.DiskGiB, disk))];
            if (need.RoomGiB > disk) return need.RoomGiB <= question.LargestDisks?.GetValueOrDefault((pool.Id, host.Capacity.Host)) ? Later("host.too-small-disk", tooSmall) : Never("host.too-small-disk", tooSmall);
        }

        if ((host is null ? now.Image : host.Image) is { Present: false } image)
        {
            return image.Coming
                ? Later("host.image-coming", ("image", need.Image))
                : Never("host.image-missing", ("image", need.Image), ("mend", image.Note ?? "An admin imports it on the page of the pool."));
        }

        if (!question.Trial && pool.Mode == PoolMode.Maintenance) return Later("pool.maintenance");
        if (!question.Trial && pool.Mode == PoolMode.Draining) return Later("pool.draining");
        if (pool.CheckedAt is null) return Later("pool.not-checked");
        if (pool.IsSick) return Later("pool.sick", ("what", pool.Problems.First(problem => problem is { Blocks: true, Host: null }).What));
        if (question.Full.Contains((pool.Id, null))) return Later("pool.said-full");
        if (host is null)
        {
            // A pool that does not show its hosts is judged by all its problems.
            return pool.Problems.FirstOrDefault(problem => problem.Blocks) is { } any ? Later("pool.sick", ("what", any.What)) : Fits();
        }

        if (blocking is not null) return Later("host.sick", ("what", blocking));
        if (question.Full.Contains((pool.Id, name))) return Later("host.said-full");

        var (cpuLimit, memoryLimit, diskLimit) = LimitOf(pool, host.Capacity);
        if (need.Cpu > cpuLimit - host.CpuHeld) return Later("host.full-cpu", ("asked", Text(Dimension.Cpu, need.Cpu)), ("free", Text(Dimension.Cpu, Math.Max(0, cpuLimit - host.CpuHeld))));
        if (need.MemoryMiB > memoryLimit - host.MemoryMiBHeld)
            return Later("host.full-memory", ("asked", Text(Dimension.MemoryMiB, need.MemoryMiB)), ("free", Text(Dimension.MemoryMiB, Math.Max(0, memoryLimit - host.MemoryMiBHeld))));

        var diskFree = DiskFree(diskLimit, host.DiskGiBHeld, host.Capacity.DiskFreeGiB);
        return need.RoomGiB > diskFree ? Later("host.full-disk", ("asked", Text(Dimension.DiskGiB, need.RoomGiB)), ("free", Text(Dimension.DiskGiB, Math.Max(0, diskFree)))) : Fits();

        Verdict Fits() => new(pool, name, new Reason("place.fits"), Fits: true, CanWait: false);
        Verdict Later(string code, params (string, string)[] arguments) => new(pool, name, new Reason(code, arguments), Fits: false, CanWait: true);
        Verdict Never(string code, params (string, string)[] arguments) => new(pool, name, new Reason(code, arguments), Fits: false, CanWait: false);
    }

    /// <summary>The lower the better.</summary>
    private static double RankOf(PlacementPolicy? policy, PoolNow pool) => policy switch
    {
        PlacementPolicy.OwnHardwareFirst => pool.Hosts.Count > 0 ? 0 : 1,
        PlacementPolicy.FastestToReady => pool.Ready?.TotalSeconds ?? double.MaxValue,
        _ => 0,
    };

    private static HashSet<string> LabelsOf(Pool pool, HostNow? host)
    {
        var labels = new HashSet<string>(pool.Labels, StringComparer.Ordinal) { pool.Provider };
        if (host?.Capacity.Acceleration is { Length: > 0 } acceleration) labels.Add(acceleration);
        return labels;
    }

    /// <summary>The share that is left of the scarcest amount, once the machine is there.</summary>
    private static double FreeShare(MachineNeed need, Pool pool, HostNow? host)
    {
        if (host is null) return 1;
        var (cpu, memory, disk) = LimitOf(pool, host.Capacity);
        return Math.Min((cpu - host.CpuHeld - need.Cpu) / Math.Max(1, cpu),
            Math.Min((memory - host.MemoryMiBHeld - need.MemoryMiB) / Math.Max(1, memory), (disk - host.DiskGiBHeld - need.RoomGiB) / (double)Math.Max(1, disk)));
    }

    private static string Text(Dimension dimension, double amount) => new Amount(dimension, amount).ToString();
}
