using System.Buffers.Binary;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using LabPortal.Domain.Machines;

namespace LabPortal.Providers.Simulated;

internal static class Addresses
{
    /// <summary>An address in 10.0.0.0/8 that follows from seed and owner; the last part is never 0 or 255.</summary>
    public static IPAddress Of(long seed, Owner owner, int attempt)
    {
        var hash = SHA256.HashData(Encoding.ASCII.GetBytes(string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{seed}/{owner.ResourceName}/{attempt}")));
        return new IPAddress([10, hash[0], hash[1], (byte)(1 + (BinaryPrimitives.ReadUInt16BigEndian(hash.AsSpan(2)) % 254))]);
    }
}
