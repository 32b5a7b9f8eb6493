using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using NodaTime;

namespace LabPortal.Providers.Azure;

/// <summary>The flow: what Resource Manager is asked, in which order, and what its answers mean. No operation is kept: the next look reads the resource itself.</summary>
internal sealed partial class AzureProvider(PoolContext pool, AzureSettings settings, AzureClient client, AzureTimes times) : IProvider, IPowerAbility, ISnapshotAbility, ISerialLogAbility, IImagesAbility
{
    /// <summary>So many machines are looked at side by side.</summary>
    private const int LooksAtOnce = 8;

    /// <summary>What Azure calls the allowance of all vCPUs of a subscription in a location.</summary>
    private const string AllCores = "cores";

    /// <summary>What this process has just ordered: Azure may not show it yet, and that is not to be taken for its absence.</summary>
    private readonly ConcurrentDictionary<string, (string Group, Instant At)> _justMade = new();

    public Duration SettlingTime => Duration.FromTimeSpan(times.Settling);

    private Instant Now => pool.Time.Now();

    private bool OwnGroups => settings.ResourceGroup.Length == 0;

    public async Task<PoolCheck> CheckAsync(CancellationToken cancellation)
    {
        var problems = new List<PoolProblem>();
        DateTimeOffset? answered = null;
        await LookAsync(async () => answered = await client.LookAtSubscriptionAsync(cancellation));
        if (problems.Count > 0) return new PoolCheck(problems);
        if (ClockSkew.Problem("Azure", answered, pool.Time.GetUtcNow()) is { } skew) problems.Add(skew);
        await LookAsync(async () =>
        {
            var grants = await client.GrantsAsync(cancellation);
            var missing = AzurePermissions.Needed.Where(permission => AzurePermissions.MattersTo(permission, settings) && !AzurePermissions.Allows(grants, permission)).ToList();
            if (missing.Count > 0)
                problems.Add(new PoolProblem($"The portal's role lacks {string.Join(", ", missing)}.", null, "Give it the role of infra/azure/role-definition.json, which names each permission that is needed."));
        });
        IReadOnlyList<Allowance> allowances = [];
        await LookAsync(async () =>
        {
            allowances = await client.AllowancesAsync(cancellation);
            if (allowances.FirstOrDefault(allowance => allowance.Name == AllCores) is { Left: 0 } cores)
                problems.Add(new PoolProblem($"The subscription's allowance of {cores.Title} in {settings.Location} is used up: {cores.Used} of {cores.Limit}.", null, "End labs, deallocate other machines of the subscription, or ask Azure for more (Usage + quotas)."));
        });
        await LookAsync(async () =>
        {
            if (!await client.HasSubnetAsync(cancellation)) problems.Add(new PoolProblem($"Subnet {settings.Subnet} is not there.", null, "Correct its resource id, or make it."));
        });
        await LookAsync(async () =>
        {
            var known = await client.SizesAsync(cancellation);
            problems.AddRange(settings.Sizes.Where(size => !known.Contains(size.Size)).Select(size => new PoolProblem($"Size {size.Size} is not in {settings.Location}.", null, "Take it out of the list, or choose another location.", Blocks: false)));
        });
        await LookAsync(() => client.ListAsync(Owner.InstallationPrefix(pool.Installation), AzureMapping.InstallationTag, pool.Installation.ToString(), cancellation));
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
                    FaultKind.Unauthorized => "Renew the credentials, or give the portal the role that it needs: infra/azure/role-definition.json names each permission.",
                    FaultKind.Throttled => "Nothing is to be done: it is looked at again by itself.",
                    FaultKind.Rejected => "Correct the pool's settings.",
                    _ => "See whether the endpoint can be reached from the portal; it is looked at again by itself.",
                }));
            }
        }
    }

    public async Task<IReadOnlyList<Observation>> ObserveAsync(IReadOnlyList<ResourceRef> references, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        var seen = new Observation[references.Count];
        await Parallel.ForEachAsync(Enumerable.Range(0, references.Count), new ParallelOptions { MaxDegreeOfParallelism = LooksAtOnce, CancellationToken = cancellation },
            async (i, ct) => seen[i] = await LookAsync(references[i], ct));
        return seen;
    }

    public async Task EnsureExistsAsync(MachineSpec machine, CancellationToken cancellation)
    {
        Require(machine.Owner);
        if (machine.Owner.Machine is null) throw new ProviderFault(FaultKind.Rejected, "Only machines can be made in an Azure pool.");
        if (machine.Cards.Any(card => card.Network is not null)) throw new ProviderFault(FaultKind.Rejected, "An Azure pool has no networks of a lab's own.");
        var (group, name, sizes) = (AzureMapping.GroupName(machine.Owner, settings), machine.Owner.ResourceName, AzureMapping.SizesFor(machine, settings));
        if (await client.FindAsync(group, name, cancellation) is not null) return;
        if (OwnGroups) await client.EnsureGroupAsync(group, AzureMapping.Tags(AzureMapping.GroupOf(machine.Owner)), cancellation);
        ProviderFault? full = null;
        foreach (var size in sizes)
        {
            try
            {
                await client.CreateAsync(group, machine, size, cancellation);
                _justMade[name] = (group, Now);
                return;
            }
            catch (ProviderFault fault) when (fault.Kind == FaultKind.NoCapacity)
            {
                full = fault;
            }
        }

        throw full!;
    }

    public async Task EnsureGoneAsync(ResourceRef reference, CancellationToken cancellation)
    {
        Require(reference.Owner);
        var group = AzureMapping.GroupName(reference.Owner, settings);
        if (reference.Owner.Machine is null)
        {
            if (OwnGroups) await client.DeleteGroupAsync(group, cancellation);
            return;
        }

        var name = reference.Owner.ResourceName;
        if (OwnGroups && await IsTheLastAsync(group, name, cancellation))
        {
            // One call takes all that is in it, whatever a cut-off create left.
            await client.DeleteGroupAsync(group, cancellation);
        }
        else
        {
            // What is the machine's and does not go with it: snapshots, and disks that a half-done revert left.
            foreach (var snapshot in (await client.SnapshotsAsync(group, cancellation)).Where(view => view.Name.StartsWith(name + Owner.SnapshotSuffix, StringComparison.Ordinal))) await client.DeleteRestAsync(snapshot.Id, cancellation);
            var ordered = await client.DeleteAsync(group, name, cancellation);
            await RemoveDisksAsync(group, reference.Owner, but: null, cancellation);
            if (!ordered)
            {
                string[] left = [$"networkInterfaces/{name}{AzureMapping.CardSuffix}", .. settings.PublicAddress ? new[] { $"publicIPAddresses/{name}{AzureMapping.AddressSuffix}" } : []];
                foreach (var rest in left) await client.DeleteRestAsync($"/subscriptions/{settings.Subscription}/resourceGroups/{group}/providers/Microsoft.Network/{rest}", cancellation);
            }
        }

        _justMade.TryRemove(name, out _);
    }

    public async Task<IReadOnlyList<OwnedResource>> ListOwnedAsync(CancellationToken cancellation)
    {
        var found = await client.ListAsync(Owner.InstallationPrefix(pool.Installation), AzureMapping.InstallationTag, pool.Installation.ToString(), cancellation);
        // What carries our name but none of our endings is not of our making.
        return [.. found.Where(resource => Owner.TryReadName(pool.Installation, resource.Name, out _)).Select(resource =>
        {
            Owner.TryReadName(pool.Installation, resource.Name, out var owned);
            // A snapshot's own name is too short for its whole id: that is in its tag.
            var name = KindOf(resource) == ResourceKind.Snapshot && resource.Tags.GetValueOrDefault(AzureMapping.SnapshotTag) is { } snapshot ? resource.Name.Split(Owner.SnapshotSuffix)[0] + Owner.SnapshotSuffix + snapshot : resource.Name;
            return new OwnedResource(KindOf(resource), resource.Id, name, owned!.Id, owned.Generation, null);
        })];
    }

    public async Task StartAsync(ResourceRef machine, CancellationToken cancellation)
    {
        var (group, found) = await MustFindAsync(machine.Owner, cancellation);
        if (found.Power is not ("running" or "starting")) await client.StartAsync(group, found.Name, cancellation);
    }

    /// <summary>Deallocated: a machine that is only stopped is billed on. Azure shuts the guest down itself first, so that both ways are one.</summary>
    public async Task StopAsync(ResourceRef machine, StopMode mode, CancellationToken cancellation)
    {
        var (group, found) = await MustFindAsync(machine.Owner, cancellation);
        if (found.Power is not ("deallocated" or "deallocating")) await client.DeallocateAsync(group, found.Name, cancellation);
    }

    public async Task RestartAsync(ResourceRef machine, CancellationToken cancellation)
    {
        var (group, found) = await MustFindAsync(machine.Owner, cancellation);
        await client.RestartAsync(group, found.Name, cancellation);
    }

    public async Task<byte[]> ReadSerialLogAsync(ResourceRef machine, int maxBytes, CancellationToken cancellation)
    {
        var (group, found) = await MustFindAsync(machine.Owner, cancellation);
        return await client.SerialLogAsync(group, found.Name, maxBytes, cancellation);
    }

    public async Task<IReadOnlyList<ImagePresence>> FindAsync(ImageBinding image, CancellationToken cancellation)
    {
        var wanted = image.Require("image");
        var there = await client.HasImageAsync(AzureRequests.Known(wanted), cancellation);
        return [new ImagePresence("", there, null, 0, there ? null : $"{wanted} is not in {settings.Location} of subscription {settings.Subscription} ({(wanted.StartsWith('/') ? "looked for by its resource id" : "looked for in the marketplace")}): correct the image's binding, or make it there.")];
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    public override string ToString() => $"Azure pool {pool.PoolName} in {settings.Location}";

    private async Task<Observation> LookAsync(ResourceRef reference, CancellationToken cancellation)
    {
        if (reference.Owner.Installation != pool.Installation || reference.Owner.Machine is null) return new Observation.Absent(reference);
        var group = AzureMapping.GroupName(reference.Owner, settings);
        if (await client.FindAsync(group, reference.Owner.ResourceName, cancellation) is not { } found)
            return WasJustMade(reference.Owner.ResourceName) ? new Observation.Present(reference, PowerState.Building, reference.Owner.ResourceName, settings.Location, []) : new Observation.Absent(reference);
        var power = (found.Provisioning, found.Power) switch
        {
            ("Failed", _) => PowerState.Failed,
            ("Deleting", _) => PowerState.Stopping,
            ("Creating", _) or (_, "starting" or "") => PowerState.Building,
            (_, "running") => PowerState.Running,
            (_, "stopping" or "deallocating") => PowerState.Stopping,
            (_, "stopped" or "deallocated") => PowerState.Stopped,
            _ => PowerState.Failed,
        };
        IReadOnlyList<IPAddress> addresses = power == PowerState.Running && found.Cards is [var card, ..] ? await client.AddressesAsync(card, cancellation) : [];
        return new Observation.Present(reference, power, found.Id, settings.Location, addresses, power == PowerState.Failed ? $"{found.Failure?.Code}: {found.Failure?.Message}" : null)
        {
            Why = found.Failure is { } why ? AzureFaults.KindOf(why.Code, why.Message, 200) : FaultKind.Broken,
        };
    }

    private async Task<bool> IsTheLastAsync(string group, string name, CancellationToken cancellation)
        => !_justMade.Any(made => made.Key != name && made.Value.Group == group && WasJustMade(made.Key))
            && (await client.InGroupAsync(group, cancellation)).All(other => other.Name == name || other.Provisioning == "Deleting");

    private bool WasJustMade(string name)
    {
        if (!_justMade.TryGetValue(name, out var made)) return false;
        if (Now - made.At < SettlingTime) return true;
        _justMade.TryRemove(name, out _);
        return false;
    }

    private async Task<(string Group, VirtualMachineView Found)> MustFindAsync(Owner owner, CancellationToken cancellation)
    {
        Require(owner);
        var group = AzureMapping.GroupName(owner, settings);
        if (await client.FindAsync(group, owner.ResourceName, cancellation) is { } found) return (group, found);
        throw WasJustMade(owner.ResourceName)
            ? new ProviderFault(FaultKind.Transient, $"Azure does not show {owner.ResourceName} yet.")
            : new ProviderFault(FaultKind.Rejected, $"Machine {owner.ResourceName} is not in the Azure pool.");
    }

    private static ResourceKind KindOf(ResourceView resource) => resource.Type.Split('/')[^1].ToUpperInvariant() switch
    {
        "RESOURCEGROUPS" => ResourceKind.Group,
        "VIRTUALMACHINES" => ResourceKind.Machine,
        "DISKS" => ResourceKind.Disk,
        "NETWORKINTERFACES" => ResourceKind.Card,
        "PUBLICIPADDRESSES" => ResourceKind.Address,
        "SNAPSHOTS" => ResourceKind.Snapshot,
        _ => ResourceKind.Group,
    };

    private void Require(Owner owner)
    {
        if (owner.Installation != pool.Installation) throw new ProviderFault(FaultKind.Rejected, $"Machine {owner.ResourceName} belongs to another installation.");
    }
}

/// <summary>How long reads of Resource Manager may lag (other regions' caches are behind for some seconds), and how often a long change is looked at.</summary>
internal sealed record AzureTimes(TimeSpan Settling, TimeSpan Look)
{
    public static readonly AzureTimes Real = new(TimeSpan.FromSeconds(20), TimeSpan.FromSeconds(3));
}

/// <summary>So much of something the subscription may have in a location, and has (<c>Usage</c> of Compute).</summary>
internal sealed record Allowance(string Name, string Title, long Used, long Limit)
{
    public long Left => Math.Max(0, Limit - Used);
}
