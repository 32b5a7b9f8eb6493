using LabPortal.Data;
using LabPortal.Data.Machines;
using LabPortal.Domain.Machines;
using LabPortal.Operations.Machines;
using LabPortal.Operations.Pools;
using NodaTime;

namespace LabPortal.Operations.Workflows.Steps;

/// <summary>
/// Chooses pool and host, in a new generation with each attempt. After <i>no capacity</i> the earlier generation is first taken away and
/// confirmed gone, its hold is released, and its host is left out of the choice.
/// </summary>
/// <param name="trial">Also on a pool that takes no machines now; who tries it waits a minute for room and no longer.</param>
internal sealed class Place(bool trial = false) : Step("place")
{
    /// <summary>A host that said that it is full is asked again after this long, and after twice as long with each time that it says so.</summary>
    private static readonly Duration s_fullFor = Duration.FromSeconds(10);
    private static readonly Duration s_fullForAtMost = Duration.FromMinutes(10);

    private static readonly Duration s_roomPause = Duration.FromSeconds(1);

    public override bool Places => true;
    public override bool CanUndo => true;
    public override Duration Deadline => trial ? Duration.FromMinutes(1) : Duration.FromHours(2);

    public override async Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation)
    {
        var machine = context.Machine;
        var earlier = (await context.Tools.Database.ReadAsync(session => GenerationStore.ListAsync(session, machine.Id), cancellation))
            .Where(placed => placed.Generation < context.Attempt).ToList();
        return await Vanishing.ConfirmAsync(context, [.. earlier.Where(placed => placed.Held)], async (session, now) =>
        {
            var full = earlier.GroupBy(placed => (placed.Pool, placed.Host)).Where(host => now - host.Max(placed => placed.At) < FullFor(host.Count())).Select(host => host.Key).ToList();
            var placed = await context.Tools.Placing.PlaceAsync(session, context.Lab, machine, context.Attempt, full, now, trial);
            if (placed.Pool is null)
                return placed.CanWait && now - context.FirstAt < Deadline ? StepAnswer.NotYet(Duration.Max(context.Pause, s_roomPause), why: placed.WhyNot) : throw new StepFailed(placed.WhyNot!);
            await MachineChanges.SaveAsync(session, context.Lab,
                machine with { Generation = context.Attempt, Pool = placed.Pool, Host = placed.Host, State = MachineState.Pending, ExternalId = null, Addresses = [], Start = null }, now, context.Tools.Time);
            return StepAnswer.Done;
        }, cancellation);
    }

    private static Duration FullFor(int times) => Duration.Min(s_fullForAtMost, s_fullFor * Math.Pow(2, Math.Min(times - 1, 16)));

    /// <summary>What was made is gone by now; what was only placed gives its room back.</summary>
    public override Task<StepAnswer> UndoAsync(StepContext context, CancellationToken cancellation) => Task.FromResult(StepAnswer.DoneWith(async (session, now) =>
    {
        foreach (var placed in await GenerationStore.ListAsync(session, context.Machine.Id)) await Placing.ReleaseAsync(session, context.Machine.Id, placed.Generation, now);
        await MachineChanges.SaveAsync(session, context.Lab, context.Machine with { State = MachineState.Gone, Addresses = [] }, now, context.Tools.Time);
    }));
}
