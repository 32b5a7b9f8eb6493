using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using NodaTime;
using NodaTime.Text;

namespace LabPortal.Web.Api;

/// <summary>What a text that somebody sent may be, behind the question mark as in a body.</summary>
internal static class SentText
{
    /// <summary>A NUL, or half of a surrogate pair, is nothing that a database can keep or compare.</summary>
    public static bool CanBeKept(string text)
    {
        if (text.Contains('\0')) return false;
        for (var rest = text.AsSpan(); rest.Length > 0;)
        {
            if (Rune.DecodeFromUtf16(rest, out _, out var used) != OperationStatus.Done) return false;
            rest = rest[used..];
        }

        return true;
    }

    /// <summary>RFC 3339 with any offset, in years that leave room for an offset and a term on both sides.</summary>
    public static bool IsInstant(string text, [NotNullWhen(true)] out Instant? instant)
    {
        instant = OffsetDateTimePattern.Rfc3339.Parse(text) is { Success: true, Value: { Year: >= 1900 and < 9000 } parsed } ? parsed.ToInstant() : null;
        return instant is not null;
    }
}
