using System.Security.Cryptography;
using System.Text;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Simulated;

/// <summary>An image that was imported is a row with the digest of its file; every other one is there, but where the settings say that it is not.</summary>
internal sealed partial class SimulatedProvider
{
    public async Task<IReadOnlyList<ImagePresence>> FindAsync(ImageBinding image, CancellationToken cancellation) =>
        await CallAsync(WireVerb.FindImage, [], rows => new Effect<IReadOnlyList<ImagePresence>>([.. settings.Hosts.Select(host => Find(rows, image, host))]), cancellation);

    public async Task ImportAsync(ImageBinding image, string host, string file, IProgress<long> progress, CancellationToken cancellation)
    {
        _hosts.Require(host);
        var (bytes, digest) = await ReadAsync(image, file, progress, cancellation);
        ImageFile.RequireDigest(image.Image, image.Digest, digest);
        await CallAsync(WireVerb.ImportImage, [], rows => Find(rows, image, host) is { Digest: { } other } && other != digest
            ? throw new ProviderFault(FaultKind.Rejected, $"Another file is there as image {image.Image} {image.Version} already, and machines may stand on it.")
            : new Effect<int>(0, rows.Run("INSERT INTO images VALUES (@0, @1, @2, @3, @4) ON CONFLICT DO NOTHING", image.Image, image.Version, host, bytes, digest) > 0), cancellation);
    }

    /// <summary>What stands there from the beginning has no content: its digest is that of its name, the same on all hosts.</summary>
    public async Task ReadDigestAsync(ImageBinding image, string host, IProgress<long> progress, CancellationToken cancellation)
    {
        _hosts.Require(host);
        var digest = $"sha256:{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{image.Image} {image.Version}")))}";
        await CallAsync(WireVerb.ReadImage, [], rows => Find(rows, image, host).Present
            ? new Effect<int>(0, rows.Run("INSERT INTO images VALUES (@0, @1, @2, 0, @3) ON CONFLICT DO NOTHING", image.Image, image.Version, host, digest) > 0)
            : throw new ProviderFault(FaultKind.Rejected, $"Image {image.Image} is not on host {host}."), cancellation);
    }

    /// <summary>The file whole, as a host does that takes it.</summary>
    private static async Task<(long Bytes, string Digest)> ReadAsync(ImageBinding image, string file, IProgress<long> progress, CancellationToken cancellation)
    {
        await using var content = ImageFile.Open(file);
        _ = ImageFile.Read(content, image.Settings.GetValueOrDefault("format"), image.Image);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var buffer = new byte[1 << 20];
        for (int read; (read = await content.ReadAsync(buffer, cancellation)) > 0; progress.Report(content.Position)) hash.AppendData(buffer, 0, read);
        return (content.Position, $"sha256:{Convert.ToHexStringLower(hash.GetHashAndReset())}");
    }

    private ImagePresence Find(Rows rows, ImageBinding image, string host)
    {
        var imported = rows.Query("SELECT bytes, digest FROM images WHERE image = @0 AND version = @1 AND host = @2",
            row => (Bytes: row.GetInt64(0), Digest: row.GetString(1)), image.Image, image.Version, host).FirstOrDefault();
        if (imported.Digest is not null) return new ImagePresence(host, Present: true, imported.Digest, imported.Bytes, null);
        var missing = settings.MissingImages.Any(each => each.Image == image.Image && (each.Host ?? host) == host);
        return new ImagePresence(host, !missing, null, 0, missing ? $"Import image {image.Image} to host {host} of pool {pool.PoolName}." : null);
    }
}
