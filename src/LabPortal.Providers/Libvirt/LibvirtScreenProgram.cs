using System.Diagnostics;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.RegularExpressions;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

/// <summary>
/// This assembly as the program behind a <see cref="LibvirtLine"/> to a screen. libvirt only says the way, and its connection is closed before the
/// first byte goes: a socket that it passes on where it is on this machine, or over the host's own SSH.
/// </summary>
internal static partial class LibvirtScreenProgram
{
    public const string Word = "screen";

    private const int Kill = 9;

    public static int Run()
    {
        var request = JsonSerializer.Deserialize(LibvirtLineProgram.ReadLine(), LibvirtJson.Default.LineRequest)!;
        Action? serve = null;
        LibvirtReply reply;
        try
        {
            serve = Open(request);
            reply = new LibvirtReply(Result: JsonSerializer.SerializeToElement(true, LibvirtJson.Default.Boolean));
        }
        catch (ProviderFault fault)
        {
            reply = new LibvirtReply(Fault: fault.Kind, Message: fault.Message);
        }
        catch (DllNotFoundException)
        {
            reply = new LibvirtReply(Fault: FaultKind.Broken, Message: "libvirt's library is not on the portal's machine: install libvirt0 (libvirt-libs) there.");
        }

        LibvirtLineProgram.Print(JsonSerializer.SerializeToUtf8Bytes(reply, LibvirtJson.Default.LibvirtReply));
        LibvirtLineProgram.Print("\n"u8);
        serve?.Invoke();
        // With the ssh that this or the library may have started.
        return kill(0, Kill);
    }

    private static Action Open(LineRequest request)
    {
        using var connection = new LibvirtConnection(TimeProvider.System).Open(request.Host);
        var wire = new LibvirtWire(connection, request.Host, _ => { });
        using var domain = wire.FindDomain(request.Open.Name)
            ?? throw new ProviderFault(FaultKind.Rejected, $"The machine {request.Open.Name} is not there any more.");
        if (LibvirtUri.IsLocal(request.Host.Uri)) return wire.OpenScreen(domain) is { } socket ? () => Pass(socket) : throw DoesNotRun(request);
        var path = wire.ReadScreenSocket(domain) ?? throw DoesNotRun(request);
        // A word of the host's shell: nothing else may stand in it.
        if (!Plain().IsMatch(path)) throw new ProviderFault(FaultKind.Broken, $"The screen of {request.Open.Name} is at a place with letters that a shell would read.");
        var ssh = LibvirtUri.Ssh(request.Host.Uri, $"nc -U {path}")
            ?? throw new ProviderFault(FaultKind.Rejected, $"Host \"{request.Host.Name}\" is reached by a way that shows no screens.");
        return () =>
        {
            // Standard input and output are its own from here on; it ends when they do.
            using var process = Process.Start(new ProcessStartInfo(ssh[0], ssh.Skip(1)) { UseShellExecute = false })!;
            process.WaitForExit();
        };
    }

    private static ProviderFault DoesNotRun(LineRequest request) => new(FaultKind.Rejected, $"The machine {request.Open.Name} does not run.");

    /// <summary>Both ways, until either end is gone.</summary>
    private static void Pass(int socket)
    {
        using var screen = new NetworkStream(new Socket(new SafeSocketHandle(socket, ownsHandle: true)), ownsSocket: true);
        using var typed = Console.OpenStandardInput();
        using var shown = Console.OpenStandardOutput();
        Task[] ways = [Task.Run(() => typed.CopyTo(screen, 4096)), Task.Run(() => screen.CopyTo(shown, 64 * 1024))];
        // A fault is an end as any other: the process goes with it.
        _ = Task.WaitAny(ways);
    }

    [GeneratedRegex(@"^/[A-Za-z0-9/._-]+\z", RegexOptions.CultureInvariant)]
    private static partial Regex Plain();

    [LibraryImport("libc")]
    private static partial int kill(int process, int signal);
}
