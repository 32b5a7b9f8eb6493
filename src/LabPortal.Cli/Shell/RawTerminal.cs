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
    private readonly Action _putBack;

    private RawTerminal(Stream keys, Action putBack) => (Keys, _putBack) = (keys, putBack);

    public Stream Keys { get; }

    public static RawTerminal Begin()
    {
        if (Console.IsInputRedirected || Console.IsOutputRedirected) throw NoTerminal();
        // There the framework's own stream reads what the console gives, as it gives it.
        return OperatingSystem.IsWindows() ? new RawTerminal(Console.OpenStandardInput(), WindowsConsole.HandThrough()) : BeginUnix();
    }

    public static CommandFailed NoTerminal() => new(Exit.Invalid, "A console needs a terminal.");

    private static RawTerminal BeginUnix()
    {
        var before = new byte[Size];
        if (tcgetattr(Input, before) != 0) throw NoTerminal();
        var raw = before.ToArray();
        cfmakeraw(raw);
        if (tcsetattr(Input, Now, raw) != 0) throw new CommandFailed(Exit.Unexpected, $"The terminal cannot be handed through: {Marshal.GetLastPInvokeErrorMessage()}");
        // The standard input itself: the framework's own stream reads a terminal by whole lines, and echoes.
        return new RawTerminal(new FileStream(new SafeFileHandle(Input, ownsHandle: false), FileAccess.Read, bufferSize: 0), () => _ = tcsetattr(Input, AndForgetInput, before));
    }

    public void Dispose()
    {
        _putBack();
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
