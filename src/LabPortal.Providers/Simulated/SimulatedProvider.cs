using System.Net;
using System.Text.Json;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using Microsoft.Data.Sqlite;
using NodaTime;

namespace LabPortal.Providers.Simulated;

/// <summary>The flow: which calls over the simulated wire each verb of the contract makes, and what each does to the world.</summary>
internal sealed partial class SimulatedProvider(PoolContext pool, SimulatedSettings settings, SimulatedWorld world)
    : IProvider, IPowerAbility, ISnapshotAbility, ICapacityAbility, IImportAbility, ISerialLogAbility, ISerialConsoleAbility, INetworkAbility, IWarmStartAbility, IScreenAbility
{
    private readonly SimulatedHosts _hosts = new(pool.PoolName, settings, world);

    public Duration SettlingTime => Duration.FromNanoseconds(settings.Settling * 1000.0);

    public override string ToString() => $"simulated {pool}";

    public ValueTask DisposeAsync() => world.DisposeAsync();

    public async Task<PoolCheck> CheckAsync(CancellationToken cancellation)
    {
        try
        {
            var away = await CallAsync(WireVerb.Check, [], rows => new Effect<Dictionary<string, string>>(SimulatedHosts.Away(rows)), cancellation);
            return new PoolCheck([.. away.Where(host => settings.Hosts.Contains(host.Key)).Select(host => new PoolProblem(
                $"Host {host.Key} does not answer: {host.Value}", host.Key, "Let the host come back.", Blocks: settings.Hosts.All(away.ContainsKey)))]);
        }
        catch (ProviderFault fault)
        {
            return new PoolCheck([new PoolProblem(fault.Message, null, fault.Kind switch
            {
                FaultKind.Unauthorized => "Renew the pool's credentials.",
                FaultKind.Broken => "Delete the world's file while no portal has it open.",
                _ => "Wait, or see that the folder of the world's file can be written.",
            })]);
        }
    }

    public async Task EnsureExistsAsync(MachineSpec machine, CancellationToken cancellation)
    {
        var owner = Ours(machine.Owner);
        if (owner.Machine is null) throw new ProviderFault(FaultKind.Rejected, "Only machines can be made in a simulated pool.");

        // The disk chooses the host where placement did not; what an earlier call left has chosen already.
        var host = await CallAsync(WireVerb.CreateDisk, [owner], rows => CreateDisk(rows, machine), cancellation);
        await CallAsync(WireVerb.CreateSeed, [owner], rows => CreateNamed(rows, owner, Part.Seed, host), cancellation);
        if (machine.Cards.Any(card => card.Network is null)) await CallAsync(WireVerb.CreateAddress, [owner], rows => CreateAddress(rows, owner, host), cancellation);
        await CallAsync(WireVerb.CreateMachine, [owner], rows => CreateMachine(rows, machine, host), cancellation);
    }

    public async Task EnsureGoneAsync(ResourceRef reference, CancellationToken cancellation)
    {
        var owner = Ours(reference.Owner);
        if (owner.Machine is null)
        {
            await RemoveNetworksAsync(reference, cancellation);
            return;
        }

        // The machine first, since it uses the rest.
        await CallAsync(WireVerb.DeleteMachine, [owner], rows => Delete(rows, reference, Part.Machine, Part.Log), cancellation);
        await CallAsync(WireVerb.DeleteAddress, [owner], rows => Delete(rows, reference, Part.Address), cancellation);
        await CallAsync(WireVerb.DeleteSeed, [owner], rows => Delete(rows, reference, Part.Seed), cancellation);
        await CallAsync(WireVerb.DeleteDisk, [owner], rows => DeleteDisk(rows, reference), cancellation);
    }

    public async Task<IReadOnlyList<Observation>> ObserveAsync(IReadOnlyList<ResourceRef> references, CancellationToken cancellation) =>
        await CallAsync(WireVerb.Observe, [.. references.Select(reference => reference.Owner)],
            rows => new Effect<IReadOnlyList<Observation>>(Observe(rows, references)), cancellation);

    public async Task<IReadOnlyList<OwnedResource>> ListOwnedAsync(CancellationToken cancellation) =>
        await CallAsync(WireVerb.ListOwned, [], rows =>
        {
            if (SimulatedHosts.Away(rows).FirstOrDefault(host => settings.Hosts.Contains(host.Key)) is { Key: { } host, Value: var why }) throw SimulatedHosts.DoesNotAnswer(host, why);
            var prefix = Owner.InstallationPrefix(pool.Installation);
            return new Effect<IReadOnlyList<OwnedResource>>([.. rows.Query(
                "SELECT kind, external_id, name, host FROM resources WHERE name >= @0 AND name < @1 AND made_at <= @2 AND (gone_at IS NULL OR gone_at > @3) ORDER BY name",
                row => (Kind: Enum.Parse<ResourceKind>(row.GetString(0)), Id: row.GetString(1), Name: row.GetString(2), Host: row.GetString(3)),
                prefix, prefix + '~', SeenMadeUntil(world.Now), world.Now - settings.Settling).Select(row => Owner.TryReadName(pool.Installation, row.Name, out var owned)
                    ? new OwnedResource(row.Kind, row.Id, row.Name, owned.Id, owned.Generation, row.Host)
                    : throw new ProviderFault(FaultKind.Broken, $"The simulated world has a resource of ours with a name that is not: {row.Name}."))]);
        }, cancellation);

    public async Task<IReadOnlyList<HostCapacity>> ReadCapacityAsync(CancellationToken cancellation) =>
        await CallAsync(WireVerb.ReadCapacity, [], rows => new Effect<IReadOnlyList<HostCapacity>>(_hosts.ReadCapacity(rows)), cancellation);

    public Task StartAsync(ResourceRef machine, CancellationToken cancellation) => PowerAsync(WireVerb.Start, machine, (rows, name, now) =>
        rows.Run("UPDATE resources SET off_at = NULL, booted_at = @1 WHERE name = @0 AND off_at IS NOT NULL", name, now + settings.Boot), cancellation);

    public Task StopAsync(ResourceRef machine, StopMode mode, CancellationToken cancellation) => PowerAsync(WireVerb.Stop, machine, (rows, name, now) =>
        rows.Run("UPDATE resources SET off_at = @1 WHERE name = @0 AND (off_at IS NULL OR off_at > @1)", name, mode == StopMode.Hard ? now : now + settings.Stop), cancellation);

    public Task RestartAsync(ResourceRef machine, CancellationToken cancellation) => PowerAsync(WireVerb.Restart, machine, (rows, name, now) =>
        rows.Run("UPDATE resources SET booted_at = @1 WHERE name = @0 AND off_at IS NULL", name, now + settings.Boot), cancellation);

    private async Task<T> CallAsync<T>(WireVerb verb, IReadOnlyList<Owner> owners, Func<Rows, Effect<T>> effect, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        if (settings.Call > TimeSpan.Zero) await Task.Delay(settings.Call, pool.Time, cancellation);
        return await world.CallAsync(new WireCall(verb, pool.Installation, owners, settings.Odds), effect, cancellation);
    }

    private Task PowerAsync(WireVerb verb, ResourceRef machine, Func<Rows, string, long, int> change, CancellationToken cancellation)
    {
        var name = Ours(machine.Owner).ResourceName;
        return CallAsync(verb, [machine.Owner], rows =>
        {
            Settled(rows, machine.Owner);
            return new Effect<int>(0, change(rows, name, world.Now) > 0);
        }, cancellation);
    }

    // What each call does to the world. A create finds what is there already, and checks before it changes.
    private Effect<string> CreateDisk(Rows rows, MachineSpec machine)
    {
        if (machine.Host is { } named) _hosts.Require(named);
        var host = HostOfParts(rows, machine.Owner) ?? machine.Host ?? _hosts.Roomiest(rows, machine);
        SimulatedHosts.RequireAnswering(rows, host);
        var name = machine.Owner.ResourceName + Part.Disk.Suffix;
        if (IsThere(rows, name)) return new Effect<string>(host);

        if (Find(rows, machine.Image, host) is { Present: false, Mend: var mend })
            throw new ProviderFault(FaultKind.Rejected, $"Image {machine.Image.Image} is not on host {host}. {mend}");
        if (_hosts.FreeDiskGiB(rows, host) is var free && free < machine.DiskGiB)
            throw new ProviderFault(FaultKind.NoCapacity, $"Host {host} has {Math.Max(0, free)} GiB of disk left, and the machine asks for {machine.DiskGiB} GiB.");
        rows.Run("INSERT INTO resources (name, kind, external_id, host, disk_gib, made_at) VALUES (@0, @1, @0, @2, @3, @4)",
            name, nameof(ResourceKind.Disk), host, machine.DiskGiB, world.Now);
        return new Effect<string>(host, Changed: true, Resources: 1);
    }

    private Effect<int> CreateNamed(Rows rows, Owner owner, Part part, string host)
    {
        SimulatedHosts.RequireAnswering(rows, host);
        var name = owner.ResourceName + part.Suffix;
        if (IsThere(rows, name)) return default;
        rows.Run("INSERT INTO resources (name, kind, external_id, host, made_at) VALUES (@0, @1, @0, @2, @3)", name, part.Kind.ToString(), host, world.Now);
        return new Effect<int>(0, Changed: true, Resources: 1);
    }

    private Effect<int> CreateAddress(Rows rows, Owner owner, string host)
    {
        SimulatedHosts.RequireAnswering(rows, host);
        var name = owner.ResourceName + Part.Address.Suffix;
        if (IsThere(rows, name)) return default;

        // The owner's own address, and the next one where two owners drew the same.
        for (var attempt = 0; ; attempt++)
        {
            if (rows.Run("INSERT INTO resources (name, kind, external_id, host, made_at) VALUES (@0, 'Address', @1, @2, @3) ON CONFLICT (kind, external_id) DO NOTHING",
                name, Addresses.Of(settings.Seed, owner, attempt).ToString(), host, world.Now) == 1) return new Effect<int>(0, Changed: true, Resources: 1);
        }
    }

    private Effect<int> CreateMachine(Rows rows, MachineSpec machine, string host)
    {
        SimulatedHosts.RequireAnswering(rows, host);
        var name = machine.Owner.ResourceName;
        if (IsThere(rows, name)) return default;

        RequireNetworks(rows, machine, host);
        if (_hosts.WhatIsShort(rows, host, machine) is { } shortage) throw new ProviderFault(FaultKind.NoCapacity, shortage);
        var now = world.Now;
        var boot = Start(rows, machine, host) is { Warm: true } ? settings.Boot / 5 : settings.Boot;
        var drawn = Dice.Draw(settings.Seed, rows.Value<long>("SELECT calls FROM counter"), 1);
        rows.Run("""
            INSERT INTO resources (name, kind, external_id, host, cpu, memory_mib, host_name, image, problem, made_at, ready_at, booted_at)
            VALUES (@0, 'Machine', @1, @2, @3, @4, @5, @6, @7, @8, @9, @10)
            """, name, Ids.Canonical(machine.Owner.DerivedUuid("machine")), host, machine.Cpu, machine.MemoryMiB, machine.HostName, machine.Image.Image,
            drawn < settings.FailedBuildRate ? "The simulated build failed." : null, now, now + settings.Create, now + settings.Create + boot);
        return new Effect<int>(0, Changed: true, Machines: 1, Resources: 1 + CreateNamed(rows, machine.Owner, Part.Log, host).Resources);
    }

    private Effect<int> Delete(Rows rows, ResourceRef reference, params ReadOnlySpan<Part> parts)
    {
        if ((HostOfParts(rows, reference.Owner) ?? reference.Host) is { } host) SimulatedHosts.RequireAnswering(rows, host);
        var (now, machines, resources) = (world.Now, 0, 0);
        foreach (var part in parts)
        {
            var removed = rows.Run("UPDATE resources SET gone_at = @1 WHERE name = @0 AND gone_at IS NULL", reference.Owner.ResourceName + part.Suffix, now + settings.Delete);
            resources -= removed;
            if (part.Kind == ResourceKind.Machine) machines -= removed;
        }

        rows.Run("DELETE FROM resources WHERE gone_at <= @0", now - settings.Settling);
        return new Effect<int>(0, resources != 0, machines, resources);
    }

    /// <summary>The disk with what is in it: its content, and its snapshots.</summary>
    private Effect<int> DeleteDisk(Rows rows, ResourceRef reference)
    {
        var deleted = Delete(rows, reference, Part.Disk);
        var prefix = reference.Owner.ResourceName + Owner.SnapshotSuffix;
        var snapshots = rows.Run("UPDATE resources SET gone_at = @2 WHERE name >= @0 AND name < @1 AND gone_at IS NULL", prefix, prefix + '~', world.Now + settings.Delete);
        rows.Run("DELETE FROM snapshots WHERE name >= @0 AND name < @1", prefix, prefix + '~');
        rows.Run("DELETE FROM contents WHERE disk = @0", reference.Owner.ResourceName + Part.Disk.Suffix);
        return deleted with { Changed = deleted.Changed || snapshots > 0, Resources = deleted.Resources - snapshots };
    }

    /// <summary>The host and power of a machine that is there and neither made nor going at this moment.</summary>
    private (string Host, PowerState Power) Settled(Rows rows, Owner owner)
    {
        var now = world.Now;
        var name = owner.ResourceName;
        var (host, ready, off) = rows.Query("SELECT host, ready_at, off_at FROM resources WHERE name = @0 AND gone_at IS NULL",
            row => (row.GetString(0), row.GetInt64(1), row.Long(2)), name).FirstOrDefault();
        if (host is null) throw NotThere(name);
        SimulatedHosts.RequireAnswering(rows, host);
        if (ready > now) throw new ProviderFault(FaultKind.Transient, $"Machine {name} is still being built.");
        return (host, off is null || off > now ? PowerState.Running : PowerState.Stopped);
    }

    private Observation[] Observe(Rows rows, IReadOnlyList<ResourceRef> references)
    {
        var (now, away) = (world.Now, SimulatedHosts.Away(rows));
        var names = JsonSerializer.Serialize(references.Select(reference => reference.Owner.Installation == pool.Installation ? reference.Owner.ResourceName : ""));
        var answers = new Observation[references.Count];
        foreach (var (index, present) in rows.Query($"""
            SELECT j.key, m.external_id, m.host, m.ready_at, m.booted_at, m.off_at, m.gone_at, m.problem, a.external_id
            FROM json_each(@0) j CROSS JOIN resources m ON m.name = j.value LEFT JOIN resources a ON a.name = j.value || '{Part.Address.Suffix}'
            WHERE m.made_at <= @1 AND (m.gone_at IS NULL OR m.gone_at > @2)
            """, row => (row.GetInt32(0), ReadMachine(row, references[row.GetInt32(0)], now)), names, SeenMadeUntil(now), now - settings.Settling))
        {
            answers[index] = away.ContainsKey(present.Host!) ? new Observation.Unknown(present.Reference, $"Host {present.Host} does not answer.") : present;
        }

        for (var i = 0; i < answers.Length; i++)
        {
            var reference = references[i];
            if (reference.Owner is { Machine: null } && reference.Owner.Installation == pool.Installation && ObserveNetworks(rows, reference) is Observation.Present networks)
                answers[i] = away.ContainsKey(networks.Host!) ? new Observation.Unknown(reference, $"Host {networks.Host} does not answer.") : networks;
            answers[i] ??= reference.Owner.Installation != pool.Installation ? new Observation.Unknown(reference, "It belongs to another installation.")
                : (reference.Host is { } host ? away.ContainsKey(host) : away.Count > 0) ? new Observation.Unknown(reference, "A host that may have it does not answer.")
                : new Observation.Absent(reference);
        }

        return answers;
    }

    private static Observation.Present ReadMachine(SqliteDataReader row, ResourceRef reference, long now)
    {
        var (ready, booted, off, gone, problem) = (row.GetInt64(3), row.GetInt64(4), row.Long(5), row.Long(6), row.Text(7));
        var power = gone is not null ? PowerState.Stopping
            : ready > now ? PowerState.Building
            : problem is not null ? PowerState.Failed
            : off is null ? PowerState.Running
            : off > now ? PowerState.Stopping
            : PowerState.Stopped;
        IReadOnlyList<IPAddress> addresses = power == PowerState.Running && booted <= now && row.Text(8) is { } address ? [IPAddress.Parse(address)] : [];
        return new Observation.Present(reference, power, row.GetString(1), row.GetString(2), addresses, power == PowerState.Failed ? problem : null);
    }

    /// <summary>Is it there, so that a create adopts it? What is still going is waited for; what is gone and only still seen makes room.</summary>
    private bool IsThere(Rows rows, string name)
    {
        var gone = rows.Query("SELECT coalesce(gone_at, 0) FROM resources WHERE name = @0", row => row.GetInt64(0), name);
        if (gone is []) return false;
        if (gone[0] == 0) return true;
        if (gone[0] > world.Now) throw new ProviderFault(FaultKind.Transient, $"{name} is still being deleted.");
        rows.Run("DELETE FROM resources WHERE name = @0", name);
        return false;
    }

    private static string? HostOfParts(Rows rows, Owner owner)
    {
        var name = owner.ResourceName;
        return rows.Value<string>("SELECT host FROM resources WHERE (name = @0 OR (name > @1 AND name < @2)) AND gone_at IS NULL LIMIT 1", name, name + '.', name + '/');
    }

    /// <summary>Without a settling time, reads are exact whatever the clocks of two processes say.</summary>
    private long SeenMadeUntil(long now) => settings.Settling == 0 ? long.MaxValue : now - settings.Settling;

    private Owner Ours(Owner owner) => owner.Installation == pool.Installation
        ? owner
        : throw new ProviderFault(FaultKind.Rejected, $"{owner.ResourceName} belongs to another installation.");

    private static ProviderFault NotThere(string name) => new(FaultKind.Rejected, $"Machine {name} is not in the simulated pool.");

    /// <summary>What a machine consists of, each with its own name.</summary>
    private sealed record Part(ResourceKind Kind, string Suffix)
    {
        public static readonly Part Machine = new(ResourceKind.Machine, "");
        public static readonly Part Disk = new(ResourceKind.Disk, ".disk");
        public static readonly Part Seed = new(ResourceKind.Seed, ".seed");
        public static readonly Part Address = new(ResourceKind.Address, ".address");
        public static readonly Part Log = new(ResourceKind.Log, ".log");
    }
}
