using System.Buffers.Binary;
using System.Security.Cryptography;
using LabPortal.Domain;

namespace LabPortal.Operations.Consoles;

/// <summary>
/// The portal's own SSH key to the machines of one lab: made with the lab, kept in the secret store, its public half in their seeds, and deleted when the
/// lab is over. It never leaves the portal.
/// </summary>
internal static class PortalKey
{
    private const string Type = "ecdsa-sha2-nistp256";

    /// <summary>The name under which the secret store has it.</summary>
    public static string NameOf(LabId lab) => $"lab/{lab}/portal-key";

    /// <summary>A new one, as PEM (RFC 5915).</summary>
    public static string New()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        return key.ExportECPrivateKeyPem();
    }

    /// <summary>Its public half as a line of <c>authorized_keys</c>: the blob is RFC 5656, 3.1.</summary>
    public static string PublicOf(string pem)
    {
        using var key = ECDsa.Create();
        key.ImportFromPem(pem);
        var point = key.ExportParameters(includePrivateParameters: false).Q;
        byte[] blob = [.. Text(Type), .. Text(Type["ecdsa-sha2-".Length..]), .. Number(65), 4, .. point.X!, .. point.Y!];
        return $"{Type} {Convert.ToBase64String(blob)} labportal";
    }

    private static byte[] Text(string text) => [.. Number(text.Length), .. System.Text.Encoding.ASCII.GetBytes(text)];

    private static byte[] Number(int number)
    {
        var bytes = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(bytes, number);
        return bytes;
    }
}
