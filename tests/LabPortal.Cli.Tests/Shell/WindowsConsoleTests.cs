using LabPortal.Cli.Shell;
using Xunit;

namespace LabPortal.Cli.Tests.Shell;

/// <summary>The decisions alone: what is asked of a Windows console was never tried on one.</summary>
public sealed class WindowsConsoleTests
{
    // As Windows documents them: a new console has 0x1f7 (processed, line, echo, mouse, insert, quick edit, extended, auto position) and 0x3.
    [Theory]
    [InlineData(0x1f7u, 0x3e0u)]
    [InlineData(0x000u, 0x200u)]
    [InlineData(0x3e0u, 0x3e0u)]
    public void Keys_come_as_typed_without_echo_lines_or_mouse_and_what_else_was_set_stays(uint before, uint raw) => Assert.Equal(raw, WindowsConsole.Typed(before));

    [Theory]
    [InlineData(0x3u, 0xfu)]
    [InlineData(0x0u, 0xdu)]
    [InlineData(0x1fu, 0x1fu)]
    public void Control_sequences_are_obeyed_and_a_line_feed_is_only_that(uint before, uint raw) => Assert.Equal(raw, WindowsConsole.Shown(before));
}
