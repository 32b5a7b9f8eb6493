using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace LabPortal.Operations.People;

/// <summary>Texts that prove something by being known: 256 bits from the system's generator. Only their SHA-256 is stored; that is enough for a text that cannot be guessed.</summary>
internal static class SecretText
{
    public static string New() => Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));

    public static string Hash(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));

    /// <summary>Equal, found out in a time that tells nothing of either.</summary>
    public static bool Same(string a, string b)
        => CryptographicOperations.FixedTimeEquals(SHA256.HashData(Encoding.UTF8.GetBytes(a)), SHA256.HashData(Encoding.UTF8.GetBytes(b)));
}
