using System.Diagnostics;
using System.Text;

namespace LabPortal.Testing;

/// <summary>A program that others wrote, run to its end. Its arguments go as they are: no shell.</summary>
public static class Tool
{
    /// <summary>What it printed; a failure tells all of it.</summary>
    public static async Task<string> RunAsync(CancellationToken cancellation, string file, params string[] arguments)
    {
        var (exit, output, error) = await TryAsync(cancellation, file, arguments);
        return exit == 0 ? output : throw new InvalidOperationException($"{file} {string.Join(' ', arguments)} ended with {exit}:\n{output}{error}");
    }

    public static Task<(int Exit, string Output, string Error)> TryAsync(CancellationToken cancellation, string file, params string[] arguments)
        => TypeAsync("", cancellation, file, arguments);

    /// <summary>The same, with this typed into it.</summary>
    public static async Task<(int Exit, string Output, string Error)> TypeAsync(string typed, CancellationToken cancellation, string file, params string[] arguments)
    {
        var start = new ProcessStartInfo(file, arguments)
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = Encoding.UTF8,
        };
        start.Environment["LC_ALL"] = "C.UTF-8";
        using var process = Process.Start(start)!;
        try
        {
            await process.StandardInput.WriteAsync(typed.AsMemory(), cancellation);
            process.StandardInput.Close();
            var (output, error) = (process.StandardOutput.ReadToEndAsync(cancellation), process.StandardError.ReadToEndAsync(cancellation));
            await process.WaitForExitAsync(cancellation);
            return (process.ExitCode, await output, await error);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw;
        }
    }
}
