using LabPortal.Domain;
using LabPortal.Domain.Workflows;
using NodaTime;

namespace LabPortal.Data.Workflows;

/// <summary>The durable record of what runs intended, did and saw. Written only by the turn that holds the run's claim.</summary>
public static class JournalStore
{
    /// <summary>Entries by the order of their intention; the attempts of one step and target in theirs.</summary>
    public static async Task<IReadOnlyList<JournalEntry>> ReadAsync(Session session, RunId run)
        => [.. (await session.QueryAsync<Row>("""
            SELECT direction, step, target, attempt, state, intended_at, at, due_at, fault_kind, note FROM journal
            WHERE run_id = @run ORDER BY intended_at, attempt
            """, new { run })).Select(row => row.ToEntry(run))];

    public static async Task<bool> AnyAsync(Session session, RunId run, Direction direction)
        => await session.FindAsync<int>("SELECT count(*) FROM journal WHERE run_id = @run AND direction = @Direction", new { run, Direction = direction.Word() }) > 0;

    /// <summary>A new attempt: its intention, before anything is done.</summary>
    public static Task IntendAsync(Session session, JournalEntry entry) => session.ExecuteAsync("""
        INSERT INTO journal (run_id, direction, step, target, attempt, state, intended_at, at, due_at, fault_kind, note)
        VALUES (@Run, @Direction, @Step, @Target, @Attempt, 'intended', @IntendedAt, @At, NULL, NULL, @Note)
        """, Values(entry));

    /// <summary>What became of an attempt. Refuses what <see cref="JournalStates"/> does not allow.</summary>
    public static async Task WriteAsync(Session session, JournalEntry entry)
    {
        var from = string.Join(", ", Enum.GetValues<JournalState>().Where(state => state.MayBecome(entry.State)).Select(state => $"'{state.Word()}'"));
        var changed = await session.ExecuteAsync($"""
            UPDATE journal SET state = @State, at = @At, due_at = @DueAt, fault_kind = @FaultKind, note = @Note
            WHERE run_id = @Run AND direction = @Direction AND step = @Step AND target = @Target AND attempt = @Attempt AND state IN ({from})
            """, Values(entry));
        if (changed != 1) throw new InvalidOperationException($"The journal does not let {entry.Step} of run {entry.Run}, attempt {entry.Attempt}, become {entry.State.Word()}.");
    }

    /// <summary>Attempts that failed for good are due again.</summary>
    public static Task ReviveAsync(Session session, RunId run, Direction direction, Instant now) => session.ExecuteAsync(
        "UPDATE journal SET due_at = @now WHERE run_id = @run AND direction = @Direction AND state = 'failed' AND due_at IS NULL",
        new { run, Direction = direction.Word(), now });

    private static object Values(JournalEntry entry) => new
    {
        entry.Run,
        Direction = entry.Direction.Word(),
        entry.Step,
        entry.Target,
        entry.Attempt,
        State = entry.State.Word(),
        entry.IntendedAt,
        entry.At,
        entry.DueAt,
        entry.FaultKind,
        entry.Note,
    };

    private sealed class Row
    {
        public string Direction { get; init; } = "";
        public string Step { get; init; } = "";
        public string Target { get; init; } = "";
        public int Attempt { get; init; }
        public string State { get; init; } = "";
        public Instant IntendedAt { get; init; }
        public Instant At { get; init; }
        public Instant? DueAt { get; init; }
        public string? FaultKind { get; init; }
        public string? Note { get; init; }

        public JournalEntry ToEntry(RunId run) => new()
        {
            Run = run,
            Direction = Words.Read<Direction>(Direction),
            Step = Step,
            Target = Target,
            Attempt = Attempt,
            State = Words.Read<JournalState>(State),
            IntendedAt = IntendedAt,
            At = At,
            DueAt = DueAt,
            FaultKind = FaultKind,
            Note = Note,
        };
    }
}
