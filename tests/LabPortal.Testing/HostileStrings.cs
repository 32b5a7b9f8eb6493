namespace LabPortal.Testing;

/// <summary>
/// What somebody says who means harm: quotes, ends of lines, commands, formulas, escape sequences, marks that turn the reading direction, markup, halves of
/// characters, NUL, and 10 kB of it. The same for the same seed, so that a test that fails fails again.
/// </summary>
public static class HostileStrings
{
    public const ulong Seed = 20261123;

    /// <summary>An attribute that only markup of these strings has: no element may ever have it.</summary>
    public const string Mark = "data-hostile";

    private static readonly string[] s_pieces =
    [
        "'", "\"", "`", "\\", "a", "é", "😀", " ", "0", ";", "%s", "%n", "{0}", "{limit}", "${motd}", "$(touch /tmp/hostile)", "`id`", "| reboot", "&& reboot", "--", "/*", "' OR '1'='1", "-oProxyCommand=id", "../../etc/passwd",
        "\n", "\r", "\r\n", "\t", "\v", "\f", "\0", "\u0001", "\a", "\b", "\u001a", "\u001b[2J", "\u001b]0;evil\a", "\u001b]8;;javascript:alert(1)\a", "\u009b31m", "\u007f", "\u0085", "\u2028", "\u2029",
        "\u202e", "\u202d", "\u2066", "\u2069", "\u200f", "\u061c", "\u200b", "\u00ad", "\ufeff", "\ufffe", "\uffff", "\ud800", "\udc00", "\U000e0041", "a\u0301\u0301\u0301\u0301", "\u05d0\u05d1", "\ufdfd",
        "=1+1", "+1", "-1", "@SUM(1)", "\uff1d1", "=cmd|' /C calc'!A0", ",", "\",=1",
        "<", ">", "&", "&lt;", "]]>", "-->", "</script>", "</td></tr></table>", $"<b {Mark}>bold</b>", $"<img src=x {Mark} onerror=alert(1)>", $"<script {Mark}>alert(1)</script>", $"\"><svg {Mark} onload=alert(1)>",
        $"<style {Mark}>*{{display:none}}</style>", "javascript:alert(1)", "lab: ok", "info: LabPortal", "true", "null", "~", "- a: b", "key: {", "*alias", "!!tag", "# HELP", "\ndata: x\n\n", "HTTP/1.1 200 OK\r\n\r\n",
    ];

    /// <summary>Everything at once, as a sentence of a provider.</summary>
    public static string Everything { get; } = string.Concat(s_pieces);

    /// <summary>Each piece alone, then so many mixtures; one in a hundred is of 10 kB.</summary>
    public static IEnumerable<string> Some(int mixtures, ulong seed = Seed)
    {
        foreach (var piece in s_pieces) yield return piece;
        yield return Everything;
        yield return new string('x', 10_000);
        var state = seed;
        for (var i = 0; i < mixtures; i++)
        {
            var length = i % 100 == 0 ? 2_000 : 1 + Next(12);
            yield return string.Concat(Enumerable.Range(0, length).Select(_ => s_pieces[Next(s_pieces.Length)]));
        }

        // Xorshift (Marsaglia 2003).
        int Next(int below)
        {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            return (int)(state % (ulong)below);
        }
    }
}
