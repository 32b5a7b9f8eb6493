using CsCheck;
using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Costs;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Pools;
using NodaTime;
using Xunit;

namespace LabPortal.Operations.Tests.Pools;

public sealed class PlacementTests
{
    private static readonly string[] s_labels = ["linux", "fast", "gpu"];
    private static readonly string[] s_required = ["linux", "kvm", "gpu"];

    private static readonly Gen<HostNow> s_host =
        from cpu in Gen.Int[1, 8]
        from memory in Gen.Int[1, 8]
        from disk in Gen.Int[1, 20]
        from heldCpu in Gen.Int[0, 10]
        from heldMemory in Gen.Int[0, 10]
        from heldDisk in Gen.Int[0, 20]
        from diskFree in Gen.Int[0, 20]
        from kvm in Gen.Bool
        from broken in Gen.Int[0, 5]
        from image in Gen.Int[0, 4].Select(state => state < 2 ? null : new ImageNow(state == 2, state == 3, null))
        select new HostNow(new HostCapacity("", cpu, memory * 1024, disk, diskFree, kvm ? "kvm" : "emulated", broken == 0 ? "It does not answer." : null), heldCpu, heldMemory * 1024, heldDisk, image);

    private static readonly Gen<PoolNow> s_pool =
        from id in Gen.Guid
        from kind in Gen.Int[0, 2].Select(kind => kind == 0 ? "other" : "simulated")
        from labels in Gen.Shuffle(s_labels, 0, 3)
        from mode in Gen.Int[0, 5].Select(mode => mode > 2 ? PoolMode.Open : (PoolMode)mode)
        from sick in Gen.Int[0, 4]
        from price in Gen.Int[-1, 3]
        from cpuOver in Gen.Double[1, 4]
        from hosts in s_host.List[0, 4]
        select new PoolNow(
            new Pool
            {
                Id = new PoolId(id),
                Name = id.ToString("n"),
                Provider = kind,
                Labels = labels,
                Mode = mode,
                Problems = sick == 0 ? [new PoolProblem("Away.", null, "Wait.")] : [],
                CheckedAt = Instant.MinValue,
                Overcommit = new Overcommit(cpuOver, 1),
                Prices = price < 0 ? null : new PriceList("EUR", price, 0, 0),
            },
            [.. hosts.Select((host, number) => host with { Capacity = host.Capacity with { Host = $"h{number}" } })]);

    private static readonly Gen<(PlacementQuestion Question, List<PoolNow> Pools)> s_asked =
        from pools in s_pool.List[0, 5]
        from cpu in Gen.Int[1, 6]
        from memory in Gen.Int[1, 6]
        from disk in Gen.Int[1, 10]
        from require in Gen.Shuffle(s_required, 0, 2)
        from prefer in Gen.Shuffle(s_labels, 0, 2)
        from asked in Gen.Int[-4, 4]
        from full in Gen.Int[-3, 4]
        select (new PlacementQuestion(new MachineNeed("tiny", "1", cpu, memory * 1024, disk), ["simulated"], new PlacementRules(require, prefer),
            asked >= 0 && asked < pools.Count ? pools[asked].Pool.Name : null,
            full >= 0 && full < pools.Count ? [(pools[full].Pool.Id, full % 2 == 0 ? null : "h0")] : [], null), pools);

    [Fact]
    public void A_machine_never_goes_where_it_has_no_room_or_may_not_be() => s_asked.Sample(
        asked =>
        {
            var (question, pools) = asked;
            if (Placement.Decide(question, pools).Chosen is not { } chosen) return;
            var now = pools.Single(pool => pool.Pool.Id == chosen.Pool.Id);
            Assert.Equal("healthy", now.Pool.State);
            Assert.Contains(now.Pool.Provider, question.Kinds);
            Assert.Equal(question.AskedPool ?? now.Pool.Name, now.Pool.Name);
            Assert.DoesNotContain((now.Pool.Id, chosen.Host), question.Full);
            Assert.DoesNotContain((now.Pool.Id, null), question.Full);
            var host = now.Hosts.SingleOrDefault(host => host.Capacity.Host == chosen.Host);
            Assert.Equal(now.Hosts.Count == 0, host is null);
            Assert.All(question.Rules.Require, label => Assert.Contains(label, now.Pool.Labels.Append(host?.Capacity.Acceleration)));
            if (host is null) return;
            Assert.Null(host.Capacity.Problem);
            Assert.True(host.Image is null or { Present: true });
            Assert.True(host.CpuHeld + question.Machine.Cpu <= host.Capacity.Cpu * now.Pool.Overcommit.Cpu);
            Assert.True(host.MemoryMiBHeld + question.Machine.MemoryMiB <= host.Capacity.MemoryMiB);
            Assert.True(host.DiskGiBHeld + question.Machine.DiskGiB <= host.Capacity.DiskGiB);
            Assert.True(question.Machine.DiskGiB <= host.Capacity.DiskFreeGiB);
        },
        iter: 20_000);

    [Theory]
    [InlineData(null, "cloud", "")]
    [InlineData(PlacementPolicy.Cheapest, "cloud", "")]
    [InlineData(PlacementPolicy.OwnHardwareFirst, "rack", " (own hardware first)")]
    [InlineData(PlacementPolicy.FastestToReady, "shelf", " (fastest to ready)")]
    public void The_policy_says_which_of_several_pools_and_the_decision_says_so(PlacementPolicy? policy, string chosen, string said)
    {
        var decision = Placement.Decide(AskedBy(policy, []), Three());
        Assert.Equal(chosen, decision.Chosen?.Pool.Name);
        Assert.StartsWith($"Chosen{said}: {chosen}", decision.Why, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_preferred_comes_before_the_policy_and_a_full_pool_hands_over_to_the_next_of_it()
    {
        Assert.Equal("cloud", Placement.Decide(AskedBy(PlacementPolicy.OwnHardwareFirst, ["far"]), Three()).Chosen?.Pool.Name);
        var pools = Three();
        var full = pools.Single(pool => pool.Pool.Name == "rack").Pool.Id;
        Assert.Equal("shelf", Placement.Decide(AskedBy(PlacementPolicy.OwnHardwareFirst, []) with { Full = [(full, null)] }, pools).Chosen?.Pool.Name);
    }

    [Fact]
    public void A_pool_without_a_history_is_not_the_fastest()
    {
        var pools = Three().Select(pool => pool.Pool.Name == "shelf" ? pool with { Ready = null } : pool).ToList();
        Assert.Equal("rack", Placement.Decide(AskedBy(PlacementPolicy.FastestToReady, []), pools).Chosen?.Pool.Name);
    }

    private static PlacementQuestion AskedBy(PlacementPolicy? policy, string[] prefer)
        => new(new MachineNeed("tiny", "1", 1, 1024, 1), ["simulated"], new PlacementRules([], prefer) { Policy = policy }, null, [], null);

    /// <summary>A cloud is the cheapest, a shelf of our own the fastest, a rack of our own cheaper than that.</summary>
    private static List<PoolNow> Three()
    {
        return [Of("cloud", 1, null, 90, "far"), Of("rack", 2, "h1", 60), Of("shelf", 3, "h1", 30)];

        static PoolNow Of(string name, int price, string? host, int seconds, params string[] labels) => new(
            new Pool { Id = new PoolId(Guid.NewGuid()), Name = name, Provider = "simulated", Labels = labels, CheckedAt = Instant.MinValue, Prices = new PriceList("EUR", price, 0, 0) },
            host is null ? [] : [new HostNow(new HostCapacity(host, 64, 65536, 1000, 1000, null, null), 0, 0, 0, null)]) { Ready = Duration.FromSeconds(seconds) };
    }

    [Fact]
    public void The_order_in_which_pools_and_hosts_are_named_changes_nothing() => s_asked.Sample(
        asked =>
        {
            var (question, pools) = asked;
            var (one, other) = (Placement.Decide(question, pools), Placement.Decide(question, [.. pools.AsEnumerable().Reverse().Select(pool => pool with { Hosts = [.. pool.Hosts.Reverse()] })]));
            Assert.Equal(one.Why, other.Why);
            Assert.Equal(one.Chosen?.Host, other.Chosen?.Host);
        },
        iter: 5_000);

    [Fact]
    public void Every_pool_and_host_is_explained_and_somewhere_that_fits_is_taken() => s_asked.Sample(
        asked =>
        {
            var (question, pools) = asked;
            var decision = Placement.Decide(question, pools);
            Assert.Equal(decision.Verdicts.Any(verdict => verdict.Fits), decision.Chosen is not null);
            foreach (var pool in pools)
            {
                var verdicts = decision.Verdicts.Where(verdict => verdict.Pool.Id == pool.Pool.Id).ToList();
                if (verdicts is not [{ Host: null }]) Assert.Equal(pool.Hosts.Select(host => host.Capacity.Host).Order(), verdicts.Select(verdict => verdict.Host).Order());
                Assert.DoesNotContain('{', PlacementText.OfPool(decision, pool.Pool.Name));
                Assert.Contains(pool.Pool.Name, decision.Why);
            }
        },
        iter: 5_000);

    [Fact]
    public void Emptying_what_others_hold_never_takes_a_place_away() => s_asked.Sample(
        asked =>
        {
            var (question, pools) = asked;
            var emptied = pools.Select(pool => pool with { Hosts = [.. pool.Hosts.Select(host => host with { CpuHeld = 0, MemoryMiBHeld = 0, DiskGiBHeld = 0 })] }).ToList();
            if (Placement.Decide(question, pools).Chosen is not null) Assert.NotNull(Placement.Decide(question, emptied).Chosen);
        },
        iter: 2_000);

    /// <summary>The same pools, asked for by machines of two images: what is known of each image on a host is another.</summary>
    private static readonly Gen<((PlacementQuestion Question, List<PoolNow> Pools) One, (PlacementQuestion Question, List<PoolNow> Pools) Other)> s_together =
        from one in s_asked
        from images in Gen.Int[0, 4].Array[20]
        from bound in Gen.Bool
        let pools = one.Pools.Select((pool, i) => pool with
        {
            Hosts = [.. pool.Hosts.Select((host, j) => host with { Image = images[(4 * i) + j] is var state && state < 2 ? null : new ImageNow(state == 2, state == 3, null) })],
        }).ToList()
        select (one, (one.Question with { Machine = one.Question.Machine with { Image = "other" }, Kinds = bound ? ["simulated"] : ["other"] }, pools));

    [Fact]
    public void Machines_that_belong_together_go_where_each_could_go_and_wait_only_where_each_could_wait() => s_together.Sample(
        asked =>
        {
            var each = new[] { asked.One, asked.Other }.Select(one => Placement.Decide(one.Question, one.Pools).Verdicts).ToList();
            var places = asked.One.Pools.SelectMany(pool => pool.Hosts.Count == 0 ? [(pool.Pool.Id, null)] : pool.Hosts.Select(host => (pool.Pool.Id, (string?)host.Capacity.Host))).ToList();
            var decision = Placement.DecideTogether([asked.One, asked.Other]);
            Assert.Equal(places.Exists(place => each.TrueForAll(verdicts => Of(verdicts, place).Fits)), decision.Chosen is not null);
            if (decision.Chosen is { } chosen) Assert.All(each, verdicts => Assert.True(Of(verdicts, (chosen.Pool.Id, chosen.Host)).Fits));

            // Where one may wait and another may never come, all would wait in vain.
            Assert.Equal(decision.Chosen is null && places.Exists(place => each.TrueForAll(verdicts => Of(verdicts, place) is { Fits: true } or { CanWait: true })), decision.CanWait);
            Assert.Equal(decision.CanWait, Placement.DecideTogether([asked.Other, asked.One]).CanWait);
            Assert.All(places, place => Assert.Single(decision.Verdicts, verdict => verdict.Pool.Id == place.Id && (verdict.Host is null || verdict.Host == place.Item2)));

            static Verdict Of(IReadOnlyList<Verdict> verdicts, (PoolId Pool, string? Host) place) => verdicts.Single(verdict => verdict.Pool.Id == place.Pool && (verdict.Host is null || verdict.Host == place.Host));
        },
        iter: 20_000);

    [Fact]
    public void Alone_or_together_one_machine_is_told_the_same() => s_asked.Sample(
        asked =>
        {
            var (alone, together) = (Placement.Decide(asked.Question, asked.Pools), Placement.DecideTogether([asked]));
            Assert.Equal((alone.Chosen?.Pool.Id, alone.Chosen?.Host, alone.CanWait, alone.Why), (together.Chosen?.Pool.Id, together.Chosen?.Host, together.CanWait, together.Why));
        },
        iter: 2_000);

    [Fact]
    public void Of_two_that_fit_labels_come_before_price_and_price_before_room()
    {
        var question = new PlacementQuestion(new MachineNeed("tiny", "1", 1, 1024, 1), ["simulated"], new PlacementRules([], ["fast"]), null, [], null);
        var (fast, cheap, roomy) = (APool("a-fast", price: 9, cpu: 4, "fast"), APool("b-cheap", price: 1, cpu: 4), APool("c-roomy", price: 2, cpu: 64));
        Assert.Equal("a-fast", Placement.Decide(question, [roomy, cheap, fast]).Chosen?.Pool.Name);
        Assert.Equal("b-cheap", Placement.Decide(question, [roomy, cheap]).Chosen?.Pool.Name);
        Assert.Equal("c-roomy", Placement.Decide(question, [roomy, APool("a-same", price: 2, cpu: 4)]).Chosen?.Pool.Name);
        Assert.Equal("c-roomy", Placement.Decide(question with { PoolOfLab = roomy.Pool.Id }, [roomy, cheap, fast]).Chosen?.Pool.Name);
    }

    [Fact]
    public void What_only_time_or_others_keep_away_may_be_waited_for()
    {
        var question = new PlacementQuestion(new MachineNeed("tiny", "1", 1, 1024, 1), ["simulated"], new PlacementRules([], []), null, [], null);
        var pool = APool("p", price: 1, cpu: 4);
        Assert.True(Placement.Decide(question, [With(pool, held: 4)]).CanWait);
        Assert.True(Placement.Decide(question, [pool with { Pool = pool.Pool with { Mode = PoolMode.Maintenance } }]).CanWait);
        Assert.True(Placement.Decide(question with { Full = [(pool.Pool.Id, "h1")] }, [pool]).CanWait);
        Assert.False(Placement.Decide(question with { Machine = question.Machine with { Cpu = 5 } }, [With(pool, held: 4)]).CanWait);
        Assert.False(Placement.Decide(question with { AskedPool = "q" }, [pool]).CanWait);
        Assert.False(Placement.Decide(question, [pool with { Hosts = [pool.Hosts[0] with { Image = new ImageNow(false, false, "Run infra/images tiny.") }] }]).CanWait);
        Assert.Contains("Run infra/images tiny.", Placement.Decide(question, [pool with { Hosts = [pool.Hosts[0] with { Image = new ImageNow(false, false, "Run infra/images tiny.") }] }]).Why);
    }

    [Fact]
    public void What_a_host_lacks_is_told_in_units_for_people()
    {
        var question = new PlacementQuestion(new MachineNeed("tiny", "1", 1, 131072, 1), ["simulated"], new PlacementRules([], []), null, [], null);
        var pool = APool("p", price: 1, cpu: 4);
        var held = pool with { Hosts = [pool.Hosts[0] with { MemoryMiBHeld = 63 * 1024 }] };

        Assert.Equal("p/h1 has 64 GiB of memory in all, 128 GiB are asked for.", Placement.Decide(question, [pool]).Why);
        Assert.Equal("p/h1 has 1 GiB of memory free, 1.5 GiB are asked for.", Placement.Decide(question with { Machine = question.Machine with { MemoryMiB = 1536 } }, [held]).Why);
        Assert.Equal("p/h1 has 100 GiB of disk in all, 2 TiB are asked for.", Placement.Decide(question with { Machine = new MachineNeed("tiny", "1", 1, 1024, 2048) }, [pool]).Why);
        Assert.Equal("p/h1 has 4 vCPU in all, 5 are asked for.", Placement.Decide(question with { Machine = new MachineNeed("tiny", "1", 5, 1024, 1) }, [pool]).Why);
    }

    [Fact]
    public void What_may_come_to_fit_is_told_first_and_sentences_of_others_end_once()
    {
        var question = new PlacementQuestion(new MachineNeed("tiny", "1", 1, 1024, 1), ["simulated"], new PlacementRules(["gpu"], []), null, [], null);
        var (without, sick) = (APool("a", price: 1, cpu: 4), APool("b", price: 1, cpu: 4, "gpu"));
        sick = sick with { Pool = sick.Pool with { Problems = [new PoolProblem("It does not answer.", null, "Wait.")] } };

        Assert.Equal("b/h1 is sick: It does not answer; a lacks the labels gpu.", Placement.Decide(question, [without, sick]).Why);
    }

    [Fact]
    public void A_disk_that_became_too_small_refuses_new_labs_and_lets_accepted_ones_wait()
    {
        var question = new PlacementQuestion(new MachineNeed("tiny", "1", 1, 1024, 8), ["simulated"], new PlacementRules([], []), null, [], null);
        var pool = With(APool("p", price: 1, cpu: 4), capacity => capacity with { DiskGiB = 3, DiskFreeGiB = 3 });
        Assert.False(Placement.Decide(question, [pool]).CanWait);
        var accepted = question with { LargestDisks = new Dictionary<(PoolId, string), long> { [(pool.Pool.Id, "h1")] = 8 } };
        Assert.True(Placement.Decide(accepted, [pool]).CanWait);
        Assert.Equal("p/h1 has 3 GiB of disk in all, 8 GiB are asked for.", Placement.Decide(accepted, [pool]).Why);
        Assert.False(Placement.Decide(accepted with { Machine = question.Machine with { Cpu = 5 } }, [pool]).CanWait);
        // It never was so large: whoever was is not there any more.
        Assert.False(Placement.Decide(accepted with { Machine = question.Machine with { DiskGiB = 9 } }, [pool]).CanWait);
    }

    [Fact]
    public void A_host_in_trouble_says_nothing_of_its_size()
    {
        var question = new PlacementQuestion(new MachineNeed("tiny", "1", 1, 1024, 8), ["simulated"], new PlacementRules([], []), null, [], null);
        var pool = APool("p", price: 1, cpu: 4);
        var away = Placement.Decide(question, [With(pool, capacity => new HostCapacity(capacity.Host, 0, 0, 0, 0, null, "It does not answer."))]);
        Assert.Equal((true, "p/h1 takes no machines: It does not answer."), (away.CanWait, away.Why));
        var notStarted = With(pool, capacity => capacity with { DiskGiB = 0, DiskFreeGiB = 0 });
        notStarted = notStarted with { Pool = pool.Pool with { Problems = [new PoolProblem("Its storage pool is not started.", "h1", "Start it.")] } };
        Assert.Equal((true, "p/h1 takes no machines: Its storage pool is not started."), (Placement.Decide(question, [notStarted]).CanWait, Placement.Decide(question, [notStarted]).Why));
    }

    private static PoolNow With(PoolNow pool, Func<HostCapacity, HostCapacity> change) => pool with { Hosts = [pool.Hosts[0] with { Capacity = change(pool.Hosts[0].Capacity) }] };

    private static PoolNow With(PoolNow pool, int held) => pool with { Hosts = [pool.Hosts[0] with { CpuHeld = held }] };

    private static PoolNow APool(string name, int price, int cpu, params string[] labels) => new(
        new Pool
        {
            Id = new PoolId(Guid.NewGuid()), Name = name, Provider = "simulated", Labels = labels, CheckedAt = Instant.MinValue, Overcommit = new Overcommit(1, 1), Prices = new PriceList("EUR", price, 0, 0),
        },
        [new HostNow(new HostCapacity("h1", cpu, 65536, 100, 100, null, null), 0, 0, 0, null)]);
}
