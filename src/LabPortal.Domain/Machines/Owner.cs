using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace LabPortal.Domain.Machines;

/// <summary>
/// Whose a resource is: written into tags or metadata where the kind of resource has them, and into its name.
/// <paramref name="Machine"/> is empty for a resource of the whole lab (its network, its group).
/// </summary>
public readonly record struct Owner(InstallationId Installation, LabId Lab, MachineId? Machine, int Generation)
{
    /// <summary>
    /// The name that this machine's (or lab's) resources begin with at every provider:
    /// <c>lp-INSTALLATION-ID-gN</c>, 12 and 32 hexadecimal digits, at most 56 characters of <c>[a-z0-9-]</c>.
    /// The same owner always gives the same name, so a create may be repeated; another generation gives another.
    /// </summary>
    public string ResourceName => string.Create(CultureInfo.InvariantCulture,
        $"{InstallationPrefix(Installation)}{(Machine?.Value ?? Lab.Value):n}-g{Generation}");

    /// <summary>
    /// The name of this machine's part of a snapshot, <c>lp-INSTALLATION-ID-gN.snapshot-ID</c>: it follows from machine, generation and snapshot,
    /// so taking may be repeated, and another generation never finds it.
    /// </summary>
    public string SnapshotName(SnapshotId snapshot) => $"{ResourceName}{SnapshotSuffix}{snapshot.Value:n}";

    /// <summary>What a snapshot's name has behind its machine's, before the snapshot's own id.</summary>
    public const string SnapshotSuffix = ".snapshot-";

    /// <summary>Which of this machine's snapshots has this name; empty where it is none of them.</summary>
    public SnapshotId? ReadSnapshotName(string name)
        => name.StartsWith(ResourceName + SnapshotSuffix, StringComparison.Ordinal) && Guid.TryParseExact(name[(ResourceName.Length + SnapshotSuffix.Length)..], "n", out var id)
            && SnapshotName(new SnapshotId(id)) == name
            ? new SnapshotId(id)
            : null;

    /// <summary>The snapshot of which a resource of this name is a part; empty where it is none. Whose part it is <see cref="TryReadName"/> says.</summary>
    public static SnapshotId? ReadPartName(string name)
        => name.LastIndexOf(SnapshotSuffix, StringComparison.Ordinal) is >= 0 and var at && Guid.TryParseExact(name[(at + SnapshotSuffix.Length)..], "n", out var id) ? new SnapshotId(id) : null;

    /// <summary>The name of a network of this lab, <c>lp-INSTALLATION-ID-gN.NAME</c>.</summary>
    public string NetworkName(string network) => $"{ResourceName}.{network}";

    /// <summary>What the names of all resources of one installation begin with, ending in a dash.</summary>
    public static string InstallationPrefix(InstallationId installation)
    {
        // A UUIDv7 begins with the time; its random end is what tells two installations apart.
        var digits = installation.Value.ToString("n");
        return $"lp-{digits[^12..]}-";
    }

    /// <summary>Reads a name (with or without a suffix that begins with a dot) of this installation; false for everybody else's.</summary>
    public static bool TryReadName(InstallationId installation, string name, [NotNullWhen(true)] out OwnedName? owned)
    {
        owned = null;
        var prefix = InstallationPrefix(installation);
        if (!name.StartsWith(prefix, StringComparison.Ordinal)) return false;
        var rest = name.AsSpan(prefix.Length);
        var dot = rest.IndexOf('.');
        var suffix = dot < 0 ? "" : rest[dot..].ToString();
        if (dot >= 0) rest = rest[..dot];
        if (rest.Length < 35 || rest[32] != '-' || rest[33] != 'g') return false;

        // Only as we write them: capitals or a leading zero would read as a machine whose name is another.
        if (rest[..32].ContainsAnyInRange('A', 'F') || (rest[34] == '0' && rest.Length > 35)) return false;
        if (!Guid.TryParseExact(rest[..32], "n", out var id)) return false;
        if (!int.TryParse(rest[34..], NumberStyles.None, CultureInfo.InvariantCulture, out var generation)) return false;
        owned = new OwnedName(id, generation, suffix);
        return true;
    }

    /// <summary>A UUID that follows from the owner alone (name-based with SHA-256, RFC 9562 UUIDv8).</summary>
    public Guid DerivedUuid(string purpose)
    {
        Span<byte> bytes = Hash(purpose).AsSpan(0, 16);
        bytes[6] = (byte)((bytes[6] & 0x0f) | 0x80);
        bytes[8] = (byte)((bytes[8] & 0x3f) | 0x80);
        return new Guid(bytes, bigEndian: true);
    }

    /// <summary>A MAC address that follows from the owner and the card's number: locally administered and unicast (IEEE 802), 40 bits of it from the owner.</summary>
    public string DerivedMac(int card)
    {
        var hash = Hash(string.Create(CultureInfo.InvariantCulture, $"mac{card}"));
        return $"52:{hash[0]:x2}:{hash[1]:x2}:{hash[2]:x2}:{hash[3]:x2}:{hash[4]:x2}";
    }

    private byte[] Hash(string purpose) => SHA256.HashData(Encoding.UTF8.GetBytes($"{ResourceName}/{purpose}"));
}

/// <summary>What a resource's name says: the machine's (or lab's) id, its generation, and what stands behind it (<c>.qcow2</c>, <c>.seed</c>).</summary>
public sealed record OwnedName(Guid Id, int Generation, string Suffix);
