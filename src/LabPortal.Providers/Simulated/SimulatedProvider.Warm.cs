using System.Security.Cryptography;
using System.Text;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Simulated;

/// <summary>Warm states are resources of the world: made in the time of a machine and its boot, they make a later boot short.</summary>
internal sealed partial class SimulatedProvider
{
    private const string WarmSuffix = ".warm";

    public int WarmStatesAHost => settings.WarmStates;

    public async Task<IReadOnlyList<WarmProblem>> KeepWarmStatesAsync(IReadOnlyList<MachineSpec> wanted, CancellationToken cancellation)
    {
        foreach (var machine in wanted) Ours(machine.Owner);
        var kept = wanted.Where(machine => machine.Host is { } host && settings.Hosts.Contains(host)).DistinctBy(StateOf)
            .GroupBy(machine => machine.Host!).SelectMany(group => group.Take(settings.WarmStates)).ToList();
        var names = kept.Select(StateOf).ToHashSet();
        var prefix = Owner.InstallationPrefix(pool.Installation);
        await CallAsync(WireVerb.DeleteWarmState, [], rows =>
        {
            var removed = rows.Query("SELECT name FROM resources WHERE kind = 'WarmState' AND name >= @0 AND name < @1", row => row.GetString(0), prefix, prefix + '~')
                .Where(name => !names.Contains(name)).Sum(name => rows.Run("DELETE FROM resources WHERE name = @0", name));
            return new Effect<int>(removed, removed > 0, Resources: -removed);
        }, cancellation);
        var there = await CallAsync(WireVerb.ListOwned, [], rows => new Effect<HashSet<string>>([.. names.Where(name => IsThere(rows, name))]), cancellation);
        foreach (var machine in kept.Where(machine => !there.Contains(StateOf(machine))))
        {
            await Task.Delay(TimeSpan.FromMicroseconds(settings.Create + settings.Boot), pool.Time, cancellation);
            await CallAsync(WireVerb.MakeWarmState, [], rows =>
            {
                SimulatedHosts.RequireAnswering(rows, machine.Host!);
                if (IsThere(rows, StateOf(machine))) return default;
                rows.Run("INSERT INTO resources (name, kind, external_id, host, made_at) VALUES (@0, 'WarmState', @0, @1, @2)", StateOf(machine), machine.Host!, world.Now);
                return new Effect<int>(0, Changed: true, Resources: 1);
            }, cancellation);
        }

        return [];
    }

    public async Task<MachineStart?> ReadStartAsync(ResourceRef machine, CancellationToken cancellation)
    {
        var name = Ours(machine.Owner).ResourceName;
        return await CallAsync(WireVerb.ReadStart, [machine.Owner], rows => new Effect<MachineStart?>(IsThere(rows, name)
            ? rows.Query("SELECT warm, why FROM starts WHERE machine = @0", row => new MachineStart(row.GetBoolean(0), row.Text(1)), name).FirstOrDefault()
            : null), cancellation);
    }

    /// <summary>Whether this machine is started warm, and written down so; null where it does not ask.</summary>
    private MachineStart? Start(Rows rows, MachineSpec machine, string host)
    {
        rows.Run("DELETE FROM starts WHERE machine = @0", machine.Owner.ResourceName);
        if (!machine.WarmStart) return null;
        var start = settings.WarmStates == 0 ? MachineStart.Cold("The pool's settings keep no warm states.")
            : IsThere(rows, StateOf(machine with { Host = host })) ? MachineStart.FromState
            : MachineStart.Cold("There is no warm state for this image and shape on this host yet; one is made.");
        rows.Run("INSERT INTO starts VALUES (@0, @1, @2)", machine.Owner.ResourceName, start.Warm ? 1 : 0, start.Why);
        return start;
    }

    private string StateOf(MachineSpec machine)
    {
        var shape = $"{machine.Host} {machine.Image.Image} {machine.Image.Version} {machine.Cpu} {machine.MemoryMiB}";
        var id = new Guid(SHA256.HashData(Encoding.UTF8.GetBytes(shape)).AsSpan(0, 16), bigEndian: true);
        return new Owner(pool.Installation, new LabId(id), null, 1).ResourceName + WarmSuffix;
    }
}
