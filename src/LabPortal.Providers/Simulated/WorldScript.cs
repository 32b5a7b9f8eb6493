using System.Text.Json;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using NodaTime;

namespace LabPortal.Providers.Simulated;

/// <summary>One call over the simulated wire. A machine is made by the four creates in this order, and taken away by the four deletes.</summary>
public enum WireVerb
{
    CreateDisk,
    CreateSeed,
    CreateAddress,
    CreateMachine,
    DeleteMachine,
    DeleteAddress,
    DeleteSeed,
    DeleteDisk,
    Start,
    Stop,
    Restart,
    TakeSnapshot,
    Revert,
    DeleteSnapshot,
    CreateNetwork,
    DeleteNetworks,
    ImportImage,
    Check,
    Observe,
    ListOwned,
    ReadCapacity,
    FindImage,
    ReadLog,
    ReadImage,
    ListSnapshots,
    MakeWarmState,
    DeleteWarmState,
    ReadStart,
    ReadDisk,
}

/// <summary>What a scripted fault does.</summary>
public enum Deed
{
    /// <summary>The call ends with a fault: before its effect nothing happened; after it, the reply was lost.</summary>
    Fail,

    /// <summary>The call does not answer until <see cref="SimulatedWorld.ReleaseAsync"/>, then goes on; its cancellation ends it.</summary>
    Hang,

    /// <summary>The calling process is killed (SIGKILL) by its own call.</summary>
    Kill,

    /// <summary>The calling process is stopped (SIGSTOP) by its own call, and goes on when somebody continues it.</summary>
    Freeze,
}

public enum Moment
{
    BeforeEffect,
    AfterEffect,
}

/// <summary>
/// The N-th call from now on that has this verb and is about this subject suffers this deed.
/// </summary>
public sealed record ScriptedFault(Deed Deed, Moment Moment = Moment.BeforeEffect)
{
    /// <summary>Times without an end.</summary>
    public const long Always = 1L << 40;

    /// <summary>Absent: every verb, reads too.</summary>
    public WireVerb? Verb { get; init; }

    /// <summary>A resource name (<see cref="Owner.ResourceName"/>) or the canonical id of a machine, lab or installation. Absent: everybody.</summary>
    public string? Subject { get; init; }

    /// <summary>From 1: which of the matching calls is the first to suffer.</summary>
    public long Nth { get; init; } = 1;

    /// <summary>How many in a row suffer.</summary>
    public long Times { get; init; } = 1;

    public FaultKind Fault { get; init; } = FaultKind.Transient;

    public TimeSpan? RetryAfter { get; init; }

    /// <summary>The fault's sentence; absent, one that fits its kind.</summary>
    public string? Message { get; init; }
}

/// <summary>
/// One line of the world's history, which only grows. <paramref name="Resources"/> is by how many the world's resources grew (or shrank);
/// <paramref name="Effect"/> says whether anything changed at all. Outcomes: <c>done, refused, failed, reply-lost, hung, killed, frozen</c>.
/// </summary>
public sealed record WorldCall(long Number, Instant At, string Verb, string? Owner, bool Effect, int Resources, string Outcome, int Process);

/// <summary>One object of the world, whosever it is.</summary>
public sealed record WorldResource(ResourceKind Kind, string ExternalId, string Name, string Host, Instant MadeAt);

/// <summary>What the world saw come and go. In every world, made less removed is present.</summary>
public sealed record WorldCount(long MachinesMade, long MachinesRemoved, long MachinesPresent, long ResourcesMade, long ResourcesRemoved, long ResourcesPresent);

/// <summary>The rates of a pool, and the draw that decides one call by seed and number.</summary>
internal sealed record WireOdds(long Seed, double Failure, double LostReply, double Throttle, TimeSpan RetryAfter)
{
    public bool Any => Failure > 0 || LostReply > 0 || Throttle > 0;

    public Fate? Draw(long call)
    {
        var drawn = Dice.Draw(Seed, call, 0);
        if ((drawn -= Failure) < 0) return Fate.Failing(Moment.BeforeEffect, FaultKind.Transient);
        if ((drawn -= LostReply) < 0) return Fate.Failing(Moment.AfterEffect, FaultKind.Transient);
        if (drawn - Throttle < 0) return Fate.Failing(Moment.BeforeEffect, FaultKind.Throttled, RetryAfter);
        return null;
    }
}

internal static class Dice
{
    /// <summary>A number in [0, 1) that follows from its arguments (SplitMix64, Steele and others 2014).</summary>
    public static double Draw(long seed, long call, int purpose)
    {
        var z = (ulong)seed + ((ulong)call * 0x9E3779B97F4A7C15UL) + ((ulong)purpose * 0xD1B54A32D192ED03UL) + 0x9E3779B97F4A7C15UL;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9UL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBUL;
        return ((z ^ (z >> 31)) >> 11) * (1.0 / (1UL << 53));
    }
}

/// <summary>What one call will suffer. <paramref name="Script"/> is the row that a hanging call waits for.</summary>
internal sealed record Fate(Deed Deed, Moment Moment, ProviderFault? Fault, long? Script = null)
{
    public string Outcome => (Deed, Moment) switch
    {
        (Deed.Fail, Moment.BeforeEffect) => "failed",
        (Deed.Fail, _) => "reply-lost",
        (Deed.Hang, _) => "hung",
        (Deed.Kill, _) => "killed",
        _ => "frozen",
    };

    public static Fate Failing(Moment moment, FaultKind kind, TimeSpan? retryAfter = null, string? message = null, long? script = null) =>
        new(Deed.Fail, moment, new ProviderFault(kind, message ?? Sentence(moment, kind), retryAfter: retryAfter), script);

    private static string Sentence(Moment moment, FaultKind kind) => kind switch
    {
        FaultKind.Transient when moment == Moment.AfterEffect => "The simulated connection was lost before the reply came.",
        FaultKind.Transient => "The simulated pool did not answer; it may the next time.",
        FaultKind.Throttled => "The simulated pool asks for fewer calls.",
        FaultKind.Rejected => "The simulated pool refuses this request.",
        FaultKind.Unauthorized => "The simulated pool refuses our login: its credentials have to be renewed.",
        FaultKind.NoCapacity => "The simulated pool has no room for one more machine.",
        _ => "The simulated pool answered with something that makes no sense.",
    };
}

/// <summary>One call as the wire sees it: what it does, and whom it is about.</summary>
internal sealed record WireCall(WireVerb Verb, InstallationId Installation, IReadOnlyList<Owner> Owners, WireOdds Odds)
{
    public string? OwnerName => Owners is [var owner] ? owner.ResourceName : null;

    public bool Changes => Verb < WireVerb.Check;

    public bool IsAbout(string subject) =>
        subject == Installation.ToString()
        || Owners.Any(owner => subject == owner.ResourceName || subject == owner.Machine?.ToString() || subject == owner.Lab.ToString());
}

internal static class Words
{
    private static readonly Dictionary<WireVerb, string> VerbWords = Enum.GetValues<WireVerb>().ToDictionary(verb => verb, verb => Kebab(verb));

    /// <summary>The stored form: <c>create-disk</c>.</summary>
    public static string Word(this WireVerb verb) => VerbWords[verb];

    public static string Kebab(Enum value) => JsonNamingPolicy.KebabCaseLower.ConvertName(value.ToString());
}
