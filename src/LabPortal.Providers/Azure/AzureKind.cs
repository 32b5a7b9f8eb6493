using System.Text.Json.Nodes;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Azure;

/// <summary>Virtual machines of Microsoft Azure, or of a cloud that speaks its Resource Manager.</summary>
public sealed class AzureKind : IProviderKind
{
    public string Name => "azure";

    public SettingsSchema Settings => AzureSettings.Schema;

    /// <summary><c>image</c>: <c>publisher:offer:sku:version</c> of the marketplace, or the resource id of an image or of a gallery's image.</summary>
    public IReadOnlyList<string> ImageKeys => ["image"];

    /// <summary>Azure counts calls per subscription.</summary>
    public string? AccountOf(JsonObject settings) => $"azure/{settings["subscription"]}";

    public IProvider Open(PoolContext pool)
    {
        var settings = AzureSettings.Read(pool.Settings);
        return new AzureProvider(pool, settings, new AzureClient(settings), AzureTimes.Real);
    }
}
