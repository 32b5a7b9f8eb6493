using LabPortal.Data.Labs;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Workflows;
using NodaTime;

namespace LabPortal.Data.Workflows;

/// <summary>The durable record of what runs intended, did and saw. Written only by the turn that holds the run's claim.</summary>
public static class JournalStore
{
    private static readonly RowStatement s_intend = new(
        "INSERT INTO journal (run_id, direction, step, target, attempt, state, intended_at, at, note) VALUES {rows}",
        "(@Run, @Direction, @Step, @Target, @Attempt, @State, @IntendedAt, @At, @Note)",
        adds: true);

    private static readonly IReadOnlyDictionary<JournalState, RowStatement> s_write = Enum.GetValues<JournalState>().ToDictionary(to => to, to => new RowStatement(
        $$"""
        WITH new (run_id, direction, step, target, attempt, at, due_at, fault_kind, note) AS (VALUES {rows})
        UPDATE journal SET state = '{{to.Word()}}', at = new.at, due_at = new.due_at, fault_kind = new.fault_kind, note = new.note FROM new
        WHERE journal.run_id = new.run_id AND journal.direction = new.direction AND journal.step = new.step AND journal.target = new.target AND journal.attempt = new.attempt
            AND journal.state IN ({{string.Join(", ", Enum.GetValues<JournalState>().Where(from => from.MayBecome(to)).Select(from => $"'{from.Word()}'").DefaultIfEmpty("NULL"))}})
        """,
        "(@Run, @Direction, @Step, @Target, @Attempt, @At, @DueAt, @FaultKind, @Note)"));

    /// <summary>Entries by the order of their intention; the attempts of one step and target in theirs.</summary>
    public static async Task<IReadOnlyList<JournalEntry>> ReadAsync(Session session, RunId run)
        => [.. (await session.QueryAsync<Row>(Select(session), new { runs = Many.Of([run]) })).Select(row => row.ToEntry())];

    /// <summary>The journals of several runs, with their labs.</summary>
    public static Task<(IReadOnlyList<Lab> Labs, ILookup<RunId, JournalEntry> Journals)> ReadWithLabsAsync(Session session, IReadOnlyCollection<Run> runs)
        => session.QueryManyAsync(
            $"{LabStore.Select(session)}; {Select(session)}",
            new { ids = Many.Of(runs.Select(run => run.Lab)), runs = Many.Of(runs.Select(run => run.Id)) },
            async rows => (await LabStore.JoinAsync(rows), (await rows.ReadAsync<Row>()).ToLookup(row => row.Run, row => row.ToEntry())));

    private static string Select(Session session) => $"""
        SELECT run_id AS run, direction, step, target, attempt, state, intended_at, at, due_at, fault_kind, note FROM journal
        WHERE {session.Dialect.AnyOf("run_id", "runs")} ORDER BY intended_at, attempt
        """;

    public static async Task<bool> AnyAsync(Session session, RunId run, Direction direction)
        => await session.FindAsync<int>("SELECT count(*) FROM journal WHERE run_id = @run AND direction = @Direction", new { run, Direction = direction.Word() }) > 0;

    /// <summary>A new attempt: its intention, before anything is done.</summary>
    public static void Intend(Session session, JournalEntry entry) => session.Defer(s_intend, Key(entry), Values(entry));

    /// <summary>What became of an attempt. Refuses what <see cref="JournalStates"/> does not allow.</summary>
    public static void Write(Session session, JournalEntry entry) => session.Defer(
        s_write[entry.State],
        Key(entry),
        Values(entry),
        () => new InvalidOperationException($"The journal does not let {entry.Step} of run {entry.Run}, attempt {entry.Attempt} (or another of the same transaction), become {entry.State.Word()}."));

    /// <summary>Attempts that failed for good are due again.</summary>
    public static Task ReviveAsync(Session session, RunId run, Direction direction, Instant now) => session.ExecuteAsync(
        "UPDATE journal SET due_at = @now WHERE run_id = @run AND direction = @Direction AND state = 'failed' AND due_at IS NULL",
        new { run, Direction = direction.Word(), now });

    private static string Key(JournalEntry entry) => $"{entry.Run}/{entry.Direction}/{entry.Step}/{entry.Target}/{entry.Attempt}";

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
        public RunId Run { get; init; }
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

        public JournalEntry ToEntry() => new()
        {
            Run = Run,
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
