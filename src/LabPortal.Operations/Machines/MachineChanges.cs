using LabPortal.Data;
using LabPortal.Data.Costs;
using LabPortal.Data.Labs;
using LabPortal.Domain;
using LabPortal.Domain.Costs;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using NodaTime;

namespace LabPortal.Operations.Machines;

/// <summary>The one way in which a machine changes: its row, its meter event and the lab's event, in one transaction.</summary>
public static class MachineChanges
{
    /// <summary>
    /// Saves the machine as it is now. Metered where state, generation or pool changed (a machine that was never placed has nothing to
    /// meter); told where people can see a difference, with <paramref name="told"/> besides. <paramref name="at"/> is when it became true.
    /// </summary>
    public static async Task SaveAsync(Session session, Lab lab, Machine changed, Instant at, TimeProvider time, params (string Name, string Value)[] told)
    {
        var before = (await LabStore.FindAsync(session, lab.Id))!.Machines.Single(machine => machine.Id == changed.Id);
        await LabStore.SaveMachineAsync(session, changed);
        var metered = (before.State, before.Generation, before.Pool) != (changed.State, changed.Generation, changed.Pool);
        if (metered && changed.Pool is { } pool)
        {
            await MeterStore.AppendAsync(session,
                new MeterEvent(changed.Id, changed.Generation, lab.Id, lab.Team, pool, changed.State.Word(), changed.Cpu, changed.MemoryMiB, changed.DiskGiB, at, time.Now()), time);
        }

        if (!metered && before.Host == changed.Host && before.ExternalId == changed.ExternalId && before.Addresses.SequenceEqual(changed.Addresses)) return;
        LabStore.AppendEvent(session, lab.Id, at, LabEventKind.Machine,
            [("machine", changed.Name), ("state", changed.State.Word()), ("generation", $"{changed.Generation}"), ("address", changed.Addresses.Count > 0 ? changed.Addresses[0] : ""), .. told]);
    }
}
