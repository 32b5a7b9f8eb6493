using System.Data.Common;
using LabPortal.Data;
using LabPortal.Data.Labs;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Workflows;

namespace LabPortal.Operations.Workflows;

/// <summary>
/// Commits for all turns of this process, several at once: whatever came in while one transaction was written is the next. Nobody waits
/// longer for that, since what cannot be committed now would have waited for its own turn on the same rows and disk.
/// Each save is under the lock of its own claim; where one of them cannot be written, each is tried alone, so that it spoils no other's.
/// </summary>
public sealed class TurnWriter(Database database, WorkerLease lease)
{
    private const int MostAtOnce = 128;

    // While the server works on one transaction, the next is prepared.
    private readonly int _most = database.Dialect.IsShared ? 2 : 1;
    private readonly Lock _gate = new();
    private readonly List<Save> _waiting = [];
    private int _writing;

    private sealed class Save(Turn turn, Turn.Outcome? outcome)
    {
        public Turn Turn { get; } = turn;
        public Turn.Outcome? Outcome { get; } = outcome;
        public TaskCompletionSource<Turn.State> Saved { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        /// <summary>What the transaction came to; nothing where the claim is lost. True only once it is committed.</summary>
        public Turn.State? Next { get; set; }
    }

    /// <summary>The turn's state after the commit. Throws <see cref="LeaseLost"/> when the claim is gone, and what the database throws.</summary>
    internal Task<Turn.State> SaveAsync(Turn turn, Turn.Outcome? outcome)
    {
        var save = new Save(turn, outcome);
        lock (_gate)
        {
            _waiting.Add(save);
            if (_writing == _most) return save.Saved.Task;
            _writing++;
        }

        _ = Task.Run(WriteAllAsync);
        return save.Saved.Task;
    }

    private async Task WriteAllAsync()
    {
        while (true)
        {
            List<Save> group;
            lock (_gate)
            {
                if (_waiting.Count == 0)
                {
                    _writing--;
                    return;
                }

                group = [.. _waiting.Take(MostAtOnce)];
                _waiting.RemoveRange(0, group.Count);
            }

            await WriteAsync(group);
        }
    }

    private async Task WriteAsync(IReadOnlyList<Save> group)
    {
        try
        {
            // Saving what happened is not given up when the process is asked to stop.
            await database.WriteAsync(session => ApplyAsync(session, group), CancellationToken.None);
            foreach (var save in group)
            {
                if (save.Next is { } next) save.Saved.SetResult(next);
                else save.Saved.SetException(new LeaseLost($"Run {save.Turn.Claim.Id} has another worker."));
            }
        }
        catch (Exception fault) when (group.Count > 1 && fault is not (LeaseLost or DbException { IsTransient: true }))
        {
            foreach (var save in group) await WriteAsync([save]);
        }
        catch (Exception fault)
        {
            foreach (var save in group) save.Saved.SetException(fault);
        }
    }

    private async Task ApplyAsync(Session session, IReadOnlyList<Save> group)
    {
        if (lease.Left <= TimeSpan.Zero) throw new LeaseLost("The worker's own term is over.");
        var good = await RunStore.GuardAsync(session, [.. group.Select(save => save.Turn.Claim)]);
        var fresh = await FreshAsync(session, group.Select(save => save.Turn).Where(turn => turn.Lab is null && good.ContainsKey(turn.Claim.Id)));
        foreach (var save in InOrderOfPools(group, save => save.Turn.Lab ?? fresh.GetValueOrDefault(save.Turn.Claim.Id)?.Lab))
        {
            var id = save.Turn.Claim.Id;
            save.Next = good.TryGetValue(id, out var check) ? await save.Turn.WriteAsync(session, check, fresh.GetValueOrDefault(id), save.Outcome) : null;
        }
    }

    /// <summary>In the transaction that claimed the runs of these turns, with their labs locked: their first part, without one of its own.</summary>
    internal static async Task<IReadOnlyList<(Turn Turn, Turn.State Next)>> BeginAsync(Session session, IReadOnlyList<Turn> turns)
    {
        var begun = new List<(Turn, Turn.State)>();
        var fresh = await FreshAsync(session, turns);
        foreach (var turn in InOrderOfPools(turns, turn => fresh[turn.Claim.Id].Lab))
            begun.Add((turn, await turn.WriteAsync(session, new ClaimCheck { CancelRequested = turn.Claim.CancelRequested, EndAskedBy = turn.Claim.EndAskedBy }, fresh[turn.Claim.Id], null)));
        return begun;
    }

    /// <summary>Lab and journal as they are, under the claim's lock.</summary>
    private static async Task<Dictionary<RunId, Turn.State>> FreshAsync(Session session, IEnumerable<Turn> turns)
    {
        var claims = turns.Select(turn => turn.Claim).ToList();
        if (claims.Count == 0) return [];
        var (labs, journals) = await JournalStore.ReadWithLabsAsync(session, claims);
        var of = labs.ToDictionary(lab => lab.Id);
        return claims.ToDictionary(claim => claim.Id, claim => new Turn.State(claim, of[claim.Lab], Journal.Of(journals[claim.Id])));
    }

    /// <summary>Turns lock their machines' pools for slots: in one order, or two processes would wait for each other.</summary>
    private static IEnumerable<T> InOrderOfPools<T>(IEnumerable<T> turns, Func<T, Lab?> lab)
        => turns.OrderBy(turn => lab(turn)?.Machines.Select(machine => machine.Pool?.ToString()).Min(StringComparer.Ordinal), StringComparer.Ordinal);
}
