using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

/// <summary>
/// This assembly as the program behind a <see cref="LibvirtLine"/>: one connection, one stream, and libvirt's event loop on the only thread
/// there is, which looks at standard input too. So nothing of the library is ever called from two threads (<see cref="LibvirtChild"/> says
/// why that matters), and nothing is read that was not passed on: a guest, or whoever types, waits.
/// </summary>
internal static unsafe partial class LibvirtLineProgram
{
    public const string Word = "line";

    // libvirt-event.h and libvirt-stream.h count their events alike.
    private const int Readable = 1;
    private const int Writable = 2;
    private const int WouldBlock = -2;
    private const uint NonBlocking = 1;
    private const uint Force = 1;
    private const int Kill = 9;
    private const int Portion = 4096;

    private static readonly byte[] s_typed = new byte[Portion];
    // Kept here: the thread that cleans up must not be a second one that calls the library.
    private static ConnectHandle? s_connection;
    private static StreamHandle s_stream = null!;
    private static int s_input;
    private static int s_from;
    private static int s_to;
    private static bool s_over;

    public static int Run()
    {
        var request = JsonSerializer.Deserialize(ReadLine(), LibvirtJson.Default.LineRequest)!;
        Print(JsonSerializer.SerializeToUtf8Bytes(Open(request), LibvirtJson.Default.LibvirtReply));
        Print("\n"u8);
        while (!s_over && Native.virEventRunDefaultImpl() == 0) { }
        // With the ssh that the library may have started.
        return kill(0, Kill);
    }

    private static LibvirtReply Open(LineRequest request)
    {
        try
        {
            if (Native.virEventRegisterDefaultImpl() < 0) throw new InvalidOperationException("libvirt's event loop could not be set up.");
            var connection = s_connection = new LibvirtConnection(TimeProvider.System).Open(request.Host);
            var wire = new LibvirtWire(connection, request.Host, _ => { });
            using var domain = wire.FindDomain(request.Open.Name)
                ?? throw new ProviderFault(FaultKind.Rejected, $"The machine {request.Open.Name} is not there any more.");
            s_stream = Native.virStreamNew(connection, NonBlocking);
            if (s_stream.IsInvalid) throw wire.Fault("open a stream");
            if (Native.virDomainOpenConsole(domain, 0, s_stream, request.Open.TakeOver ? Force : 0) < 0)
            {
                // One code stands for much; libvirt itself tells this case apart by its sentence only (virchrdev.c).
                var code = (LibvirtError)Native.virGetLastErrorCode();
                if (code == LibvirtError.OperationInvalid) throw new ProviderFault(FaultKind.Rejected, $"The machine {request.Open.Name} does not run.");
                if (code == LibvirtError.OperationFailed && Native.Text(Native.virGetLastErrorMessage()).Contains("Active console session", StringComparison.Ordinal))
                    return new LibvirtReply(Result: JsonSerializer.SerializeToElement(false, LibvirtJson.Default.Boolean));
                throw wire.Fault("open the machine's console");
            }

            if (Native.virStreamEventAddCallback(s_stream, Readable, &OnStream, 0, 0) < 0) throw wire.Fault("watch the machine's console");
            s_input = Native.virEventAddHandle(0, Readable, &OnInput, 0, 0);
            return s_input < 0
                ? throw new InvalidOperationException("libvirt's event loop takes no input.")
                : new LibvirtReply(Result: JsonSerializer.SerializeToElement(true, LibvirtJson.Default.Boolean));
        }
        catch (ProviderFault fault)
        {
            s_over = true;
            return new LibvirtReply(Fault: fault.Kind, Message: fault.Message);
        }
        catch (DllNotFoundException)
        {
            s_over = true;
            return new LibvirtReply(Fault: FaultKind.Broken, Message: "libvirt's library is not on the portal's machine: install libvirt0 (libvirt-libs) there.");
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnInput(int watch, int descriptor, int events, nint opaque)
    {
        fixed (byte* typed = s_typed)
        {
            // Nothing, or an error: whoever types has left.
            s_to = (int)read(0, typed, Portion);
            s_from = 0;
            if (s_to <= 0) s_over = true;
            else Send();
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnStream(nint stream, int events, nint opaque)
    {
        if ((events & Writable) != 0) Send();
        if ((events & Readable) != 0) Receive();
        // Hung up, or an error.
        if ((events & ~(Readable | Writable)) != 0) s_over = true;
    }

    private static void Receive()
    {
        var printed = stackalloc byte[Portion];
        while (!s_over)
        {
            var count = Native.virStreamRecv(s_stream, printed, Portion);
            if (count == WouldBlock) return;
            if (count <= 0) s_over = true;
            else Print(new ReadOnlySpan<byte>(printed, count));
        }
    }

    /// <summary>What the machine does not take now is offered again when it may; until then nothing more is read.</summary>
    private static void Send()
    {
        fixed (byte* typed = s_typed)
        {
            while (s_from < s_to && !s_over)
            {
                var count = Native.virStreamSend(s_stream, typed + s_from, (nuint)(s_to - s_from));
                if (count == WouldBlock) break;
                if (count < 0) s_over = true;
                else s_from += count;
            }
        }

        var waits = s_from < s_to;
        Native.virEventUpdateHandle(s_input, waits ? 0 : Readable);
        _ = Native.virStreamEventUpdateCallback(s_stream, waits ? Readable | Writable : Readable);
    }

    public static void Print(ReadOnlySpan<byte> bytes)
    {
        fixed (byte* printed = bytes)
        {
            for (var from = 0; from < bytes.Length;)
            {
                var count = (int)write(1, printed + from, (nuint)(bytes.Length - from));
                if (count > 0)
                {
                    from += count;
                    continue;
                }

                // Nobody reads any more.
                s_over = true;
                return;
            }
        }
    }

    public static string ReadLine()
    {
        var line = new List<byte>();
        byte one;
        while (read(0, &one, 1) == 1 && one != (byte)'\n') line.Add(one);
        return Encoding.UTF8.GetString([.. line]);
    }

    [LibraryImport("libc")]
    private static partial nint read(int descriptor, byte* buffer, nuint count);

    [LibraryImport("libc")]
    private static partial nint write(int descriptor, byte* buffer, nuint count);

    [LibraryImport("libc")]
    private static partial int kill(int process, int signal);
}
