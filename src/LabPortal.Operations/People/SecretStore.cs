using System.Security.Cryptography;
using LabPortal.Data;
using LabPortal.Data.People;
using LabPortal.Operations.Pools;
using Microsoft.AspNetCore.DataProtection;
using NodaTime;
using Secret = LabPortal.Domain.Pools.Secret;

namespace LabPortal.Operations.People;

/// <summary>
/// The one place for secrets: in the database only in protected form, the keys outside of it. A secret is bound to its name, so a row
/// that somebody moves to another name does not open.
/// </summary>
public sealed class SecretStore(IDataProtectionProvider protection, Database database) : ISecretSource
{
    public Task SaveAsync(Session session, string name, string text, Instant now) => ProtectedTextStore.SaveAsync(session, name, Of(name).Protect(text), now);

    public async Task<Secret?> FindAsync(string name, CancellationToken cancellation)
        => await database.ReadAsync(session => ProtectedTextStore.FindAsync(session, name), cancellation) is { } text ? Open(name, text) : null;

    /// <summary>The same inside a session of the caller's.</summary>
    public async Task<Secret?> FindAsync(Session session, string name)
        => await ProtectedTextStore.FindAsync(session, name) is { } text ? Open(name, text) : null;

    public static Task DeleteAsync(Session session, string name) => ProtectedTextStore.DeleteAsync(session, name);

    /// <summary>All whose names begin so.</summary>
    public static Task DeleteAllAsync(Session session, string prefix) => ProtectedTextStore.DeleteAllAsync(session, prefix);

    private Secret Open(string name, string text)
    {
        try
        {
            return new Secret(Of(name).Unprotect(text));
        }
        catch (CryptographicException fault)
        {
            throw new InvalidOperationException($"The secret \"{name}\" does not open: its key is not in the keys folder. Bring the folder back, or set the secret anew.", fault);
        }
    }

    private IDataProtector Of(string name) => protection.CreateProtector("LabPortal.Secrets", name);
}
