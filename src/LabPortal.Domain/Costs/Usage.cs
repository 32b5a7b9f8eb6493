using NodaTime;

namespace LabPortal.Domain.Costs;

/// <summary>What machines used, derived from their meter events. Pure.</summary>
public sealed record Usage(Duration MachineTime, IReadOnlyList<Money> Costs)
{
    /// <summary>
    /// Each event holds until the next of the same machine and generation, the last until <paramref name="now"/>. A machine runs while it is
    /// running or on its way to stop; its disk is paid for from building until gone. While its state is unknown it is what it was before:
    /// whoever bills us goes on too. One sum for each currency; pools without prices cost nothing that we know of.
    /// </summary>
    public static Usage Of(IEnumerable<MeterEvent> events, IReadOnlyDictionary<PoolId, PriceList> prices, Instant now)
    {
        var time = Duration.Zero;
        var costs = new SortedDictionary<string, long>(StringComparer.Ordinal);
        foreach (var generation in events.GroupBy(meter => (meter.Machine, meter.Generation)))
        {
            var (running, there) = (false, false);
            var line = generation.OrderBy(meter => meter.At).ThenBy(meter => meter.RecordedAt).ToList();
            for (var i = 0; i < line.Count; i++)
            {
                (running, there) = line[i].State switch
                {
                    "running" or "stopping" => (true, true),
                    "building" or "stopped" or "removing" => (false, true),
                    "unknown" => (running, there),
                    _ => (false, false),
                };
                var span = Instant.Min(i + 1 < line.Count ? line[i + 1].At : now, now) - Instant.Min(line[i].At, now);
                if (running) time += span;
                if (!there || !prices.TryGetValue(line[i].Pool, out var price)) continue;
                var cost = price.For(span, line[i].Cpu, line[i].MemoryMiB, line[i].DiskGiB, running);
                costs[cost.Currency] = costs.GetValueOrDefault(cost.Currency) + cost.Millionths;
            }
        }

        return new Usage(time, [.. costs.Select(sum => new Money(sum.Value, sum.Key))]);
    }
}
