using System.Collections.Concurrent;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Tests;

/// <summary>Which kind of provider a conformance class is for; several classes may be for one kind (another wire to the same peer).</summary>
[AttributeUsage(AttributeTargets.Class, Inherited = false)]
internal sealed class ConformanceOfAttribute(Type kind) : Attribute
{
    public Type Kind => kind;
}

/// <summary>What a conformance class does to the wire between a provider and its peer.</summary>
public abstract record WireFault
{
    /// <summary>The connection is lost at the N-th wire call (from 1, reads too) of the opened provider: before the call had its effect, or after it with the reply lost.</summary>
    public sealed record CutOff(int Call, bool AfterEffect) : WireFault
    {
        /// <summary>Counts the calls of this action alone, as the peer names it.</summary>
        public string? Of { get; init; }
    }

    /// <summary>The peer answers every call with <i>slow down, and come back after this time</i>.</summary>
    public sealed record Throttled(TimeSpan RetryAfter) : WireFault;

    /// <summary>The peer refuses who we are, at every call.</summary>
    public sealed record RefusedLogin : WireFault;

    /// <summary>No host of the peer takes one more machine; reads work.</summary>
    public sealed record Full : WireFault;

    /// <summary>The peer takes every call and never answers.</summary>
    public sealed record Silent : WireFault;

    /// <summary>The peer is not there: connections are refused.</summary>
    public sealed record Away : WireFault;
}

/// <summary>
/// One object as the peer itself lists it. <paramref name="Name"/> is what carries the owner: its name, or what its tags compose to
/// (<c>lp-INSTALLATION-ID-gN</c> and a suffix).
/// </summary>
public sealed record PeerResource(ResourceKind Kind, string ExternalId, string Name);

/// <summary>One caller's wire at a peer of many: its calls are counted, and one of them may be cut off.</summary>
internal abstract class CountedWire(WireFault? fault)
{
    private int _calls;

    public WireFault? Fault => fault;

    /// <summary>How often each action was asked for.</summary>
    public ConcurrentDictionary<string, int> Actions { get; } = new();

    /// <summary>The action whose call was cut off.</summary>
    public string? Cut { get; private set; }

    /// <summary>Counts the call, and says whether it is the one that is cut off.</summary>
    public bool IsCut(string action)
    {
        var (call, ofAction) = (Interlocked.Increment(ref _calls), Actions.AddOrUpdate(action, 1, (_, times) => times + 1));
        if (fault is not WireFault.CutOff cut || (cut.Of is null ? cut.Call != call : cut.Of != action || cut.Call != ofAction)) return false;
        Cut = action;
        return true;
    }
}
