using System.Text.Json.Nodes;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Aws;

/// <summary>A type of instance that the pool may use, and how large it is.</summary>
internal sealed record InstanceSize(string Type, int Cpu, int MemoryMiB);

internal sealed record AwsSettings
{
    public required string Region { get; init; }
    public required string ServiceUrl { get; init; }
    public required string AccessKeyId { get; init; }
    public required string SecretAccessKey { get; init; }
    public required string RoleArn { get; init; }
    public required string ExternalId { get; init; }
    public required IReadOnlyList<string> Subnets { get; init; }
    public required IReadOnlyList<string> SecurityGroups { get; init; }
    public required bool LabGroups { get; init; }
    public required IReadOnlyList<string> ReachedFrom { get; init; }
    public required IReadOnlyList<InstanceSize> InstanceTypes { get; init; }
    public required bool Spot { get; init; }
    public required string VolumeType { get; init; }
    public required string KmsKey { get; init; }
    public required bool PublicAddress { get; init; }

    /// <summary>The portal opens connections to machines.</summary>
    public required bool Reaches { get; init; }
    public required TimeSpan CallDeadline { get; init; }

    public static readonly SettingsSchema Schema = new(
    [
        new Setting("region", SettingKind.Text, "Region", "The region that machines are made in, as AWS calls it.", Required: true, IsName: true),
        new Setting("subnets", SettingKind.List, "Subnets", "Where machines are joined to; where one's zone has no room, the next is tried.", Required: true, Min: 1, Max: 50, Items:
        [
            new Setting("id", SettingKind.Text, "Id", "The subnet's id, subnet-….", Required: true, IsName: true),
        ]),
        new Setting("securityGroups", SettingKind.List, "Security groups", "What may reach machines, beside the group of their lab. Without any and without that it is the VPC's default group.", Min: 0, Max: 16, Items:
        [
            new Setting("id", SettingKind.Text, "Id", "The group's id, sg-….", Required: true, IsName: true),
        ]),
        new Setting("labGroups", SettingKind.Boolean, "A group for each lab", "Each lab has a security group of its own, which goes with its last machine: its machines reach each other, and those named next reach them.", Default: true),
        new Setting("reachedFrom", SettingKind.List, "Reached from", "Networks from which the lab's group lets SSH in: that of the portal, at least.", Min: 0, Max: 50, Items:
        [
            new Setting("network", SettingKind.Text, "Network", "Like 10.0.0.0/8 or fd00::/8.", Required: true),
        ]),
        new Setting("instanceTypes", SettingKind.List, "Instance types", "The first that is large enough is taken; where AWS has no room for it, the next that is.", Min: 1, Max: 100,
            Default: new JsonArray([.. new[] { ("t3.micro", 2, 1024), ("t3.small", 2, 2048), ("t3.medium", 2, 4096), ("t3.large", 2, 8192), ("m6i.large", 2, 8192), ("t3.xlarge", 4, 16384), ("m6i.xlarge", 4, 16384), ("m6i.2xlarge", 8, 32768), ("m6i.4xlarge", 16, 65536) }
                .Select(size => new JsonObject { ["type"] = size.Item1, ["cpu"] = size.Item2, ["memoryMiB"] = size.Item3 })]),
            Items:
            [
                new Setting("type", SettingKind.Text, "Type", "What AWS calls it.", Required: true, IsName: true),
                new Setting("cpu", SettingKind.Integer, "vCPU", "How many it has.", Required: true, Min: 1, Max: 1024),
                new Setting("memoryMiB", SettingKind.Integer, "Memory", "How much it has.", Required: true, Min: 1, Max: 33_554_432, Unit: "MiB"),
            ], IsRare: true),
        new Setting("accessKeyId", SettingKind.Text, "Access key id", "Empty: the credentials of the portal's surroundings are used (variables, profile, the role of its machine).", Default: ""),
        new Setting("secretAccessKey", SettingKind.Secret, "Secret access key", "The other half of the access key."),
        new Setting("roleArn", SettingKind.Text, "Role", "The ARN of a role that is assumed with those credentials; empty for none.", Default: "", IsRare: true),
        new Setting("externalId", SettingKind.Text, "External id", "What the role asks for, where it does.", Default: "", IsRare: true),
        new Setting("serviceUrl", SettingKind.Text, "Service URL", "The endpoint of a cloud that speaks EC2's API; empty for AWS.", Default: "", IsRare: true),
        new Setting("spot", SettingKind.Boolean, "Spot", "Spot instances: cheaper, may be taken away at any time, and cannot be stopped.", Default: false, IsRare: true),
        new Setting("volumeType", SettingKind.Text, "Volume type", "The kind of EBS volume that disks are.", Default: "gp3", OneOf: ["gp3", "gp2", "io1", "io2", "st1", "sc1", "standard"], IsRare: true),
        new Setting("kmsKey", SettingKind.Text, "KMS key", "The key that disks are encrypted with; empty for the account's own. They are always encrypted.", Default: "", IsRare: true),
        new Setting("publicAddress", SettingKind.Boolean, "Public address", "Gives each machine a public address, which goes with it.", Default: false, IsRare: true),
        CommonSettings.Reach,
        new Setting("callSeconds", SettingKind.Integer, "Deadline of a call", "After so many seconds a call that AWS does not answer is given up and tried again later.", Default: 30, Min: 2, Max: 600, Unit: "s", IsRare: true),
    ]);

    public static AwsSettings Read(JsonObject value)
    {
        var filled = Schema.WithDefaults(value);
        return new AwsSettings
        {
            Region = filled.Text("region"),
            ServiceUrl = filled.Text("serviceUrl"),
            AccessKeyId = filled.Text("accessKeyId"),
            SecretAccessKey = filled.Text("secretAccessKey"),
            RoleArn = filled.Text("roleArn"),
            ExternalId = filled.Text("externalId"),
            Subnets = filled.List("subnets", item => item.Text("id")),
            SecurityGroups = filled.List("securityGroups", item => item.Text("id")),
            LabGroups = filled.Flag("labGroups"),
            ReachedFrom = filled.List("reachedFrom", item => item.Text("network")),
            InstanceTypes = filled.List("instanceTypes", item => new InstanceSize(item.Text("type"), item.Number("cpu"), item.Number("memoryMiB"))),
            Spot = filled.Flag("spot"),
            VolumeType = filled.Text("volumeType"),
            KmsKey = filled.Text("kmsKey"),
            PublicAddress = filled.Flag("publicAddress"),
            Reaches = filled.Text("reach") == "direct",
            CallDeadline = filled.Seconds("callSeconds"),
        };
    }

    // Holds a secret.
    public override string ToString() => $"AWS in {Region}";
}

/// <summary>How long EC2's reads may lag behind its writes ("eventual consistency" in the EC2 API reference), and how often a long change is looked at.</summary>
internal sealed record AwsTimes(TimeSpan Settling, TimeSpan Look)
{
    public static readonly AwsTimes Real = new(TimeSpan.FromSeconds(30), TimeSpan.FromSeconds(2));
}
