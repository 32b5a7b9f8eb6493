using System.Runtime.CompilerServices;
using LabPortal.Data;
using LabPortal.Domain;

namespace LabPortal.Operations.Labs;

/// <summary>What a list shows; changes of anything else do not wake it.</summary>
[Flags]
public enum FeedTopics
{
    Labs = 1,
    Operations = 2,
    Notices = 4,
}

/// <summary>Says when a list is worth reading again: from whichever process the change came, and every 30 s in any case.</summary>
public sealed class LabFeed(Database database)
{
    private static readonly TimeSpan s_anyway = TimeSpan.FromSeconds(30);

    /// <summary>Many changes at once are one: a list is read again at most this often.</summary>
    private static readonly TimeSpan s_together = TimeSpan.FromMilliseconds(250);

    /// <summary>
    /// Begins with one element, so that the reader takes its snapshot only after listening has begun. Notices of other people than
    /// <paramref name="person"/> do not count. Ends when cancelled.
    /// </summary>
    public async IAsyncEnumerable<FeedTopics> WatchAsync(FeedTopics topics, PersonId? person, [EnumeratorCancellation] CancellationToken cancellation)
    {
        using var subscription = database.Signals.Subscribe([.. Topics(topics)]);
        yield return topics;
        while (!cancellation.IsCancellationRequested)
        {
            var heard = await subscription.WaitAsync(s_anyway, cancellation);
            if (heard.Count > 0 && heard.All(signal => signal.Topic == Signal.Notices && signal.Payload != person?.ToString())) continue;
            yield return topics;
            await Task.Delay(s_together, cancellation);
        }
    }

    private static IEnumerable<string> Topics(FeedTopics topics)
    {
        if (topics.HasFlag(FeedTopics.Labs)) yield return Signal.Labs;
        if (topics.HasFlag(FeedTopics.Operations)) yield return Signal.Operations;
        if (topics.HasFlag(FeedTopics.Notices)) yield return Signal.Notices;
    }
}
