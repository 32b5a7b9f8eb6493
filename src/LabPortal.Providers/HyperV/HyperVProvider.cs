using System.Text.Json.Nodes;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using NodaTime;

namespace LabPortal.Providers.HyperV;

/// <summary>The flow: which host is asked what. What is done there stands in <c>Scripts</c>.</summary>
internal sealed class HyperVProvider(PoolContext pool, HyperVSettings settings) : IProvider, IPowerAbility, ISnapshotAbility, ICapacityAbility, IImagesAbility
{
    private static readonly TimeSpan s_mostSkew = TimeSpan.FromMinutes(5);

    private readonly IReadOnlyList<HyperVHost> _hosts = [.. settings.Hosts.Select(host => new HyperVHost(host, settings, pool.Time))];

    /// <summary>A host shows at once what it has done.</summary>
    public Duration SettlingTime => Duration.Zero;

    public async Task<PoolCheck> CheckAsync(CancellationToken cancellation)
        => new([.. (await Task.WhenAll(_hosts.Select(host => CheckAsync(host, cancellation)))).SelectMany(problems => problems)]);

    public async Task<IReadOnlyList<Observation>> ObserveAsync(IReadOnlyList<ResourceRef> references, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        if (references.Count == 0) return [];
        var asked = references.Any(reference => reference.Host is null) ? _hosts : [.. _hosts.Where(host => references.Any(reference => reference.Host == host.Name))];
        var answers = await Task.WhenAll(asked.Select(host => TryAsync(host)));
        if (answers.Length > 0 && answers.All(answer => answer.Fault is not null)) throw answers[0].Fault!;
        return [.. references.Select(reference => Seen(reference, [.. answers.Where(answer => reference.Host is null || answer.Host.Name == reference.Host)]))];

        async Task<Answer> TryAsync(HyperVHost host)
        {
            try
            {
                var seen = await host.CallAsync("observe", new JsonObject { ["prefix"] = Owner.InstallationPrefix(pool.Installation) }, cancellation);
                return new Answer(host, HyperVMapping.List(seen["machines"]).OfType<JsonNode>().GroupBy(machine => machine["name"]!.GetValue<string>()).ToDictionary(group => group.Key, group => group.First()), null);
            }
            catch (ProviderFault fault)
            {
                return new Answer(host, [], fault);
            }
        }
    }

    public async Task EnsureExistsAsync(MachineSpec machine, CancellationToken cancellation)
    {
        Require(machine.Owner);
        if (machine.Owner.Machine is null) throw new ProviderFault(FaultKind.Rejected, "Only machines can be made in a Hyper-V pool.");
        if (machine.Cards.Any(card => card.Network is not null)) throw new ProviderFault(FaultKind.Rejected, "A Hyper-V pool has no networks of a lab's own.");
        var host = machine.Host is { } name ? Host(name) : _hosts[0];
        await host.CallAsync("create", HyperVMapping.Create(machine, settings, host.Switch), cancellation);
    }

    public async Task EnsureGoneAsync(ResourceRef reference, CancellationToken cancellation)
    {
        Require(reference.Owner);
        cancellation.ThrowIfCancellationRequested();
        // A lab has nothing of its own here.
        if (reference.Owner.Machine is null) return;
        await Task.WhenAll(Of(reference).Select(host => host.CallAsync("remove", HyperVMapping.Name(reference.Owner, settings), cancellation)));
    }

    public async Task<IReadOnlyList<OwnedResource>> ListOwnedAsync(CancellationToken cancellation)
        => [.. (await Task.WhenAll(_hosts.Select(host => ListAsync(host, cancellation)))).SelectMany(owned => owned)];

    public Task StartAsync(ResourceRef machine, CancellationToken cancellation) => PowerAsync(machine, "start", cancellation);

    public Task StopAsync(ResourceRef machine, StopMode mode, CancellationToken cancellation) => PowerAsync(machine, mode == StopMode.Hard ? "turn-off" : "shut-down", cancellation);

    public Task RestartAsync(ResourceRef machine, CancellationToken cancellation) => PowerAsync(machine, "restart", cancellation);

    public Task TakeSnapshotAsync(ResourceRef machine, SnapshotId snapshot, CancellationToken cancellation) => CheckpointAsync(machine, "take", snapshot, cancellation);

    public async Task<IReadOnlyList<MachineSnapshot>> ListSnapshotsAsync(ResourceRef machine, CancellationToken cancellation)
        => [.. HyperVMapping.List((await CheckpointAsync(machine, "list", null, cancellation))?["checkpoints"]).Select(checkpoint => HyperVMapping.Snapshot(machine.Owner, checkpoint!)).OfType<MachineSnapshot>()];

    public Task RevertAsync(ResourceRef machine, SnapshotId snapshot, CancellationToken cancellation) => CheckpointAsync(machine, "revert", snapshot, cancellation);

    public Task DeleteSnapshotAsync(ResourceRef machine, SnapshotId snapshot, CancellationToken cancellation) => CheckpointAsync(machine, "remove", snapshot, cancellation);

    public async Task<long?> ReadDiskBytesAsync(ResourceRef machine, CancellationToken cancellation)
        => (await CheckpointAsync(machine, "size", null, cancellation))?["bytes"]?.GetValue<long>();

    public async Task<IReadOnlyList<HostCapacity>> ReadCapacityAsync(CancellationToken cancellation) => await Task.WhenAll(_hosts.Select(async host =>
    {
        try
        {
            var has = await host.CallAsync("capacity", new JsonObject { ["folder"] = settings.Folder }, cancellation);
            return new HostCapacity(host.Name, has["cpu"]!.GetValue<int>(), Amount("memoryBytes") >> 20, Amount("diskBytes") >> 30, Amount("diskFreeBytes") >> 30, null, null);

            long Amount(string of) => has[of]!.GetValue<long>();
        }
        catch (ProviderFault fault)
        {
            return new HostCapacity(host.Name, 0, 0, 0, 0, null, fault.Message);
        }
    }));

    public async Task<IReadOnlyList<ImagePresence>> FindAsync(ImageBinding image, CancellationToken cancellation)
    {
        var file = HyperVMapping.ImageFile(image, settings);
        return [.. (await Task.WhenAll(_hosts.Select(FindOnAsync))).OfType<ImagePresence>()];

        // Of a host that does not answer nothing is known; that it does not the check says.
        async Task<ImagePresence?> FindOnAsync(HyperVHost host)
        {
            try
            {
                var found = await host.CallAsync("image", new JsonObject { ["file"] = file }, cancellation);
                var there = found["present"]!.GetValue<bool>();
                return new ImagePresence(host.Name, there, null, found["bytes"]!.GetValue<long>(), there ? null : $"Put {file} on host {host.Name}, or correct the image's binding.");
            }
            catch (ProviderFault)
            {
                return null;
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var host in _hosts) await host.DisposeAsync();
    }

    public override string ToString() => $"Hyper-V pool {pool.PoolName}";

    private async Task<IReadOnlyList<PoolProblem>> CheckAsync(HyperVHost host, CancellationToken cancellation)
    {
        try
        {
            var found = await host.CallAsync("check", new JsonObject { ["switch"] = host.Switch, ["images"] = settings.Images, ["folder"] = settings.Folder, ["probe"] = $".check-{Ids.New(pool.Time):n}" }, cancellation);
            var problems = HyperVMapping.List(found["problems"]).Select(problem => problem!["what"]!.GetValue<string>() switch
            {
                "switch" => new PoolProblem($"Virtual switch \"{host.Switch}\" is not on host {host.Name}.", host.Name, "Make it there with New-VMSwitch, or correct its name; infra/hyperv/setup.ps1 makes one."),
                "images" => new PoolProblem($"The folder of images {settings.Images} is not on host {host.Name}.", host.Name, "Make it there, with the images in it, or correct its path."),
                _ => new PoolProblem($"Nothing can be written into {settings.Folder} on host {host.Name}.", host.Name, "Give the user the right to change files there, make room, or name another folder."),
            }).ToList();
            if (host.Ahead.Duration() > s_mostSkew)
                problems.Add(new PoolProblem($"The clock of host {host.Name} is {host.Ahead.Duration().TotalMinutes:0} minutes {(host.Ahead > TimeSpan.Zero ? "ahead" : "behind")}.", host.Name, "Let it keep time with the others (w32tm /resync); guests take their time from it.", Blocks: false));
            return problems;
        }
        catch (ProviderFault fault)
        {
            return [new PoolProblem(fault.Message, host.Name, fault.Kind switch
            {
                FaultKind.Unauthorized => "Correct user, key, password or fingerprint; the user has to be in Hyper-V Administrators and may sign in by SSH.",
                FaultKind.Transient => "See whether its SSH server runs and can be reached from the portal; it is looked at again by itself.",
                _ => "See whether Hyper-V and its PowerShell module are installed there.",
            })];
        }
    }

    private async Task<IReadOnlyList<OwnedResource>> ListAsync(HyperVHost host, CancellationToken cancellation)
    {
        var there = await host.CallAsync("list", new JsonObject { ["prefix"] = Owner.InstallationPrefix(pool.Installation), ["folder"] = settings.Folder }, cancellation);
        return [.. Owned(ResourceKind.Machine, "machines"), .. Owned(ResourceKind.Snapshot, "checkpoints"), .. Owned(ResourceKind.Disk, "folders"), .. Owned(ResourceKind.Seed, "seeds")];

        IEnumerable<OwnedResource> Owned(ResourceKind kind, string list)
        {
            foreach (var found in HyperVMapping.List(there[list]))
            {
                var name = found!["name"]!.GetValue<string>();
                if (Owner.TryReadName(pool.Installation, name, out var owned)) yield return new OwnedResource(kind, found["id"]!.GetValue<string>(), name, owned.Id, owned.Generation, host.Name);
            }
        }
    }

    private async Task PowerAsync(ResourceRef machine, string order, CancellationToken cancellation)
    {
        var host = await WhereAsync(machine, cancellation);
        var input = HyperVMapping.Name(machine.Owner, settings);
        input["order"] = order;
        await host.CallAsync("power", input, cancellation);
    }

    private async Task<JsonNode?> CheckpointAsync(ResourceRef machine, string order, SnapshotId? snapshot, CancellationToken cancellation)
    {
        Require(machine.Owner);
        if (order == "remove" && machine.Host is null && await FindAsync(machine, cancellation) is null) return null;
        var host = await WhereAsync(machine, cancellation);
        var input = HyperVMapping.Name(machine.Owner, settings);
        input["order"] = order;
        input["checkpoint"] = snapshot is { } wanted ? machine.Owner.SnapshotName(wanted) : "";
        input["mark"] = snapshot?.Value.ToString("n") ?? "";
        return await host.CallAsync("checkpoints", input, cancellation);
    }

    /// <summary>The host that the machine is on; the script there says whether it still is.</summary>
    private async Task<HyperVHost> WhereAsync(ResourceRef machine, CancellationToken cancellation)
    {
        Require(machine.Owner);
        if (machine.Host is { } name) return Host(name);
        if (_hosts.Count == 1) return _hosts[0];
        return await FindAsync(machine, cancellation) ?? throw new ProviderFault(FaultKind.Rejected, $"Machine {machine.Owner.ResourceName} is on no host of the pool.");
    }

    private async Task<HyperVHost?> FindAsync(ResourceRef machine, CancellationToken cancellation) => (await ObserveAsync([machine], cancellation)).Single() switch
    {
        Observation.Present present => Host(present.Host!),
        Observation.Unknown unknown => throw new ProviderFault(FaultKind.Transient, unknown.Why),
        _ => null,
    };

    private IEnumerable<HyperVHost> Of(ResourceRef reference) => reference.Host is { } name ? [Host(name)] : _hosts;

    private HyperVHost Host(string name) => _hosts.FirstOrDefault(host => host.Name == name) ?? throw new ProviderFault(FaultKind.Rejected, $"The pool has no host \"{name}\".");

    private Observation Seen(ResourceRef reference, IReadOnlyList<Answer> answers)
    {
        if (reference.Owner.Installation != pool.Installation) return new Observation.Absent(reference);
        if (answers.Count == 0) return new Observation.Unknown(reference, $"The pool has no host \"{reference.Host}\".");
        foreach (var answer in answers)
        {
            if (answer.Machines.TryGetValue(reference.Owner.ResourceName, out var machine)) return HyperVMapping.Seen(reference, answer.Host.Name, machine);
        }

        // A host that does not answer may have it.
        return answers.FirstOrDefault(answer => answer.Fault is not null) is { Fault: { } fault } ? new Observation.Unknown(reference, fault.Message) : new Observation.Absent(reference);
    }

    private void Require(Owner owner)
    {
        if (owner.Installation != pool.Installation) throw new ProviderFault(FaultKind.Rejected, $"Machine {owner.ResourceName} belongs to another installation.");
    }

    private sealed record Answer(HyperVHost Host, Dictionary<string, JsonNode> Machines, ProviderFault? Fault);
}
