using LabPortal.Data.Machines;
using LabPortal.Data;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Domain;
using LabPortal.Operations.Pools;
using LabPortal.Operations.Telemetry;
using NodaTime;

namespace LabPortal.Operations.Workflows.Steps;

/// <summary>Takes generations of a machine away, and believes it only when each was absent in two reads at least the settling time apart.</summary>
internal static class Vanishing
{
    private const string AbsentSince = "absent-since ";

    /// <summary>
    /// Ensures that these generations are gone. Once that is confirmed, releases their capacity and does <paramref name="then"/>, in the
    /// transaction of the outcome. The note remembers since when all were absent; whatever else is seen in between forgets it.
    /// </summary>
    public static Task<StepAnswer> ConfirmAsync(
        StepContext context, IReadOnlyList<PlacedGeneration> generations, Func<Session, Instant, Task<StepAnswer>> then, CancellationToken cancellation)
        => ConfirmAsync(
            context, [.. generations.Select(placed => (placed.Pool, new ResourceRef((context.Machine with { Generation = placed.Generation }).OwnerIn(context.Tools.Identity.Installation), placed.Host)))],
            async (session, now) =>
            {
                foreach (var placed in generations) await Placing.ReleaseAsync(session, context.Machine.Id, placed.Generation, now);
                return await then(session, now);
            }, cancellation);

    /// <summary>The same for whatever else was made: a lab's networks.</summary>
    public static async Task<StepAnswer> ConfirmAsync(
        StepContext context, IReadOnlyList<(PoolId Pool, ResourceRef Reference)> made, Func<Session, Instant, Task<StepAnswer>> then, CancellationToken cancellation)
    {
        var since = context.Note is { } note && note.StartsWith(AbsentSince, StringComparison.Ordinal) ? Instants.Read(note[AbsentSince.Length..]) : (Instant?)null;
        var settling = Duration.Zero;
        foreach (var (id, reference) in made)
        {
            var pool = await context.Tools.Pools.OpenAsync(id, cancellation);
            settling = Duration.Max(settling, pool.Provider.SettlingTime);
            if (since is null) await PortalTrace.CallAsync("ensure gone", pool.Pool, () => pool.Provider.EnsureGoneAsync(reference, cancellation));
            pool.Observations.Invalidate(reference);
            switch (await pool.Observations.ObserveAsync(reference, cancellation))
            {
                case Observation.Unknown unknown:
                    throw new ProviderFault(FaultKind.Transient, unknown.Why);
                case Observation.Present:
                    return StepAnswer.NotYet(context.Pause, "ordered");
            }
        }

        if (made.Count > 0 && since is null && settling == Duration.Zero) return await ConfirmAsync(context with { Note = AbsentSince + Instants.Write(context.Now) }, made, then, cancellation);
        if (made.Count > 0 && since is null) return StepAnswer.NotYet(settling, AbsentSince + Instants.Write(context.Now));
        if (since is { } first && context.Now - first < settling) return StepAnswer.NotYet(settling - (context.Now - first));
        return StepAnswer.Within(then);
    }

    /// <summary>All generations that may exist: those whose capacity is held.</summary>
    public static async Task<IReadOnlyList<PlacedGeneration>> MayExistAsync(StepContext context, CancellationToken cancellation)
        => [.. (await context.Tools.Database.ReadAsync(session => GenerationStore.ListAsync(session, context.Machine.Id), cancellation)).Where(placed => placed.Held)];
}
