using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace LabPortal.Cli.Shell;

/// <summary>
/// Text that came from outside, as a terminal may have it: what would move the cursor, colour, ring, turn the reading direction or hide
/// (Unicode's Cc, Cf, Zl, Zp and lone surrogates) is written out as <c>\u{1b}</c>.
/// </summary>
internal static partial class Safe
{
    private const int LongestCell = 200;

    public static string Text(string text)
    {
        if (!text.EnumerateRunes().Any(IsUnsafe)) return text;
        var safe = new StringBuilder(text.Length + 16);
        foreach (var rune in text.EnumerateRunes())
        {
            if (IsUnsafe(rune)) safe.Append(CultureInfo.InvariantCulture, $"\\u{{{rune.Value:x}}}");
            else safe.Append(rune);
        }

        return safe.ToString();
    }

    /// <summary>The same, cut where it is longer than a table can show.</summary>
    public static string Cell(string text)
    {
        var safe = Text(text);
        if (safe.Length <= LongestCell) return safe;
        return safe[..(char.IsHighSurrogate(safe[LongestCell - 2]) ? LongestCell - 2 : LongestCell - 1)] + "…";
    }

    /// <summary>A word that stays one word in a shell; anything else in single quotes.</summary>
    public static string Word(string text) => ShellWord().IsMatch(text) ? text : $"'{Text(text).Replace("'", "'\\''", StringComparison.Ordinal)}'";

    public static bool IsWord(string text) => ShellWord().IsMatch(text);

    // A lone surrogate is enumerated as U+FFFD.
    public static bool IsUnsafe(Rune rune) => Rune.GetUnicodeCategory(rune) is UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator;

    [GeneratedRegex(@"\A[A-Za-z0-9_.:/@][A-Za-z0-9_.:/@+-]*\z", RegexOptions.CultureInvariant)]
    private static partial Regex ShellWord();
}
