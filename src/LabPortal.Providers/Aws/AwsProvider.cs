using System.Collections.Concurrent;
using System.Globalization;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using NodaTime;

namespace LabPortal.Providers.Aws;

/// <summary>The flow: what EC2 is asked, in which order, and what its answers mean.</summary>
internal sealed partial class AwsProvider(PoolContext pool, AwsSettings settings, AwsTimes times) : IProvider, IPowerAbility, ISnapshotAbility, ISerialLogAbility, IImagesAbility
{
    /// <summary>So many values a filter takes (EC2 API reference, "Filter").</summary>
    private const int MostValues = 200;

    private readonly AwsClient _client = new(settings);

    /// <summary>What this process has just made: EC2 may not show it yet, and that is not to be taken for its absence.</summary>
    private readonly ConcurrentDictionary<string, (InstanceView Made, Instant At)> _justMade = new();

    public Duration SettlingTime => Duration.FromTimeSpan(times.Settling);

    private Instant Now => pool.Time.Now();

    public async Task<PoolCheck> CheckAsync(CancellationToken cancellation)
    {
        var problems = new List<PoolProblem>();
        IReadOnlyList<InstanceView> ours = [];
        await LookAsync(async () => ours = await _client.InstancesAsync(AwsMapping.InstallationTag, [pool.Installation.ToString()], cancellation));
        if (problems.Count > 0) return new PoolCheck(problems);
        if (ClockSkew.Problem("AWS", _client.AnsweredAt, pool.Time.GetUtcNow()) is { } skew) problems.Add(skew);
        await LookAsync(async () => Missing("Subnet", settings.Subnets, await _client.SubnetsAsync(cancellation), "Correct its id, or the region."));
        await LookAsync(async () => Missing("Security group", settings.SecurityGroups, await _client.SecurityGroupsAsync(cancellation), "Correct its id, or the region."));
        problems.AddRange(settings.ReachedFrom.Where(network => !System.Net.IPNetwork.TryParse(network, out _)).Select(network => new PoolProblem($"{network} is no network.", null, "Write it like 10.0.0.0/8, with no bit set behind its length.")));
        if (settings is { LabGroups: true, Reaches: true, ReachedFrom.Count: 0, SecurityGroups.Count: 0 })
            problems.Add(new PoolProblem("Nothing lets the portal reach machines.", null, "Say in \"Reached from\" which network the portal is in, or name a security group that lets its SSH in.", Blocks: false));
        await LookAsync(async () => Missing("Instance type", [.. settings.InstanceTypes.Select(size => size.Type).Distinct()], await _client.InstanceTypesAsync(cancellation), "Take it out of the list, or choose a region that has it.", blocks: false));
        await LookAsync(async () => await _client.VolumesAsync(AwsMapping.NameTag, "-", cancellation));
        await LookAsync(async () => await _client.SnapshotsAsync(AwsMapping.NameTag, "-", cancellation));
        await LookAsync(async () => await _client.CardsAsync(AwsMapping.NameTag, "-", cancellation));
        if (!problems.Exists(problem => problem.Blocks))
        {
            await LookAsync(async () =>
            {
                var missing = await _client.MissingPermissionsAsync(pool.Installation, ours.FirstOrDefault(instance => !instance.IsLeaving), cancellation);
                if (missing.Count > 0) problems.Add(new PoolProblem($"The credentials may not do {string.Join(", ", missing)}.", null, "Give them the policy of infra/aws/iam-policy.json, which names each permission that is needed."));
            });
        }

        return new PoolCheck(problems);

        async Task LookAsync(Func<Task> look)
        {
            try
            {
                await look();
            }
            catch (ProviderFault fault)
            {
                problems.Add(new PoolProblem(fault.Message, null, fault.Kind switch
                {
                    FaultKind.Unauthorized => "Renew the credentials or permissions that the pool uses; infra/aws/iam-policy.json names what it needs.",
                    FaultKind.Throttled => "Nothing is to be done: it is looked at again by itself.",
                    FaultKind.Rejected => "Correct the pool's settings.",
                    _ => "See whether the endpoint can be reached from the portal; it is looked at again by itself.",
                }));
            }
        }

        void Missing(string what, IReadOnlyList<string> wanted, IReadOnlySet<string> found, string mend, bool blocks = true)
            => problems.AddRange(wanted.Where(id => !found.Contains(id)).Select(id => new PoolProblem($"{what} {id} is not in {settings.Region}.", null, mend, blocks)));
    }

    public async Task<IReadOnlyList<Observation>> ObserveAsync(IReadOnlyList<ResourceRef> references, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        var found = new Dictionary<string, InstanceView>();
        foreach (var names in references.Where(reference => IsOurs(reference.Owner)).Select(reference => reference.Owner.ResourceName).Distinct().Chunk(MostValues))
        {
            foreach (var instance in (await _client.InstancesAsync(AwsMapping.NameTag, names, cancellation)).Where(IsOurs).OrderBy(instance => !instance.IsGone))
                found[instance.Tags[AwsMapping.NameTag]] = instance;
        }

        return [.. references.Select(reference => Seen(reference, found.GetValueOrDefault(reference.Owner.ResourceName)))];
    }

    public async Task EnsureExistsAsync(MachineSpec machine, CancellationToken cancellation)
    {
        Require(machine.Owner);
        if (machine.Owner.Machine is null) throw new ProviderFault(FaultKind.Rejected, "Only machines can be made in an AWS pool.");
        if (machine.Cards.Any(card => card.Network is not null)) throw new ProviderFault(FaultKind.Rejected, "An AWS pool has no networks of a lab's own.");
        var types = AwsMapping.TypesFor(machine, settings);
        if (await FindAsync(machine.Owner, cancellation) is not null) return;
        var image = await ImageAsync(machine.Image, cancellation) ?? throw new ProviderFault(FaultKind.Rejected, Missing(machine.Image) + ".");

        // What EC2 would refuse is refused before anything is made.
        _ = AwsMapping.UserData(machine);
        var group = await EnsureGroupAsync(machine.Owner, cancellation);

        // One token for all: where an earlier call made it with another type or subnet and its answer was lost, this one is told so, and goes on to that.
        ProviderFault? full = null;
        var taken = false;
        foreach (var type in types)
        {
            foreach (var subnet in settings.Subnets)
            {
                try
                {
                    _justMade[machine.Owner.ResourceName] = (await _client.RunAsync(machine, image, type, subnet, group, cancellation), Now);
                    return;
                }
                catch (ProviderFault fault) when (fault.Kind == FaultKind.NoCapacity)
                {
                    full = fault;
                }
                catch (ProviderFault fault) when (fault.Kind == FaultKind.Transient && fault.Message.Contains(AwsFaults.TokenTaken, StringComparison.Ordinal))
                {
                    taken = true;
                }
            }
        }

        throw taken ? new ProviderFault(FaultKind.Transient, "AWS made it already in another way and does not show it yet.") : full!;
    }

    public async Task EnsureGoneAsync(ResourceRef reference, CancellationToken cancellation)
    {
        Require(reference.Owner);
        if (reference.Owner.Machine is null)
        {
            await RemoveGroupAsync(reference.Owner, cancellation);
            return;
        }

        var name = reference.Owner.ResourceName;
        foreach (var snapshot in await _client.SnapshotsAsync(AwsMapping.OfTag, name, cancellation)) await _client.DeleteSnapshotAsync(snapshot.Id, cancellation);
        var instances = (await _client.InstancesAsync(AwsMapping.NameTag, [name], cancellation)).Where(instance => IsOurs(instance) && !instance.IsLeaving).Select(instance => instance.Id).ToList();
        if (Remembered(name) is { } justMade && !instances.Contains(justMade.Id)) instances.Add(justMade.Id);
        if (instances.Count > 0) await TerminateAsync(name, instances, cancellation);

        // What a half-done revert left: the others go with their instance.
        foreach (var volume in (await _client.VolumesAsync(AwsMapping.NameTag, name + AwsMapping.DiskSuffix, cancellation)).Where(volume => volume.State == "available"))
            await _client.DeleteVolumeAsync(volume.Id, cancellation);
        foreach (var card in (await _client.CardsAsync(AwsMapping.NameTag, name + AwsMapping.CardSuffix, cancellation)).Where(card => card.State == "available"))
            await _client.DeleteCardAsync(card.Id, cancellation);
        await RemoveGroupAsync(reference.Owner, cancellation);
    }

    public async Task<IReadOnlyList<OwnedResource>> ListOwnedAsync(CancellationToken cancellation)
    {
        var (tag, ours) = (AwsMapping.InstallationTag, pool.Installation.ToString());
        var owned = new List<OwnedResource>();
        foreach (var instance in (await _client.InstancesAsync(tag, [ours], cancellation)).Where(instance => !instance.IsGone)) Add(ResourceKind.Machine, instance.Id, instance.Tags, instance.Zone);
        foreach (var volume in (await _client.VolumesAsync(tag, ours, cancellation)).Where(volume => volume.State != "deleting")) Add(ResourceKind.Disk, volume.Id, volume.Tags, volume.Zone);
        foreach (var card in await _client.CardsAsync(tag, ours, cancellation)) Add(ResourceKind.Card, card.Id, card.Tags, null);
        foreach (var snapshot in await _client.SnapshotsAsync(tag, ours, cancellation)) Add(ResourceKind.Snapshot, snapshot.Id, snapshot.Tags, null);
        foreach (var group in await _client.GroupsAsync(tag, ours, cancellation)) Add(ResourceKind.Group, group.Id, group.Tags, null);
        return owned;

        void Add(ResourceKind kind, string id, IReadOnlyDictionary<string, string> tags, string? host)
        {
            // Tags that somebody has changed say no more whose it is: it carries our installation, and is shown as nobody's.
            var name = tags.GetValueOrDefault(AwsMapping.NameTag) ?? id;
            var of = Guid.TryParse(tags.GetValueOrDefault(kind == ResourceKind.Group ? AwsMapping.LabTag : AwsMapping.MachineTag), out var whose) ? whose : Guid.Empty;
            var generation = int.TryParse(tags.GetValueOrDefault(AwsMapping.GenerationTag), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : 0;
            owned.Add(new OwnedResource(kind, id, name, of, generation, host));
        }
    }

    public async Task StartAsync(ResourceRef machine, CancellationToken cancellation)
    {
        var instance = await MustFindAsync(machine.Owner, cancellation);
        if (instance.State is not ("running" or "pending")) await _client.StartAsync(instance.Id, cancellation);
    }

    public async Task StopAsync(ResourceRef machine, StopMode mode, CancellationToken cancellation)
    {
        var instance = await MustFindAsync(machine.Owner, cancellation);
        if (instance.State != "stopped") await _client.StopAsync(instance.Id, force: mode == StopMode.Hard, cancellation);
    }

    public async Task RestartAsync(ResourceRef machine, CancellationToken cancellation) => await _client.RebootAsync((await MustFindAsync(machine.Owner, cancellation)).Id, cancellation);

    public async Task<byte[]> ReadSerialLogAsync(ResourceRef machine, int maxBytes, CancellationToken cancellation)
    {
        var log = await _client.ConsoleOutputAsync((await MustFindAsync(machine.Owner, cancellation)).Id, cancellation);
        return log.Length <= maxBytes ? log : log[^maxBytes..];
    }

    public async Task<IReadOnlyList<ImagePresence>> FindAsync(ImageBinding image, CancellationToken cancellation)
    {
        var there = await ImageAsync(image, cancellation) is not null;
        return [new ImagePresence("", there, null, 0, there ? null : $"{Missing(image)}: correct the image's binding, or copy the image there.")];
    }

    public ValueTask DisposeAsync()
    {
        _client.Dispose();
        return ValueTask.CompletedTask;
    }

    public override string ToString() => $"AWS pool {pool.PoolName} in {settings.Region}";

    private Task<ImageView?> ImageAsync(ImageBinding image, CancellationToken cancellation) => _client.ImageAsync(image.Require("ami"), OwnerOf(image), cancellation);

    private string Missing(ImageBinding image) => image.Require("ami") is var ami && ami.StartsWith("ami-", StringComparison.Ordinal)
        ? $"Image {ami} is not in {settings.Region} (looked for by id)" : $"Image {ami} is not in {settings.Region} (looked for by name among those of {OwnerOf(image)})";

    private static string OwnerOf(ImageBinding image) => image.Settings.GetValueOrDefault("owner") ?? "self";

    private Observation Seen(ResourceRef reference, InstanceView? instance)
    {
        if (instance is null or { IsGone: true } && Remembered(reference.Owner.ResourceName) is { } made && made.Id != instance?.Id)
            return new Observation.Present(reference, PowerState.Building, made.Id, made.Zone, []);
        return instance is null or { IsGone: true } ? new Observation.Absent(reference) : new Observation.Present(reference, instance.State switch
        {
            "pending" => PowerState.Building,
            "running" => PowerState.Running,
            "stopping" or "shutting-down" => PowerState.Stopping,
            "stopped" => PowerState.Stopped,
            _ => PowerState.Failed,
        }, instance.Id, instance.Zone, instance.Addresses, instance.State is "stopped" or "stopping" or "shutting-down" ? instance.Why : null);
    }

    private InstanceView? Remembered(string name)
    {
        if (!_justMade.TryGetValue(name, out var made)) return null;
        if (Now - made.At < SettlingTime) return made.Made;
        _justMade.TryRemove(name, out _);
        return null;
    }

    private async Task TerminateAsync(string name, List<string> instances, CancellationToken cancellation)
    {
        // What was made a moment ago may not be known yet to the server that is asked: that is no proof of its absence.
        while (!await _client.TerminateAsync(instances, cancellation) && Remembered(name) is not null) await Task.Delay(times.Look, pool.Time, cancellation);
        _justMade.TryRemove(name, out _);
    }

    /// <summary>The machine's instance, unless it is on its way out.</summary>
    private async Task<InstanceView?> FindAsync(Owner owner, CancellationToken cancellation)
        => (await _client.InstancesAsync(AwsMapping.NameTag, [owner.ResourceName], cancellation)).FirstOrDefault(instance => IsOurs(instance) && !instance.IsLeaving);

    private async Task<InstanceView> MustFindAsync(Owner owner, CancellationToken cancellation)
    {
        Require(owner);
        if (await FindAsync(owner, cancellation) is { } instance) return instance;
        throw Remembered(owner.ResourceName) is not null
            ? new ProviderFault(FaultKind.Transient, $"AWS does not show {owner.ResourceName} yet.")
            : new ProviderFault(FaultKind.Rejected, $"Machine {owner.ResourceName} is not in the AWS pool.");
    }

    private bool IsOurs(Owner owner) => owner.Installation == pool.Installation;

    private bool IsOurs(InstanceView instance) => instance.Tags.GetValueOrDefault(AwsMapping.InstallationTag) == pool.Installation.ToString();

    private void Require(Owner owner)
    {
        if (!IsOurs(owner)) throw new ProviderFault(FaultKind.Rejected, $"Machine {owner.ResourceName} belongs to another installation.");
    }
}
