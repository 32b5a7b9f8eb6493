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
    private const int LongestLine = 2000;

    public static string Text(string text)
    {
        if (!text.EnumerateRunes().Any(rune => IsUnsafe(rune) || rune == Rune.ReplacementChar)) return text;
        var safe = new StringBuilder(text.Length + 16);
        foreach (var rune in text.EnumerateRunes())
        {
            if (IsUnsafe(rune)) safe.Append(CultureInfo.InvariantCulture, $"\\u{{{rune.Value:x}}}");
            else safe.Append(rune);
        }

        return safe.ToString();
    }

    /// <summary>The same, cut where it is longer than a table can show.</summary>
    public static string Cell(string text) => Cut(Text(text), LongestCell);

    /// <summary>The same, cut where it is longer than a sentence can be.</summary>
    public static string Line(string text) => Cut(Text(text), LongestLine);

    /// <summary>A word that stays one word in a shell; anything else in single quotes.</summary>
    public static string Word(string text) => ShellWord().IsMatch(text) ? text : $"'{Text(text).Replace("'", "'\\''", StringComparison.Ordinal)}'";

    public static bool IsWord(string text) => ShellWord().IsMatch(text);

    private static string Cut(string safe, int longest) => safe.Length <= longest ? safe : safe[..(char.IsHighSurrogate(safe[longest - 2]) ? longest - 2 : longest - 1)] + "…";

    // A lone surrogate is enumerated as U+FFFD.
    public static bool IsUnsafe(Rune rune) => Rune.GetUnicodeCategory(rune) is UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator;

    [GeneratedRegex(@"\A[A-Za-z0-9_.:/@][A-Za-z0-9_.:/@+-]*\z", RegexOptions.CultureInvariant)]
    private static partial Regex ShellWord();
}
