using System.Security.Cryptography;
using System.Text;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

// What is done with an image on one host, in which order. Each call finds out first what an earlier one left.

/// <summary>An image that is there; its digest (<c>sha256:…</c>) is known where an import of ours has written the file that is there, or somebody let it be read.</summary>
internal sealed record ImageOnHost(long Bytes, string? Digest);

/// <summary>The image, unless it is still on its way: a cut-off import leaves its mark, and with it nothing that counts.</summary>
internal sealed record FindImage(string Volume) : LibvirtCall<ImageOnHost?>
{
    public override string Doing => "look for an image";

    public static VolumeDescription? Find(LibvirtWire wire, PoolHandle pool, string volume)
    {
        var found = wire.FindVolume(pool, volume);
        if (found is null)
        {
            // Put there by hand, perhaps, since libvirt last looked.
            wire.Refresh(pool);
            found = wire.FindVolume(pool, volume);
        }

        using (found) return found is null || ImportRight.IsTaken(wire, pool, volume) ? null : wire.TryDescribe(found);
    }

    protected override ImageOnHost? Do(LibvirtWire wire)
    {
        using var pool = wire.Pool();
        return Find(wire, pool, Volume) is { } image ? new ImageOnHost(image.Physical, DigestNote.Read(wire, pool, Volume, image)) : null;
    }
}

/// <summary>What stands beside an image as <c>IMAGE.sha256</c>: its digest, and the state of the file that it is true of.</summary>
internal static class DigestNote
{
    public const string Suffix = ".sha256";
    private const int MostOfANote = 1000;

    public static string? Read(LibvirtWire wire, PoolHandle pool, string volume, VolumeDescription image)
    {
        using var found = wire.FindVolume(pool, volume + Suffix);
        if (found is null) return null;
        var note = wire.Download(found, 0, MostOfANote);
        var digest = Encoding.UTF8.GetString(note).Split(' ')[0];
        // Of a file that was changed or replaced since, nothing is known.
        return note.AsSpan().SequenceEqual(Of(digest, image)) ? digest : null;
    }

    public static void Write(LibvirtWire wire, PoolHandle pool, string volume, VolumeDescription image, IncrementalHash hash)
    {
        using (var old = wire.FindVolume(pool, volume + Suffix))
        {
            if (old is not null) wire.Delete(old);
        }

        wire.Fill(pool, volume + Suffix, Of($"sha256:{Convert.ToHexStringLower(hash.GetHashAndReset())}", image));
    }

    private static byte[] Of(string digest, VolumeDescription image) => Encoding.UTF8.GetBytes($"{digest} {image.Physical} {image.Modified}\n");
}

/// <summary>
/// Reads the whole of an image that is there, and remembers its digest beside it: for one that was put there by hand, which nobody has
/// hashed on its way. Where it is known already, nothing is read.
/// </summary>
internal sealed record ReadDigest(string Volume, string Image) : LibvirtCall<bool>
{
    public override string Doing => "read an image";

    public override TimeSpan Patience(TimeSpan deadline) => 4 * deadline;

    protected override bool Do(LibvirtWire wire)
    {
        using var pool = wire.Pool();
        var image = Find(wire, pool);
        if (DigestNote.Read(wire, pool, Volume, image) is not null) return true;
        using var volume = wire.Again(pool, Volume);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        long read = 0;
        wire.Download(volume, 0, image.Physical, piece =>
        {
            hash.AppendData(piece);
            wire.Report(read += piece.Length);
        });
        if (read != image.Physical || Find(wire, pool) != image)
            throw new ProviderFault(FaultKind.Transient, $"Image \"{Image}\" on host \"{wire.Host.Name}\" was changed while it was read.");
        DigestNote.Write(wire, pool, Volume, image, hash);
        return true;
    }

    private VolumeDescription Find(LibvirtWire wire, PoolHandle pool) => FindImage.Find(wire, pool, Volume)
        ?? throw new ProviderFault(FaultKind.Rejected, $"Image \"{Image}\" is not on host \"{wire.Host.Name}\".");
}

/// <summary>
/// libvirt cannot rename a volume. So a mark stands beside it while it is filled, made before the first byte and taken away after
/// the last: whatever is cut off, by whomever, leaves the mark, and the next import begins anew. Who may write is for
/// <see cref="ImportRight"/> to say: an import that meets another waits for it, and ends as that one does.
/// </summary>
/// <param name="Volume">Where to.</param>
/// <param name="File">Where from, on this machine.</param>
/// <param name="Format">What the file is, as the catalogue says.</param>
/// <param name="Image">What people call it.</param>
/// <param name="Digest">What the file has to have, where the catalogue says so.</param>
/// <param name="Importer">A name that no other import has or will have.</param>
/// <param name="Ended">Those of our own that were cut off, and whose processes are gone.</param>
/// <param name="Silence">How long another import may show no life before it is taken for dead.</param>
internal sealed record ImportImage(string Volume, string File, string Format, string Image, string? Digest, string Importer, IReadOnlyList<string> Ended, TimeSpan Silence) : LibvirtCall<bool>
{
    public override string Doing => "take an image";

    /// <summary>How long all of it takes is for the image and the line to say; only a host that takes nothing for so long is given up.</summary>
    public override TimeSpan Patience(TimeSpan deadline) => Quiet(deadline);

    /// <summary>How long an import that lives may show nothing: four deadlines, because at the end libvirt is silent while the last of it goes to disk.</summary>
    public static TimeSpan Quiet(TimeSpan deadline) => 4 * deadline;

    protected override bool Do(LibvirtWire wire)
    {
        using var content = ImageFile.Open(File);
        var file = ImageFile.Read(content, Format, Image);
        using var pool = wire.Pool();
        while (!IsThere(wire, pool, content, file))
        {
            var right = new ImportRight(wire, pool, Volume, Importer, Ended, Silence);
            if (!right.Take()) continue;
            using var standing = wire.FindVolume(pool, Volume);
            if (standing is not null && !right.IsAfterAnother())
            {
                right.Release();
                continue;
            }

            try
            {
                if (standing is not null)
                {
                    right.Require();
                    wire.Delete(standing);
                }

                Copy(wire, pool, content, file, right);
                right.Finish();
            }
            catch
            {
                right.GiveUp();
                throw;
            }
        }

        wire.Report(file.Bytes);
        return true;
    }

    private void Copy(LibvirtWire wire, PoolHandle pool, Stream content, ImageFile file, ImportRight right)
    {
        long sent = 0;
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        // As raw, whatever it holds: libvirt would write a header of its own. It sees what it is when it looks again.
        using (var filled = wire.CreateVolume(pool, LibvirtMapping.Raw(Volume, file.Bytes).ToString()) ?? throw right.Lost())
        {
            wire.Upload(filled, content, piece =>
            {
                hash.AppendData(piece);
                wire.Report(sent += piece.Length);
            });
        }

        ImageFile.RequireDigest(Image, Digest, $"sha256:{Convert.ToHexStringLower(hash.GetCurrentHash())}");
        right.Require();
        wire.Refresh(pool);
        using var done = wire.Again(pool, Volume);
        var description = wire.Describe(done);
        if (description.Format != file.Format || description.Capacity != file.Capacity || description.BackingPath is { Length: > 0 })
            throw new ProviderFault(FaultKind.Rejected, $"The file was copied, but libvirt sees it as {description.Format} of {description.Capacity} bytes instead of {file.Format} of {file.Capacity}.");
        right.Require();
        DigestNote.Write(wire, pool, Volume, description, hash);
    }

    /// <summary>Never overwritten: disks of living machines stand on it. Where nobody has read what is there, its form has to do.</summary>
    private bool IsThere(LibvirtWire wire, PoolHandle pool, FileStream content, ImageFile file)
    {
        if (FindImage.Find(wire, pool, Volume) is not { } there) return false;
        var same = there.Format == file.Format && there.Capacity == file.Capacity && there.Physical == file.Bytes
            && (DigestNote.Read(wire, pool, Volume, there) is not { } known || known == DigestOf(wire, content));
        if (!same) throw new ProviderFault(FaultKind.Rejected, $"Another image is there as \"{Volume}\" already, and machines may stand on it. Bind this version to a volume of another name.");
        if (Digest is not null) ImageFile.RequireDigest(Image, Digest, DigestOf(wire, content));
        return true;
    }

    private static string DigestOf(LibvirtWire wire, FileStream content)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var piece = new byte[1 << 20];
        content.Position = 0;
        for (int read; (read = content.Read(piece)) > 0; wire.Report(content.Position)) hash.AppendData(piece, 0, read);
        content.Position = 0;
        return $"sha256:{Convert.ToHexStringLower(hash.GetHashAndReset())}";
    }
}
