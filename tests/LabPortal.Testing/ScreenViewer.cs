using System.Buffers.Binary;
using System.Net.WebSockets;
using System.Text;

namespace LabPortal.Testing;

/// <summary>Somebody who looks at a screen: the client's side of RFB 3.8 (RFC 6143), raw pictures only; at a machine, or through the portal's socket.</summary>
public sealed class ScreenViewer : IAsyncDisposable
{
    private static readonly byte[] s_version = "RFB 003.008\n"u8.ToArray();

    private int _width;
    private int _height;

    private ScreenViewer(Stream line, int width, int height) => (Line, _width, _height) = (line, width, height);

    public Stream Line { get; }

    public WebSocket Socket => ((Messages)Line).Socket;

    public static Task<ScreenViewer> OpenAsync(WebSocket socket, CancellationToken cancellation) => OpenAsync(new Messages(socket), cancellation);

    public static async Task<ScreenViewer> OpenAsync(Stream line, CancellationToken cancellation)
    {
        Must((await ReadAsync(line, s_version.Length, cancellation)).SequenceEqual(s_version), "It speaks another version.");
        await line.WriteAsync(s_version, cancellation);
        var ways = await ReadAsync(line, (await ReadAsync(line, 1, cancellation))[0], cancellation);
        Must(ways.Contains((byte)1), "It wants a password.");
        await line.WriteAsync(new byte[] { 1 }, cancellation);
        Must((await ReadAsync(line, 4, cancellation)).All(one => one == 0), "It refuses.");
        // Alone, if it had its way: the portal sees to it that nobody is put out.
        await line.WriteAsync(new byte[] { (byte)(line is Messages ? 0 : 1) }, cancellation);
        var init = await ReadAsync(line, 24, cancellation);
        await ReadAsync(line, (int)BinaryPrimitives.ReadUInt32BigEndian(init.AsSpan(20)), cancellation);
        await line.WriteAsync(new byte[] { 0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 0, 8, 16, 0, 0, 0 }, cancellation);
        await line.WriteAsync(new byte[] { 2, 0, 0, 2, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x21 }, cancellation);
        await line.FlushAsync(cancellation);
        return new ScreenViewer(line, BinaryPrimitives.ReadUInt16BigEndian(init), BinaryPrimitives.ReadUInt16BigEndian(init.AsSpan(2)));
    }

    /// <summary>The whole picture as it is now, a number for each pixel.</summary>
    public async Task<uint[]> LookAsync(CancellationToken cancellation)
    {
        var picture = new uint[_width * _height];
        var request = new byte[10] { 3, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
        BinaryPrimitives.WriteUInt16BigEndian(request.AsSpan(6), (ushort)_width);
        BinaryPrimitives.WriteUInt16BigEndian(request.AsSpan(8), (ushort)_height);
        await Line.WriteAsync(request, cancellation);
        await Line.FlushAsync(cancellation);
        for (var seen = 0; seen < picture.Length;)
        {
            var head = await ReadAsync(Line, 4, cancellation);
            Must(head[0] == 0, "It says something else than a picture.");
            for (var left = BinaryPrimitives.ReadUInt16BigEndian(head.AsSpan(2)); left > 0; left--)
            {
                var place = await ReadAsync(Line, 12, cancellation);
                int[] at = [.. Enumerable.Range(0, 4).Select(i => (int)BinaryPrimitives.ReadUInt16BigEndian(place.AsSpan(2 * i)))];
                var (x, y, width, height) = (at[0], at[1], at[2], at[3]);
                if (BinaryPrimitives.ReadInt32BigEndian(place.AsSpan(8)) == -223)
                {
                    // The guest has another size now: what was asked for is asked for anew.
                    (_width, _height) = (width, height);
                    return await LookAsync(cancellation);
                }

                var pixels = await ReadAsync(Line, width * height * 4, cancellation);
                for (var i = 0; i < width * height; i++) picture[((y + (i / width)) * _width) + x + (i % width)] = BinaryPrimitives.ReadUInt32LittleEndian(pixels.AsSpan(i * 4)) & 0xffffff;
                seen += width * height;
            }
        }

        return picture;
    }

    /// <summary>A key, down and up.</summary>
    public async Task TypeAsync(char letter, CancellationToken cancellation)
    {
        await Line.WriteAsync(new byte[] { 4, 1, 0, 0, 0, 0, 0, (byte)letter, 4, 0, 0, 0, 0, 0, 0, (byte)letter }, cancellation);
        await Line.FlushAsync(cancellation);
    }

    public async Task PasteAsync(string text, CancellationToken cancellation)
    {
        var head = new byte[] { 6, 0, 0, 0, 0, 0, 0, 0 };
        BinaryPrimitives.WriteInt32BigEndian(head.AsSpan(4), text.Length);
        await Line.WriteAsync((byte[])[.. head, .. Encoding.Latin1.GetBytes(text)], cancellation);
    }

    /// <summary>What the portal says beside the picture, until it says this. Pictures that come meanwhile are kept.</summary>
    public Task UntilToldAsync(string word, CancellationToken cancellation) => ((Messages)Line).UntilToldAsync(word, cancellation);

    public ValueTask DisposeAsync() => Line.DisposeAsync();

    private static async Task<byte[]> ReadAsync(Stream line, int count, CancellationToken cancellation)
    {
        var bytes = new byte[count];
        await line.ReadExactlyAsync(bytes, cancellation);
        return bytes;
    }

    private static void Must(bool holds, string otherwise)
    {
        if (!holds) throw new InvalidDataException(otherwise);
    }

    /// <summary>The binary messages of a socket as a stream, and its text messages beside.</summary>
    private sealed class Messages(WebSocket socket) : Stream
    {
        private readonly byte[] _portion = new byte[64 * 1024];
        private readonly MemoryStream _told = new();
        private readonly Queue<byte> _waiting = new();

        public WebSocket Socket => socket;

        public override bool CanRead => true;

        public override bool CanWrite => true;

        public override bool CanSeek => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public async Task UntilToldAsync(string word, CancellationToken cancellation)
        {
            while (!Encoding.UTF8.GetString(_told.ToArray()).Contains(word, StringComparison.Ordinal)) await ReceiveAsync(cancellation);
        }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            while (_waiting.Count == 0) await ReceiveAsync(cancellationToken);
            var count = Math.Min(buffer.Length, _waiting.Count);
            for (var i = 0; i < count; i++) buffer.Span[i] = _waiting.Dequeue();
            return count;
        }

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
            => await socket.SendAsync(buffer, WebSocketMessageType.Binary, endOfMessage: true, cancellationToken);

        public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing) socket.Dispose();
            base.Dispose(disposing);
        }

        private async Task ReceiveAsync(CancellationToken cancellation)
        {
            var part = await socket.ReceiveAsync(_portion.AsMemory(), cancellation);
            if (part.MessageType == WebSocketMessageType.Close) throw new EndOfStreamException($"It was closed: {socket.CloseStatusDescription}.");
            if (part.MessageType == WebSocketMessageType.Text) _told.Write(_portion, 0, part.Count);
            else foreach (var one in _portion.AsSpan(0, part.Count)) _waiting.Enqueue(one);
        }
    }
}
