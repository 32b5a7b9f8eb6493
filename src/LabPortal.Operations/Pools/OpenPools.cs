using System.Collections.Concurrent;
using LabPortal.Data;
using LabPortal.Data.Pools;
using LabPortal.Domain;
using LabPortal.Domain.Pools;

namespace LabPortal.Operations.Pools;

/// <summary>The pools' providers, opened once for each version of a pool's settings and shared by all turns of this process.</summary>
public sealed class OpenPools(Database database, IReadOnlyList<IProviderKind> kinds, PortalIdentity portal, TimeProvider time, ISecretSource? secrets = null) : IAsyncDisposable
{
    /// <summary>
    /// Longer than any call to a provider may take but an import: that one ends with the provider that it was begun with, and whoever asks
    /// further opens the pool again.
    /// </summary>
    private static readonly TimeSpan s_lastCallsAreOver = TimeSpan.FromMinutes(3);

    private readonly PoolSecrets _secrets = new(secrets);
    private readonly SemaphoreSlim _gate = new(1, 1);
    private readonly CancellationTokenSource _closing = new();
    private readonly ConcurrentDictionary<PoolId, Opened> _opened = new();
    private readonly ConcurrentDictionary<Opened, Task> _replaced = new();

    /// <summary>The pool as it is now, with its provider. A pool whose secret or kind is missing is a <see cref="ProviderFault"/>.</summary>
    public async Task<OpenPool> OpenAsync(PoolId id, CancellationToken cancellation)
    {
        var pool = await FindAsync(id, cancellation);
        return _opened.TryGetValue(id, out var opened) && opened.Version == pool.Version ? opened.As(pool) : await ReplaceAsync(pool, cancellation);
    }

    /// <summary>The same, with the secrets read again: a renewed password opens the pool anew.</summary>
    internal async Task<OpenPool> OpenWithFreshSecretsAsync(PoolId id, CancellationToken cancellation) => await ReplaceAsync(await FindAsync(id, cancellation), cancellation);

    private async Task<Pool> FindAsync(PoolId id, CancellationToken cancellation)
        => await database.ReadAsync(session => PoolStore.FindAsync(session, id), cancellation)
            ?? throw new ProviderFault(FaultKind.Broken, "The pool is no longer in the catalogue.");

    private async Task<OpenPool> ReplaceAsync(Pool pool, CancellationToken cancellation)
    {
        var kind = kinds.FirstOrDefault(kind => kind.Name == pool.Provider)
            ?? throw new ProviderFault(FaultKind.Broken, $"Pool \"{pool.Name}\" is of the kind \"{pool.Provider}\", which this build does not have.");
        var settings = await _secrets.ResolveAsync(pool, kind.Settings, cancellation);
        var text = settings.ToJsonString();
        await _gate.WaitAsync(cancellation);
        try
        {
            ObjectDisposedException.ThrowIf(_closing.IsCancellationRequested, this);
            if (_opened.TryGetValue(pool.Id, out var opened))
            {
                // A reader of an older row must not bring its settings back.
                if (opened.Version > pool.Version || (opened.Version == pool.Version && opened.Settings == text)) return opened.As(pool);
            }

            if (kind.Settings.Validate(settings) is { Count: > 0 } errors)
                throw new ProviderFault(FaultKind.Rejected, $"The settings of pool \"{pool.Name}\" are wrong: {string.Join(", ", errors.Select(error => $"{error.Field} ({error.Code})"))}.");
            var provider = kind.Open(new PoolContext(portal.Installation, pool.Name, settings, portal.DataFolder, time));
            if (opened is not null) _replaced[opened] = CloseLaterAsync(opened);
            opened = _opened[pool.Id] = new Opened(pool.Version, text, kind.Settings, provider, new Observations(provider, time));
            return opened.As(pool);
        }
        finally
        {
            _gate.Release();
        }
    }

    private async Task CloseLaterAsync(Opened opened)
    {
        await Task.Delay(s_lastCallsAreOver, time, _closing.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await opened.Provider.DisposeAsync();
        _replaced.TryRemove(opened, out _);
    }

    public async ValueTask DisposeAsync()
    {
        await _gate.WaitAsync();
        if (_closing.IsCancellationRequested)
        {
            _gate.Release();
            return;
        }

        await _closing.CancelAsync();
        _gate.Release();
        await Task.WhenAll(_replaced.Values);
        foreach (var opened in _opened.Values) await opened.Provider.DisposeAsync();
        _opened.Clear();
    }

    private sealed record Opened(int Version, string Settings, SettingsSchema Schema, IProvider Provider, Observations Observations)
    {
        // What its settings leave out is what their schema says, for whoever reads them here too.
        public OpenPool As(Pool pool) => new(pool with { Settings = Schema.WithDefaults(pool.Settings) }, Provider, Observations);

        // Settings hold secrets.
        public override string ToString() => $"pool version {Version}";

        public bool Equals(Opened? other) => ReferenceEquals(this, other);

        public override int GetHashCode() => System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(this);
    }
}

public sealed record OpenPool(Pool Pool, IProvider Provider, Observations Observations);
