using System.Text;
using System.Text.RegularExpressions;
using CsCheck;
using LabPortal.Cli.Consoles;

namespace LabPortal.Cli.Tests.Consoles;

/// <summary>What a guest can do to the terminal of who looks at it.</summary>
public sealed partial class GuestOutputTests
{
    private static readonly string[] s_pieces =
    [
        "\u001b", "[", "]", "P", "_", "^", "X", "k", "\\", "\u0007", "\u009b", "\u009d", "\u0090", "\u009c", "?", ">", "=", "!", "$", "1049", ";", "6n", "c", "t", "5i", "p", "m", "h", "l",
        "(0", "%@", "0;evil", "52;c;ZXZpbA==", "text", " ", "\r\n", "\n", "\u0018", "\u0005", "\u0000", "é", "😀", "\u202e",
    ];

    private static readonly Gen<byte[]> s_printed = Gen.OneOf(Gen.Int[0, s_pieces.Length - 1].Select(piece => Encoding.UTF8.GetBytes(s_pieces[piece])), Gen.Byte.Array[0, 3]).Array[0, 40].Select(parts => parts.SelectMany(part => part).ToArray());

    [Fact]
    public void Whatever_is_printed_the_terminal_only_draws() => s_printed.Sample(printed =>
    {
        var shown = Encoding.UTF8.GetString(new GuestOutput().Pass(printed));
        return !Harmful().IsMatch(Orders().Replace(shown, ""));
    });

    [Fact]
    public void Wherever_it_is_cut_the_same_is_shown() => Gen.Select(s_printed, Gen.Int[0, 200], Gen.Bool).Sample((printed, at, mayAsk) =>
    {
        var whole = new GuestOutput { MayAsk = mayAsk }.Pass(printed);
        var cut = new GuestOutput { MayAsk = mayAsk };
        at = Math.Min(at, printed.Length);
        return whole.AsSpan().SequenceEqual([.. cut.Pass(printed.AsSpan(0, at)), .. cut.Pass(printed.AsSpan(at))]);
    });

    [Theory]
    [InlineData("plain text\r\n\ttabs äöü 日本 😀")]
    [InlineData("\u001b[1;31mred\u001b[0m \u001b[2J\u001b[H\u001b[10;20Hthere \u001b[K\u001b[?25l\u001b[?1049h \u001b(0lqk\u001b(B \u001b7\u001b8\u001bM")]
    public void What_draws_is_shown_as_it_is(string text) => Assert.Equal(text, Shown(text));

    [Theory]
    [InlineData("a\u001b]0;title\u0007b", "ab")]
    [InlineData("a\u001b]52;c;ZXZpbA==\u001b\\b", "ab")]
    [InlineData("a\u001bP$qm\u001b\\b", "ab")]
    [InlineData("a\u001b[5ib\u001b[8;200;400tc\u001b[>4;2md\u001b[?1;2$pe\u001b%@f", "abcdef")]
    [InlineData("a\u001b]0;never ended\nb", "a\nb")]
    [InlineData("a\u001b[c\u001b[6n\u001bZ\u0005b", "ab")]
    [InlineData("a\u009d0;title\u009cb\u009b5ic", "ab5ic")]
    public void What_does_more_is_left_out(string text, string shown) => Assert.Equal(shown, Shown(text));

    [Fact]
    public void A_terminal_is_asked_only_where_its_person_types()
    {
        Assert.Equal("\u001b[6n\u001b[c", Encoding.UTF8.GetString(new GuestOutput { MayAsk = true }.Pass("\u001b[6n\u001b[c\u001b[>c\u001b[21t"u8)));
        Assert.Equal("", Shown("\u001b[6n"));
    }

    private static string Shown(string text) => Encoding.UTF8.GetString(new GuestOutput().Pass(Encoding.UTF8.GetBytes(text)));

    // What draws, in ECMA-48's own words: colours and moves, modes, marks, character sets.
    [GeneratedRegex(@"\x1b(\[[0-9:;]*[@A-MPSTXZ`abdefghlmrsu]|\[\?[0-9:;]*[hlJK]|[78DEHM=>cNO]|[()*+#][0-~])", RegexOptions.ExplicitCapture)]
    private static partial Regex Orders();

    [GeneratedRegex(@"[\x00-\x06\x10-\x1f\x7f-\x9f]")]
    private static partial Regex Harmful();
}
