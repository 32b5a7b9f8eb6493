using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Providers.Tests;

/// <summary>
/// What every provider holds against its peer, over its wire. A derived class says how to open the provider, how to harm the wire and
/// how to ask the peer itself; all that a wire cannot have is declared in <see cref="CannotHave"/> with a reason.
/// Each test uses installations of its own, so that one peer serves all; classes on the same peer share an xunit collection.
/// </summary>
public abstract partial class ProviderConformance : IAsyncLifetime
{
    private const string Password = "correct-horse-7f3a-battery";

    private static readonly WireFault[] EveryFault =
    [
        new WireFault.Throttled(TimeSpan.FromSeconds(17)), new WireFault.RefusedLogin(), new WireFault.Full(), new WireFault.Away(),
    ];

    private readonly List<MachineSpec> _made = [];

    /// <summary>A binding of an image that is on every host.</summary>
    protected abstract ImageBinding Image { get; }

    /// <summary>A binding of one that boots nothing: for machines of which no more is asked than that they run.</summary>
    protected virtual ImageBinding BareImage => Image;

    /// <summary>A binding of an image that is nowhere yet, in this format (<c>qcow2</c> or <c>raw</c>); used only where images are an ability.</summary>
    protected abstract ImageBinding NewImage(string name, string format);

    /// <summary>The names of all hosts of the pool; the first takes the machines of these tests.</summary>
    protected abstract IReadOnlyList<string> Hosts { get; }

    /// <summary>Where images are told to be: on each host, or once where the pool is a single place.</summary>
    protected virtual IReadOnlyList<string> ImageHosts => Hosts;

    /// <summary>The folder that the provider was given as <see cref="PoolContext.DataFolder"/>.</summary>
    protected abstract string DataFolder { get; }

    /// <summary>The ability interfaces that this kind claims, no more and no fewer.</summary>
    protected abstract IReadOnlySet<Type> Abilities { get; }

    /// <summary>How many wire calls a create makes at the least: a wire fault that never strikes shows by this.</summary>
    protected abstract int FewestWireCallsOfACreate { get; }

    /// <summary>How much memory the machines of these tests have: what a guest of this image boots with.</summary>
    protected virtual int MemoryMiB => 64;

    /// <summary>A new provider for this installation, on the same peer as every other.</summary>
    protected abstract IProvider Open(InstallationId installation);

    /// <summary>The same over a harmed wire; <see cref="NotSupportedException"/> for what <see cref="CannotHave"/> declares.</summary>
    protected abstract Task<IProvider> OpenAsync(InstallationId installation, WireFault fault, CancellationToken cancellation);

    /// <summary>Takes back all that was done to the wire; called after each use of a harmed one.</summary>
    protected abstract Task MendWireAsync(CancellationToken cancellation);

    /// <summary>Everything that the peer has, whosever it is, asked of the peer itself and not through the provider.</summary>
    protected abstract Task<IReadOnlyList<PeerResource>> ListEverythingAsync(CancellationToken cancellation);

    /// <summary>Removes an imported image from the peer; fine where there is none.</summary>
    protected abstract Task RemoveImageAsync(ImageBinding image, CancellationToken cancellation);

    /// <summary>Wire faults that this wire cannot have, each with the reason in one sentence. Being cut off, silent or away every wire can.</summary>
    protected virtual IReadOnlyDictionary<Type, string> CannotHave => new Dictionary<Type, string>();

    /// <summary>Set (one sentence) where the machines of these tests have no guest that obeys, prints or asks for an address.</summary>
    protected virtual string? WhyGuestsAreMute => null;

    /// <summary>Set (one sentence) where a snapshot keeps disks only, and nobody knows what a disk takes.</summary>
    protected virtual string? WhySnapshotsHaveNoMemory => null;

    /// <summary>Set (one sentence) where making a warm state cannot be cut off at each wire call.</summary>
    protected virtual string? WhyWarmStatesAreNotCut => null;

    /// <summary>
    /// Whether a wire call is cut off before its effect as well; after it always. What a cut before one call leaves is what a cut after the call before it left:
    /// where each trial costs much, the second way is enough.
    /// </summary>
    protected virtual bool CutsBeforeEffect => true;

    /// <summary>
    /// Whether what a call has just made may not show to the next. Then what a lost reply was about is not seen by the call that is to remove it, and is
    /// removed as the engine does it: again, when it shows.
    /// </summary>
    protected virtual bool ReadsLag => false;

    /// <summary>Whether each call is cut off; false where this is another way to a peer on which each is, and only that a cut looks the same is left to see.</summary>
    protected virtual bool CutsEachCall => true;

    /// <summary>How long what was ordered may take to show.</summary>
    protected virtual TimeSpan Patience => TimeSpan.FromMinutes(3);

    /// <summary>How long a cancelled call may still take.</summary>
    protected virtual TimeSpan Prompt => TimeSpan.FromSeconds(15);

    /// <summary>Texts of the pool's settings that nobody may see (its password, its key).</summary>
    protected virtual IReadOnlyList<string> Secrets => [];

    protected static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    protected static InstallationId NewInstallation() => new(Ids.New(TimeProvider.System));

    /// <summary>A machine that runs.</summary>
    protected MachineSpec NewMachine(InstallationId installation) => NewMachine(installation, BareImage);

    /// <summary>A machine whose guest boots.</summary>
    protected MachineSpec NewGuest(InstallationId installation) => NewMachine(installation, Image);

    private MachineSpec NewMachine(InstallationId installation, ImageBinding image) => Remember(new MachineSpec(
        new Owner(installation, new LabId(Ids.New(TimeProvider.System)), new MachineId(Ids.New(TimeProvider.System)), 1),
        Hosts[0], "web-1", "conformance <&\"'> web", image, Cpu: 1, MemoryMiB, DiskGiB: 1,
        new GuestSeed("ada", ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ ada@example.org"], new Secret(Password), new Dictionary<string, object>())));

    protected MachineSpec Remember(MachineSpec machine)
    {
        _made.Add(machine);
        return machine;
    }

    public virtual ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public virtual async ValueTask DisposeAsync()
    {
        // A cancelled test cleans up all the same.
        await MendWireAsync(CancellationToken.None);
        foreach (var group in _made.GroupBy(machine => machine.Owner.Installation))
        {
            await using var provider = Open(group.Key);
            foreach (var machine in group) await provider.EnsureGoneAsync(machine.Reference, CancellationToken.None);
        }

        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task A_well_pool_has_no_problem()
    {
        await using var provider = Open(NewInstallation());
        var check = await provider.CheckAsync(Cancellation);
        Assert.Empty(check.Problems);
        Assert.True(check.Usable);
    }

    [Fact]
    public async Task What_was_not_created_is_absent_and_not_listed()
    {
        var machine = NewMachine(NewInstallation());
        await using var provider = Open(machine.Owner.Installation);
        Assert.IsType<Observation.Absent>(await LookAsync(provider, machine));
        Assert.Empty(await provider.ListOwnedAsync(Cancellation));
    }

    [Fact]
    public async Task A_created_machine_comes_to_run_and_is_found_with_and_without_its_host()
    {
        var machine = NewMachine(NewInstallation());
        await using var provider = Open(machine.Owner.Installation);
        await CreateAsync(provider, machine);
        var present = await AwaitPowerAsync(provider, machine, PowerState.Running);
        Assert.Equal(Hosts[0], present.Host);
        Assert.NotEmpty(present.ExternalId);

        var anywhere = Assert.Single(await provider.ObserveAsync([new ResourceRef(machine.Owner)], Cancellation));
        Assert.Equal(present.ExternalId, Assert.IsType<Observation.Present>(anywhere).ExternalId);
    }

    [Fact]
    public async Task A_running_guest_gets_an_address()
    {
        var machine = NewGuest(NewInstallation());
        await using var provider = Open(machine.Owner.Installation);
        await CreateAsync(provider, machine);
        if (AssertedMute())
        {
            Assert.Empty((await AwaitPowerAsync(provider, machine, PowerState.Running)).Addresses);
            return;
        }

        await EventuallyAsync(async () => Assert.NotEmpty(Assert.IsType<Observation.Present>(await LookAsync(provider, machine)).Addresses));
    }

    [Fact]
    public async Task Many_references_get_one_answer_each()
    {
        var installation = NewInstallation();
        var (here, there) = (NewMachine(installation), NewMachine(installation));
        await using var provider = Open(installation);
        Assert.Empty(await provider.ObserveAsync([], Cancellation));
        await CreateAsync(provider, here);

        var answers = await provider.ObserveAsync([there.Reference, here.Reference], Cancellation);
        Assert.Equal(2, answers.Count);
        Assert.IsType<Observation.Present>(answers.Single(answer => answer.Reference == here.Reference));
        Assert.IsType<Observation.Absent>(answers.Single(answer => answer.Reference == there.Reference));
    }

    [Fact]
    public async Task Creating_twice_leaves_one()
    {
        var machine = NewMachine(NewInstallation());
        await using var provider = Open(machine.Owner.Installation);
        await using var other = Open(machine.Owner.Installation);
        await CreateAsync(provider, machine);
        var once = await OfAsync(machine);
        await CreateAsync(provider, machine);
        await CreateAsync(other, machine);
        Assert.Equal(once, await OfAsync(machine));
        Assert.Single(once, resource => resource.Kind == ResourceKind.Machine);
    }

    [Fact]
    public async Task Creating_twice_at_once_leaves_one()
    {
        var machine = NewMachine(NewInstallation());
        await using var provider = Open(machine.Owner.Installation);
        await using var other = Open(machine.Owner.Installation);
        await Task.WhenAll(TryAsync(provider), TryAsync(other), TryAsync(provider), TryAsync(other));
        await CreateAsync(provider, machine);
        Assert.Single(await OfAsync(machine), resource => resource.Kind == ResourceKind.Machine);
        Assert.Equal(await ShapeOfOneMachineAsync(provider, machine.Owner.Installation), (await OfAsync(machine)).Select(resource => resource.Kind));

        // The loser of a race may say "later", nothing else.
        async Task TryAsync(IProvider each)
        {
            try
            {
                await each.EnsureExistsAsync(machine, Cancellation);
            }
            catch (ProviderFault fault)
            {
                Assert.Equal(FaultKind.Transient, fault.Kind);
            }
        }
    }

    [Fact]
    public async Task A_create_cut_off_at_any_wire_call_is_adopted_by_the_next()
    {
        var installation = NewInstallation();
        await using var provider = Open(installation);
        var shape = await ShapeOfOneMachineAsync(provider, installation);
        await ForEachCutAsync(FewestWireCallsOfACreate, async cut =>
        {
            var machine = NewMachine(installation);
            var wasCut = await CutAsync(installation, cut, harmed => harmed.EnsureExistsAsync(machine, Cancellation));
            await CreateAsync(provider, machine);
            Assert.Equal(shape, (await OfAsync(machine)).Select(resource => resource.Kind));
            await AwaitPowerAsync(provider, machine, PowerState.Running);
            await DestroyAsync(provider, machine);
            return wasCut;
        });
    }

    [Fact]
    public async Task What_a_cut_off_create_left_is_destroyed_whole()
    {
        var installation = NewInstallation();
        await using var provider = Open(installation);
        var before = await ListEverythingAsync(Cancellation);
        await ForEachCutAsync(FewestWireCallsOfACreate, async cut =>
        {
            var machine = NewMachine(installation);
            var wasCut = await CutAsync(installation, cut, harmed => harmed.EnsureExistsAsync(machine, Cancellation));
            await DestroyAsync(provider, machine);
            await EventuallyAsync(async () => Assert.Equal(Sorted(before), Sorted(await ListEverythingAsync(Cancellation))));
            return wasCut;
        });
    }

    [Fact]
    public async Task A_destroy_cut_off_at_any_wire_call_is_finished_by_the_next()
    {
        var installation = NewInstallation();
        await using var provider = Open(installation);
        var before = await ListEverythingAsync(Cancellation);
        await ForEachCutAsync(1, async cut =>
        {
            var machine = NewMachine(installation);
            await CreateAsync(provider, machine);
            var wasCut = await CutAsync(installation, cut, harmed => harmed.EnsureGoneAsync(machine.Reference, Cancellation));
            await DestroyAsync(provider, machine);
            await EventuallyAsync(async () => Assert.Equal(Sorted(before), Sorted(await ListEverythingAsync(Cancellation))));
            return wasCut;
        });
    }

    [Fact]
    public async Task Every_kind_of_resource_carries_its_owner_and_is_listed()
    {
        var machine = NewMachine(NewInstallation());
        await using var provider = Open(machine.Owner.Installation);
        var before = await ListEverythingAsync(Cancellation);
        await CreateAsync(provider, machine);
        await AwaitPowerAsync(provider, machine, PowerState.Running);

        var made = (await ListEverythingAsync(Cancellation)).Except(before).ToList();
        Assert.Contains(made, resource => resource.Kind == ResourceKind.Machine);
        Assert.Contains(made, resource => resource.Kind == ResourceKind.Disk);
        foreach (var resource in made)
        {
            Assert.True(Owner.TryReadName(machine.Owner.Installation, resource.Name, out var owned), $"{resource} carries no owner");
            // A group is its lab's.
            Assert.Equal(resource.Kind == ResourceKind.Group ? machine.Owner.Lab.Value : machine.Owner.Machine!.Value.Value, owned.Id);
            Assert.Equal(machine.Owner.Generation, owned.Generation);
        }

        await EventuallyAsync(async () =>
        {
            var listed = await provider.ListOwnedAsync(Cancellation);
            Assert.Equal(Sorted(made), Sorted(listed.Select(resource => new PeerResource(resource.Kind, resource.ExternalId, resource.Name))));
            Assert.All(listed.Where(resource => resource.Kind != ResourceKind.Group), resource => Assert.Equal((machine.Owner.Machine!.Value.Value, 1), (resource.Id, resource.Generation)));
        });
    }

    [Fact]
    public async Task Destroying_twice_or_the_unknown_is_fine()
    {
        var machine = NewMachine(NewInstallation());
        await using var provider = Open(machine.Owner.Installation);
        await provider.EnsureGoneAsync(machine.Reference, Cancellation);
        await provider.EnsureGoneAsync(new ResourceRef(machine.Owner with { Machine = null }), Cancellation);
        await CreateAsync(provider, machine);
        await DestroyAsync(provider, machine);
        await provider.EnsureGoneAsync(machine.Reference, Cancellation);
        await provider.EnsureGoneAsync(new ResourceRef(machine.Owner), Cancellation);
        Assert.IsType<Observation.Absent>(await LookAsync(provider, machine));
    }

    [Fact]
    public async Task Destroying_a_running_machine_leaves_nothing_at_the_peer()
    {
        var machine = NewMachine(NewInstallation());
        await using var provider = Open(machine.Owner.Installation);
        var before = await ListEverythingAsync(Cancellation);
        await CreateAsync(provider, machine);
        await AwaitPowerAsync(provider, machine, PowerState.Running);
        Assert.NotEqual(Sorted(before), Sorted(await ListEverythingAsync(Cancellation)));

        await DestroyAsync(provider, machine);
        await EventuallyAsync(async () => Assert.Equal(Sorted(before), Sorted(await ListEverythingAsync(Cancellation))));
        await EventuallyAsync(async () => Assert.Empty(await provider.ListOwnedAsync(Cancellation)));
    }

    [Fact]
    public async Task A_machine_is_destroyed_without_its_host_being_named()
    {
        var machine = NewMachine(NewInstallation());
        await using var provider = Open(machine.Owner.Installation);
        await CreateAsync(provider, machine);
        await provider.EnsureGoneAsync(new ResourceRef(machine.Owner), Cancellation);
        await EventuallyAsync(async () => Assert.Empty(await OfAsync(machine)));
    }

    [Fact]
    public async Task Another_generation_is_another_machine()
    {
        var first = NewMachine(NewInstallation());
        var second = Remember(first with { Owner = first.Owner with { Generation = 2 } });
        await using var provider = Open(first.Owner.Installation);
        await CreateAsync(provider, first);
        await CreateAsync(provider, second);
        await DestroyAsync(provider, first);
        Assert.IsType<Observation.Present>(await LookAsync(provider, second));
        await EventuallyAsync(async () => Assert.All((await provider.ListOwnedAsync(Cancellation)).Where(resource => resource.Kind != ResourceKind.Group), resource => Assert.Equal(2, resource.Generation)));
        Assert.NotEmpty(await OfAsync(second));
    }

    [Fact]
    public async Task Another_installations_are_never_listed_nor_touched()
    {
        var theirs = NewMachine(NewInstallation());
        var ours = Remember(theirs with { Owner = theirs.Owner with { Installation = NewInstallation() } });
        await using var them = Open(theirs.Owner.Installation);
        await using var us = Open(ours.Owner.Installation);
        await CreateAsync(them, theirs);
        var before = await OfAsync(theirs);
        Assert.NotEmpty(before);

        // The same lab, machine and generation, as after a database was restored under a new installation.
        Assert.Empty(await us.ListOwnedAsync(Cancellation));
        Assert.IsType<Observation.Absent>(await LookAsync(us, ours));
        await us.EnsureGoneAsync(ours.Reference, Cancellation);
        Assert.IsNotType<Observation.Present>(await LookAsync(us, theirs));
        var refusal = await Assert.ThrowsAsync<ProviderFault>(() => us.EnsureGoneAsync(theirs.Reference, Cancellation));
        Assert.Equal(FaultKind.Rejected, refusal.Kind);
        await Assert.ThrowsAsync<ProviderFault>(() => us.EnsureExistsAsync(theirs with { HostName = "taken" }, Cancellation));
        if (us is ISnapshotAbility snapshots)
        {
            var snapshot = new SnapshotId(Ids.New(TimeProvider.System));
            await Assert.ThrowsAsync<ProviderFault>(() => snapshots.TakeSnapshotAsync(theirs.Reference, snapshot, Cancellation));
            await Assert.ThrowsAsync<ProviderFault>(() => snapshots.RevertAsync(theirs.Reference, snapshot, Cancellation));
            await Assert.ThrowsAsync<ProviderFault>(() => snapshots.DeleteSnapshotAsync(theirs.Reference, snapshot, Cancellation));
            await Assert.ThrowsAsync<ProviderFault>(() => snapshots.ListSnapshotsAsync(theirs.Reference, Cancellation));
        }

        if (us is IPowerAbility power) await Assert.ThrowsAsync<ProviderFault>(() => power.StopAsync(theirs.Reference, StopMode.Hard, Cancellation));

        await CreateAsync(us, ours);
        await DestroyAsync(us, ours);
        Assert.Equal(before, await OfAsync(theirs));
        await AwaitPowerAsync(them, theirs, PowerState.Running);
    }

    [Fact]
    public Task A_refused_login_is_unauthorized() => UnderAsync(new WireFault.RefusedLogin(), async (harmed, machine) =>
    {
        foreach (var (_, verbAsync) in Verbs(machine))
            Assert.Equal(FaultKind.Unauthorized, Sentence(await Assert.ThrowsAsync<ProviderFault>(() => verbAsync(harmed, Cancellation))).Kind);
        Assert.False((await harmed.CheckAsync(Cancellation)).Usable);
    });

    [Fact]
    public Task A_full_pool_is_no_capacity_with_a_sentence() => UnderAsync(new WireFault.Full(), async (harmed, bare) =>
    {
        var machine = bare with { Image = Image };
        Assert.Equal(FaultKind.NoCapacity, Sentence(await Assert.ThrowsAsync<ProviderFault>(() => harmed.EnsureExistsAsync(machine, Cancellation))).Kind);
        await harmed.EnsureGoneAsync(machine.Reference, Cancellation);
        await EventuallyAsync(async () => Assert.Empty(await OfAsync(machine)));
    });

    [Fact]
    public Task Throttling_keeps_its_retry_after() => UnderAsync(new WireFault.Throttled(TimeSpan.FromSeconds(17)), async (harmed, machine) =>
    {
        foreach (var (_, verbAsync) in Verbs(machine))
        {
            var fault = Sentence(await Assert.ThrowsAsync<ProviderFault>(() => verbAsync(harmed, Cancellation)));
            Assert.Equal((FaultKind.Throttled, TimeSpan.FromSeconds(17)), (fault.Kind, fault.RetryAfter));
        }
    });

    [Fact]
    public Task A_peer_that_is_away_is_transient_and_shows_nothing_as_absent() => UnderAsync(new WireFault.Away(), async (harmed, machine) =>
    {
        foreach (var (_, verbAsync) in Verbs(machine).Where(verb => verb.Name != "observe"))
        {
            Assert.Equal(FaultKind.Transient, Sentence(await Assert.ThrowsAsync<ProviderFault>(() => verbAsync(harmed, Cancellation))).Kind);
        }

        try
        {
            Assert.All(await harmed.ObserveAsync([machine.Reference], Cancellation), answer => Assert.IsType<Observation.Unknown>(answer));
        }
        catch (ProviderFault fault)
        {
            Assert.Equal(FaultKind.Transient, fault.Kind);
        }

        var check = await harmed.CheckAsync(Cancellation);
        Assert.False(check.Usable);
        Assert.All(check.Problems, problem => Assert.True(problem.What.Length > 10 && problem.Mend.Length > 10, problem.ToString()));
    });

    [Fact]
    public Task Cancellation_is_prompt() => UnderAsync(new WireFault.Silent(), async (harmed, machine) =>
    {
        foreach (var (_, verbAsync) in Verbs(machine).Append(("check", (each, cancellation) => each.CheckAsync(cancellation))))
        {
            using var soon = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
            var watch = Stopwatch.StartNew();
            soon.CancelAfter(TimeSpan.FromMilliseconds(200));
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => verbAsync(harmed, soon.Token));
            Assert.InRange(watch.Elapsed, TimeSpan.FromMilliseconds(150), TimeSpan.FromMilliseconds(200) + Prompt);
        }
    });

    [Fact]
    public async Task A_call_cancelled_before_it_began_does_nothing()
    {
        var machine = NewMachine(NewInstallation());
        await using var provider = Open(machine.Owner.Installation);
        var cancelled = new CancellationToken(canceled: true);
        foreach (var (_, verbAsync) in Verbs(machine)) await Assert.ThrowsAnyAsync<OperationCanceledException>(() => verbAsync(provider, cancelled));
        Assert.Empty(await OfAsync(machine));
    }

    [Fact]
    public async Task No_secret_is_in_faults_files_or_ToString()
    {
        var machine = NewMachine(NewInstallation());
        var texts = new List<string> { machine.ToString(), machine.Seed.ToString() };
        await using (var provider = Open(machine.Owner.Installation))
        {
            await CreateAsync(provider, machine);
            texts.Add((await LookAsync(provider, machine)).ToString());
            texts.Add(provider.ToString()!);
            texts.AddRange((await provider.ListOwnedAsync(Cancellation)).Select(resource => resource.ToString()));
        }

        foreach (var fault in EveryFault.Where(fault => !CannotHave.ContainsKey(fault.GetType())))
        {
            await using var harmed = await OpenAsync(machine.Owner.Installation, fault, Cancellation);
            texts.Add((await harmed.CheckAsync(Cancellation)).Problems.Aggregate("", (all, problem) => $"{all}\n{problem}"));
            foreach (var (_, verbAsync) in Verbs(NewMachine(machine.Owner.Installation)))
            {
                if (await Record.ExceptionAsync(() => verbAsync(harmed, Cancellation)) is { } said) texts.Add(said.ToString());
            }

            await MendWireAsync(Cancellation);
        }

        texts.AddRange(Directory.EnumerateFiles(DataFolder, "*", SearchOption.AllDirectories).Select(ReadShared));
        Assert.True(texts.Count > 5);
        foreach (var secret in Secrets.Append(Password))
            Assert.All(texts, text => Assert.DoesNotContain(secret, text, StringComparison.Ordinal));
    }

    [Fact]
    public void What_the_wire_cannot_have_is_declared_with_a_reason()
    {
        Type[] mayBeDeclared = [typeof(WireFault.Throttled), typeof(WireFault.RefusedLogin), typeof(WireFault.Full)];
        Assert.All(CannotHave, pair =>
        {
            Assert.Contains(pair.Key, mayBeDeclared);
            AssertSentence(pair.Value);
        });
        if (WhyGuestsAreMute is not null) AssertSentence(WhyGuestsAreMute);
        if (WhySnapshotsHaveNoMemory is not null) AssertSentence(WhySnapshotsHaveNoMemory);
    }

    [Fact]
    public async Task The_abilities_are_those_that_the_kind_claims()
    {
        await using var provider = Open(NewInstallation());
        var known = typeof(IPowerAbility).Assembly.GetTypes().Where(type => type.IsInterface && type.Name.EndsWith("Ability", StringComparison.Ordinal)).ToList();
        Assert.Contains(typeof(INetworkAbility), known);
        Assert.Equal(known.Where(Abilities.Contains), known.Where(ability => ability.IsInstanceOfType(provider)));
        Assert.All(Abilities, ability => Assert.Contains(ability, known));
    }

    [Fact]
    public Task Power_hard_stop_start_and_restart_may_be_repeated_and_keep_the_disks() => WithAsync<IPowerAbility>(async (power, provider, installation) =>
    {
        var machine = NewMachine(installation);
        await CreateAsync(provider, machine);
        await AwaitPowerAsync(provider, machine, PowerState.Running);
        var before = await OfAsync(machine);

        await power.StartAsync(machine.Reference, Cancellation);
        await AwaitPowerAsync(provider, machine, PowerState.Running);
        for (var repeat = 0; repeat < 2; repeat++)
        {
            await power.StopAsync(machine.Reference, StopMode.Hard, Cancellation);
            await AwaitPowerAsync(provider, machine, PowerState.Stopped);
        }

        await power.StopAsync(machine.Reference, StopMode.Graceful, Cancellation);
        await AwaitPowerAsync(provider, machine, PowerState.Stopped);
        for (var repeat = 0; repeat < 2; repeat++)
        {
            await power.StartAsync(machine.Reference, Cancellation);
            await AwaitPowerAsync(provider, machine, PowerState.Running);
        }

        for (var repeat = 0; repeat < 2; repeat++)
        {
            await power.RestartAsync(machine.Reference, Cancellation);
            await AwaitPowerAsync(provider, machine, PowerState.Running);
        }

        Assert.Equal(before, await OfAsync(machine));
    });

    [Fact]
    public Task Power_creating_a_stopped_machine_again_changes_nothing() => WithAsync<IPowerAbility>(async (power, provider, installation) =>
    {
        var machine = NewMachine(installation);
        await CreateAsync(provider, machine);
        await AwaitPowerAsync(provider, machine, PowerState.Running);
        await power.StopAsync(machine.Reference, StopMode.Hard, Cancellation);
        await AwaitPowerAsync(provider, machine, PowerState.Stopped);
        var before = await OfAsync(machine);
        await provider.EnsureExistsAsync(machine, Cancellation);
        Assert.Equal(before, await OfAsync(machine));
    });

    [Fact]
    public Task Power_a_graceful_stop_is_obeyed_by_the_guest() => WithAsync<IPowerAbility>(async (power, provider, installation) =>
    {
        var machine = NewGuest(installation);
        await CreateAsync(provider, machine);
        await AwaitPowerAsync(provider, machine, PowerState.Running);
        if (!AssertedMute())
            await EventuallyAsync(async () => Assert.NotEmpty(Assert.IsType<Observation.Present>(await LookAsync(provider, machine)).Addresses));
        await power.StopAsync(machine.Reference, StopMode.Graceful, Cancellation);
        await power.StopAsync(machine.Reference, StopMode.Graceful, Cancellation);
        if (WhyGuestsAreMute is null) await AwaitPowerAsync(provider, machine, PowerState.Stopped);
        else Assert.IsType<Observation.Present>(await LookAsync(provider, machine));
    });

    [Fact]
    public Task Power_over_what_is_not_there_is_a_fault() => WithAsync<IPowerAbility>(async (power, provider, installation) =>
    {
        var machine = NewMachine(installation);
        foreach (var deed in new Func<Task>[]
        {
            () => power.StartAsync(machine.Reference, Cancellation),
            () => power.StopAsync(machine.Reference, StopMode.Hard, Cancellation),
            () => power.RestartAsync(machine.Reference, Cancellation),
        })
        {
            Assert.Equal(FaultKind.Rejected, Sentence(await Assert.ThrowsAsync<ProviderFault>(deed)).Kind);
        }

        Assert.Empty(await OfAsync(machine));
    });

    [Fact]
    public Task Capacity_lists_every_host() => WithAsync<ICapacityAbility>(async (capacity, _, _) =>
    {
        var hosts = await capacity.ReadCapacityAsync(Cancellation);
        Assert.Equal(Hosts.Order(), hosts.Select(host => host.Host).Order());
        Assert.All(hosts, host =>
        {
            Assert.Null(host.Problem);
            Assert.True(host is { Cpu: > 0, MemoryMiB: > 0, DiskGiB: > 0 }, host.ToString());
            Assert.InRange(host.DiskFreeGiB, 0, host.DiskGiB);
        });
    });

    [Fact]
    public Task Images_are_found_or_told_to_be_missing_on_each_host() => WithAsync<IImagesAbility>(async (images, _, _) =>
    {
        var found = await images.FindAsync(Image, Cancellation);
        Assert.Equal(ImageHosts.Order(), found.Select(presence => presence.Host).Order());
        Assert.All(found, presence => Assert.True(presence.Present, presence.ToString()));

        var missing = await images.FindAsync(NewImage("missing", "qcow2"), Cancellation);
        Assert.Equal(ImageHosts.Order(), missing.Select(presence => presence.Host).Order());
        Assert.All(missing, presence =>
        {
            Assert.False(presence.Present);
            Assert.True(presence.Mend?.Length > 10, presence.ToString());
        });
        if (images is IImportAbility imports)
            Assert.Equal(FaultKind.Rejected, (await Assert.ThrowsAsync<ProviderFault>(() => imports.ReadDigestAsync(NewImage("missing", "qcow2"), Hosts[0], new Heard(), Cancellation))).Kind);
    });

    [Fact]
    public Task Images_a_missing_image_is_rejected_and_leaves_nothing() => WithAsync<IImagesAbility>(async (_, provider, installation) =>
    {
        var machine = Remember(NewMachine(installation) with { Image = NewImage("missing", "qcow2") });
        var before = await ListEverythingAsync(Cancellation);
        var fault = Sentence(await Assert.ThrowsAsync<ProviderFault>(() => provider.EnsureExistsAsync(machine, Cancellation)));
        Assert.Equal(FaultKind.Rejected, fault.Kind);
        Assert.Contains(machine.Image.Image, fault.Message, StringComparison.Ordinal);
        await DestroyAsync(provider, machine);
        await EventuallyAsync(async () => Assert.Equal(Sorted(before), Sorted(await ListEverythingAsync(Cancellation))));
    });

    [Fact]
    public Task Images_are_imported_whole_or_not_at_all() => WithAsync<IImportAbility>(async (images, _, _) =>
    {
        var image = NewImage("imported", "raw");
        var file = Path.GetTempFileName();
        try
        {
            const int Size = 8 << 20;
            await File.WriteAllBytesAsync(file, [.. Enumerable.Range(0, Size).Select(i => (byte)(i * 31))], Cancellation);
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
                images.ImportAsync(image, Hosts[0], file, new Heard(), new CancellationToken(canceled: true)));
            using (var halfway = new CancellationTokenSource())
            {
                await Assert.ThrowsAnyAsync<OperationCanceledException>(() => images.ImportAsync(image, Hosts[0], file, new Heard(halfway.Cancel), halfway.Token));
            }

            Assert.All(await images.FindAsync(image, Cancellation), presence => Assert.False(presence.Present));

            var heard = new Heard();
            await images.ImportAsync(image, Hosts[0], file, heard, Cancellation);
            Assert.Equal(Size, heard.Last);
            var there = (await images.FindAsync(image, Cancellation)).Single(presence => presence.Host == Hosts[0]);
            Assert.Equal((true, (await Tool.RunAsync(Cancellation, "sha256sum", file)).Split(' ')[0]), (there.Present, there.Digest?["sha256:".Length..]));
            await images.ReadDigestAsync(image, Hosts[0], heard, Cancellation);
            Assert.Equal(there, (await images.FindAsync(image, Cancellation)).Single(presence => presence.Host == Hosts[0]));
            await images.ImportAsync(image, Hosts[0], file, heard, Cancellation);
            Assert.Equal(there, (await images.FindAsync(image, Cancellation)).Single(presence => presence.Host == Hosts[0]));

            // As long, and another.
            await File.WriteAllBytesAsync(file, new byte[Size], Cancellation);
            Assert.Equal(FaultKind.Rejected, Sentence(await Assert.ThrowsAsync<ProviderFault>(() => images.ImportAsync(image, Hosts[0], file, heard, Cancellation))).Kind);
            Assert.Equal(there, (await images.FindAsync(image, Cancellation)).Single(presence => presence.Host == Hosts[0]));
        }
        finally
        {
            File.Delete(file);
            await RemoveImageAsync(image, CancellationToken.None);
        }
    });

    [Fact]
    public Task Images_of_another_digest_than_the_catalogues_are_refused_and_leave_nothing() => WithAsync<IImportAbility>(async (images, _, _) =>
    {
        var image = NewImage("digested", "raw");
        var file = Path.GetTempFileName();
        try
        {
            await File.WriteAllBytesAsync(file, new byte[1 << 20], Cancellation);
            var digest = "sha256:" + (await Tool.RunAsync(Cancellation, "sha256sum", file)).Split(' ')[0];
            var fault = Sentence(await Assert.ThrowsAsync<ProviderFault>(() => images.ImportAsync(Saying("sha256:" + new string('0', 64)), Hosts[0], file, new Heard(), Cancellation)));
            Assert.Equal(FaultKind.Rejected, fault.Kind);
            Assert.Contains(digest, fault.Message, StringComparison.Ordinal);
            Assert.All(await images.FindAsync(image, Cancellation), presence => Assert.False(presence.Present));

            await images.ImportAsync(Saying(digest), Hosts[0], file, new Heard(), Cancellation);
            Assert.Equal(digest, (await images.FindAsync(image, Cancellation)).Single(presence => presence.Host == Hosts[0]).Digest);
        }
        finally
        {
            File.Delete(file);
            await RemoveImageAsync(image, CancellationToken.None);
        }

        ImageBinding Saying(string digest) => image with { Settings = new Dictionary<string, string>(image.Settings) { [ImageBinding.DigestKey] = digest } };
    });

    [Theory]
    [InlineData("a backing file")]
    [InlineData("a data file")]
    [InlineData("another format")]
    public Task Images_with_other_files_behind_them_are_refused(string what) => WithAsync<IImportAbility>(async (images, _, _) =>
    {
        var image = NewImage("hostile", "qcow2");
        var file = Path.GetTempFileName();
        try
        {
            await File.WriteAllBytesAsync(file, what switch
            {
                "a backing file" => Qcow2(backing: "/etc/passwd", dataFile: false),
                "a data file" => Qcow2(backing: "", dataFile: true),
                _ => new byte[65536],
            }, Cancellation);
            var fault = Sentence(await Assert.ThrowsAsync<ProviderFault>(() => images.ImportAsync(image, Hosts[0], file, new Heard(), Cancellation)));
            Assert.Equal(FaultKind.Rejected, fault.Kind);
            Assert.All(await images.FindAsync(image, Cancellation), presence => Assert.False(presence.Present));
        }
        finally
        {
            File.Delete(file);
            await RemoveImageAsync(image, CancellationToken.None);
        }
    });

    [Fact]
    public Task Serial_log_tells_the_boot_and_keeps_its_bound() => WithAsync<ISerialLogAbility>(async (serial, provider, installation) =>
    {
        var machine = NewGuest(installation);
        await CreateAsync(provider, machine);
        await AwaitPowerAsync(provider, machine, PowerState.Running);
        if (!AssertedMute())
        {
            await EventuallyAsync(async () => Assert.Contains(machine.HostName,
                Encoding.UTF8.GetString(await serial.ReadSerialLogAsync(machine.Reference, 1 << 20, Cancellation)), StringComparison.Ordinal));
            Assert.Equal(16, (await serial.ReadSerialLogAsync(machine.Reference, 16, Cancellation)).Length);
        }

        Assert.InRange((await serial.ReadSerialLogAsync(machine.Reference, 16, Cancellation)).Length, 0, 16);
    });

    [Fact]
    public Task A_serial_console_takes_what_is_typed_and_gives_what_is_printed_and_ends_with_the_machine() => WithAsync<ISerialConsoleAbility>(async (consoles, provider, installation) =>
    {
        var machine = NewGuest(installation);
        await Assert.ThrowsAsync<ProviderFault>(() => consoles.OpenSerialConsoleAsync(machine.Reference, takeOver: false, Cancellation));
        await CreateAsync(provider, machine);
        await AwaitPowerAsync(provider, machine, PowerState.Running);
        await using var line = Assert.IsType<Stream>(await consoles.OpenSerialConsoleAsync(machine.Reference, takeOver: false, Cancellation), exactMatch: false);
        if (!AssertedMute())
        {
            var said = new StringBuilder();
            // A guest that is not so far yet hears nothing: it is asked until it answers.
            await EventuallyAsync(async () =>
            {
                await line.WriteAsync("\r"u8.ToArray(), Cancellation);
                await line.FlushAsync(Cancellation);
                await ReadForAsync(line, said, TimeSpan.FromSeconds(1));
                Assert.Contains(machine.HostName, said.ToString(), StringComparison.Ordinal);
            });
        }

        Assert.Null(await consoles.OpenSerialConsoleAsync(machine.Reference, takeOver: false, Cancellation));
        await using var second = Assert.IsType<Stream>(await consoles.OpenSerialConsoleAsync(machine.Reference, takeOver: true, Cancellation), exactMatch: false);
        await ReadToEndAsync(line);
        if (provider is not IPowerAbility power) return;
        await power.StopAsync(machine.Reference, StopMode.Hard, Cancellation);
        await ReadToEndAsync(second);
        await AwaitPowerAsync(provider, machine, PowerState.Stopped);
        Assert.Equal(FaultKind.Rejected, (await Assert.ThrowsAsync<ProviderFault>(() => consoles.OpenSerialConsoleAsync(machine.Reference, takeOver: false, Cancellation))).Kind);
    });

    [Fact]
    public Task A_screen_shows_itself_to_two_at_once_takes_keys_and_ends_with_the_machine() => WithAsync<IScreenAbility>(async (screens, provider, installation) =>
    {
        var machine = NewGuest(installation);
        await Assert.ThrowsAsync<ProviderFault>(() => screens.OpenScreenAsync(machine.Reference, Cancellation));
        await CreateAsync(provider, machine);
        var present = await AwaitPowerAsync(provider, machine, PowerState.Running);
        var reference = machine.Reference with { Host = present.Host };
        Assert.True(screens.HasScreen(reference));
        await using var first = await ScreenViewer.OpenAsync(await screens.OpenScreenAsync(reference, Cancellation), Cancellation);
        await using var second = await ScreenViewer.OpenAsync(await screens.OpenScreenAsync(reference, Cancellation), Cancellation);
        // Something is painted; and what one types (a guest that is not so far hears nothing: it is asked again), the other sees.
        await EventuallyAsync(async () => Assert.True((await second.LookAsync(Cancellation)).Distinct().Skip(1).Any()));
        var before = await second.LookAsync(Cancellation);
        await EventuallyAsync(async () =>
        {
            await first.TypeAsync('x', Cancellation);
            await Task.Delay(200, Cancellation);
            Assert.NotEqual(before, await second.LookAsync(Cancellation));
        });
        if (provider is not IPowerAbility power) return;
        await power.StopAsync(reference, StopMode.Hard, Cancellation);
        await ReadToEndAsync(first.Line);
        await ReadToEndAsync(second.Line);
        await AwaitPowerAsync(provider, machine, PowerState.Stopped);
        Assert.Equal(FaultKind.Rejected, (await Assert.ThrowsAsync<ProviderFault>(() => screens.OpenScreenAsync(reference, Cancellation))).Kind);
    });

    private static async Task ReadForAsync(Stream line, StringBuilder into, TimeSpan length)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        limit.CancelAfter(length);
        var portion = new byte[1024];
        try
        {
            for (int read; (read = await line.ReadAsync(portion, limit.Token)) > 0;) into.Append(Encoding.UTF8.GetString(portion, 0, read));
        }
        catch (OperationCanceledException) when (!Cancellation.IsCancellationRequested)
        {
            // As long as was asked for.
        }
    }

    private async Task ReadToEndAsync(Stream line)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        limit.CancelAfter(Patience);
        var portion = new byte[1024];
        while (await line.ReadAsync(portion, limit.Token) > 0) { }
    }

    private static IReadOnlyList<(string Name, Func<IProvider, CancellationToken, Task> CallAsync)> Verbs(MachineSpec machine) =>
    [
        ("observe", (provider, cancellation) => provider.ObserveAsync([machine.Reference], cancellation)),
        ("ensure exists", (provider, cancellation) => provider.EnsureExistsAsync(machine, cancellation)),
        ("ensure gone", (provider, cancellation) => provider.EnsureGoneAsync(machine.Reference, cancellation)),
        ("list owned", (provider, cancellation) => provider.ListOwnedAsync(cancellation)),
    ];

    private static async Task<Observation> LookAsync(IProvider provider, MachineSpec machine) =>
        Assert.Single(await provider.ObserveAsync([machine.Reference], Cancellation));

    /// <summary>Orders the machine and waits until it shows.</summary>
    private async Task CreateAsync(IProvider provider, MachineSpec machine)
    {
        await provider.EnsureExistsAsync(machine, Cancellation);
        await EventuallyAsync(async () => Assert.IsType<Observation.Present>(await LookAsync(provider, machine)));
    }

    /// <summary>Orders the end of the machine and waits until the provider does not see it and the peer has nothing of it.</summary>
    private async Task DestroyAsync(IProvider provider, MachineSpec machine)
    {
        await provider.EnsureGoneAsync(machine.Reference, Cancellation);
        await EventuallyAsync(async () =>
        {
            var seen = await LookAsync(provider, machine);
            if (ReadsLag && seen is Observation.Present) await provider.EnsureGoneAsync(machine.Reference, Cancellation);
            Assert.IsType<Observation.Absent>(seen);
            Assert.Empty(await OfAsync(machine));
        });
    }

    private async Task<Observation.Present> AwaitPowerAsync(IProvider provider, MachineSpec machine, PowerState power)
    {
        Observation.Present? present = null;
        await EventuallyAsync(async () =>
        {
            present = Assert.IsType<Observation.Present>(await LookAsync(provider, machine));
            Assert.Equal(power, present.Power);
        });
        return present!;
    }

    /// <summary>What the peer has of one machine, in one order.</summary>
    private async Task<IReadOnlyList<PeerResource>> OfAsync(MachineSpec machine) =>
        [.. Sorted((await ListEverythingAsync(Cancellation)).Where(resource =>
            resource.Name == machine.Owner.ResourceName || resource.Name.StartsWith(machine.Owner.ResourceName + ".", StringComparison.Ordinal)))];

    private static IEnumerable<PeerResource> Sorted(IEnumerable<PeerResource> resources) =>
        resources.OrderBy(resource => resource.Kind).ThenBy(resource => resource.Name, StringComparer.Ordinal).ThenBy(resource => resource.ExternalId, StringComparer.Ordinal);

    /// <summary>The kinds of resource that one undisturbed machine consists of.</summary>
    private async Task<IEnumerable<ResourceKind>> ShapeOfOneMachineAsync(IProvider provider, InstallationId installation)
    {
        var machine = NewMachine(installation);
        await CreateAsync(provider, machine);
        await AwaitPowerAsync(provider, machine, PowerState.Running);
        var shape = (await OfAsync(machine)).Select(resource => resource.Kind).ToList();
        await DestroyAsync(provider, machine);
        return shape;
    }

    /// <summary>Cuts the first wire call, then the second, and so on (or the fourth, the eighth), before and after its effect, until a trial ends uncut.</summary>
    private async Task ForEachCutAsync(int fewest, Func<WireFault.CutOff, Task<bool>> eachAsync)
    {
        Tell("| kind of pool | what | call | lost | then |");
        Tell("|---|---|---|---|---|");
        foreach (var afterEffect in CutsBeforeEffect ? new[] { false, true } : [true])
        {
            var call = 1;
            while (await TrialAsync(new WireFault.CutOff(call, afterEffect))) Assert.InRange(call = CutsEachCall ? call + 1 : 2 * call, 1, 500);
            Assert.True(call > fewest && (CutsEachCall || await TrialAsync(new WireFault.CutOff(fewest, afterEffect))), $"fewer than {fewest} wire calls are made");
        }

        // Before any other call it leaves what the one before left after its effect.
        if (!CutsBeforeEffect) Assert.True(await TrialAsync(new WireFault.CutOff(1, AfterEffect: false)));

        // The fault matrix of this kind, a row for each cut that was mended.
        async Task<bool> TrialAsync(WireFault.CutOff cut)
        {
            var wasCut = await eachAsync(cut);
            Tell($"| {GetType().Name} | {TestContext.Current.TestMethod?.MethodName} | {cut.Call} | {(cut.AfterEffect ? "after" : "before")} its effect | {(wasCut ? "whole again, nothing left over" : "not reached: done")} |");
            return wasCut;
        }
    }

    private static void Tell(string row) => TestContext.Current.TestOutputHelper?.WriteLine(row);

    /// <summary>One deed over a wire that is cut off; false where the deed was done before the cut.</summary>
    private async Task<bool> CutAsync(InstallationId installation, WireFault.CutOff cut, Func<IProvider, Task> deedAsync)
    {
        try
        {
            await using var harmed = await OpenAsync(installation, cut, Cancellation);
            await deedAsync(harmed);
            return false;
        }
        catch (ProviderFault fault)
        {
            Assert.Equal(FaultKind.Transient, Sentence(fault).Kind);
            return true;
        }
        finally
        {
            await MendWireAsync(Cancellation);
        }
    }

    /// <summary>A test over a harmed wire; where the wire cannot have this, the declaration is what is asserted.</summary>
    private async Task UnderAsync(WireFault fault, Func<IProvider, MachineSpec, Task> testAsync)
    {
        var machine = NewMachine(NewInstallation());
        if (CannotHave.TryGetValue(fault.GetType(), out var reason))
        {
            AssertSentence(reason);
            await Assert.ThrowsAsync<NotSupportedException>(() => OpenAsync(machine.Owner.Installation, fault, Cancellation));
            return;
        }

        await using var harmed = await OpenAsync(machine.Owner.Installation, fault, Cancellation);
        await testAsync(harmed, machine);
        await MendWireAsync(Cancellation);
    }

    /// <summary>A test of one ability; where the kind does not claim it, that is what is asserted.</summary>
    private async Task WithAsync<TAbility>(Func<TAbility, IProvider, InstallationId, Task> testAsync)
    {
        var installation = NewInstallation();
        await using var provider = Open(installation);
        if (Abilities.Contains(typeof(TAbility))) await testAsync(Assert.IsType<TAbility>(provider, exactMatch: false), provider, installation);
        else Assert.False(provider is TAbility);
    }

    /// <summary>Tries until the assertion holds; when patience ends, its own failure is what is told.</summary>
    private async Task EventuallyAsync(Func<Task> assertionAsync)
    {
        var watch = Stopwatch.StartNew();
        while (true)
        {
            try
            {
                await assertionAsync();
                return;
            }
            catch (Xunit.Sdk.XunitException) when (watch.Elapsed < Patience)
            {
                // What has taken long is not looked for so often: each look is work for this machine, which the guest wants as well.
                await Task.Delay(TimeSpan.FromMilliseconds(Math.Clamp(watch.ElapsedMilliseconds / 10, 20, 250)), Cancellation);
            }
        }
    }

    private bool AssertedMute()
    {
        if (WhyGuestsAreMute is null) return false;
        AssertSentence(WhyGuestsAreMute);
        return true;
    }

    private static ProviderFault Sentence(ProviderFault fault)
    {
        AssertSentence(fault.Message);
        return fault;
    }

    private static void AssertSentence(string text) =>
        Assert.True(text.Length > 15 && char.IsUpper(text[0]) && text[^1] == '.' && text.Contains(' ', StringComparison.Ordinal), $"not a sentence: {text}");

    /// <summary>A file's bytes as text, also while a provider has it open.</summary>
    private static string ReadShared(string file)
    {
        using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        using var reader = new StreamReader(stream, Encoding.Latin1);
        return reader.ReadToEnd();
    }

    /// <summary>The header of a qcow2 image, version 3 (QEMU, docs/interop/qcow2.txt), 64 KiB long.</summary>
    private static byte[] Qcow2(string backing, bool dataFile)
    {
        var file = new byte[65536];
        var header = file.AsSpan();
        "QFI"u8.CopyTo(header);
        header[3] = 0xfb;
        BinaryPrimitives.WriteUInt32BigEndian(header[4..], 3);
        if (backing.Length > 0)
        {
            BinaryPrimitives.WriteUInt64BigEndian(header[8..], 512);
            BinaryPrimitives.WriteUInt32BigEndian(header[16..], (uint)backing.Length);
            Encoding.ASCII.GetBytes(backing).CopyTo(header[512..]);
        }

        BinaryPrimitives.WriteUInt32BigEndian(header[20..], 16);
        BinaryPrimitives.WriteUInt64BigEndian(header[24..], 1 << 20);
        if (dataFile) BinaryPrimitives.WriteUInt64BigEndian(header[72..], 1 << 2);
        BinaryPrimitives.WriteUInt32BigEndian(header[96..], 4);
        BinaryPrimitives.WriteUInt32BigEndian(header[100..], 104);
        return file;
    }

    private sealed class Heard(Action? then = null) : IProgress<long>
    {
        public long Last { get; private set; }

        public void Report(long value)
        {
            Last = value;
            then?.Invoke();
        }
    }
}
