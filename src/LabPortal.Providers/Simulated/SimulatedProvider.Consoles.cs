using System.Collections.Concurrent;
using System.Text;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Simulated;

/// <summary>What a guest prints follows from what was done to it; who looks at it and types is known in this process alone.</summary>
internal sealed partial class SimulatedProvider
{
    private readonly ConcurrentDictionary<string, SimulatedLine> _lines = new();
    private readonly ConcurrentDictionary<string, SimulatedScreen> _screens = new();

    public async Task<byte[]> ReadSerialLogAsync(ResourceRef machine, int maxBytes, CancellationToken cancellation)
    {
        var name = Ours(machine.Owner).ResourceName;
        var text = await CallAsync(WireVerb.ReadLog, [machine.Owner], rows =>
        {
            var (hostName, address, ready) = rows.Query(
                "SELECT m.host_name, a.external_id, m.ready_at FROM resources m LEFT JOIN resources a ON a.name = @1 WHERE m.name = @0",
                row => (row.GetString(0), row.Text(1), row.GetInt64(2)), name, name + Part.Address.Suffix).FirstOrDefault();
            if (hostName is null) throw NotThere(name);
            var deeds = rows.Query("SELECT verb, at FROM calls WHERE owner = @0 AND effect = 1 AND at >= @1 AND verb IN ('start', 'stop', 'restart', 'outside-stop') ORDER BY number",
                row => new SerialLog.Deed(row.GetString(0), row.GetInt64(1)), name, ready);
            return new Effect<string>(SerialLog.Write(hostName, address, settings.Boot, [new("start", ready), .. deeds], world.Now));
        }, cancellation);
        var bytes = Encoding.UTF8.GetBytes(text);
        return bytes.Length <= maxBytes ? bytes : bytes[^maxBytes..];
    }

    /// <summary>One line to a machine, as far as this process sees.</summary>
    public async Task<Stream?> OpenSerialConsoleAsync(ResourceRef machine, bool takeOver, CancellationToken cancellation)
    {
        var name = Ours(machine.Owner).ResourceName;
        if (await world.WhoRunsAsync(name, cancellation) is not { } hostName) throw new ProviderFault(FaultKind.Rejected, $"Machine {name} does not run.");
        var line = new SimulatedLine(hostName, async over => await world.WhoRunsAsync(name, over) is not null, pool.Time, ended => _lines.TryRemove(KeyValuePair.Create(name, ended)));
        while (!_lines.TryAdd(name, line))
        {
            if (!_lines.TryGetValue(name, out var other)) continue;
            if (takeOver)
            {
                other.End();
                continue;
            }

            await line.DisposeAsync();
            return null;
        }

        return line;
    }

    public bool HasScreen(ResourceRef machine) => true;

    /// <summary>All viewers of this process see one screen, which goes with the machine's end.</summary>
    public async Task<Stream> OpenScreenAsync(ResourceRef machine, CancellationToken cancellation)
    {
        var name = Ours(machine.Owner).ResourceName;
        if (await world.WhoRunsAsync(name, cancellation) is not { } hostName) throw new ProviderFault(FaultKind.Rejected, $"Machine {name} does not run.");
        var screen = _screens.GetOrAdd(name, _ => new SimulatedScreen(hostName));
        return new SimulatedView(screen, hostName, async over =>
        {
            if (await world.WhoRunsAsync(name, over) is not null) return true;
            _screens.TryRemove(KeyValuePair.Create(name, screen));
            return false;
        }, pool.Time);
    }
}
