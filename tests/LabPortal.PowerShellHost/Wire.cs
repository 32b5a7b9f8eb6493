using System.Diagnostics;
using System.Globalization;

namespace LabPortal.PowerShellHost;

/// <summary>
/// How the line to this PowerShell is harmed, as <c>LABPORTAL_WIRE</c> says: <c>well</c>, <c>silent</c>, <c>full</c>, <c>denied</c>, or <c>cut:N:before|after:FILE</c>,
/// where FILE counts the calls of the module over all processes of this line.
/// </summary>
public sealed class Wire
{
    private readonly string[] _words = (Environment.GetEnvironmentVariable("LABPORTAL_WIRE") ?? "well").Split(':');

    public static Wire Current { get; } = new();

    public bool IsSilent => _words[0] == "silent";

    public bool IsFull => _words[0] == "full";

    public bool IsDenied => _words[0] == "denied";

    public T Pass<T>(Func<T> call)
    {
        var isCut = _words[0] == "cut" && Count(_words[3]) == int.Parse(_words[1], CultureInfo.InvariantCulture);
        if (isCut && _words[2] == "before") Die();
        var answer = call();
        if (isCut) Die();
        return answer;
    }

    /// <summary>Nothing is tidied, and nothing more is said.</summary>
    private static void Die()
    {
        Process.GetCurrentProcess().Kill();
        Thread.Sleep(Timeout.Infinite);
    }

    private static int Count(string file)
    {
        using var held = Locks.Open(file);
        var count = held.Length + 1;
        held.SetLength(count);
        return (int)count;
    }
}

/// <summary>A file that one process at a time has open.</summary>
internal static class Locks
{
    public static FileStream Open(string file)
    {
        while (true)
        {
            try
            {
                return new FileStream(file, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException) when (File.Exists(file))
            {
                Thread.Sleep(2);
            }
        }
    }
}
