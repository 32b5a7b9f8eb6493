using System.Buffers.Binary;
using System.Text;

namespace LabPortal.Providers;

/// <summary>
/// Writes a small ISO 9660 volume: some files in one folder, their true names by Rock Ridge (IEEE P1282, for Linux) and by Joliet
/// (for Windows). The same files give the same bytes: there is no time in it.
/// </summary>
internal static class Iso9660
{
    private const int Sector = 2048;
    private const int PrimaryDescriptor = 16, JolietDescriptor = 17, Terminator = 18;
    private const int PrimaryPaths = 19, JolietPaths = 21, PrimaryRoot = 23, JolietRoot = 24, FirstFile = 25;
    private const int PathTableBytes = 10;

    public static byte[] Write(string label, IReadOnlyList<(string Name, byte[] Content)> files)
    {
        var placed = new List<(string Name, byte[] Content, int At)>();
        var at = FirstFile;
        foreach (var (name, content) in files)
        {
            placed.Add((name, content, at));
            at += (content.Length + Sector - 1) / Sector;
        }

        var image = new byte[at * Sector];
        Describe(At(image, PrimaryDescriptor), 1, at, PrimaryPaths, PrimaryRoot, text => Encoding.ASCII.GetBytes(text), label);
        Describe(At(image, JolietDescriptor), 2, at, JolietPaths, JolietRoot, Encoding.BigEndianUnicode.GetBytes, label);
        "%/E"u8.CopyTo(At(image, JolietDescriptor)[88..]);
        Begin(At(image, Terminator), 255);
        WritePaths(image, PrimaryPaths, PrimaryRoot);
        WritePaths(image, JolietPaths, JolietRoot);
        WriteFolder(At(image, PrimaryRoot), PrimaryRoot, placed, PlainName, rockRidge: true);
        WriteFolder(At(image, JolietRoot), JolietRoot, placed, Encoding.BigEndianUnicode.GetBytes, rockRidge: false);
        foreach (var file in placed) file.Content.CopyTo(image, file.At * Sector);
        return image;
    }

    private static Span<byte> At(byte[] image, int sector) => image.AsSpan(sector * Sector, Sector);

    private static void Begin(Span<byte> descriptor, byte type)
    {
        descriptor[0] = type;
        "CD001"u8.CopyTo(descriptor[1..]);
        descriptor[6] = 1;
    }

    /// <summary>ECMA-119, 8.4 and 8.5.</summary>
    private static void Describe(Span<byte> descriptor, byte type, int sectors, int paths, int root, Func<string, byte[]> encode, string label)
    {
        Begin(descriptor, type);
        foreach (var (start, end) in ((int, int)[])[(8, 72), (190, 813)]) Pad(descriptor[start..end], encode);
        encode(label).CopyTo(descriptor[40..]);
        Both32(descriptor[80..], sectors);
        Both16(descriptor[120..], 1);
        Both16(descriptor[124..], 1);
        Both16(descriptor[128..], Sector);
        Both32(descriptor[132..], PathTableBytes);
        BinaryPrimitives.WriteInt32LittleEndian(descriptor[140..], paths);
        BinaryPrimitives.WriteInt32BigEndian(descriptor[148..], paths + 1);
        Record([0], root, Sector, folder: true, []).CopyTo(descriptor[156..]);
        // Four dates "not specified": sixteen zeros each, and no offset.
        for (var date = 813; date < 881; date += 17) descriptor.Slice(date, 16).Fill((byte)'0');
        descriptor[881] = 1;
    }

    private static void Pad(Span<byte> field, Func<string, byte[]> encode)
    {
        var blank = encode(" ");
        for (var i = 0; i + blank.Length <= field.Length; i += blank.Length) blank.CopyTo(field[i..]);
    }

    private static void WritePaths(byte[] image, int sector, int root)
    {
        foreach (var (at, bigEndian) in ((int, bool)[])[(sector, false), (sector + 1, true)])
        {
            var table = At(image, at);
            table[0] = 1;
            if (bigEndian)
            {
                BinaryPrimitives.WriteInt32BigEndian(table[2..], root);
                BinaryPrimitives.WriteInt16BigEndian(table[6..], 1);
            }
            else
            {
                BinaryPrimitives.WriteInt32LittleEndian(table[2..], root);
                BinaryPrimitives.WriteInt16LittleEndian(table[6..], 1);
            }
        }
    }

    private static void WriteFolder(
        Span<byte> sector, int root, List<(string Name, byte[] Content, int At)> files, Func<string, byte[]> encode, bool rockRidge)
    {
        var records = new List<byte[]>
        {
            Record([0], root, Sector, folder: true, rockRidge ? [.. SharingProtocol, .. Posix(folder: true), .. Extension] : []),
            Record([1], root, Sector, folder: true, rockRidge ? Posix(folder: true) : []),
        };
        records.AddRange(files
            .Select(file => (Id: encode(file.Name), file))
            .OrderBy(file => Convert.ToHexString(file.Id), StringComparer.Ordinal)
            .Select(file => Record(file.Id, file.file.At, file.file.Content.Length, folder: false, rockRidge ? [.. AlternateName(file.file.Name), .. Posix(folder: false)] : [])));
        var at = 0;
        foreach (var record in records)
        {
            if (at + record.Length > Sector) throw new ArgumentException("The files do not fit into one sector of folder.", nameof(files));
            record.CopyTo(sector[at..]);
            at += record.Length;
        }
    }

    /// <summary>ECMA-119, 9.1, with the system use area behind the identifier; always of even length.</summary>
    private static byte[] Record(byte[] identifier, int at, int length, bool folder, byte[] systemUse)
    {
        var head = 33 + identifier.Length + (identifier.Length % 2 == 0 ? 1 : 0);
        var record = new byte[head + systemUse.Length + (systemUse.Length % 2)];
        record[0] = checked((byte)record.Length);
        Both32(record.AsSpan(2), at);
        Both32(record.AsSpan(10), length);
        record[18] = 100; // The year 2000; months and days begin at 1.
        record[19] = record[20] = 1;
        record[25] = (byte)(folder ? 2 : 0);
        Both16(record.AsSpan(28), 1);
        record[32] = (byte)identifier.Length;
        identifier.CopyTo(record, 33);
        systemUse.CopyTo(record, head);
        return record;
    }

    /// <summary>What a reader without extensions sees: at most 30 of A-Z, 0-9 and _, then ".;1".</summary>
    private static byte[] PlainName(string name) =>
        Encoding.ASCII.GetBytes(string.Concat(name.Take(27).Select(c => char.IsAsciiLetterOrDigit(c) ? char.ToUpperInvariant(c) : '_')) + ".;1");

    private static byte[] SharingProtocol => [(byte)'S', (byte)'P', 7, 1, 0xbe, 0xef, 0];

    private static byte[] Extension => [(byte)'E', (byte)'R', 18, 1, 10, 0, 0, 1, .. "RRIP_1991A"u8];

    private static byte[] AlternateName(string name)
    {
        var text = Encoding.UTF8.GetBytes(name);
        return [(byte)'N', (byte)'M', checked((byte)(5 + text.Length)), 1, 0, .. text];
    }

    private static byte[] Posix(bool folder)
    {
        var entry = new byte[36];
        ((byte[])[(byte)'P', (byte)'X', 36, 1]).CopyTo(entry, 0);
        Both32(entry.AsSpan(4), folder ? 0x416d : 0x8124); // r-xr-xr-x, r--r--r--
        Both32(entry.AsSpan(12), folder ? 2 : 1);
        return entry;
    }

    private static void Both32(Span<byte> into, int value)
    {
        BinaryPrimitives.WriteInt32LittleEndian(into, value);
        BinaryPrimitives.WriteInt32BigEndian(into[4..], value);
    }

    private static void Both16(Span<byte> into, short value)
    {
        BinaryPrimitives.WriteInt16LittleEndian(into, value);
        BinaryPrimitives.WriteInt16BigEndian(into[2..], value);
    }
}
