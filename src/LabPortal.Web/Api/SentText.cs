using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using System.Text.Json;
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

    /// <summary>Where in a document half of a surrogate pair stands, which .NET refuses to read; empty where there is none.</summary>
    public static string? Unreadable(JsonElement json, string place = "")
    {
        try
        {
            switch (json.ValueKind)
            {
                case JsonValueKind.String:
                    _ = json.GetString();
                    return null;
                case JsonValueKind.Object:
                    return json.EnumerateObject().Select(field => Unreadable(field.Value, place == "" ? field.Name : $"{place}.{field.Name}")).FirstOrDefault(found => found is not null);
                case JsonValueKind.Array:
                    return json.EnumerateArray().Select((item, at) => Unreadable(item, $"{place}[{at}]")).FirstOrDefault(found => found is not null);
                default:
                    return null;
            }
        }
        catch (InvalidOperationException)
        {
            return place;
        }
    }

    /// <summary>RFC 3339 with any offset, in years that leave room for an offset and a term on both sides.</summary>
    public static bool IsInstant(string text, [NotNullWhen(true)] out Instant? instant)
    {
        instant = OffsetDateTimePattern.Rfc3339.Parse(text) is { Success: true, Value: { Year: >= 1900 and < 9000 } parsed } ? parsed.ToInstant() : null;
        return instant is not null;
    }
}
