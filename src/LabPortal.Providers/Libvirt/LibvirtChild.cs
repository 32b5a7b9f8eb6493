using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

/// <summary>
/// A process of ours (<see cref="LibvirtProgram"/>) in which libvirt's C library runs, as its parent sees it: one call at a time, asked
/// by a line on its standard input and answered by lines on its standard output. Standard error stays the parent's: what the library
/// says before it dies is seen there.
/// <para>Why a process: before 10.3 the library uses stack memory after its end as soon as two threads meet on one connection, be the
/// second only its own keep-alive (CVE-2024-4418), and a call that hangs can be ended only with its process.</para>
/// </summary>
internal sealed partial class LibvirtChild : IDisposable
{
    private const int Kill = 9;

    // fork(2): too many processes, or no memory, at this moment.
    private const int TryAgain = 11;
    private const int NoMemory = 12;

    /// <summary>
    /// What ssh, TLS and the loader need. The portal's own variables may hold secrets, and are nothing to a child; without a language
    /// everybody speaks the English that <see cref="LibvirtFaults"/> reads.
    /// </summary>
    private static readonly string[] Inherited =
        ["PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "SSH_AUTH_SOCK", "KRB5CCNAME", "LD_LIBRARY_PATH"];

    private readonly Process _process;
    private readonly string _host;
    private bool _hasAnswered;

    private LibvirtChild(Process process, string host)
    {
        _process = process;
        _host = host;
    }

    public int Id => _process.Id;

    public bool HasEnded => _process.HasExited;

    /// <summary>Whether it may be asked again: false after a call that it did not answer.</summary>
    public bool IsUsable { get; private set; } = true;

    public long LastUse { get; set; }

    public static LibvirtChild Start(string host) => new(StartProcess(host), host);

    /// <summary>This assembly as a program; what it is told first decides which.</summary>
    public static Process StartProcess(string host, params string[] arguments)
    {
        // The runtime that we run on, wherever it is installed and whatever program runs on it.
        var dotnet = Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "../../../dotnet"));
        var start = new ProcessStartInfo(dotnet, [typeof(LibvirtChild).Assembly.Location, .. arguments]) { RedirectStandardInput = true, RedirectStandardOutput = true, UseShellExecute = false };
        foreach (var name in start.Environment.Keys.Except(Inherited).ToList()) start.Environment.Remove(name);
        // A child that is killed would leave its diagnostics socket behind.
        start.Environment["DOTNET_EnableDiagnostics"] = "0";
        try
        {
            return Process.Start(start)!;
        }
        catch (Win32Exception cause)
        {
            throw new ProviderFault(cause.NativeErrorCode is TryAgain or NoMemory ? FaultKind.Transient : FaultKind.Broken, $"No process could be started to talk to host \"{host}\": {cause.Message}.", cause);
        }
    }

    /// <summary>Cancelling ends the child, and with it the call, whatever it does.</summary>
    public async Task<T> AskAsync<T>(LibvirtHostSettings host, LibvirtCall<T> call, Action<long> report, CancellationToken cancellation)
    {
        IsUsable = false;
        await using var kill = cancellation.UnsafeRegister(static child => ((LibvirtChild)child!).End(), this);
        try
        {
            var request = JsonSerializer.Serialize(LibvirtRequest.Of(host, call), LibvirtJson.Default.LibvirtRequest);
            await _process.StandardInput.WriteLineAsync(request.AsMemory(), cancellation);
            await _process.StandardInput.FlushAsync(cancellation);
            while (await _process.StandardOutput.ReadLineAsync(cancellation) is { } line)
            {
                var reply = JsonSerializer.Deserialize(line, LibvirtJson.Default.LibvirtReply)!;
                _hasAnswered = true;
                if (reply.Progress is { } bytes)
                {
                    report(bytes);
                    continue;
                }

                IsUsable = true;
                if (reply.Fault is { } kind) throw new ProviderFault(kind, reply.Message!);
                return reply.Result is { } result ? result.Deserialize(LibvirtJson.Of<T>())! : default!;
            }
        }
        catch (IOException)
        {
            // It ended before it had read the whole call.
        }
        catch (JsonException cause)
        {
            throw new ProviderFault(FaultKind.Broken, $"The process that talks to host \"{_host}\" said what makes no sense; it was asked to {call.Doing}.", cause);
        }

        cancellation.ThrowIfCancellationRequested();
        throw await ExplainEndAsync(call.Doing, cancellation);
    }

    /// <summary>
    /// What the end of a child means. .NET's host ends with 129 to 160 too, where it cannot start a program (a runtime that is missing, a
    /// file that was replaced: nothing that passes); so until a first answer only what a signal commonly leaves counts as one.
    /// </summary>
    internal static (FaultKind Kind, string How) ReadEnd(int exitCode, bool hasAnswered)
    {
        var killed = hasAnswered ? exitCode > 128 : exitCode is 134 or 135 or 137 or 139 or 143;
        return (killed || hasAnswered ? FaultKind.Transient : FaultKind.Broken, killed ? $"signal {exitCode - 128}" : $"exit code {exitCode}");
    }

    public void Dispose()
    {
        End();
        _process.Dispose();
    }

    private async Task<ProviderFault> ExplainEndAsync(string doing, CancellationToken cancellation)
    {
        // It has closed its output, and is dead or dies now.
        await _process.WaitForExitAsync(cancellation);
        var (kind, how) = ReadEnd(_process.ExitCode, _hasAnswered);
        return new ProviderFault(kind, $"The process that talks to host \"{_host}\" ended ({how}); it was asked to {doing}.");
    }

    private void End() => End(_process);

    /// <summary>With its group, for the ssh that it may have started, which outlives a crash: so also where the child itself is dead.</summary>
    public static void End(Process process)
    {
        _ = kill(-process.Id, Kill);
        if (!process.HasExited) process.Kill();
    }

    [LibraryImport("libc")]
    private static partial int kill(int process, int signal);
}
