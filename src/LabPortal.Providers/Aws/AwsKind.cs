using System.Text.Json.Nodes;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Aws;

/// <summary>Instances of Amazon EC2, or of a cloud that speaks its API.</summary>
public sealed class AwsKind : IProviderKind
{
    public string Name => "aws";

    public SettingsSchema Settings => AwsSettings.Schema;

    /// <summary><c>ami</c>: the id of an image (<c>ami-…</c>), or the pattern of a name, of which the newest is taken.</summary>
    public IReadOnlyList<string> ImageKeys => ["ami"];

    /// <summary><c>owner</c>: whose images a pattern is looked for among: an account's number, <c>self</c>, <c>amazon</c>.</summary>
    public IReadOnlyList<string> OptionalImageKeys => ["owner"];

    /// <summary>EC2 counts calls per account and region. Which account it is, only the credentials say: an access key's id, or the role.</summary>
    public string? AccountOf(JsonObject settings)
    {
        var (region, key, role) = (settings["region"]?.ToString(), settings["accessKeyId"]?.ToString() ?? "", settings["roleArn"]?.ToString() ?? "");
        return $"aws/{region}/{(role.Length > 0 ? role : key)}";
    }

    public IProvider Open(PoolContext pool) => new AwsProvider(pool, AwsSettings.Read(pool.Settings), AwsTimes.Real);
}
