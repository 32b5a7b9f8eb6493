using System.Text.Json.Nodes;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.HyperV;

/// <summary>Virtual machines of Windows Server's Hyper-V, on one or more hosts that are reached by SSH.</summary>
public sealed class HyperVKind : IProviderKind
{
    public string Name => "hyper-v";

    public SettingsSchema Settings => HyperVSettings.Schema;

    /// <summary><c>vhdx</c>: the file of the golden image, below the pool's folder of images.</summary>
    public IReadOnlyList<string> ImageKeys => ["vhdx"];

    public IProvider Open(PoolContext pool) => new HyperVProvider(pool, HyperVSettings.Read(pool.Settings));
}
