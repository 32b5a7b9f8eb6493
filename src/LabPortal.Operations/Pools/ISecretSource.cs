using LabPortal.Domain.Pools;

namespace LabPortal.Operations.Pools;

/// <summary>Where stored secrets come from: the secret store, seen from a pool that is opened.</summary>
public interface ISecretSource
{
    Task<Secret?> FindAsync(string name, CancellationToken cancellation);
}
