using System.Buffers.Binary;
using System.Text;

namespace LabPortal.Providers.Libvirt;

/// <summary>
/// The head of a file that libvirt saved a machine's memory into (libvirt's source, <c>src/qemu/qemu_saveimage.h</c>; the same since 0.9.12): a magic word that says
/// whether the file is whole, the machine's XML with much room behind it, and what QEMU wrote. libvirt itself changes that XML only where machine and cards stay the
/// same (<c>virDomainSaveImageDefineXML</c>); one memory that becomes many machines has to be given each machine's own.
/// </summary>
internal static class SavedMemory
{
    public const int FixedBytes = 92;

    private const int MostOfAHead = 4 << 20;
    private const uint Version = 2;
    private const int VersionAt = 16;
    private const int LengthAt = 20;
    private const int CookieAt = 32;

    private static ReadOnlySpan<byte> Whole => "LibvirtQemudSave"u8;

    /// <summary>How long the head is; null where the file is not whole, or written by a libvirt that we do not know.</summary>
    public static int? LengthOf(ReadOnlySpan<byte> begin)
    {
        if (begin.Length < FixedBytes || !begin.StartsWith(Whole) || Read(begin, VersionAt) != Version) return null;
        return Read(begin, LengthAt) is > 0 and < MostOfAHead and var length ? FixedBytes + (int)length : null;
    }

    /// <summary>The same head for a machine of this XML; null where it has no room for it.</summary>
    public static byte[]? For(ReadOnlySpan<byte> head, string domain)
    {
        var (xml, cookieAt) = (Encoding.UTF8.GetBytes(domain + '\0'), (int)Read(head, CookieAt));
        var cookie = cookieAt == 0 ? [] : head[(FixedBytes + cookieAt)..];
        if (cookie.IndexOf((byte)0) is >= 0 and var end) cookie = cookie[..(end + 1)];
        if (FixedBytes + xml.Length + cookie.Length > head.Length) return null;
        var made = new byte[head.Length];
        head[..FixedBytes].CopyTo(made);
        xml.CopyTo(made, FixedBytes);
        cookie.CopyTo(made.AsSpan(FixedBytes + xml.Length));
        BinaryPrimitives.WriteUInt32LittleEndian(made.AsSpan(CookieAt), cookie.IsEmpty ? 0 : (uint)xml.Length);
        return made;
    }

    private static uint Read(ReadOnlySpan<byte> head, int at) => BinaryPrimitives.ReadUInt32LittleEndian(head[at..]);
}
