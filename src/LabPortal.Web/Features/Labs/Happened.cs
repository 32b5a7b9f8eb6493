using LabPortal.Domain.Labs;
using LabPortal.Operations.Audit;
using LabPortal.Web.Features.Shell;
using LabPortal.Web.Texts;
using NodaTime;

namespace LabPortal.Web.Features.Labs;

/// <summary>One line of a lab's history: something that went on, or (with <paramref name="From"/>) something that somebody did.</summary>
internal sealed record Happened(string Key, Instant At, Look Look, string? From)
{
    /// <summary>The newest first. What was done stands before what came of it, which has the same time.</summary>
    public static IReadOnlyList<Happened> Of(IReadOnlyList<LabEvent> events, IReadOnlyList<AuditLine> lines) =>
    [
        .. lines.Select(Of).Concat(events.Where(LabWords.IsHistory).Select(happened => new Happened($"{happened.Version}", happened.At, LabWords.Of(happened), null)))
            .OrderBy(happened => happened.At).Reverse(),
    ];

    private static Happened Of(AuditLine line)
    {
        var channel = Look.Named("channel", line.Channel).With(("token", line.TokenName ?? ""));
        return new Happened(line.Id.ToString(), line.At, LabWords.Of(line), line.Address is { } address ? Say.HistoryFrom.With(("channel", channel), ("address", address)) : channel);
    }
}
