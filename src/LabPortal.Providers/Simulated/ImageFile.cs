using System.Buffers.Binary;
using System.Security.Cryptography;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Simulated;

/// <summary>Reads an image file as an import does: whole, with progress, and refusing what has other files behind it.</summary>
internal static class ImageFile
{
    private const int HeaderBytes = 104;

    public static async Task<(long Bytes, string Digest)> ReadAsync(string file, string? format, IProgress<long> progress, CancellationToken cancellation)
    {
        try
        {
            await using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16, FileOptions.Asynchronous | FileOptions.SequentialScan);
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            var buffer = new byte[1 << 20];
            long bytes = 0;
            while (await stream.ReadAtLeastAsync(buffer, HeaderBytes, throwOnEndOfStream: false, cancellation) is > 0 and var read)
            {
                if (bytes == 0) RefuseOthersBehind(buffer.AsSpan(0, read), format, Path.GetFileName(file));
                hash.AppendData(buffer, 0, read);
                progress.Report(bytes += read);
            }

            return (bytes, $"sha256:{Convert.ToHexStringLower(hash.GetHashAndReset())}");
        }
        catch (Exception cause) when (cause is IOException or UnauthorizedAccessException)
        {
            throw new ProviderFault(FaultKind.Rejected, $"The image file {Path.GetFileName(file)} cannot be read.", cause);
        }
    }

    /// <summary>QEMU, docs/interop/qcow2.txt: the backing file's offset at byte 8; from version 3 on, incompatible feature bit 2 (data file) at byte 72.</summary>
    private static void RefuseOthersBehind(ReadOnlySpan<byte> header, string? format, string name)
    {
        var isQcow2 = header.StartsWith("QFI"u8) && header.Length > 3 && header[3] == 0xfb;
        if (format == "qcow2" && !isQcow2) throw new ProviderFault(FaultKind.Rejected, $"The image file {name} is not in the format qcow2 that its binding says.");
        if (!isQcow2) return;
        if (header.Length < HeaderBytes) throw new ProviderFault(FaultKind.Rejected, $"The image file {name} ends within its header.");
        if (BinaryPrimitives.ReadUInt64BigEndian(header[8..]) != 0) throw new ProviderFault(FaultKind.Rejected, $"The image file {name} has a backing file: flatten it first.");
        if (BinaryPrimitives.ReadUInt32BigEndian(header[4..]) >= 3 && (BinaryPrimitives.ReadUInt64BigEndian(header[72..]) & 0b100) != 0)
            throw new ProviderFault(FaultKind.Rejected, $"The image file {name} keeps its data in another file: flatten it first.");
    }
}
