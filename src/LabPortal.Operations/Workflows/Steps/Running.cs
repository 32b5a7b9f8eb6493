using LabPortal.Data.Workflows;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Domain;
using LabPortal.Operations.Machines;
using LabPortal.Operations.Telemetry;
using NodaTime;

namespace LabPortal.Operations.Workflows.Steps;

/// <summary>Starts the machine where it does not run yet. The pool's boot slot is held until it has an address.</summary>
internal sealed class Boot(bool takesBack = false, bool onlyFromGrace = false) : Step("boot")
{
    public override IReadOnlyList<SlotKind> Takes => [SlotKind.Boot];
    public override bool CanUndo => takesBack;

    public override bool AppliesTo(StepContext context) => !onlyFromGrace || Before.Of(context)?.State == Domain.Labs.LabState.Grace;

    public override async Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation)
    {
        await Power.StartAsync(context, cancellation);
        return StepAnswer.Done;
    }

    /// <summary>Stopped as it was before.</summary>
    public override async Task<StepAnswer> UndoAsync(StepContext context, CancellationToken cancellation)
        => Before.Of(context)?.Ran(context.Machine) == true ? StepAnswer.Done : await Power.StopAsync(context, cancellation);
}

/// <summary>Waits until the machine runs and has an address, where it is on a network that gives it one.</summary>
internal sealed class WaitForAddress(bool onlyFromGrace = false, bool onlyWithMemory = false) : Step("address")
{
    public override SlotKind? Frees => SlotKind.Boot;

    public override bool AppliesTo(StepContext context)
        => (!onlyFromGrace || Before.Of(context)?.State == Domain.Labs.LabState.Grace) && (!onlyWithMemory || FindSnapshot.WillRun(context));

    public override Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation) => Power.AddressAsync(context, cancellation);
}

/// <summary>Waits until SSH answers, where the pool's guests can be reached from here (setting <c>reach: direct</c>).</summary>
internal sealed class WaitForSsh(bool onlyFromGrace = false, bool onlyWithMemory = false) : Step("reach")
{
    public override bool AppliesTo(StepContext context)
        => (!onlyFromGrace || Before.Of(context)?.State == Domain.Labs.LabState.Grace) && (!onlyWithMemory || FindSnapshot.WillRun(context));

    public override async Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation)
    {
        var pool = (await context.OpenPoolAsync(cancellation)).Pool;
        if (!context.Machine.IsReachable || pool.Settings["reach"]?.GetValue<string>() != "direct") return StepAnswer.Done;
        return context.Machine.Addresses is [var address, ..] && await context.Tools.Reach.AnswersAsync(address, cancellation) ? StepAnswer.Done : StepAnswer.NotYet(context.Pause);
    }
}

/// <summary>Shuts the guest down, and takes the power away where it does not obey in time.</summary>
internal sealed class ShutDown() : Step("stop")
{
    public override IReadOnlyList<SlotKind> TakesBack => [SlotKind.Boot];
    public override bool CanUndo => true;

    public override Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation) => Power.StopAsync(context, cancellation);

    /// <summary>Running as it was before.</summary>
    public override Task<StepAnswer> UndoAsync(StepContext context, CancellationToken cancellation) => Power.RunAgainAsync(context, cancellation);
}

/// <summary>Power cycle. Twice does no harm; one that is half done is undone by running again.</summary>
internal sealed class PowerCycle() : Step("restart")
{
    public override IReadOnlyList<SlotKind> Takes => [SlotKind.Boot];
    public override IReadOnlyList<SlotKind> TakesBack => [SlotKind.Boot];
    public override bool CanUndo => true;

    public override async Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation)
    {
        var pool = await context.OpenPoolAsync(cancellation);
        if (await Power.LookAsync(context, pool, cancellation) is { Power: PowerState.Running })
            await PortalTrace.CallAsync("restart", pool.Pool, () => Power.Of(pool).RestartAsync(context.Reference, cancellation));
        else await Power.StartAsync(context, cancellation);
        pool.Observations.Invalidate(context.Reference);
        return StepAnswer.Done;
    }

    public override Task<StepAnswer> UndoAsync(StepContext context, CancellationToken cancellation) => Power.RunAgainAsync(context, cancellation);
}
