using System.Collections.Concurrent;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

internal sealed partial class LibvirtProvider
{
    /// <summary>An image that gave no warm state is asked again only after so long: each try boots a guest.</summary>
    private static readonly TimeSpan AskAgain = TimeSpan.FromMinutes(10);

    private readonly int _warmStates;
    private readonly TimeProvider _time;
    private readonly ConcurrentDictionary<(string Host, WarmWant Want), (string Why, long At)> _refused = [];

    public int WarmStatesAHost => _warmStates;

    public async Task<IReadOnlyList<WarmProblem>> KeepWarmStatesAsync(IReadOnlyList<MachineSpec> wanted, CancellationToken cancellation)
    {
        foreach (var machine in wanted) RefuseOthers(machine.Owner);
        var problems = await Task.WhenAll(_hosts.Values.Select(host => KeepAsync(host, [.. wanted.Where(machine => machine.Host == host.Name)], cancellation)));
        return [.. problems.SelectMany(each => each)];
    }

    public async Task<MachineStart?> ReadStartAsync(ResourceRef machine, CancellationToken cancellation)
    {
        RefuseOthers(machine.Owner);
        foreach (var host in HostsOf(machine))
        {
            if (await host.RunAsync(new ReadStart(machine.Owner.ResourceName), cancellation) is { } start) return start;
        }

        return null;
    }

    private async Task<IReadOnlyList<WarmProblem>> KeepAsync(LibvirtHost host, IReadOnlyList<MachineSpec> wanted, CancellationToken cancellation)
    {
        var wants = new List<WarmWant>();
        if (_warmStates > 0 && wanted.Count > 0)
        {
            var acceleration = await _accelerations[host.Name].ReadAsync(cancellation);
            // Machines that differ only in whose they are need the same.
            wants = [.. wanted
                .Select(machine => new WarmWant(new SoughtImage(machine.Image.Image, machine.Image.Require("volume"), MendImage(machine.Image, host.Name)),
                    WarmMapping.Template(LibvirtMapping.Domain(machine with { WarmStart = true }, host.Settings, acceleration), "", host.Settings.Network).ToString()))
                .Distinct()];
        }

        var missing = await host.RunAsync(new KeepWarmStates(_installation.Value, wants, _warmStates), cancellation);
        var problems = new List<WarmProblem>();
        foreach (var want in missing.Select(index => wants[index]))
        {
            if (await MakeAsync(host, want, cancellation) is { Length: > 0 } why) problems.Add(new WarmProblem(host.Name, want.Image.Name, why));
        }

        return problems;
    }

    private async Task<string> MakeAsync(LibvirtHost host, WarmWant want, CancellationToken cancellation)
    {
        var key = (host.Name, want);
        if (_refused.TryGetValue(key, out var before) && _time.GetElapsedTime(before.At) < AskAgain) return before.Why;
        string why;
        try
        {
            why = await host.RunAsync(new MakeWarmState(_installation.Value, want, 4 * _deadline), cancellation);
        }
        catch (ProviderFault fault) when (fault.Kind is not FaultKind.Transient)
        {
            why = fault.Message;
        }

        if (why.Length > 0) _refused[key] = (why, _time.GetTimestamp());
        else _refused.TryRemove(key, out _);
        return why;
    }

    private WarmWish? WishOf(MachineSpec machine) => !machine.WarmStart ? null : new WarmWish(_installation.Value, machine switch
    {
        _ when _warmStates == 0 => "The pool's settings keep no warm states.",
        // Each number of cards would be a state of its own.
        { Cards: not [{ Network: null }] } => "Only machines with the one card on the pool's own network are started warm.",
        _ => null,
    });
}
