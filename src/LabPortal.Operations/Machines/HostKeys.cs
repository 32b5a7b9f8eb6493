using System.Security.Cryptography;
using LabPortal.Data;
using LabPortal.Data.Consoles;
using LabPortal.Data.Labs;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Operations.People;
using NodaTime;
using Org.BouncyCastle.Crypto.Parameters;
using Org.BouncyCastle.Crypto.Utilities;

namespace LabPortal.Operations.Machines;

/// <summary>
/// A machine's own SSH host key: made once for each generation and known before its first boot, so that nobody has to believe what answers first at an
/// address. The private half is in the secret store and in the seed, and deleted when the lab is over.
/// </summary>
internal static class HostKeys
{
    private const string Type = "ssh-ed25519";

    /// <summary>How the names begin under which the secret store has those of a lab.</summary>
    public static string PrefixOf(LabId lab) => $"lab/{lab}/host-key/";

    /// <summary>The same for every attempt and on every node. Empty where the lab is over: whoever is late makes none that nobody deletes.</summary>
    public static async Task<HostKey?> OfAsync(Session session, SecretStore secrets, Machine machine, Instant now)
    {
        if (await FindAsync(session, secrets, machine) is { } known) return known;
        // Whoever ends the lab holds it until the keys are deleted.
        if (await LabStore.LockAsync(session, machine.Lab) is not { } lab || lab.State.IsOver()) return null;
        if (await HostKeyStore.FindAsync(session, machine.Id, machine.Generation) is null)
        {
            var made = New();
            // Of two at once one has made it.
            if (await HostKeyStore.GiveAsync(session, machine.Id, machine.Generation, new HostKeyRow(FingerprintOf(made.Public), made.Public), now))
                await secrets.SaveAsync(session, NameOf(machine), made.Private.Reveal(), now);
        }

        return await FindAsync(session, secrets, machine) ?? throw new InvalidOperationException($"{machine.Name} has a host key in generation {machine.Generation} that nobody gave it.");
    }

    /// <summary>Empty where none was made yet.</summary>
    public static async Task<HostKey?> FindAsync(Session session, SecretStore secrets, Machine machine)
        => await HostKeyStore.FindAsync(session, machine.Id, machine.Generation) is { PublicKey: { } known } && await secrets.FindAsync(session, NameOf(machine)) is { } own ? new HostKey(own, known) : null;

    private static string NameOf(Machine machine) => $"{PrefixOf(machine.Lab)}{machine.Id}/{machine.Generation}";

    private static HostKey New()
    {
        var key = new Ed25519PrivateKeyParameters(RandomNumberGenerator.GetBytes(Ed25519PrivateKeyParameters.KeySize));
        return new HostKey(
            new Secret(PemEncoding.WriteString("OPENSSH PRIVATE KEY", OpenSshPrivateKeyUtilities.EncodePrivateKey(key)) + "\n"),
            $"{Type} {Convert.ToBase64String(OpenSshPublicKeyUtilities.EncodePublicKey(key.GeneratePublicKey()))}");
    }

    /// <summary>As <c>ssh-keygen -l</c> shows it, behind <c>SHA256:</c>.</summary>
    private static string FingerprintOf(string publicKey) => Convert.ToBase64String(SHA256.HashData(Convert.FromBase64String(publicKey[(Type.Length + 1)..]))).TrimEnd('=');
}
