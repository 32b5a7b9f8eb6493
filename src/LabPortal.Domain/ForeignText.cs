using System.Globalization;
using System.Text;

namespace LabPortal.Domain;

/// <summary>
/// What a provider, a host or a guest said, as journals, pages, logs and terminals may have it: one line of bounded length. What hides, rings, moves a cursor or
/// turns the reading direction (Unicode's Cc and Cf) is written out as <c>\u{202e}</c>, ends of lines are blanks, and halves of characters, which no database
/// takes, are U+FFFD. Anything else stays as it is.
/// </summary>
public static class ForeignText
{
    /// <summary>In characters as .NET counts them, the mark at the end of what was cut among them.</summary>
    public const int Longest = 2000;

    public const char Cut = '…';

    public static string Of(string text, int longest = Longest)
    {
        var safe = new StringBuilder(Math.Min(text.Length, longest));
        foreach (var rune in text.EnumerateRunes())
        {
            if (safe.Length > longest) break;
            var category = Rune.GetUnicodeCategory(rune);
            if (rune.Value is >= '\t' and <= '\r' or 0x85 || category is UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator)
            {
                // The end of a line is often two characters, and people do not write two blanks.
                if (safe.Length == 0 || safe[^1] != ' ') safe.Append(' ');
            }
            else if (category is UnicodeCategory.Control or UnicodeCategory.Format)
            {
                safe.Append(CultureInfo.InvariantCulture, $"\\u{{{rune.Value:x}}}");
            }
            else
            {
                safe.Append(rune);
            }
        }

        if (safe.Length <= longest) return safe.ToString();
        safe.Length = char.IsHighSurrogate(safe[longest - 2]) ? longest - 2 : longest - 1;
        return safe.Append(Cut).ToString();
    }

    /// <summary>The same for what is there or not.</summary>
    public static string? OrNone(string? text) => text is null ? null : Of(text);
}
