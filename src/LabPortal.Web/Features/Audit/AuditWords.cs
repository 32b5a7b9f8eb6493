using LabPortal.Domain;
using LabPortal.Domain.Audit;
using LabPortal.Operations.Audit;
using LabPortal.Web.Api;
using LabPortal.Web.Features.Shell;
using LabPortal.Web.Texts;
using Microsoft.AspNetCore.Http.Extensions;
using NodaTime;
using NodaTime.Text;
using Sign = MudBlazor.Icons.Material.Rounded;

namespace LabPortal.Web.Features.Audit;

/// <summary>An audit line in words.</summary>
internal static class AuditWords
{
    public static readonly IReadOnlyList<string> Kinds = ["lab", "pool", "orphan", "catalogue", "blueprint", "image", "size", "team", "person", "token", "key", "webhook", "audit"];

    public static string KindName(string kind) => Look.Named("object-kind", kind);

    public static string VerbName(string verb) => Look.Named("audit-verb", verb.Replace(':', '-'));

    public static Look Of(AuditLine line) => line.IsDone ? new(Say.AuditDone, Sign.Check, Tone.Good) : new(Say.AuditRefused, Sign.Block, Tone.Warn);

    /// <summary>Why it was refused, where that can be told without the caller's input; the bare code otherwise.</summary>
    public static string? Why(AuditLine line) => line.IsDone ? null
        : Sentences.Find(line.Outcome) is not null && Sentences.OfStored(line.Outcome, line.Detail) is var why && !why.Contains('{', StringComparison.Ordinal) ? why
        : line.Outcome;

    public static string From(AuditLine line)
    {
        var channel = Look.Named("channel", line.Channel).With(("token", line.TokenName ?? ""));
        return line.Address is { } address ? Say.HistoryFrom.With(("channel", channel), ("address", address)) : channel;
    }

    public static string Details(AuditLine line) => string.Join(" · ", line.Detail.Select(entry => $"{entry.Key}: {entry.Value}"));

    /// <summary>The page of the object, where it has one, from the portal's own base.</summary>
    public static string? Address(AuditLine line) => line.ObjectKind switch
    {
        "lab" when line.ObjectName is not null => $"labs/{line.ObjectId}",
        "team" when line.ObjectId.Length > 0 => $"teams/{Uri.EscapeDataString(line.ObjectId)}",
        "blueprint" or "image" when line.ObjectId.Length > 0 => $"{line.ObjectKind}s/{Uri.EscapeDataString(line.ObjectId)}",
        _ => null,
    };

    /// <summary>The beginning of a day in somebody's zone; nothing where the text is no day.</summary>
    public static Instant? Day(string? text, int later, DateTimeZone zone)
        => text is not null && LocalDatePattern.Iso.Parse(text) is { Success: true } day && day.Value.Year is > 1970 and < 9000 ? zone.AtStartOfDay(day.Value.PlusDays(later)).ToInstant() : null;

    /// <summary>Where the same lines are to be had as a file.</summary>
    public static string Export(AuditFilter filter, string format)
    {
        var query = new QueryBuilder { { "format", format } };
        foreach (var (name, value) in (ReadOnlySpan<(string, string?)>)
        [
            ("who", filter.Who), ("what", filter.What), ("kind", filter.ObjectKind), ("object", filter.Object),
            ("from", filter.From is { } from ? Instants.Write(from) : null), ("to", filter.To is { } to ? Instants.Write(to) : null),
        ])
        {
            if (value is not null) query.Add(name, value);
        }

        return AuditRoutes.Download.TrimStart('/') + query;
    }
}
