using LabPortal.Data;
using LabPortal.Data.Labs;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.People;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Labs;

namespace LabPortal.Operations.Workflows;

/// <summary>Runs, for whoever looks after the portal.</summary>
public sealed class RunCalls(Database database, RunViews views, LabCalls labs)
{
    /// <summary>Newest first; <paramref name="state"/> and <paramref name="phase"/> empty for all.</summary>
    public async Task<Outcome<Page<RunView>>> ListAsync(Actor actor, RunState? state, RunPhase? phase, int limit, string? after, CancellationToken cancellation)
    {
        if (!May.Do(actor, Verb.SeeOperations)) return Refusal.Forbidden("see-operations");
        if (after is not null && !Guid.TryParseExact(after, "D", out _)) return Refusal.Invalid("after", "page.unknown-key");
        return await database.ReadAsync<Outcome<Page<RunView>>>(
            async session =>
            {
                var runs = await RunStore.ListAsync(session, state, null, limit + 1, after is null ? null : new RunId(Guid.ParseExact(after, "D")), phase);
                return new Page<RunView>(await views.ListedAsync(session, [.. runs.Take(limit)]), runs.Count > limit ? runs[limit - 1].Id.ToString() : null);
            },
            cancellation);
    }

    /// <summary>How many there are of each phase but those that are over.</summary>
    public async Task<Outcome<IReadOnlyDictionary<RunPhase, int>>> CountAsync(Actor actor, CancellationToken cancellation) => May.Do(actor, Verb.SeeOperations)
        ? Outcome.Of(await database.ReadAsync(RunStore.CountAsync, cancellation))
        : Refusal.Forbidden("see-operations");

    /// <summary>One run with its journal; whoever may see the lab may see its runs.</summary>
    public Task<Outcome<RunView>> FindAsync(Actor actor, RunId id, CancellationToken cancellation) => database.ReadAsync<Outcome<RunView>>(
        async session => await SeenAsync(session, actor, id) is { } seen
            ? await views.WholeAsync(session, seen.Run, seen.Lab, (await RunStore.NamesAsync(session, [seen.Run]))[id].Team, actor)
            : Refusal.NotFound("run", id.ToString()),
        cancellation);

    /// <summary><see cref="LabVerb.Retry"/> or <see cref="LabVerb.Cancel"/>, of this run and no other of its lab.</summary>
    public Task<Outcome<RunView>> AskAsync(Actor actor, RunId id, LabVerb verb, CancellationToken cancellation)
        => SteerAsync(actor, id, lab => labs.AskAsync(actor, lab, verb, cancellation, id), cancellation);

    /// <summary>Gives it up: see <see cref="Runs.AbandonAsync"/>.</summary>
    public Task<Outcome<RunView>> AbandonAsync(Actor actor, RunId id, string reason, CancellationToken cancellation)
        => SteerAsync(actor, id, lab => labs.AbandonAsync(actor, lab, reason, cancellation, id), cancellation);

    private async Task<Outcome<RunView>> SteerAsync(Actor actor, RunId id, Func<LabId, Task<Outcome<LabView>>> verb, CancellationToken cancellation)
    {
        if (await database.ReadAsync(session => SeenAsync(session, actor, id), cancellation) is not { } seen) return Refusal.NotFound("run", id.ToString());
        var outcome = await verb(seen.Lab.Id);
        return outcome.Refusal is { } refusal ? refusal : await FindAsync(actor, id, cancellation);
    }

    private static async Task<(Run Run, Lab Lab)?> SeenAsync(Session session, Actor actor, RunId id)
        => await RunStore.FindAsync(session, id) is { } run && await LabStore.FindAsync(session, run.Lab) is { } lab
            && (May.Do(actor, Verb.SeeLab, lab.Owner, lab.Team) || May.Do(actor, Verb.SeeOperations))
            ? (run, lab)
            : null;
}
