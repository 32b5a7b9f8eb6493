using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using LabPortal.Domain;

namespace LabPortal.Operations.People;

/// <summary>
/// A public key in OpenSSH's one-line form (<c>type base64 comment</c>; sshd(8), AUTHORIZED_KEYS FILE FORMAT, without options).
/// The blob is RFC 4253 6.6 for RSA, RFC 5656 3.1 for ECDSA, RFC 8709 4 for Ed25519. The comment is data and goes nowhere near a guest.
/// </summary>
internal sealed record SshPublicKey(string Type, string Text, string Fingerprint, string Comment)
{
    private const int Longest = 16 * 1024;
    private const int FewestRsaBits = 2048;
    private const int MostRsaBits = 16384;

    private static readonly Dictionary<string, (string Name, ECCurve Curve, int Bytes)> s_curves = new(StringComparer.Ordinal)
    {
        ["ecdsa-sha2-nistp256"] = ("nistp256", ECCurve.NamedCurves.nistP256, 32),
        ["ecdsa-sha2-nistp384"] = ("nistp384", ECCurve.NamedCurves.nistP384, 48),
        ["ecdsa-sha2-nistp521"] = ("nistp521", ECCurve.NamedCurves.nistP521, 66),
    };

    public static Outcome<SshPublicKey> Read(string field, string line)
    {
        line = line.Trim();
        if (line.Length > Longest) return Refusal.Invalid(field, "key.too-long");
        if (line.StartsWith("-----", StringComparison.Ordinal)) return Refusal.Invalid(field, "key.not-public");
        if (line.Any(char.IsControl)) return Refusal.Invalid(field, "key.one-line");
        var parts = line.Split(' ', 3, StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        if (parts.Length < 2) return Refusal.Invalid(field, "key.form");
        var (type, base64, comment) = (parts[0], parts[1], parts.Length > 2 ? parts[2] : "");
        if (type is not ("ssh-ed25519" or "ssh-rsa") && !s_curves.ContainsKey(type))
            return Refusal.Invalid(field, "key.type", ("type", type), ("known", string.Join(", ", s_curves.Keys.Order(StringComparer.Ordinal).Prepend("ssh-ed25519").Append("ssh-rsa"))));
        var blob = new byte[base64.Length];
        // Strict: what a lenient decoder passes over would make a second text of the same key.
        if (!Convert.TryFromBase64String(base64, blob, out var length) || Convert.ToBase64String(blob, 0, length) != base64) return Refusal.Invalid(field, "key.base64");
        blob = blob[..length];
        var reader = new Reader(blob);
        if (!reader.TryString(out var inside) || Encoding.ASCII.GetString(inside) != type) return Refusal.Invalid(field, "key.type-inside", ("type", type));
        var mistake = type switch
        {
            "ssh-ed25519" => reader.TryString(out var point) && point.Length == 32 && reader.AtEnd ? null : "key.broken",
            "ssh-rsa" => CheckRsa(ref reader),
            _ => CheckCurve(ref reader, s_curves[type]),
        };
        if (mistake is not null) return Refusal.Invalid(field, mistake, ("min", FewestRsaBits), ("max", MostRsaBits));
        var fingerprint = "SHA256:" + Convert.ToBase64String(SHA256.HashData(blob)).TrimEnd('=');
        return new SshPublicKey(type, $"{type} {base64}", fingerprint, comment);
    }

    private static string? CheckRsa(ref Reader reader)
    {
        if (!reader.TryMpint(out var exponent) || !reader.TryMpint(out var modulus) || !reader.AtEnd) return "key.broken";
        if ((exponent[^1] & 1) == 0 || (modulus[^1] & 1) == 0 || (exponent.Length == 1 && exponent[0] < 3)) return "key.broken";
        var bits = (modulus.Length * 8) - System.Numerics.BitOperations.LeadingZeroCount(modulus[0]) + 24;
        return bits is < FewestRsaBits or > MostRsaBits ? "key.rsa-size" : null;
    }

    private static string? CheckCurve(ref Reader reader, (string Name, ECCurve Curve, int Bytes) curve)
    {
        if (!reader.TryString(out var name) || Encoding.ASCII.GetString(name) != curve.Name) return "key.broken";
        if (!reader.TryString(out var point) || !reader.AtEnd || point.Length != 1 + (2 * curve.Bytes) || point[0] != 4) return "key.broken";
        try
        {
            // The import fails for a point that is not on the curve.
            using var key = ECDsa.Create(new ECParameters
            {
                Curve = curve.Curve,
                Q = new ECPoint { X = point[1..(1 + curve.Bytes)].ToArray(), Y = point[(1 + curve.Bytes)..].ToArray() },
            });
            return null;
        }
        catch (CryptographicException)
        {
            return "key.broken";
        }
    }

    /// <summary>RFC 4251, 5: <c>string</c> and <c>mpint</c>.</summary>
    private ref struct Reader(ReadOnlySpan<byte> rest)
    {
        private ReadOnlySpan<byte> _rest = rest;

        public readonly bool AtEnd => _rest.IsEmpty;

        public bool TryString(out ReadOnlySpan<byte> value)
        {
            value = default;
            if (_rest.Length < 4) return false;
            var length = BinaryPrimitives.ReadUInt32BigEndian(_rest);
            if (length > _rest.Length - 4) return false;
            value = _rest.Slice(4, (int)length);
            _rest = _rest[(4 + (int)length)..];
            return true;
        }

        /// <summary>A positive number in its shortest form, without the sign byte.</summary>
        public bool TryMpint(out ReadOnlySpan<byte> value)
        {
            if (!TryString(out value) || value.IsEmpty || value[0] >= 0x80) return false;
            if (value[0] != 0) return true;
            if (value.Length < 2 || value[1] < 0x80) return false;
            value = value[1..];
            return true;
        }
    }
}
