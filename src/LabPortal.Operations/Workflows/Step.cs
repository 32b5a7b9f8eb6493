using LabPortal.Data;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Machines;
using LabPortal.Operations.Pools;
using NodaTime;

namespace LabPortal.Operations.Workflows;

/// <summary>
/// One step of a workflow. Doing and undoing are idempotent: after a crash, a lost reply or a retry they are simply taken again.
/// They touch the world only through the contract of providers, and the database only in the transaction that the runner gives them
/// (<see cref="IntendAsync"/>, <see cref="StepAnswer.Within"/>).
/// </summary>
public abstract class Step(string name)
{
    /// <summary>Stored in journals: a promise.</summary>
    public string Name { get; } = name;

    /// <summary>Taken once for each machine, side by side; otherwise once for the lab, when all before it is done.</summary>
    public virtual bool ForEachMachine => true;

    /// <summary>How long after its first attempt it is still tried again or waited for.</summary>
    public virtual Duration Deadline => Duration.FromMinutes(30);

    /// <summary>
    /// The slots of the machine's pool that it needs before it begins, all or none. An operation is over when the step is done; a boot when a later step
    /// <see cref="Frees"/> it, or an undo is done. A fault ends both, but for the first transient ones, behind which the work may go on.
    /// </summary>
    public virtual IReadOnlyList<SlotKind> Takes => [];

    /// <summary>The same for taking it back.</summary>
    public virtual IReadOnlyList<SlotKind> TakesBack => [];

    internal IReadOnlyList<SlotKind> SlotsOf(Direction way) => way == Direction.Forward ? Takes : TakesBack;

    /// <summary>The slot that is free again when it is done.</summary>
    public virtual SlotKind? Frees => null;

    /// <summary>The step that decides where a machine goes: <i>no capacity</i> in a later step of its lane comes back here.</summary>
    public virtual bool Places => false;

    /// <summary>From its first attempt on the run only goes forward: what fails then makes it stuck, to be tried again.</summary>
    public virtual bool NoWayBack => false;

    /// <summary>False: no part of a run that was asked with these arguments, and not shown with it.</summary>
    public virtual bool IsAskedFor(IReadOnlyDictionary<string, string> arguments) => true;

    /// <summary>Is there something to take back?</summary>
    public virtual bool CanUndo => false;

    /// <summary>False: passed over, without a journal entry. Must give the same answer throughout the run.</summary>
    public virtual bool AppliesTo(StepContext context) => true;

    /// <summary>Written together with the intention of each attempt. Must touch nothing but the session.</summary>
    public virtual Task IntendAsync(Session session, StepContext context) => Task.CompletedTask;

    public abstract Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation);

    public virtual Task<StepAnswer> UndoAsync(StepContext context, CancellationToken cancellation) => Task.FromResult(StepAnswer.Done);
}

/// <summary>What a step says after acting.</summary>
public abstract record StepAnswer
{
    public static readonly StepAnswer Done = new DoneAnswer(null);

    /// <summary>Done, with something to remember in the journal.</summary>
    public static StepAnswer Remember(string note) => new DoneAnswer(note);

    /// <summary>Not yet: look again after this long. A <paramref name="note"/> is there when the step is taken again; without one the last stays.
    /// <paramref name="why"/> is shown with the run where it waits for something that people can mend.</summary>
    public static StepAnswer NotYet(Duration after, string? note = null, Reason? why = null) => new NotYetAnswer(after, note, why);

    /// <summary>The rest happens in the transaction of the outcome, and gives the answer. May run more than once; only the last counts.</summary>
    public static StepAnswer Within(Func<Session, Instant, Task<StepAnswer>> save) => new WithinAnswer(save);

    /// <summary>Done, with this saved in the same transaction.</summary>
    public static StepAnswer DoneWith(Func<Session, Instant, Task> save) => new WithinAnswer(async (session, now) =>
    {
        await save(session, now);
        return Done;
    });

    internal sealed record DoneAnswer(string? Note) : StepAnswer;

    internal sealed record NotYetAnswer(Duration After, string? Note, Reason? Why) : StepAnswer;

    internal sealed record WithinAnswer(Func<Session, Instant, Task<StepAnswer>> Save) : StepAnswer;
}

/// <summary>The step cannot be done, for a reason that people understand; trying again would not help.</summary>
public sealed class StepFailed(Reason reason) : Exception(reason.Code)
{
    public Reason Reason { get; } = reason;
}

/// <summary>What a step sees: the run, the lab as it is, its machine, and what this step and others noted.</summary>
public sealed record StepContext(Run Run, Lab Lab, Machine? Target, int Attempt, string? Note, Instant FirstAt, Func<string, string?> NoteOf, StepTools Tools)
{
    public Machine Machine => Target ?? throw new InvalidOperationException("A step of the lab has no machine.");

    public Instant Now => Tools.Time.Now();

    /// <summary>A pause that grows with the waiting: the shortest for 20 s, while it may be over any moment; at most 5 s.</summary>
    public Duration Pause => Duration.Max(Tools.Settings.ShortestPause, Duration.Min(Duration.FromSeconds(5), (Now - FirstAt) / 80));

    public ResourceRef Reference => new(Machine.OwnerIn(Tools.Identity.Installation), Machine.Host);

    public Task<OpenPool> OpenPoolAsync(CancellationToken cancellation) => Tools.Pools.OpenAsync(
        Machine.Pool ?? throw new ProviderFault(FaultKind.Broken, $"Machine {Machine.Name} was never placed."), cancellation);
}

/// <summary>What steps work with.</summary>
public sealed record StepTools(
    Database Database, OpenPools Pools, Placing Placing, MachineSpecs Specs, IReach Reach, PortalIdentity Identity, TimeProvider Time, EngineSettings Settings)
{
    /// <summary>Where laws let a worker die: just before and just after each commit of a turn.</summary>
    internal Action<TurnMoment>? Seam { get; init; }
}

internal enum TurnMoment
{
    BeforeCommit,
    AfterCommit,
}

/// <summary>The engine's measures of time and number.</summary>
public sealed record EngineSettings
{
    /// <summary>A worker whose beat stood still this long has lost its runs.</summary>
    public TimeSpan Term { get; init; } = TimeSpan.FromSeconds(20);
    public TimeSpan BeatEvery { get; init; } = TimeSpan.FromSeconds(4);

    /// <summary>What must be left of the term for a provider call to begin, and is left when one is cut off.</summary>
    public TimeSpan Reserve { get; init; } = TimeSpan.FromSeconds(4);

    /// <summary>How often the pump looks without having been told.</summary>
    public TimeSpan LookEvery { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Not below the interval of observations: a look that is answered from the last one is wasted.</summary>
    public Duration ShortestPause { get; init; } = Duration.FromMilliseconds(250);

    /// <summary>The pause after the first transient fault; it doubles with each, up to <see cref="LongestRetry"/>.</summary>
    public Duration FirstRetry { get; init; } = Duration.FromSeconds(1);
    public Duration LongestRetry { get; init; } = Duration.FromMinutes(1);

    /// <summary>How soon a run that waits for a slot looks again without having been woken; then as long again as it has been under way in its direction, up to <see cref="LongestSlotPause"/>.</summary>
    public Duration SlotPause { get; init; } = Duration.FromMilliseconds(300);
    public Duration LongestSlotPause { get; init; } = Duration.FromSeconds(30);

    /// <summary>One provider call at the most, however well the worker lives.</summary>
    public TimeSpan LongestAct { get; init; } = TimeSpan.FromMinutes(10);
    public int ActsAtOnce { get; init; } = 16;
    public int MostPlacements { get; init; } = 8;

    /// <summary>Runs that one batch turns side by side.</summary>
    public int BatchSize { get; init; } = 128;
    public int BatchesAtOnce { get; init; } = 2;

    /// <summary>How long a batch that has nothing to do stays, ready for what comes.</summary>
    public TimeSpan Linger { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>How long a batch claims: well below what job storages take for dead (30 minutes on PostgreSQL).</summary>
    public TimeSpan LongestBatch { get; init; } = TimeSpan.FromMinutes(10);
}
