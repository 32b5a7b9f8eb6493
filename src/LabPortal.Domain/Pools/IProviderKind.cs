using System.Text.Json.Nodes;

namespace LabPortal.Domain.Pools;

/// <summary>A kind of provider, registered once; it opens one <see cref="IProvider"/> for each pool.</summary>
public interface IProviderKind
{
    /// <summary>The word in YAML, API and pages: <c>libvirt</c>, <c>simulated</c>, …</summary>
    string Name { get; }

    /// <summary>What a pool of this kind can be told; forms and validation come from it.</summary>
    SettingsSchema Settings { get; }

    /// <summary>Which keys an image's binding for this kind needs (<c>volume</c>).</summary>
    IReadOnlyList<string> ImageKeys { get; }

    /// <summary>Which keys it may have besides. <c>digest</c> (<c>sha256:…</c> of the file) is understood by every kind that takes imports.</summary>
    IReadOnlyList<string> OptionalImageKeys => [];

    /// <summary>
    /// Whose calls the provider counts together, where several pools may share that: a word that two pools have in common only then (a subscription's id, an
    /// account's key id). Never a secret. Empty where each pool stands for itself.
    /// </summary>
    string? AccountOf(JsonObject settings) => null;

    /// <summary>Opens a pool whose settings passed <see cref="SettingsSchema.Validate"/>. Connects lazily: never fails for a pool that is away.</summary>
    IProvider Open(PoolContext pool);
}

/// <summary>
/// What a provider is told of its pool. <paramref name="Settings"/> has passed the schema, secrets resolved to their text.
/// <paramref name="DataFolder"/> is a folder of the portal in which providers may keep known-hosts files, sockets and the like.
/// </summary>
public sealed record PoolContext(InstallationId Installation, string PoolName, JsonObject Settings, string DataFolder, TimeProvider Time)
{
    public override string ToString() => $"pool {PoolName}";
}
