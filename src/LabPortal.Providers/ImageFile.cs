using System.Buffers.Binary;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers;

/// <summary>
/// A disk image that somebody brought. Read here as far as it takes to know that it stands by itself: a file that names another
/// one (backing or data file) would make the hypervisor read whatever it names.
/// Layout: https://gitlab.com/qemu-project/qemu/-/blob/master/docs/interop/qcow2.txt
/// </summary>
internal sealed record ImageFile(string Format, long Bytes, long Capacity)
{
    private const int HeaderBytes = 104;
    private const ulong ExternalData = 1 << 2;
    private static ReadOnlySpan<byte> Magic => [(byte)'Q', (byte)'F', (byte)'I', 0xfb];

    /// <summary>The file for one reading from its begin to its end.</summary>
    public static FileStream Open(string file)
    {
        try
        {
            return new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16, FileOptions.SequentialScan);
        }
        catch (Exception cause) when (cause is IOException or UnauthorizedAccessException)
        {
            throw new ProviderFault(FaultKind.Rejected, $"The image file {Path.GetFileName(file)} cannot be read.", cause);
        }
    }

    /// <summary>Refuses a file of another digest than the catalogue says, where it says one.</summary>
    public static void RequireDigest(string image, string? wanted, string digest)
    {
        if (wanted is not null && wanted != digest) throw new ProviderFault(FaultKind.Rejected, $"The file is not image \"{image}\": its digest is {digest}, and the catalogue says {wanted}.");
    }

    /// <summary>What the file is; its position is its begin again.</summary>
    /// <param name="file">Its content.</param>
    /// <param name="format"><c>qcow2</c> or <c>raw</c>; null takes it for what it looks like, which is for those who only count its bytes.</param>
    /// <param name="image">What the image is called, for sentences.</param>
    public static ImageFile Read(Stream file, string? format, string image)
    {
        Span<byte> header = stackalloc byte[HeaderBytes];
        header = header[..file.ReadAtLeast(header, HeaderBytes, throwOnEndOfStream: false)];
        file.Position = 0;
        var isQcow2 = header.StartsWith(Magic);
        format ??= isQcow2 ? "qcow2" : "raw";
        switch (format)
        {
            case "raw":
                // libvirt looks into the folder by itself and would take it for what it looks like.
                if (isQcow2) throw Refuse(image, "is called raw and is a qcow2 file");
                return new ImageFile(format, file.Length, file.Length);
            case "qcow2":
                if (!isQcow2 || header.Length < 72) throw Refuse(image, "is no qcow2 file");
                var version = BinaryPrimitives.ReadUInt32BigEndian(header[4..]);
                if (version is not (2 or 3)) throw Refuse(image, $"is of the unknown qcow2 version {version}");
                if (BinaryPrimitives.ReadUInt64BigEndian(header[8..]) != 0) throw Refuse(image, "has a backing file; flatten it with \"qemu-img convert -O qcow2\"");
                if (BinaryPrimitives.ReadUInt32BigEndian(header[32..]) != 0) throw Refuse(image, "is encrypted");
                if (version == 3 && (header.Length < HeaderBytes || (BinaryPrimitives.ReadUInt64BigEndian(header[72..]) & ExternalData) != 0))
                    throw Refuse(image, "has an external data file; flatten it with \"qemu-img convert -O qcow2\"");
                return new ImageFile(format, file.Length, (long)BinaryPrimitives.ReadUInt64BigEndian(header[24..]));
            default:
                throw Refuse(image, $"has the format \"{format}\" in its binding; qcow2 and raw are known");
        }
    }

    private static ProviderFault Refuse(string image, string why) => new(FaultKind.Rejected, $"The file for image \"{image}\" {why}.");
}
