using LabPortal.Operations.Consoles;
using Xunit;

namespace LabPortal.Operations.Tests.Consoles;

public sealed class ScreenGateTests
{
    private static readonly byte[] s_picture = [3, 1, 0, 0, 0, 0, 0, 9, 0, 9];
    private static readonly byte[] s_down = [4, 1, 0, 0, 0, 0, 0, 0x61];
    private static readonly byte[] s_up = [4, 0, 0, 0, 0, 0, 0, 0x61];
    private static readonly byte[] s_click = [5, 1, 0, 1, 0, 1];
    private static readonly byte[] s_release = [5, 0, 0, 1, 0, 1];

    private bool _types = true;
    private int _deeds;

    [Fact]
    public void However_it_is_cut_the_same_goes_on()
    {
        byte[] all = [.. Hello, 0, .. new byte[19], 2, 0, 0, 3, .. Encoding(0), .. Encoding(-308), .. Encoding(-223), .. s_picture, 6, 0, 0, 0, 0, 0, 0, 5, .. "paste"u8, .. s_down, .. s_click];
        byte[] passed = [.. Hello[..^1], 1, 0, .. new byte[19], 2, 0, 0, 2, .. Encoding(0), .. Encoding(-223), .. s_picture, .. s_down, .. s_click];
        for (var size = 1; size <= all.Length; size++)
        {
            var gate = Gate();
            Assert.Equal(passed, all.Chunk(size).SelectMany(piece => gate.Pass(piece)));
        }
    }

    [Fact]
    public void Who_does_not_type_asks_for_pictures_only_and_lets_go_of_what_they_held()
    {
        var gate = Gate();
        gate.Pass(Hello);
        byte[] extended = [255, 0, 0, 1, 0, 0, 0, 0x62, 0, 0, 0, 48];
        Assert.Equal([.. s_down, .. s_click], gate.Pass([.. s_down, .. s_click]));
        _types = false;
        Assert.Equal([.. s_picture, .. s_up, .. s_release], gate.Pass([.. s_down[..4], 0, 0, 0, 0x62, .. extended, .. s_picture, .. s_click, .. s_up, .. s_up, .. s_release, .. s_release]));
        // Somebody is there all the same.
        Assert.Equal(9, _deeds);
        gate.Pass(s_picture);
        Assert.Equal(9, _deeds);
    }

    [Theory]
    [InlineData(new byte[] { 250, 0, 1, 2 })]
    [InlineData(new byte[] { 251, 0, 0, 1, 0, 1, 0, 1 })]
    [InlineData(new byte[] { 255, 1, 0, 2 })]
    [InlineData(new byte[] { 2, 0, 255, 255 })]
    [InlineData(new byte[] { 248, 0, 0, 0, 0, 0, 0, 0, 65 })]
    public void Power_size_sound_and_what_has_no_bound_end_it(byte[] message)
    {
        var gate = Gate();
        gate.Pass(Hello);
        Assert.Throws<InvalidDataException>(() => gate.Pass(message));
    }

    [Theory]
    [InlineData("RFB 003.003\n")]
    [InlineData("GET / HTTP/1.1\r\n")]
    public void Another_version_ends_it(string version) => Assert.Throws<InvalidDataException>(() => Gate().Pass(System.Text.Encoding.ASCII.GetBytes(version)));

    /// <summary>Version, no password, and the wish to be alone.</summary>
    private static byte[] Hello => [.. "RFB 003.008\n"u8, 1, 0];

    private static byte[] Encoding(int number) => [(byte)(number >> 24), (byte)(number >> 16), (byte)(number >> 8), (byte)number];

    private ScreenGate Gate() => new(() => _types, () => _deeds++);
}
