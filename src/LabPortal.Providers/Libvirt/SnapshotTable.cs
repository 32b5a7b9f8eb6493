using System.Buffers.Binary;
using System.Text;

namespace LabPortal.Providers.Libvirt;

/// <summary>
/// What a qcow2 file says of the snapshots inside it (QEMU's <c>docs/interop/qcow2.txt</c>, "Header" and "Snapshots"; big endian): of each its name, and how many
/// bytes of a running machine were saved with it. libvirt does not tell. What a snapshot keeps of the disk itself grows with what is written later, and is not there.
/// </summary>
internal static class SnapshotTable
{
    public const int HeadBytes = 72;

    private const uint Magic = 0x514649fb;
    private const int CountAt = 60;
    private const int OffsetAt = 64;

    private const int EntryBytes = 40;
    private const int IdLengthAt = 12;
    private const int NameLengthAt = 14;
    private const int StateBytesAt = 32;
    private const int ExtraLengthAt = 36;
    private const int MostSnapshots = 1000;
    private const int MostOfAnEntry = 512;

    /// <summary>Where the table is, and of how many; none where this is no qcow2 file, or its table is no table of ours.</summary>
    public static (long Offset, int Count) Find(ReadOnlySpan<byte> head)
        => head.Length >= HeadBytes && BinaryPrimitives.ReadUInt32BigEndian(head) == Magic && BinaryPrimitives.ReadUInt32BigEndian(head[CountAt..]) is > 0 and <= MostSnapshots and var count
            && BinaryPrimitives.ReadInt64BigEndian(head[OffsetAt..]) is > 0 and var offset
            ? (offset, (int)count)
            : default;

    public static int MostBytes(int count) => count * MostOfAnEntry;

    /// <summary>Bytes of memory by name; what is cut off or makes no sense is left out, with all that follows.</summary>
    public static IReadOnlyDictionary<string, long> Read(ReadOnlySpan<byte> table, int count)
    {
        var sizes = new Dictionary<string, long>();
        for (; count > 0 && table.Length >= EntryBytes; count--)
        {
            var (id, name) = (BinaryPrimitives.ReadUInt16BigEndian(table[IdLengthAt..]), BinaryPrimitives.ReadUInt16BigEndian(table[NameLengthAt..]));
            var extra = BinaryPrimitives.ReadUInt32BigEndian(table[ExtraLengthAt..]);
            if (extra > table.Length || EntryBytes + extra + id + name > table.Length) break;
            // Since version 3 the whole size stands behind; the short one is 0 where it would not fit.
            long bytes = extra >= sizeof(long) ? BinaryPrimitives.ReadInt64BigEndian(table[EntryBytes..]) : BinaryPrimitives.ReadUInt32BigEndian(table[StateBytesAt..]);
            var end = EntryBytes + (int)extra + id + name;
            sizes[Encoding.UTF8.GetString(table.Slice(end - name, name))] = bytes;
            table = table[Math.Min(table.Length, (end + 7) & ~7)..];
        }

        return sizes;
    }
}
