using System.Text;

namespace LabPortal.Cli.Consoles;

/// <summary>
/// What a guest prints, as a person's terminal may have it: text, colours, moves. Left out is what makes a terminal do anything but draw (titles,
/// links, clipboard, printers, another character set, key modes) and, unless <see cref="MayAsk"/>, what it answers: the answer is typed into
/// whatever reads there. Pieces may be cut anywhere.
/// </summary>
internal sealed class GuestOutput
{
    /// <summary>
    /// Puts a terminal back: no order left open, the normal screen and character set, no mouse or paste reports, the cursor to be seen (xterm's
    /// control sequences, and DECSTR).
    /// </summary>
    public const string Afterwards = "\u0018\u001b[?1049l\u001b[?47l\u001b[!p\u001b[?9;1000;1001;1002;1003;1004;1005;1006;1015;1016l\u001b[?2004;2026;2031l\u001b[?5l\u001b[?7;25h\u001b(B\u001b)B\u000f\u001b[0m\r\n";

    private const int LongestOrder = 64;

    // Of xterm's control sequences those that draw. Private ones only as modes and to erase.
    private const string Drawing = "@ABCDEFGHIJKLMPSTXZ`abdefghlmrsu";
    private const string DrawingPrivately = "hlJK";
    private const string DrawingSimply = "78DEHM=>cNO";
    private const string Asking = "nc";
    private const string CharacterSets = "()*+#";
    private const string Controls = "\a\b\t\n\v\f\r\u000e\u000f";

    private readonly Decoder _decoder = Encoding.UTF8.GetDecoder();
    private readonly StringBuilder _order = new();
    private At _at;

    private enum At
    {
        Text,
        Escape,
        Order,
        Passing,
        PassingEscape,
    }

    /// <summary>There is somebody typing, who has the answer as well.</summary>
    public bool MayAsk { get; set; }

    public byte[] Pass(ReadOnlySpan<byte> bytes)
    {
        var letters = new char[_decoder.GetCharCount(bytes, flush: false)];
        _decoder.GetChars(bytes, letters, flush: false);
        var shown = new StringBuilder(letters.Length);
        foreach (var letter in letters) Pass(letter, shown);
        return Encoding.UTF8.GetBytes(shown.ToString());
    }

    private void Pass(char letter, StringBuilder shown)
    {
        // Whatever it stands in: a line's end, or another order's beginning, ends what was never finished.
        if (letter == '\u001b')
        {
            _at = _at is At.Passing ? At.PassingEscape : At.Escape;
            _order.Clear();
        }
        else if (letter < ' ')
        {
            var wasPassing = _at is At.Passing or At.PassingEscape;
            if (wasPassing || letter is '\u0018' or '\u001a') _at = At.Text;
            // The bell is how such an order ends.
            if (wasPassing && letter == '\a') return;
            if (Controls.Contains(letter, StringComparison.Ordinal)) shown.Append(letter);
        }
        else if (letter is >= '\u007f' and <= '\u009f')
        {
            // The same orders in one letter: nobody needs them in UTF-8.
            _at = letter is '\u0090' or '\u0098' or '\u009d' or '\u009e' or '\u009f' ? At.Passing : letter == '\u009c' ? At.Text : _at;
        }
        else
        {
            Read(letter, shown);
        }
    }

    private void Read(char letter, StringBuilder shown)
    {
        switch (_at)
        {
            case At.Text:
                shown.Append(letter);
                break;
            case At.Escape:
                ReadEscape(letter, shown);
                break;
            case At.Order:
                _order.Append(letter);
                if (letter is >= '@' and <= '~')
                {
                    if (IsDrawing(_order.ToString())) shown.Append("\u001b[").Append(_order);
                    _at = At.Text;
                }
                else if (_order.Length >= LongestOrder || letter > '~')
                {
                    _at = At.Text;
                }

                break;
            case At.PassingEscape:
                // ESC \ ends it; anything else is the beginning of something.
                _at = At.Escape;
                if (letter == '\\') _at = At.Text;
                else ReadEscape(letter, shown);
                break;
            default:
                break;
        }
    }

    private void ReadEscape(char letter, StringBuilder shown)
    {
        if (_order.Length > 0)
        {
            // A character set's name is one letter.
            if (CharacterSets.Contains(_order[0], StringComparison.Ordinal) && letter is >= '0' and <= '~') shown.Append('\u001b').Append(_order).Append(letter);
            _at = At.Text;
            return;
        }

        switch (letter)
        {
            case '[':
                _at = At.Order;
                break;
            case ']' or 'P' or 'X' or '^' or '_' or 'k':
                _at = At.Passing;
                break;
            case >= ' ' and <= '/':
                _order.Append(letter);
                break;
            default:
                if (DrawingSimply.Contains(letter, StringComparison.Ordinal)) shown.Append('\u001b').Append(letter);
                _at = At.Text;
                break;
        }
    }

    private bool IsDrawing(string order)
    {
        var (given, final) = (order[..^1], order[^1]);
        if (given.All(letter => letter is >= '0' and <= ';')) return Drawing.Contains(final, StringComparison.Ordinal) || (MayAsk && Asking.Contains(final, StringComparison.Ordinal));
        return given[0] == '?' && given.Skip(1).All(letter => letter is >= '0' and <= ';') && DrawingPrivately.Contains(final, StringComparison.Ordinal);
    }
}
