using System.Security.Cryptography;
using System.Text;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

// What is done with an image on one host, in which order. Each call finds out first what an earlier one left.

/// <summary>An image that is there; its digest (<c>sha256:…</c>) is known where an import of ours has written the file that is there.</summary>
internal sealed record ImageOnHost(long Bytes, string? Digest);

/// <summary>The image, unless it is still on its way: a cut-off import leaves its mark, and with it nothing that counts.</summary>
internal sealed record FindImage(string Volume) : LibvirtCall<ImageOnHost?>
{
    public const string ImportingSuffix = ".importing";
    public const string DigestSuffix = ".sha256";
    private const int MostOfANote = 1000;

    public override string Doing => "look for an image";

    public static VolumeDescription? Find(LibvirtWire wire, PoolHandle pool, string volume)
    {
        using var found = wire.FindVolume(pool, volume);
        if (found is null)
        {
            // Put there by hand, perhaps, since libvirt last looked.
            wire.Refresh(pool);
            using var later = wire.FindVolume(pool, volume);
            return later is null || IsImporting(wire, pool, volume) ? null : wire.Describe(later);
        }

        return IsImporting(wire, pool, volume) ? null : wire.Describe(found);
    }

    /// <summary>What stands in the note beside an image: its digest, and the state of the file that it is true of.</summary>
    public static byte[] Note(string digest, VolumeDescription image) => Encoding.UTF8.GetBytes($"{digest} {image.Physical} {image.Modified}\n");

    protected override ImageOnHost? Do(LibvirtWire wire)
    {
        using var pool = wire.Pool();
        return Find(wire, pool, Volume) is { } image ? new ImageOnHost(image.Physical, ReadDigest(wire, pool, image)) : null;
    }

    private string? ReadDigest(LibvirtWire wire, PoolHandle pool, VolumeDescription image)
    {
        using var volume = wire.FindVolume(pool, Volume + DigestSuffix);
        if (volume is null) return null;
        var note = wire.Download(volume, 0, (int)Math.Min(MostOfANote, wire.ReadSize(volume)));
        var digest = Encoding.UTF8.GetString(note).Split(' ')[0];
        // Of a file that was changed or replaced since, nothing is known.
        return note.AsSpan().SequenceEqual(Note(digest, image)) ? digest : null;
    }

    private static bool IsImporting(LibvirtWire wire, PoolHandle pool, string volume)
    {
        using var mark = wire.FindVolume(pool, volume + ImportingSuffix);
        return mark is not null;
    }
}

/// <summary>
/// libvirt cannot rename a volume. So a mark stands beside it while it is filled, made before the first byte and taken away after
/// the last: whatever is cut off, by whomever, leaves the mark, and the next import begins anew. In it stands whose import it is:
/// one that finds that another has begun anew in the meantime (another portal's, or that of a page where it was asked for again)
/// leaves everything to that one.
/// </summary>
internal sealed record ImportImage(string Volume, string File, string Format, string Image) : LibvirtCall<bool>
{
    public override string Doing => "take an image";

    /// <summary>How long all of it takes is for the image and the line to say; only a host that takes nothing for so long is given up.
    /// Four deadlines, because at the end libvirt is silent while the last of it goes to disk.</summary>
    public override TimeSpan Patience(TimeSpan deadline) => 4 * deadline;

    protected override bool Do(LibvirtWire wire)
    {
        using var content = ImageFile.Open(File);
        var file = ImageFile.Read(content, Format, Image);
        using var pool = wire.Pool();
        if (FindImage.Find(wire, pool, Volume) is { } there)
        {
            // Never overwritten: disks of living machines stand on it.
            if (there.Format != file.Format || there.Capacity != file.Capacity || there.Physical != file.Bytes)
                throw new ProviderFault(FaultKind.Rejected, $"Another image is there as \"{Volume}\" already, and machines may stand on it. Bind this version to a volume of another name.");
            wire.Report(file.Bytes);
            return true;
        }

        var importing = Volume + FindImage.ImportingSuffix;
        var own = RandomNumberGenerator.GetBytes(16);
        wire.Fill(pool, importing, own);
        using (var half = wire.FindVolume(pool, Volume))
        {
            if (half is not null)
            {
                RequireMark(wire, pool, importing, own).Dispose();
                wire.Delete(half);
            }
        }

        long sent = 0;
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        // As raw, whatever it holds: libvirt would write a header of its own. It sees what it is when it looks again.
        using (var filled = wire.CreateVolume(pool, LibvirtMapping.Raw(Volume, file.Bytes).ToString()) ?? wire.Again(pool, Volume))
        {
            wire.Upload(filled, content, piece =>
            {
                hash.AppendData(piece);
                wire.Report(sent += piece.Length);
            });
        }

        wire.Refresh(pool);
        using var done = wire.Again(pool, Volume);
        var description = wire.Describe(done);
        if (description.Format != file.Format || description.Capacity != file.Capacity || description.BackingPath is { Length: > 0 })
            throw new ProviderFault(FaultKind.Rejected, $"The file was copied, but libvirt sees it as {description.Format} of {description.Capacity} bytes instead of {file.Format} of {file.Capacity}.");
        RequireMark(wire, pool, importing, own).Dispose();
        var note = Volume + FindImage.DigestSuffix;
        using (var old = wire.FindVolume(pool, note))
        {
            if (old is not null) wire.Delete(old);
        }

        wire.Fill(pool, note, FindImage.Note($"sha256:{Convert.ToHexStringLower(hash.GetHashAndReset())}", description));
        using var mark = RequireMark(wire, pool, importing, own);
        wire.Delete(mark);
        return true;
    }

    private VolumeHandle RequireMark(LibvirtWire wire, PoolHandle pool, string name, byte[] own)
    {
        var mark = wire.FindVolume(pool, name);
        if (mark is not null && wire.ReadSize(mark) == own.Length && wire.Download(mark, 0, own.Length).AsSpan().SequenceEqual(own)) return mark;
        mark?.Dispose();
        throw new ProviderFault(FaultKind.Transient, $"Another import has begun to write \"{Volume}\" on host \"{wire.Host.Name}\" anew.");
    }
}
