using LabPortal.Domain.Labs;
using LabPortal.Operations.Audit;
using LabPortal.Operations.Labs;
using LabPortal.Web.Features.Shell;
using LabPortal.Web.Texts;
using NodaTime;

namespace LabPortal.Web.Features.Labs;

/// <summary>One line of a lab's history: something that went on, or (with <paramref name="From"/>) something that somebody did.</summary>
internal sealed record Happened(string Key, Instant At, Look Look, string? From)
{
    /// <summary>
    /// The newest first. What was done stands before what came of it, which has the same time. Where there are more of the one or of the other than
    /// were read, it ends where it would begin to have holes.
    /// </summary>
    public static IReadOnlyList<Happened> Of(Past<LabEvent> events, Past<AuditLine> lines)
    {
        var since = new[] { events.More ? events.Items[0].At : Instant.MinValue, lines.More ? lines.Items[0].At : Instant.MinValue }.Max();
        return
        [
            .. lines.Items.Select(Of).Concat(events.Items.Where(LabWords.IsHistory).Select(happened => new Happened($"{happened.Version}", happened.At, LabWords.Of(happened), null)))
                .Where(happened => happened.At >= since).OrderBy(happened => happened.At).Reverse(),
        ];
    }

    private static Happened Of(AuditLine line)
    {
        var channel = Look.Named("channel", line.Channel).With(("token", line.TokenName ?? ""));
        return new Happened(line.Id.ToString(), line.At, LabWords.Of(line), line.Address is { } address ? Say.HistoryFrom.With(("channel", channel), ("address", address)) : channel);
    }
}
