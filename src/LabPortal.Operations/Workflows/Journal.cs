using System.Collections.Immutable;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using NodaTime;

namespace LabPortal.Operations.Workflows;

/// <summary>A run's journal in memory: what was written, so that a transaction that is tried again begins from the same.</summary>
internal sealed record Journal(ImmutableDictionary<(Direction Direction, string Step, string Target), ImmutableList<JournalEntry>> Entries)
{
    /// <summary>A done step that has to be taken again, because its machine is made elsewhere.</summary>
    public const string Elsewhere = "elsewhere";

    public static Journal Of(IEnumerable<JournalEntry> entries) => new(entries
        .GroupBy(entry => (entry.Direction, entry.Step, entry.Target))
        .ToImmutableDictionary(group => group.Key, group => group.OrderBy(entry => entry.Attempt).ToImmutableList()));

    public ImmutableList<JournalEntry> Attempts(Direction direction, string step, string target) => Entries.GetValueOrDefault((direction, step, target), []);

    public JournalEntry? Last(Direction direction, string step, string target) => Attempts(direction, step, target) is [.., var last] ? last : null;

    /// <summary>Started: from its first intention on, something may exist.</summary>
    public bool Started(string step, string target) => Entries.ContainsKey((Direction.Forward, step, target));

    public bool AnyFailedForGood => Entries.Values.Any(attempts => attempts[^1] is { State: JournalState.Failed, DueAt: null });

    public Journal With(JournalEntry entry)
    {
        var attempts = Attempts(entry.Direction, entry.Step, entry.Target);
        var index = attempts.FindIndex(other => other.Attempt == entry.Attempt);
        return new Journal(Entries.SetItem((entry.Direction, entry.Step, entry.Target), index < 0 ? attempts.Add(entry) : attempts.SetItem(index, entry)));
    }

    /// <summary>How often this machine was refused for want of room by the steps of a lane.</summary>
    public int NoCapacity(IEnumerable<Step> lane, string target)
        => lane.Sum(step => Attempts(Direction.Forward, step.Name, target).Count(entry => entry.State == JournalState.Failed && entry.FaultKind == Word.NoCapacity));

    /// <summary>A placement is done when it followed the last <i>no capacity</i>: counted, because clocks of two nodes cannot be compared.</summary>
    public bool IsDone(Direction direction, Step step, IReadOnlyList<Step> lane, string target)
    {
        var attempts = Attempts(direction, step.Name, target);
        if (attempts is not [.., { State: JournalState.Done }]) return false;
        return direction == Direction.Backward || !step.Places || attempts.Count(entry => entry.State == JournalState.Done) > NoCapacity(lane, target);
    }

    /// <summary>Since when this step is tried: its first attempt since the machine was last placed.</summary>
    public Instant? SeriesBegan(Direction direction, string step, string target)
    {
        var attempts = Attempts(direction, step, target);
        var fresh = attempts.FindLastIndex(entry => entry.State == JournalState.Done || entry.FaultKind is Word.NoCapacity or Elsewhere) + 1;
        return fresh < attempts.Count ? attempts[fresh].IntendedAt : null;
    }

    /// <summary>How many transient faults in a row the last attempts ended with.</summary>
    public int TransientInRow(Direction direction, string step, string target)
        => Attempts(direction, step, target).Reverse().TakeWhile(entry => entry.State != JournalState.Done && entry.FaultKind is null or Word.Transient)
            .Count(entry => entry.State == JournalState.Failed);

    /// <summary>Stored words of fault kinds, as constants for patterns.</summary>
    internal static class Word
    {
        public const string NoCapacity = "no-capacity";
        public const string Transient = "transient";
        public const string Throttled = "throttled";
    }
}
