using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

/// <summary>
/// This assembly as a program: what a <see cref="LibvirtChild"/> runs. One thread makes the calls of the library, one after the other, on
/// one connection, without its event loop; another reads standard input, and ends everything as soon as whoever is at its other end is
/// gone, even by <c>kill -9</c>.
/// </summary>
internal static partial class LibvirtProgram
{
    private const int Kill = 9;

    private static int Main(string[] arguments)
    {
        // A group of its own, so that it ends with all that it started, and no Ctrl+C in the portal's terminal reaches it.
        _ = setsid();
        if (arguments is [LibvirtLineProgram.Word]) return LibvirtLineProgram.Run();
        if (arguments is [LibvirtScreenProgram.Word]) return LibvirtScreenProgram.Run();
        using var calls = new BlockingCollection<string>();
        new Thread(() => Serve(calls)) { IsBackground = true }.Start();
        using var input = new StreamReader(Console.OpenStandardInput(), Encoding.UTF8);
        while (input.ReadLine() is { } line) calls.Add(line);
        return kill(0, Kill);
    }

    private static void Serve(BlockingCollection<string> calls)
    {
        using var output = new StreamWriter(Console.OpenStandardOutput(), new UTF8Encoding(encoderShouldEmitUTF8Identifier: false)) { NewLine = "\n", AutoFlush = true };
        var connection = new LibvirtConnection(TimeProvider.System);
        foreach (var line in calls.GetConsumingEnumerable())
        {
            var request = JsonSerializer.Deserialize(line, LibvirtJson.Default.LibvirtRequest)!;
            Say(Answer(connection, request.Host, request.Read(), bytes => Say(new LibvirtReply(Progress: bytes))));
        }

        void Say(LibvirtReply reply) => output.WriteLine(JsonSerializer.Serialize(reply, LibvirtJson.Default.LibvirtReply));
    }

    private static LibvirtReply Answer(LibvirtConnection connection, LibvirtHostSettings host, LibvirtCall call, Action<long> report)
    {
        try
        {
            return new LibvirtReply(Result: call.Answer(new LibvirtWire(connection.Open(host), host, report)));
        }
        catch (ProviderFault fault)
        {
            return new LibvirtReply(Fault: fault.Kind, Message: fault.Message);
        }
        catch (DllNotFoundException)
        {
            return new LibvirtReply(Fault: FaultKind.Broken, Message: "libvirt's library is not on the portal's machine: install libvirt0 (libvirt-libs) there.");
        }
        catch (Exception unforeseen)
        {
            return new LibvirtReply(Fault: FaultKind.Broken, Message: $"Host \"{host.Name}\" could not {call.Doing}: {unforeseen.GetType().Name}: {unforeseen.Message}");
        }
    }

    [LibraryImport("libc")]
    private static partial int setsid();

    [LibraryImport("libc")]
    private static partial int kill(int process, int signal);
}

/// <summary>The one connection of a process, opened when it is needed and again when it is dead.</summary>
internal sealed class LibvirtConnection(TimeProvider time)
{
    /// <summary>Without an event loop nobody notices a daemon that goes: after so long a rest it is asked before it is trusted.</summary>
    private static readonly TimeSpan Trusted = TimeSpan.FromSeconds(1);

    private bool _initialised;
    private ConnectHandle? _open;
    private long _lastUse;

    public ConnectHandle Open(LibvirtHostSettings host)
    {
        var rested = time.GetElapsedTime(_lastUse);
        _lastUse = time.GetTimestamp();
        if (_open is { } open && Native.virConnectIsAlive(open) == 1 && (rested < Trusted || Native.virConnectGetLibVersion(open, out _) == 0)) return open;
        _open?.Dispose();
        _open = null;
        Initialise();
        var connection = Native.virConnectOpen(LibvirtUri.WithoutPrompts(host.Uri));
        return connection.IsInvalid ? throw LibvirtWire.LastFault($"be reached at {LibvirtUri.Shown(host.Uri)}", host.Name, alive: false) : _open = connection;
    }

    private unsafe void Initialise()
    {
        if (_initialised) return;
        if (Native.virInitialize() < 0) throw new InvalidOperationException("libvirt could not be initialised: " + Native.Text(Native.virGetLastErrorMessage()));
        Native.virSetErrorFunc(0, &Native.IgnoreError);
        _initialised = true;
    }
}
