using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Workflows;
using NodaTime;

namespace LabPortal.Data.Workflows;

/// <summary>Runs: one execution of a workflow each. At most one of a lab is live; the database holds that.</summary>
public static class RunStore
{
    private static readonly RowStatement s_finish = new(
        """
        WITH new (id, state, problem, steps_done, now) AS (VALUES {rows})
        UPDATE runs SET state = new.state, problem = new.problem, since = new.now, finished_at = new.now, step = NULL, steps_done = new.steps_done, worker = NULL, waits_for = NULL
        FROM new WHERE runs.id = new.id
        """,
        "(@Id, @State, @Problem, @StepsDone, @Now)");

    private static readonly RowStatement s_progress = new(
        """
        WITH new (id, state, since, step, steps_done, steps_total, problem) AS (VALUES {rows})
        UPDATE runs SET state = new.state, since = new.since, step = new.step, steps_done = new.steps_done, steps_total = new.steps_total, problem = new.problem
        FROM new WHERE runs.id = new.id
        """,
        "(@Id, @State, @Since, @Step, @StepsDone, @StepsTotal, @Problem)");

    private static readonly RowStatement s_release = new(
        "WITH new (id, due, waits_for) AS (VALUES {rows}) UPDATE runs SET worker = NULL, due_at = new.due, waits_for = new.waits_for FROM new WHERE runs.id = new.id",
        "(@Id, @Due, @WaitsFor)");

    /// <summary>
    /// Makes a run that is due at once, and wakes the pump when the transaction commits. <see cref="RuleViolated"/> with
    /// <see cref="Rules.OneLiveRun"/> where the lab has a live run.
    /// </summary>
    public static async Task InsertAsync(Session session, Run run)
    {
        await session.ExecuteAsync("""
            INSERT INTO runs (id, lab_id, team_id, workflow, version, state, arguments, asked_by, step, steps_total, created_at, due_at, since, trace_parent)
            VALUES (@Id, @Lab, @Team, @Workflow, @Version, @State, @Arguments, @AskedBy, @Step, @StepsTotal, @CreatedAt, @DueAt, @Since, @TraceParent)
            """,
            new
            {
                run.Id,
                run.Lab,
                run.Team,
                run.Workflow,
                run.Version,
                State = run.State.Word(),
                Arguments = StoredJson.Write(run.Arguments),
                run.AskedBy,
                run.Step,
                run.StepsTotal,
                run.CreatedAt,
                run.DueAt,
                run.Since,
                run.TraceParent,
            });
        session.Raise(Signal.Runs, "");
    }

    public static async Task<Run?> FindAsync(Session session, RunId id) => (await ReadAsync(session, "WHERE id = @id", new { id })).SingleOrDefault();

    /// <summary>The lab's live run, if it has one; with its row locked where it is going to be changed.</summary>
    public static async Task<Run?> LiveOfAsync(Session session, LabId lab, bool locked = false)
        => (await ReadAsync(session, $"WHERE lab_id = @lab AND state IN ('running', 'undoing', 'stuck') {(locked ? session.Dialect.ForUpdate : "")}", new { lab })).SingleOrDefault();

    /// <summary>The lab's live run, or its last.</summary>
    public static async Task<Run?> LastOfAsync(Session session, LabId lab)
        => (await ReadAsync(session, "WHERE lab_id = @lab ORDER BY CASE WHEN state IN ('running', 'undoing', 'stuck') THEN 0 ELSE 1 END, id DESC LIMIT 1", new { lab })).SingleOrDefault();

    /// <summary>Newest first, by key; what is empty is for all.</summary>
    public static Task<IReadOnlyList<Run>> ListAsync(Session session, RunState? state, LabId? lab, int limit, RunId? after, RunPhase? phase = null)
    {
        var where = new List<string>();
        if (state is not null) where.Add("state = @State");
        if (lab is not null) where.Add("lab_id = @lab");
        if (phase is { } asked) where.Add($"({OfPhase(asked)})");
        if (after is not null) where.Add("id < @after");
        return ReadAsync(session, $"{(where.Count > 0 ? "WHERE " + string.Join(" AND ", where) : "")} ORDER BY id DESC LIMIT @limit", new { State = state?.Word(), lab, limit, after });
    }

    /// <summary>How many runs there are of each phase but those that are over.</summary>
    public static async Task<IReadOnlyDictionary<RunPhase, int>> CountAsync(Session session)
    {
        var counts = await session.FindAsync<Counts>($"""
            SELECT sum(CASE WHEN {OfPhase(RunPhase.Running)} THEN 1 ELSE 0 END) AS running, sum(CASE WHEN {OfPhase(RunPhase.Waiting)} THEN 1 ELSE 0 END) AS waiting,
                sum(CASE WHEN {OfPhase(RunPhase.Stuck)} THEN 1 ELSE 0 END) AS stuck
            FROM runs WHERE state IN ('running', 'undoing', 'stuck')
            """);
        return new Dictionary<RunPhase, int> { [RunPhase.Running] = (int)(counts?.Running ?? 0), [RunPhase.Waiting] = (int)(counts?.Waiting ?? 0), [RunPhase.Stuck] = (int)(counts?.Stuck ?? 0) };
    }

    // A run that goes back says why it failed; one that goes forward says what it waits for.
    private const string IsWaiting = "waits_for IS NOT NULL OR (state = 'running' AND problem IS NOT NULL)";

    private static string OfPhase(RunPhase phase) => phase switch
    {
        RunPhase.Running => $"state IN ('running', 'undoing') AND NOT ({IsWaiting})",
        RunPhase.Waiting => $"state IN ('running', 'undoing') AND ({IsWaiting})",
        RunPhase.Stuck => "state = 'stuck'",
        _ => "state IN ('done', 'undone', 'abandoned')",
    };

    /// <summary>The last trials of a pool, newest first.</summary>
    public static Task<IReadOnlyList<Run>> TrialsAsync(Session session, string pool, int limit) => ReadAsync(
        session,
        $"WHERE workflow = '{WorkflowNames.Try}' AND lab_id IN (SELECT id FROM labs WHERE asked_pool = @pool AND team_id IN (SELECT id FROM installation)) ORDER BY id DESC LIMIT @limit",
        new { pool, limit });

    /// <summary>Live runs that wait for a slot of this pool, the oldest first.</summary>
    public static Task<IReadOnlyList<Run>> WaitingAsync(Session session, PoolId pool, int limit) => ReadAsync(
        session, "WHERE waits_for LIKE @Slots AND state IN ('running', 'undoing') ORDER BY id LIMIT @limit", new { Slots = $"{pool}/%", limit });

    /// <summary>The names of lab and team of each run, for showing.</summary>
    public static async Task<IReadOnlyDictionary<RunId, (string Lab, string Team)>> NamesAsync(Session session, IEnumerable<Run> runs)
    {
        var ids = Many.Of(runs.Select(run => run.Id));
        return ids.Values.Count == 0 ? new Dictionary<RunId, (string, string)>() : (await session.QueryAsync<NamesRow>($"""
            SELECT runs.id, labs.name AS lab, teams.name AS team FROM runs JOIN labs ON labs.id = runs.lab_id JOIN teams ON teams.id = runs.team_id
            WHERE {session.Dialect.AnyOf("runs.id", "ids")}
            """, new { ids })).ToDictionary(row => row.Id, row => (row.Lab, row.Team));
    }

    public static Task RequestCancelAsync(Session session, RunId id, Instant now)
    {
        session.Raise(Signal.Runs, "");
        return session.ExecuteAsync("UPDATE runs SET cancel_requested = true, due_at = @now, waits_for = NULL WHERE id = @id", new { id, now });
    }

    public static Task RequestEndAsync(Session session, RunId id, string askedBy, Instant now)
    {
        session.Raise(Signal.Runs, "");
        return session.ExecuteAsync("UPDATE runs SET cancel_requested = true, end_asked_by = coalesce(end_asked_by, @askedBy), due_at = @now WHERE id = @id", new { id, askedBy, now });
    }

    /// <summary>The run goes on in this state, due at once (but not while it is stuck), and nobody has it.</summary>
    public static Task SetStateAsync(Session session, RunId id, RunState state, Reason? problem, Instant now)
    {
        session.Raise(Signal.Runs, "");
        session.Raise(Signal.Operations, "");
        return session.ExecuteAsync(
            "UPDATE runs SET state = @State, problem = @Problem, since = @now, due_at = @now, worker = NULL WHERE id = @id",
            new { id, State = state.Word(), Problem = Json(problem), now });
    }

    public static void Finish(Session session, Run run, RunState state, Reason? problem, Instant now)
    {
        session.Raise(Signal.Operations, "");
        session.Defer(s_finish, run.Id.ToString(), new { run.Id, State = state.Word(), Problem = Json(problem), run.StepsDone, Now = now });
    }

    /// <summary>
    /// Runs that are due and that nobody turns: free ones, those of <paramref name="lapsed"/> workers, and those that this worker has without
    /// turning them. Fair between teams: the first of each, then the second of each. Nothing is locked.
    /// </summary>
    public static Task<IReadOnlyList<RunId>> RankAsync(
        Session session, string worker, IReadOnlyCollection<string> lapsed, IReadOnlyCollection<RunId> turning, IReadOnlyCollection<string> versions, int limit, Instant now)
        => session.QueryAsync<RunId>($"""
            SELECT id FROM (
                SELECT id, due_at, row_number() OVER (PARTITION BY team_id ORDER BY due_at, id) AS place FROM runs
                WHERE {Due(session, versions)} AND NOT ({session.Dialect.AnyOf("id", "turning")})) AS ranked
            ORDER BY place, due_at LIMIT @limit
            """, new { worker, lapsed = Many.Of(lapsed), turning = Many.Of(turning), limit, now });

    /// <summary>
    /// Claims those of the ranked runs that are still due, at most <paramref name="limit"/>, and locks them and their labs; passes over what another
    /// transaction has locked, so that nobody waits here. Each claim raises the run's fencing token.
    /// </summary>
    public static async Task<IReadOnlyList<Run>> ClaimAsync(
        Session session, string worker, IReadOnlyCollection<string> lapsed, IEnumerable<RunId> ranked, IReadOnlyCollection<string> versions, int limit, Instant now)
    {
        var claimed = new List<Run>();
        foreach (var some in ranked.Chunk(limit))
        {
            claimed.AddRange(await RowsAsync(
                session,
                $"""
                WITH free AS MATERIALIZED (
                    SELECT runs.id AS free_id FROM runs JOIN labs ON labs.id = runs.lab_id WHERE {session.Dialect.AnyOf("runs.id", "some")} AND {Due(session, versions)}
                    LIMIT @room {session.Dialect.ForUpdateSkipLocked})
                UPDATE runs SET worker = @worker, token = token + 1, waits_for = NULL FROM free WHERE id = free_id RETURNING {Columns}
                """,
                new { worker, lapsed = Many.Of(lapsed), now, some = Many.Of(some), room = limit - claimed.Count }));
            if (claimed.Count == limit) break;
        }

        return claimed;
    }

    /// <summary>
    /// These claims as they are now, with labs and runs locked until the transaction ends, and what was asked of the runs meanwhile. Without
    /// <paramref name="wait"/>, those that another transaction has locked are left out.
    /// </summary>
    public static async Task<IReadOnlyDictionary<RunId, ClaimCheck>> GuardAsync(Session session, IEnumerable<Run> claims, bool wait)
        // In one order for everybody who locks several labs.
        => (await session.QueryAsync<ClaimCheck>($"""
            SELECT runs.id, runs.worker, runs.token, runs.cancel_requested, runs.end_asked_by FROM labs JOIN runs ON runs.lab_id = labs.id
            WHERE {session.Dialect.AnyOf("runs.id", "ids")} ORDER BY labs.id {(wait ? session.Dialect.ForUpdate : session.Dialect.ForUpdateSkipLocked)}
            """, new { ids = Many.Of(claims.Select(claim => claim.Id)) })).ToDictionary(row => row.Id);

    /// <summary>Where the run is, for showing. Under <see cref="GuardAsync"/>.</summary>
    public static void SetProgress(Session session, Run run) => session.Defer(
        s_progress, run.Id.ToString(), new { run.Id, State = run.State.Word(), run.Since, run.Step, run.StepsDone, run.StepsTotal, Problem = Json(run.Problem) });

    /// <summary>Gives the claim back until <paramref name="due"/>, or until the slot that it waits for is free. Under <see cref="GuardAsync"/>.</summary>
    public static void Release(Session session, Run claim, Instant due, PoolSlot? waitsFor = null)
        => session.Defer(s_release, claim.Id.ToString(), new { claim.Id, Due = due, WaitsFor = waitsFor?.ToString() });

    /// <summary>At the start of the one process that holds the database: whatever earlier workers had is free at once.</summary>
    public static async Task<int> ReclaimAllAsync(Session session)
    {
        await session.ExecuteAsync("DELETE FROM workers");
        session.Raise(Signal.Runs, "");
        return await session.ExecuteAsync("UPDATE runs SET worker = NULL WHERE worker IS NOT NULL");
    }

    /// <summary>When the next run that nobody turns is due.</summary>
    public static Task<Instant?> NextDueAsync(
        Session session, string worker, IReadOnlyCollection<string> lapsed, IReadOnlyCollection<RunId> turning, IReadOnlyCollection<string> versions) => session.FindAsync<Instant?>($"""
        SELECT min(due_at) FROM runs WHERE {Free(session, versions)} AND NOT ({session.Dialect.AnyOf("id", "turning")})
        """, new { worker, lapsed = Many.Of(lapsed), turning = Many.Of(turning) });

    public static Task SetProblemAsync(Session session, RunId id, Reason problem) => session.ExecuteAsync(
        "UPDATE runs SET problem = @Problem WHERE id = @id", new { id, Problem = Json(problem) });

    /// <summary>What this worker may take. The versions are this build's own words.</summary>
    private static string Free(Session session, IEnumerable<string> versions) => $"""
        runs.state IN ('running', 'undoing') AND (worker IS NULL OR worker = @worker OR {session.Dialect.AnyOf("worker", "lapsed")})
        AND workflow || '/' || runs.version IN ({string.Join(", ", versions.Select(version => $"'{version.Replace("'", "''")}'").DefaultIfEmpty("''"))})
        """;

    private static string Due(Session session, IEnumerable<string> versions) => $"due_at <= @now AND {Free(session, versions)}";

    private static string? Json(Reason? problem) => problem is null ? null : StoredJson.Write(problem);

    private const string Columns = """
        id, lab_id AS lab, team_id AS team, workflow, version, state, arguments, asked_by, cancel_requested, end_asked_by, step, steps_done, steps_total, problem,
        created_at, due_at, waits_for, since, finished_at, worker, token, trace_parent
        """;

    internal static Task<IReadOnlyList<Run>> ReadAsync(Session session, string tail, object parameters) => RowsAsync(session, $"SELECT {Columns} FROM runs {tail}", parameters);

    private static async Task<IReadOnlyList<Run>> RowsAsync(Session session, string sql, object parameters)
        => [.. (await session.QueryAsync<RunRow>(sql, parameters)).Select(row => row.ToRun())];

    private sealed class Counts
    {
        public long? Running { get; init; }
        public long? Waiting { get; init; }
        public long? Stuck { get; init; }
    }

    private sealed class NamesRow
    {
        public RunId Id { get; init; }
        public string Lab { get; init; } = "";
        public string Team { get; init; } = "";
    }

    private sealed class RunRow
    {
        public RunId Id { get; init; }
        public LabId Lab { get; init; }
        public TeamId Team { get; init; }
        public string Workflow { get; init; } = "";
        public int Version { get; init; }
        public string State { get; init; } = "";
        public string Arguments { get; init; } = "";
        public string AskedBy { get; init; } = "";
        public bool CancelRequested { get; init; }
        public string? EndAskedBy { get; init; }
        public string? Step { get; init; }
        public int StepsDone { get; init; }
        public int StepsTotal { get; init; }
        public string? Problem { get; init; }
        public Instant CreatedAt { get; init; }
        public Instant DueAt { get; init; }
        public string? WaitsFor { get; init; }
        public Instant Since { get; init; }
        public Instant? FinishedAt { get; init; }
        public string? Worker { get; init; }
        public long Token { get; init; }
        public string? TraceParent { get; init; }

        public Run ToRun() => new()
        {
            Id = Id,
            Lab = Lab,
            Team = Team,
            Workflow = Workflow,
            Version = Version,
            State = Words.Read<RunState>(State),
            Arguments = StoredJson.Read<Dictionary<string, string>>(Arguments),
            AskedBy = AskedBy,
            CancelRequested = CancelRequested,
            EndAskedBy = EndAskedBy,
            Step = Step,
            StepsDone = StepsDone,
            StepsTotal = StepsTotal,
            Problem = StoredJson.ReadOrDefault<Reason>(Problem),
            CreatedAt = CreatedAt,
            DueAt = DueAt,
            WaitsFor = WaitsFor,
            Since = Since,
            FinishedAt = FinishedAt,
            Worker = Worker,
            Token = Token,
            TraceParent = TraceParent,
        };
    }
}

/// <summary>What was asked of a run while its worker was busy with it.</summary>
public sealed class ClaimCheck
{
    public RunId Id { get; init; }
    public string? Worker { get; init; }
    public long Token { get; init; }

    /// <summary>Is the claim still good?</summary>
    public bool IsOf(Run claim) => Worker == claim.Worker && Token == claim.Token;

    public bool CancelRequested { get; init; }
    public string? EndAskedBy { get; init; }
}
