using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace LabPortal.Cli.Shell;

/// <summary>
/// This process's terminal, handed through: each key is read as it is typed, and nothing is echoed. Afterwards it is as it was, and what was
/// typed and not read (a terminal's late answers too) is forgotten.
/// </summary>
internal sealed partial class RawTerminal : IDisposable
{
    private const int Input = 0;
    private const int Now = 0;
    private const int AndForgetInput = 2;

    /// <summary>termios of every libc fits; what is in it is nobody's business here.</summary>
    private const int Size = 256;
    private readonly byte[] _before;

    private RawTerminal(byte[] before) => _before = before;

    /// <summary>The standard input itself: the framework's own stream reads a terminal by whole lines, and echoes.</summary>
    public Stream Keys { get; } = new FileStream(new SafeFileHandle(Input, ownsHandle: false), FileAccess.Read, bufferSize: 0);

    public static RawTerminal Begin()
    {
        if (OperatingSystem.IsWindows()) throw new CommandFailed(Exit.Invalid, "A console in the terminal needs a Unix terminal; the portal's page has one for the browser.");
        var before = new byte[Size];
        if (Console.IsInputRedirected || Console.IsOutputRedirected || tcgetattr(Input, before) != 0) throw new CommandFailed(Exit.Invalid, "A console needs a terminal.");
        var raw = before.ToArray();
        cfmakeraw(raw);
        if (tcsetattr(Input, Now, raw) != 0) throw new CommandFailed(Exit.Unexpected, $"The terminal cannot be handed through: {Marshal.GetLastPInvokeErrorMessage()}");
        return new RawTerminal(before);
    }

    public void Dispose()
    {
        _ = tcsetattr(Input, AndForgetInput, _before);
        Keys.Dispose();
    }

    [LibraryImport("libc", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int tcgetattr(int file, byte[] termios);

    [LibraryImport("libc", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int tcsetattr(int file, int when, byte[] termios);

    [LibraryImport("libc")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial void cfmakeraw(byte[] termios);
}
