using LabPortal.Data.Machines;
using LabPortal.Data.Pools;
using LabPortal.Data;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Machines;
using LabPortal.Operations.Pools;
using LabPortal.Operations.Telemetry;
using NodaTime;

namespace LabPortal.Operations.Workflows.Steps;

/// <summary>
/// The networks of a lab's own, before its machines. They are on one host, and so are all its machines: it is chosen here for all of them at once, and their
/// capacity is held there, so that none finds it full when its turn comes.
/// </summary>
internal sealed class MakeNetworks() : Step("networks")
{
    private const string Placed = "placed";
    private static readonly Duration s_roomPause = Duration.FromSeconds(1);

    public override bool ForEachMachine => false;
    public override bool Places => true;
    public override bool CanUndo => true;
    public override Duration Deadline => Duration.FromHours(2);

    public override bool IsAskedFor(IReadOnlyDictionary<string, string> arguments) => arguments.ContainsKey(RunArguments.Networks);

    public override async Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation)
    {
        if (context.Note != Placed) return StepAnswer.Within((session, now) => PlaceAsync(context, session, now));
        var place = await LabPlace.FindAsync(context, cancellation) ?? throw new ProviderFault(FaultKind.Broken, "The lab was never placed.");
        var pool = await context.Tools.Pools.OpenAsync(place.Pool, cancellation);
        if (pool.Provider is not INetworkAbility ability) throw new ProviderFault(FaultKind.Rejected, $"Pool \"{pool.Pool.Name}\" cannot make networks of a lab's own.");
        var networks = new LabNetworks(context.Lab.OwnerIn(context.Tools.Identity.Installation), place.Host, context.Lab.Name, context.Lab.Networks);
        await PortalTrace.CallAsync("ensure networks", pool.Pool, () => ability.EnsureNetworksAsync(networks, cancellation));
        pool.Observations.Invalidate(networks.Reference);
        return await pool.Observations.ObserveAsync(networks.Reference, cancellation) switch
        {
            Observation.Present => StepAnswer.Done,
            Observation.Unknown unknown => throw new ProviderFault(FaultKind.Transient, unknown.Why),
            _ => StepAnswer.NotYet(Duration.Max(context.Pause, pool.Provider.SettlingTime), Placed),
        };
    }

    /// <summary>Its machines are gone by now, or were never made: what is held for those gives its room back.</summary>
    public override Task<StepAnswer> UndoAsync(StepContext context, CancellationToken cancellation) => LabPlace.ConfirmNoNetworksAsync(context, async (session, now) =>
    {
        foreach (var machine in context.Lab.Machines)
        {
            foreach (var placed in (await GenerationStore.ListAsync(session, machine.Id)).Where(placed => placed.Held)) await Placing.ReleaseAsync(session, machine.Id, placed.Generation, now);
            if (machine.State != MachineState.Gone) await MachineChanges.SaveAsync(session, context.Lab, machine with { State = MachineState.Gone, Addresses = [] }, now, context.Tools.Time);
        }

        return StepAnswer.Done;
    }, cancellation);

    private async Task<StepAnswer> PlaceAsync(StepContext context, Session session, Instant now)
    {
        var placed = await context.Tools.Placing.PlaceTogetherAsync(session, context.Lab, now);
        if (placed.WhyNot is not { } why) return StepAnswer.NotYet(Duration.Zero, Placed);
        return placed.CanWait && now - context.FirstAt < Deadline ? StepAnswer.NotYet(Duration.Max(context.Pause, s_roomPause), why: why) : throw new StepFailed(why);
    }
}

/// <summary>Takes the lab's networks away, after the last machine on them, and waits until that is confirmed.</summary>
internal sealed class RemoveNetworks() : Step("remove-networks")
{
    public override bool ForEachMachine => false;

    // As long as for machines: a pool that is away for a night must not need a person in the morning.
    public override Duration Deadline => Duration.FromHours(24);

    public override bool IsAskedFor(IReadOnlyDictionary<string, string> arguments) => arguments.ContainsKey(RunArguments.Networks);

    public override Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation)
        => LabPlace.ConfirmNoNetworksAsync(context, (_, _) => Task.FromResult(StepAnswer.Done), cancellation);
}

/// <summary>The one place of a lab that has networks of its own.</summary>
internal static class LabPlace
{
    public static Task<StoredPlacement?> FindAsync(StepContext context, CancellationToken cancellation)
        => context.Tools.Database.ReadAsync(session => CapacityStore.PlaceOfLabAsync(session, context.Lab.Id), cancellation);

    /// <summary>What was never placed has no networks.</summary>
    public static async Task<StepAnswer> ConfirmNoNetworksAsync(StepContext context, Func<Session, Instant, Task<StepAnswer>> then, CancellationToken cancellation)
    {
        var place = await FindAsync(context, cancellation);
        IReadOnlyList<(PoolId, ResourceRef)> made = place is null ? [] : [(place.Pool, new ResourceRef(context.Lab.OwnerIn(context.Tools.Identity.Installation), place.Host))];
        return await Vanishing.ConfirmAsync(context, made, then, cancellation);
    }
}
