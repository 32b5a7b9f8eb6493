using System.Runtime.InteropServices;
using System.Runtime.Versioning;

namespace LabPortal.Cli.Shell;

/// <summary>
/// The same on Windows, where a console speaks as terminals do since Windows 10 (1511): https://learn.microsoft.com/windows/console/setconsolemode.
/// A console has a mode for what is typed, one for what is shown, and a code page for each.
/// </summary>
internal static partial class WindowsConsole
{
    // Of what is typed: Ctrl-C is a key, nothing waits for the end of a line or is echoed, the mouse and its selecting stay out of it.
    private const uint ProcessedInput = 0x0001;
    private const uint LineInput = 0x0002;
    private const uint EchoInput = 0x0004;
    private const uint WindowInput = 0x0008;
    private const uint MouseInput = 0x0010;
    private const uint VirtualTerminalInput = 0x0200;

    // Of what is shown: control sequences are obeyed, and a line feed is no carriage return.
    private const uint ProcessedOutput = 0x0001;
    private const uint VirtualTerminalProcessing = 0x0004;
    private const uint DisableNewlineAutoReturn = 0x0008;

    private const uint Utf8 = 65001;
    private const int StandardInput = -10;
    private const int StandardOutput = -11;

    public static uint Typed(uint before) => (before & ~(ProcessedInput | LineInput | EchoInput | WindowInput | MouseInput)) | VirtualTerminalInput;

    public static uint Shown(uint before) => before | ProcessedOutput | VirtualTerminalProcessing | DisableNewlineAutoReturn;

    /// <summary>Gives what puts everything back.</summary>
    [SupportedOSPlatform("windows")]
    public static Action HandThrough()
    {
        var (input, output) = (GetStdHandle(StandardInput), GetStdHandle(StandardOutput));
        if (!GetConsoleMode(input, out var typed) || !GetConsoleMode(output, out var shown)) throw RawTerminal.NoTerminal();
        var (typedIn, shownIn) = (GetConsoleCP(), GetConsoleOutputCP());
        void PutBack()
        {
            _ = SetConsoleMode(input, typed);
            _ = SetConsoleMode(output, shown);
            _ = SetConsoleCP(typedIn);
            _ = SetConsoleOutputCP(shownIn);
            _ = FlushConsoleInputBuffer(input);
        }

        if (SetConsoleMode(output, Shown(shown)) && SetConsoleMode(input, Typed(typed)) && SetConsoleCP(Utf8) && SetConsoleOutputCP(Utf8)) return PutBack;
        var why = Marshal.GetLastPInvokeErrorMessage();
        PutBack();
        throw new CommandFailed(Exit.Invalid, $"This console cannot be handed through ({why}); it needs Windows 10 or later, and the portal's page has one for the browser.");
    }

    [LibraryImport("kernel32", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    private static partial nint GetStdHandle(int which);

    [LibraryImport("kernel32", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static partial bool GetConsoleMode(nint handle, out uint mode);

    [LibraryImport("kernel32", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static partial bool SetConsoleMode(nint handle, uint mode);

    [LibraryImport("kernel32")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    private static partial uint GetConsoleCP();

    [LibraryImport("kernel32")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    private static partial uint GetConsoleOutputCP();

    [LibraryImport("kernel32", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static partial bool SetConsoleCP(uint page);

    [LibraryImport("kernel32", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static partial bool SetConsoleOutputCP(uint page);

    [LibraryImport("kernel32")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static partial bool FlushConsoleInputBuffer(nint handle);
}
