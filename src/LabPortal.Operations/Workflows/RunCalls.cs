using LabPortal.Data;
using LabPortal.Data.Labs;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.People;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Labs;

namespace LabPortal.Operations.Workflows;

/// <summary>Runs, for whoever looks after the portal.</summary>
public sealed class RunCalls(Database database, RunViews views)
{
    /// <summary>Newest first; <paramref name="state"/> empty for all.</summary>
    public async Task<Outcome<Page<RunView>>> ListAsync(Actor actor, RunState? state, int limit, string? after, CancellationToken cancellation)
    {
        if (!May.Do(actor, Verb.SeeOperations)) return Refusal.Forbidden("see-operations");
        if (after is not null && !Guid.TryParseExact(after, "D", out _)) return Refusal.Invalid("after", "page.unknown-key");
        return await database.ReadAsync<Outcome<Page<RunView>>>(
            async session =>
            {
                var runs = await RunStore.ListAsync(session, state, null, limit + 1, after is null ? null : new RunId(Guid.ParseExact(after, "D")));
                var names = await RunStore.NamesAsync(session, runs.Take(limit));
                return new Page<RunView>(
                    [.. runs.Take(limit).Select(run => views.View(run, names[run.Id].Lab, names[run.Id].Team))],
                    runs.Count > limit ? runs[limit - 1].Id.ToString() : null);
            },
            cancellation);
    }

    /// <summary>One run with its steps; whoever may see the lab may see its runs.</summary>
    public Task<Outcome<RunView>> FindAsync(Actor actor, RunId id, CancellationToken cancellation) => database.ReadAsync<Outcome<RunView>>(
        async session =>
        {
            if (await RunStore.FindAsync(session, id) is not { } run || await LabStore.FindAsync(session, run.Lab) is not { } lab
                || !(May.Do(actor, Verb.SeeLab, lab.Owner, lab.Team) || May.Do(actor, Verb.SeeOperations)))
                return Refusal.NotFound("run", id.ToString());
            return await views.WithStepsAsync(session, run, lab, (await RunStore.NamesAsync(session, [run]))[id].Team);
        },
        cancellation);
}
