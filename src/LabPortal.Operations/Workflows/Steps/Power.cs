using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Domain;
using LabPortal.Operations.Machines;
using LabPortal.Operations.Pools;
using LabPortal.Operations.Telemetry;
using NodaTime;

namespace LabPortal.Operations.Workflows.Steps;

/// <summary>Bringing one machine into a power state: what the steps of several workflows share. All of it may be repeated.</summary>
internal static class Power
{
    private const string Asked = "asked ";
    private static readonly Duration s_guestMayTake = Duration.FromSeconds(60);

    public static IPowerAbility Of(OpenPool pool) => pool.Provider as IPowerAbility
        ?? throw new ProviderFault(FaultKind.Rejected, $"Pool \"{pool.Pool.Name}\" cannot start or stop machines.");

    /// <summary>The machine as it is; one that is not there, or cannot be read, is a fault.</summary>
    public static async Task<Observation.Present> LookAsync(StepContext context, OpenPool pool, CancellationToken cancellation)
        => await pool.Observations.ObserveAsync(context.Reference, cancellation) switch
        {
            Observation.Present { Power: PowerState.Failed } failed => throw new ProviderFault(FaultKind.Broken, failed.Problem ?? "The provider says that it failed, and not why."),
            Observation.Present present => present,
            Observation.Unknown unknown => throw new ProviderFault(FaultKind.Transient, unknown.Why),
            // One look that finds nothing is no proof; a machine that stays away runs into the step's deadline.
            _ => throw new ProviderFault(FaultKind.Transient, "The pool does not have the machine."),
        };

    public static async Task StartAsync(StepContext context, CancellationToken cancellation)
    {
        var pool = await context.OpenPoolAsync(cancellation);
        if ((await LookAsync(context, pool, cancellation)).Power == PowerState.Running) return;
        await PortalTrace.CallAsync("start", pool.Pool, () => Of(pool).StartAsync(context.Reference, cancellation));
        pool.Observations.Invalidate(context.Reference);
    }

    public static async Task<StepAnswer> AddressAsync(StepContext context, CancellationToken cancellation)
    {
        var pool = await context.OpenPoolAsync(cancellation);
        var seen = await LookAsync(context, pool, cancellation);
        switch (seen.Power)
        {
            case PowerState.Running when seen.Addresses.Count > 0 || !context.Machine.IsReachable:
                return StepAnswer.DoneWith((session, now) => MachineChanges.SaveAsync(session, context.Lab,
                    context.Machine with { State = MachineState.Running, Addresses = [.. seen.Addresses.Select(address => address.ToString())], ExternalId = seen.ExternalId, Host = seen.Host ?? context.Machine.Host },
                    now, context.Tools.Time));
            case PowerState.Stopped:
                await StartAsync(context, cancellation);
                break;
        }

        return StepAnswer.NotYet(context.Pause, why: seen.Problem is { } problem ? new Reason("machine.waits", ("machine", context.Machine.Name), ("message", problem)) : null);
    }

    public static async Task<StepAnswer> StopAsync(StepContext context, CancellationToken cancellation)
    {
        var pool = await context.OpenPoolAsync(cancellation);
        if ((await LookAsync(context, pool, cancellation)).Power == PowerState.Stopped)
        {
            return StepAnswer.DoneWith((session, now) => MachineChanges.SaveAsync(session, context.Lab,
                context.Machine with { State = MachineState.Stopped, Addresses = [] }, now, context.Tools.Time));
        }

        var asked = context.Note is { } note && note.StartsWith(Asked, StringComparison.Ordinal) ? Instants.Read(note[Asked.Length..]) : (Instant?)null;
        if (asked is null || context.Now - asked > s_guestMayTake)
        {
            await PortalTrace.CallAsync("stop", pool.Pool, () => Of(pool).StopAsync(context.Reference, asked is null ? StopMode.Graceful : StopMode.Hard, cancellation));
            pool.Observations.Invalidate(context.Reference);
        }

        // A guest that was never asked to stop is asked again by the next attempt; one that was has its time.
        return StepAnswer.NotYet(context.Tools.Settings.ShortestPause, Asked + Instants.Write(asked ?? context.Now));
    }

    /// <summary>Undoing a stop: running where it ran before.</summary>
    public static async Task<StepAnswer> RunAgainAsync(StepContext context, CancellationToken cancellation)
    {
        if (Before.Of(context)?.Ran(context.Machine) != true) return StepAnswer.Done;
        await StartAsync(context, cancellation);
        return await AddressAsync(context, cancellation);
    }
}
