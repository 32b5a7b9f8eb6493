using System.Data.Common;
using LabPortal.Data;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Workflows;

namespace LabPortal.Operations.Workflows;

/// <summary>
/// Commits for all turns of this process, several at once: whatever came in while one transaction was written is the next.
/// <list type="bullet">
/// <item>Each save is under the lock of its own claim. A group waits for nobody's lock: what is locked is written alone, beside the groups.</item>
/// <item>A placement, which locks pools and waits for them, is written alone too; so no two groups wait for each other.</item>
/// <item>Where one of a group cannot be written, each is tried alone, so that it spoils no other's.</item>
/// </list>
/// </summary>
public sealed class TurnWriter(Database database, WorkerLease lease) : IDisposable
{
    private const int MostAtOnce = 128;

    // While the server works on one transaction, the next is prepared.
    private readonly int _most = database.Dialect.IsShared ? 2 : 1;
    private readonly SemaphoreSlim _alone = new(8, 8);
    private readonly Lock _gate = new();
    private readonly List<Save> _waiting = [];
    private int _writing;

    private sealed class Save(Turn turn, TurnOutcome? outcome)
    {
        public Turn Turn { get; } = turn;
        public TurnOutcome? Outcome { get; } = outcome;
        public TaskCompletionSource<TurnState> Saved { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
        public bool Places => Outcome is { Act.Step.Places: true };

        /// <summary>What the transaction came to; nothing where the claim is lost. True only once it is committed.</summary>
        public TurnState? Next { get; set; }

        /// <summary>Another transaction had it locked.</summary>
        public bool IsLocked { get; set; }
    }

    /// <summary>The turn's state after the commit. Throws <see cref="LeaseLost"/> when the claim is gone, and what the database throws.</summary>
    internal Task<TurnState> SaveAsync(Turn turn, TurnOutcome? outcome)
    {
        var save = new Save(turn, outcome);
        if (save.Places) return AloneAsync(save);
        lock (_gate)
        {
            _waiting.Add(save);
            if (_writing == _most) return save.Saved.Task;
            _writing++;
        }

        // It serves all turns: what it writes is in nobody's trace.
        using (ExecutionContext.SuppressFlow()) _ = Task.Run(WriteAllAsync);
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

            foreach (var save in await WriteAsync(group, wait: false)) _ = AloneAsync(save);
        }
    }

    private async Task<TurnState> AloneAsync(Save save)
    {
        await _alone.WaitAsync(CancellationToken.None);
        try
        {
            await WriteAsync([save], wait: true);
        }
        finally
        {
            _alone.Release();
        }

        return await save.Saved.Task;
    }

    /// <summary>Completes all but those that have to be written alone, where they may <paramref name="wait"/> for locks.</summary>
    private async Task<IReadOnlyList<Save>> WriteAsync(IReadOnlyList<Save> group, bool wait)
    {
        try
        {
            // Saving what happened is not given up when the process is asked to stop.
            await database.WriteAsync(session => ApplyAsync(session, group, wait), CancellationToken.None);
        }
        catch (Exception fault) when (group.Count > 1 && fault is not (LeaseLost or DbException { IsTransient: true }))
        {
            return group;
        }
        catch (Exception fault)
        {
            foreach (var save in group) save.Saved.TrySetException(fault);
            return [];
        }

        foreach (var save in group.Where(save => !save.IsLocked))
        {
            if (save.Next is { } next) save.Saved.TrySetResult(next);
            else save.Saved.TrySetException(new LeaseLost($"Run {save.Turn.Claim.Id} has another worker."));
        }

        return [.. group.Where(save => save.IsLocked)];
    }

    private async Task ApplyAsync(Session session, IReadOnlyList<Save> group, bool wait)
    {
        if (lease.Left <= TimeSpan.Zero) throw new LeaseLost("The worker's own term is over.");
        var now = await RunStore.GuardAsync(session, group.Select(save => save.Turn.Claim), wait);
        var fresh = await FreshAsync(session, group.Select(save => save.Turn).Where(turn => turn.IsFresh && now.TryGetValue(turn.Claim.Id, out var check) && check.IsOf(turn.Claim)));
        foreach (var save in group)
        {
            var claim = save.Turn.Claim;
            var check = now.GetValueOrDefault(claim.Id);
            save.IsLocked = check is null && !wait;
            save.Next = check is not null && check.IsOf(claim) ? await save.Turn.WriteAsync(session, check, fresh.GetValueOrDefault(claim.Id), save.Outcome) : null;
        }
    }

    public void Dispose() => _alone.Dispose();

    /// <summary>In the transaction that claimed the runs of these turns, with their labs locked: their first part, without one of its own.</summary>
    internal static async Task<IReadOnlyList<(Turn Turn, TurnState Next)>> BeginAsync(Session session, IReadOnlyList<Turn> turns)
    {
        var begun = new List<(Turn, TurnState)>();
        var fresh = await FreshAsync(session, turns);
        foreach (var turn in turns)
            begun.Add((turn, await turn.WriteAsync(session, new ClaimCheck { CancelRequested = turn.Claim.CancelRequested, EndAskedBy = turn.Claim.EndAskedBy }, fresh[turn.Claim.Id], null)));
        return begun;
    }

    /// <summary>Lab and journal as they are, under the claim's lock.</summary>
    private static async Task<Dictionary<RunId, TurnState>> FreshAsync(Session session, IEnumerable<Turn> turns)
    {
        var fresh = turns.ToList();
        if (fresh.Count == 0) return [];
        var (labs, journals) = await JournalStore.ReadWithLabsAsync(session, fresh.ConvertAll(turn => turn.Claim));
        var of = labs.ToDictionary(lab => lab.Id);
        return fresh.ToDictionary(turn => turn.Claim.Id, turn => turn.Fresh(of[turn.Claim.Lab], Journal.Of(journals[turn.Claim.Id])));
    }
}
