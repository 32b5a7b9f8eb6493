using System.Diagnostics;
using System.Text;
using System.Text.Json;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

/// <summary>
/// A machine's serial port or screen, over a process of its own (<see cref="LibvirtLineProgram"/>, <see cref="LibvirtScreenProgram"/>): its
/// standard input is what is typed, its standard output what is printed. It ends with the process, whichever of the two ends first.
/// </summary>
internal sealed class LibvirtLine : Stream
{
    private const int LongestReply = 16 * 1024;

    private readonly Process _process;
    private readonly Stream _typed;
    private readonly Stream _printed;

    private LibvirtLine(Process process)
    {
        _process = process;
        _typed = process.StandardInput.BaseStream;
        _printed = process.StandardOutput.BaseStream;
    }

    /// <summary>Empty where somebody else holds the port.</summary>
    public static async Task<LibvirtLine?> OpenAsync(LibvirtHostSettings host, string program, OpenLine open, TimeSpan deadline, TimeProvider time, CancellationToken cancellation)
    {
        var line = new LibvirtLine(LibvirtChild.StartProcess(host.Name, program));
        try
        {
            using var overrun = new CancellationTokenSource(deadline, time);
            using var end = CancellationTokenSource.CreateLinkedTokenSource(overrun.Token, cancellation);
            var opened = await line.BeginAsync(host, open, end.Token);
            if (opened) return line;
        }
        catch (Exception fault)
        {
            await line.DisposeAsync();
            cancellation.ThrowIfCancellationRequested();
            throw fault is ProviderFault
                ? fault
                : new ProviderFault(FaultKind.Transient, $"Host \"{host.Name}\" did not open the machine's console: {(fault is OperationCanceledException ? "it did not answer" : fault.Message)}.", fault);
        }

        await line.DisposeAsync();
        return null;
    }

    public override bool CanRead => true;

    public override bool CanWrite => true;

    public override bool CanSeek => false;

    public override long Length => throw new NotSupportedException();

    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => _printed.ReadAsync(buffer, cancellationToken);

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => _typed.WriteAsync(buffer, cancellationToken);

    public override Task FlushAsync(CancellationToken cancellationToken) => _typed.FlushAsync(cancellationToken);

    public override int Read(byte[] buffer, int offset, int count) => _printed.Read(buffer, offset, count);

    public override void Write(byte[] buffer, int offset, int count) => _typed.Write(buffer, offset, count);

    public override void Flush() => _typed.Flush();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            LibvirtChild.End(_process);
            _process.Dispose();
        }

        base.Dispose(disposing);
    }

    private async Task<bool> BeginAsync(LibvirtHostSettings host, OpenLine open, CancellationToken cancellation)
    {
        var request = JsonSerializer.Serialize(new LineRequest(host, open), LibvirtJson.Default.LineRequest);
        await _typed.WriteAsync(Encoding.UTF8.GetBytes(request + "\n"), cancellation);
        await _typed.FlushAsync(cancellation);
        // Byte for byte: what stands behind the line is the machine's already.
        var reply = new MemoryStream();
        var one = new byte[1];
        while (true)
        {
            if (await _printed.ReadAsync(one, cancellation) == 0 || reply.Length > LongestReply) throw new ProviderFault(FaultKind.Transient, $"The process that opens a console on host \"{host.Name}\" ended.");
            if (one[0] == (byte)'\n') break;
            reply.WriteByte(one[0]);
        }

        var said = JsonSerializer.Deserialize(reply.ToArray(), LibvirtJson.Default.LibvirtReply)!;
        if (said.Fault is { } kind) throw new ProviderFault(kind, said.Message!);
        return said.Result!.Value.GetBoolean();
    }
}

/// <summary>Which machine's port; and whether whoever holds it loses it.</summary>
internal sealed record OpenLine(string Name, bool TakeOver);

/// <summary>The one line of JSON that such a process is told; what follows is typed.</summary>
internal sealed record LineRequest(LibvirtHostSettings Host, OpenLine Open);
