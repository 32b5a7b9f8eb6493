using System.Buffers.Binary;
using System.Text;
using LabPortal.Providers.Libvirt;
using Xunit;

namespace LabPortal.Providers.Tests.Libvirt;

/// <summary>The table of snapshots in a qcow2 file; that QEMU writes it so is seen with a guest (<c>LibvirtGuests</c>).</summary>
public sealed class SnapshotTableLaws
{
    [Fact]
    public void Names_and_sizes_are_read_and_a_table_that_is_cut_off_anywhere_gives_those_before()
    {
        byte[] table = [.. Entry("1", "lp-a.snapshot-b", 5L << 32), .. Entry("2", "é", 0), .. Entry("33", "old", 77, extra: 0)];
        Assert.Equal(new Dictionary<string, long> { ["lp-a.snapshot-b"] = 5L << 32, ["é"] = 0, ["old"] = 77 }, SnapshotTable.Read(table, 3));
        Assert.Equal(["lp-a.snapshot-b"], SnapshotTable.Read(table, 1).Keys);
        for (var length = 0; length < table.Length; length++) Assert.InRange(SnapshotTable.Read(table.AsSpan(0, length), 3).Count, 0, length < 64 ? 0 : 3);

        // Lengths that point beyond the table, or to nowhere.
        foreach (var wrong in new[] { uint.MaxValue, (uint)int.MaxValue, 70_000u })
        {
            BinaryPrimitives.WriteUInt32BigEndian(table.AsSpan(36), wrong);
            Assert.Empty(SnapshotTable.Read(table, 3));
        }
    }

    [Fact]
    public void Only_a_qcow2_file_with_a_table_has_one()
    {
        var head = new byte[SnapshotTable.HeadBytes];
        Assert.Equal(default, SnapshotTable.Find(head));
        BinaryPrimitives.WriteUInt32BigEndian(head, 0x514649fb);
        Assert.Equal(default, SnapshotTable.Find(head));
        BinaryPrimitives.WriteUInt32BigEndian(head.AsSpan(60), 2);
        BinaryPrimitives.WriteInt64BigEndian(head.AsSpan(64), 65536);
        Assert.Equal((65536, 2), SnapshotTable.Find(head));
        BinaryPrimitives.WriteInt64BigEndian(head.AsSpan(64), -1);
        Assert.Equal(default, SnapshotTable.Find(head));
        BinaryPrimitives.WriteInt64BigEndian(head.AsSpan(64), 65536);
        BinaryPrimitives.WriteUInt32BigEndian(head.AsSpan(60), uint.MaxValue);
        Assert.Equal(default, SnapshotTable.Find(head));
        Assert.Equal(default, SnapshotTable.Find(head.AsSpan(0, 71)));
    }

    private static byte[] Entry(string id, string name, long bytes, int extra = 24)
    {
        var entry = new byte[(40 + extra + id.Length + Encoding.UTF8.GetByteCount(name) + 7) & ~7];
        BinaryPrimitives.WriteUInt16BigEndian(entry.AsSpan(12), (ushort)id.Length);
        BinaryPrimitives.WriteUInt16BigEndian(entry.AsSpan(14), (ushort)Encoding.UTF8.GetByteCount(name));
        if (bytes <= uint.MaxValue) BinaryPrimitives.WriteUInt32BigEndian(entry.AsSpan(32), (uint)bytes);
        BinaryPrimitives.WriteUInt32BigEndian(entry.AsSpan(36), (uint)extra);
        if (extra > 0) BinaryPrimitives.WriteInt64BigEndian(entry.AsSpan(40), bytes);
        Encoding.UTF8.GetBytes(id + name).CopyTo(entry.AsSpan(40 + extra));
        return entry;
    }
}
