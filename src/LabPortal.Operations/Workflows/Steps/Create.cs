using LabPortal.Data;
using LabPortal.Data.Pools;
using LabPortal.Data.Workflows;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Machines;
using LabPortal.Operations.Pools;
using LabPortal.Operations.Telemetry;
using NodaTime;

namespace LabPortal.Operations.Workflows.Steps;

/// <summary>Has the provider make the machine, and waits until it is made.</summary>
internal class Create() : Step("create")
{
    private const string Ordered = "ordered";

    // Some providers make machines that come up running: from here on it may boot.
    public override IReadOnlyList<SlotKind> Takes => [SlotKind.Operation, SlotKind.Boot];
    public override IReadOnlyList<SlotKind> TakesBack => [SlotKind.Operation];
    public override bool CanUndo => true;

    public override Task IntendAsync(Session session, StepContext context)
        => MachineChanges.SaveAsync(session, context.Lab, context.Machine with { State = MachineState.Building }, context.Now, context.Tools.Time);

    public override async Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation)
    {
        var pool = await context.OpenPoolAsync(cancellation);
        if (context.Note != Ordered)
        {
            var spec = await context.Tools.Specs.OfAsync(context.Lab, context.Machine, pool.Pool, cancellation);
            await PortalTrace.CallAsync("ensure exists", pool.Pool, () => pool.Provider.EnsureExistsAsync(spec, cancellation));
            pool.Observations.Invalidate(context.Reference);
        }

        return await pool.Observations.ObserveAsync(context.Reference, cancellation) switch
        {
            Observation.Present { Power: PowerState.Failed } failed => throw new ProviderFault(failed.Why, failed.Problem ?? "The provider says that it failed, and not why."),
            Observation.Present { Power: not PowerState.Building } made => await DoneAsync(context, pool, made, cancellation),
            Observation.Unknown unknown => throw new ProviderFault(FaultKind.Transient, unknown.Why),
            // Absent: reads may lag behind what was just ordered; ordering again does no harm.
            Observation.Absent => StepAnswer.NotYet(Duration.Max(context.Pause, pool.Provider.SettlingTime), "absent"),
            _ => StepAnswer.NotYet(context.Pause, Ordered),
        };
    }

    private static async Task<StepAnswer> DoneAsync(StepContext context, OpenPool pool, Observation.Present made, CancellationToken cancellation)
    {
        var start = await StartAsync(context, pool, cancellation);
        return StepAnswer.DoneWith(async (session, now) =>
        {
            await MachineChanges.SaveAsync(session, context.Lab,
                context.Machine with { State = MachineState.Building, ExternalId = made.ExternalId, Host = made.Host ?? context.Machine.Host, Start = start }, now, context.Tools.Time);
            // The next one is to find a warm state.
            if (start is { Warm: false }) await PoolSweepStore.SetDueAsync(session, WarmStateSweep.Name, pool.Pool.Id, now);
        });
    }

    private static async Task<MachineStart?> StartAsync(StepContext context, OpenPool pool, CancellationToken cancellation)
    {
        if (!context.Machine.WarmStart) return null;
        if (pool.Provider is not IWarmStartAbility warm) return MachineStart.Cold($"Pools of the kind {pool.Pool.Provider} start no machine warm.");
        return await PortalTrace.CallAsync("read start", pool.Pool, () => warm.ReadStartAsync(context.Reference, cancellation));
    }

    public override async Task<StepAnswer> UndoAsync(StepContext context, CancellationToken cancellation)
        => await Vanishing.ConfirmAsync(context, await Vanishing.MayExistAsync(context, cancellation), async (session, now) =>
        {
            await MachineChanges.SaveAsync(session, context.Lab, context.Machine with { State = MachineState.Gone, Addresses = [] }, now, context.Tools.Time);
            return StepAnswer.Done;
        }, cancellation);
}
