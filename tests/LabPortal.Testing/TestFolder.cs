using System.Diagnostics;

namespace LabPortal.Testing;

/// <summary>
/// A folder of the test's own, gone afterwards. What a killed test run leaves, and the processes that name such a folder (a portal, PostgreSQL,
/// sshd, workers), is taken away by a shell that outlives it. The kernel's parent-death signal would not do: it follows the thread that started
/// a process, and threads of the pool end early.
/// </summary>
public sealed class TestFolder : IDisposable
{
    private static readonly string s_prefix = StartGuard();

    public TestFolder() => Path = Directory.CreateTempSubdirectory(s_prefix).FullName;

    public string Path { get; }

    public string this[string name] => System.IO.Path.Combine(Path, name);

    public void Dispose() => Directory.Delete(Path, recursive: true);

    private static string StartGuard()
    {
        var prefix = $"labportal-{Environment.ProcessId}-";
        var start = new ProcessStartInfo("setsid", ["--fork", "sh", "-c", """
            exec </dev/null >/dev/null 2>&1
            tail --pid="$1" -f /dev/null
            for process in /proc/[0-9]*; do
              [ "$process" = "/proc/$$" ] || ! cat "$process/cmdline" "$process/environ" | grep -qaF -- "$2" || kill -9 "${process#/proc/}"
            done
            rm -rf -- "$2"*
            """, "sh", Environment.ProcessId.ToString(System.Globalization.CultureInfo.InvariantCulture), System.IO.Path.Combine(System.IO.Path.GetTempPath(), prefix)])
        { UseShellExecute = false };
        using var guard = Process.Start(start)!;
        guard.WaitForExit();
        return prefix;
    }
}
