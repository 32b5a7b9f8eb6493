using System.Buffers.Binary;
using System.Net.Sockets;

namespace LabPortal.Providers.Tests.Libvirt;

/// <summary>
/// A Unix socket between libvirt's client and its daemon that understands just enough of the protocol (frames of a 4-byte length;
/// program, version, procedure, type, serial, status: libvirt, docs/kbase/internals/rpc.rst) to break at a chosen call.
/// </summary>
internal sealed class CutWire : IAsyncDisposable
{
    private const int TypeCall = 0;
    private const int TypeStream = 3;
    private const uint RemoteProgram = 0x20008086;

    /// <summary>
    /// The procedures that change something (libvirt, src/remote/remote_protocol.x): start and define a
    /// domain, take its power, undefine it; refresh a pool; make, delete and fill a volume; take a
    /// snapshot, revert to it, delete it; define, start and remove a network; define and remove a filter.
    /// </summary>
    private static readonly HashSet<uint> Changes = [10, 350, 234, 231, 83, 93, 94, 208, 185, 192, 193, 39, 41, 42, 48, 49, 180, 181];

    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly CancellationTokenSource _end = new();
    private readonly string _peer;
    private readonly WireFault _fault;
    private readonly bool _cutsReads;
    private readonly Task _served;
    private int _calls;

    public CutWire(string path, string peer, WireFault fault, bool cutsReads)
    {
        _cutsReads = cutsReads;
        File.Delete(path);
        _peer = peer;
        _fault = fault;
        _listener.Bind(new UnixDomainSocketEndPoint(path));
        _listener.Listen();
        _served = ServeAsync();
    }

    public int Calls => _calls;

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        _listener.Dispose();
        await _served;
        _end.Dispose();
    }

    private async Task ServeAsync()
    {
        var connections = new List<Task>();
        while (!_end.IsCancellationRequested)
        {
            try
            {
                connections.Add(ServeAsync(await _listener.AcceptAsync(_end.Token)));
            }
            catch (Exception gone) when (gone is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                break;
            }
        }

        await Task.WhenAll(connections);
    }

    private async Task ServeAsync(Socket client)
    {
        using (client)
        using (var daemon = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        using (var cut = CancellationTokenSource.CreateLinkedTokenSource(_end.Token))
        {
            try
            {
                if (_fault is WireFault.Silent) await Task.Delay(Timeout.Infinite, cut.Token);
                await daemon.ConnectAsync(new UnixDomainSocketEndPoint(_peer), cut.Token);
                var awaited = new TaskCompletionSource<uint>();
                await Task.WhenAny(ForwardCallsAsync(client, daemon, awaited, cut.Token), ForwardRepliesAsync(daemon, client, awaited.Task, cut.Token));
            }
            catch (Exception gone) when (gone is OperationCanceledException or SocketException)
            {
                // Either end went away: so does the other.
            }

            await cut.CancelAsync();
        }
    }

    /// <summary>Until the client goes, or the call to cut at has come (and, where the cut is after its effect, been answered).</summary>
    private async Task ForwardCallsAsync(Socket client, Socket daemon, TaskCompletionSource<uint> awaited, CancellationToken cancellation)
    {
        while (await ReadFrameAsync(client, cancellation) is { } frame)
        {
            var (program, type, serial, status) = (Field(frame, 4), Field(frame, 16), Field(frame, 20), Field(frame, 24));
            var strikes = program == RemoteProgram && type is TypeCall or TypeStream && (_cutsReads || type == TypeStream || Changes.Contains(Field(frame, 12)))
                && _fault is WireFault.CutOff cut && Interlocked.Increment(ref _calls) == cut.Call;
            if (strikes && _fault is WireFault.CutOff { AfterEffect: false }) return;
            if (strikes) awaited.SetResult(serial);
            await SendAsync(daemon, frame, cancellation);
            if (!strikes) continue;
            // A piece of a stream (status "continue") is not answered: that it arrives is its effect.
            await Task.Delay(type == TypeStream && status == 2 ? TimeSpan.FromMilliseconds(50) : TimeSpan.FromSeconds(30), cancellation);
            return;
        }
    }

    private static async Task ForwardRepliesAsync(Socket daemon, Socket client, Task<uint> awaited, CancellationToken cancellation)
    {
        while (await ReadFrameAsync(daemon, cancellation) is { } frame)
        {
            if (awaited.IsCompleted && Field(frame, 20) == await awaited && Field(frame, 16) != TypeCall) return;
            await SendAsync(client, frame, cancellation);
        }
    }

    private static uint Field(byte[] frame, int at) => BinaryPrimitives.ReadUInt32BigEndian(frame.AsSpan(at));

    private static async Task SendAsync(Socket socket, byte[] frame, CancellationToken cancellation)
    {
        for (var sent = 0; sent < frame.Length;) sent += await socket.SendAsync(frame.AsMemory(sent), cancellation);
    }

    private static async Task<byte[]?> ReadFrameAsync(Socket socket, CancellationToken cancellation)
    {
        var head = new byte[4];
        if (!await FillAsync(socket, head, cancellation)) return null;
        var frame = new byte[BinaryPrimitives.ReadUInt32BigEndian(head)];
        head.CopyTo(frame, 0);
        return await FillAsync(socket, frame.AsMemory(4), cancellation) ? frame : null;
    }

    private static async Task<bool> FillAsync(Socket socket, Memory<byte> buffer, CancellationToken cancellation)
    {
        while (buffer.Length > 0)
        {
            var read = await socket.ReceiveAsync(buffer, cancellation);
            if (read == 0) return false;
            buffer = buffer[read..];
        }

        return true;
    }
}
