using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using Renci.SshNet;
using Renci.SshNet.Common;

namespace LabPortal.Operations.Consoles;

/// <summary>A line that has a size: a terminal's columns and rows.</summary>
internal interface ISizedLine
{
    (int Columns, int Rows) Size { get; set; }
}

/// <summary>A shell on a machine over SSH, which the portal speaks itself: with its own key, and only with the host that it knows.</summary>
internal sealed class SshShell : Stream, ISizedLine
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(10);

    private readonly SshClient _client;
    private readonly ShellStream _shell;
    private readonly Pipe _printed = new();
    private (int Columns, int Rows) _size;

    private SshShell(SshClient client, ShellStream shell, (int Columns, int Rows) size)
    {
        (_client, _shell, _size) = (client, shell, size);
        // Its reads block: a thread of its own, so that no other work waits for it.
        new Thread(Pump) { IsBackground = true, Name = "SSH shell" }.Start();
    }

    /// <summary>
    /// <paramref name="pinned"/>: the fingerprint of its host key, where one was seen before. The line, and the fingerprint that it showed; or why there is none.
    /// </summary>
    public static async Task<(SshShell? Shell, string Fingerprint, string Why)> OpenAsync(
        IReadOnlyList<IPEndPoint> addresses, string user, string pem, string? pinned, CancellationToken cancellation)
    {
        foreach (var address in addresses)
        {
            using var file = new PrivateKeyFile(new MemoryStream(System.Text.Encoding.ASCII.GetBytes(pem)));
            using var way = new PrivateKeyAuthenticationMethod(user, file);
            var client = new SshClient(new ConnectionInfo(address.Address.ToString(), address.Port, user, way) { Timeout = s_patience }) { KeepAliveInterval = TimeSpan.FromSeconds(30) };
            var (seen, refused, kept) = ("", false, false);
            client.HostKeyReceived += (_, host) =>
            {
                seen = host.FingerPrintSHA256;
                host.CanTrust = pinned is null || pinned == seen;
                refused = !host.CanTrust;
            };
            try
            {
                await client.ConnectAsync(cancellation);
                var size = (Columns: 80, Rows: 24);
                var shell = await Task.Run(() => client.CreateShellStream("xterm-256color", (uint)size.Columns, (uint)size.Rows, 0, 0, 64 * 1024), cancellation);
                kept = true;
                return (new SshShell(client, shell, size), seen, "");
            }
            // Before all others: how the library ends once we refused the key depends on who is quicker.
            catch (Exception) when (refused)
            {
                return (null, seen, ConsoleEnd.HostChanged);
            }
            catch (SshAuthenticationException)
            {
                return (null, seen, ConsoleEnd.NoKey);
            }
            catch (Exception fault) when (fault is SocketException or SshException || (fault is OperationCanceledException && !cancellation.IsCancellationRequested))
            {
                // Its next address may answer.
            }
            finally
            {
                if (!kept) client.Dispose();
            }
        }

        return (null, "", ConsoleEnd.NoAnswer);
    }

    public (int Columns, int Rows) Size
    {
        get => _size;
        set
        {
            if (_size == value) return;
            _size = value;
            try
            {
                _shell.ChangeWindowSize((uint)value.Columns, (uint)value.Rows, 0, 0);
            }
            catch (Exception fault) when (fault is SshException or ObjectDisposedException or InvalidOperationException)
            {
                // It ends; whoever reads sees that.
            }
        }
    }

    public override bool CanRead => true;

    public override bool CanWrite => true;

    public override bool CanSeek => false;

    public override long Length => throw new NotSupportedException();

    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => _printed.Reader.AsStream(leaveOpen: true).ReadAsync(buffer, cancellationToken);

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        try
        {
            // It waits for the guest's window: not here, where others would wait too.
            await Task.Run(() => Write(buffer.Span), cancellationToken);
        }
        catch (Exception fault) when (fault is SshException or ObjectDisposedException or InvalidOperationException)
        {
            throw new IOException("The SSH session has ended.", fault);
        }
    }

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        _shell.Write(buffer);
        _shell.Flush();
    }

    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        await _printed.Reader.CompleteAsync();
        // It says goodbye, and waits for the answer.
        await Task.Run(() =>
        {
            _shell.Dispose();
            _client.Dispose();
        });
    }

    private void Pump()
    {
        try
        {
            var portion = new byte[16 * 1024];
            for (int read; (read = _shell.Read(portion, 0, portion.Length)) > 0;)
            {
                portion.AsSpan(0, read).CopyTo(_printed.Writer.GetSpan(read));
                _printed.Writer.Advance(read);
                // A thread that waits is what this one is for: nobody prints faster than is read.
                if (_printed.Writer.FlushAsync().AsTask().GetAwaiter().GetResult().IsCompleted) return;
            }
        }
        catch (Exception fault) when (fault is SshException or ObjectDisposedException or IOException)
        {
            // The connection is gone: that is the end of the line.
        }
        catch (Exception fault)
        {
            // Nobody above this thread would take it but the end of the process: whoever reads is told.
            _printed.Writer.Complete(fault);
        }
        finally
        {
            _printed.Writer.Complete();
        }
    }
}
