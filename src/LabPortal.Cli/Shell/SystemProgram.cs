using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace LabPortal.Cli.Shell;

/// <summary>A program of the system, on this process's own terminal: what is typed, printed and interrupted is its own.</summary>
internal static partial class SystemProgram
{
    private const int Terminate = 15;

    /// <summary>Its exit code. Interrupted, it is told to end too: it puts the terminal back itself.</summary>
    public static async Task<int> RunAsync(string file, IEnumerable<string> arguments, CancellationToken cancellation, IReadOnlyDictionary<string, string>? more = null)
    {
        var start = new ProcessStartInfo(file, arguments) { UseShellExecute = false };
        foreach (var (name, value) in more ?? new Dictionary<string, string>()) start.Environment[name] = value;
        using var process = Begin(start);
        await using (cancellation.Register(() => End(process))) await process.WaitForExitAsync(CancellationToken.None);
        cancellation.ThrowIfCancellationRequested();
        return process.ExitCode;
    }

    private static Process Begin(ProcessStartInfo start)
    {
        try
        {
            return Process.Start(start)!;
        }
        catch (Win32Exception fault)
        {
            throw new CommandFailed(Exit.Invalid, Safe.Text($"{start.FileName} cannot be started: {fault.Message}"), fault);
        }
    }

    private static void End(Process process)
    {
        if (process.HasExited) return;
        if (OperatingSystem.IsWindows()) process.Kill(entireProcessTree: true);
        else _ = kill(process.Id, Terminate);
    }

    [LibraryImport("libc")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int kill(int process, int signal);
}
