using System.Text.Json.Nodes;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Azure;

/// <summary>A size of virtual machine that the pool may use, and how large it is.</summary>
internal sealed record VirtualMachineSize(string Size, int Cpu, int MemoryMiB);

internal sealed record AzureSettings
{
    public required string Subscription { get; init; }
    public required string Location { get; init; }
    public required string ResourceGroup { get; init; }
    public required string Subnet { get; init; }
    public required string SecurityGroup { get; init; }
    public required IReadOnlyList<VirtualMachineSize> Sizes { get; init; }
    public required string Credential { get; init; }
    public required string TenantId { get; init; }
    public required string ClientId { get; init; }
    public required string ClientSecret { get; init; }
    public required string CertificateFile { get; init; }
    public required string Endpoint { get; init; }
    public required string Audience { get; init; }
    public required string AuthorityHost { get; init; }
    public required bool Spot { get; init; }
    public required string DiskType { get; init; }
    public required string Zone { get; init; }
    public required string Security { get; init; }
    public required bool PublicAddress { get; init; }
    public required TimeSpan CallDeadline { get; init; }

    public static readonly SettingsSchema Schema = new(
    [
        new Setting("subscription", SettingKind.Text, "Subscription", "The subscription's id.", Required: true, IsName: true),
        new Setting("location", SettingKind.Text, "Location", "Where machines are made, as Azure calls it.", Required: true, IsName: true),
        new Setting("subnet", SettingKind.Text, "Subnet", "The resource id of the subnet that machines are joined to.", Required: true),
        new Setting("securityGroup", SettingKind.Text, "Network security group", "The resource id of the group that each card gets; empty for that of the subnet.", Default: "", IsRare: true),
        new Setting("resourceGroup", SettingKind.Text, "Resource group", "An existing group that all machines are made in; empty: each lab has one of its own, which goes with its last machine.", Default: "", IsRare: true),
        new Setting("sizes", SettingKind.List, "Sizes", "The first that is large enough is taken; where Azure has no room for it, the next that is.", Min: 1, Max: 100,
            Default: new JsonArray([.. new[] { ("Standard_B1s", 1, 1024), ("Standard_B1ms", 1, 2048), ("Standard_B2s", 2, 4096), ("Standard_D2s_v5", 2, 8192), ("Standard_D4s_v5", 4, 16384), ("Standard_D8s_v5", 8, 32768), ("Standard_D16s_v5", 16, 65536) }
                .Select(size => new JsonObject { ["size"] = size.Item1, ["cpu"] = size.Item2, ["memoryMiB"] = size.Item3 })]),
            Items:
            [
                new Setting("size", SettingKind.Text, "Size", "What Azure calls it.", Required: true, IsName: true),
                new Setting("cpu", SettingKind.Integer, "vCPU", "How many it has.", Required: true, Min: 1, Max: 1024),
                new Setting("memoryMiB", SettingKind.Integer, "Memory", "How much it has.", Required: true, Min: 1, Max: 33_554_432, Unit: "MiB"),
            ], IsRare: true),
        new Setting("credential", SettingKind.Text, "Credential", "default: what Azure.Identity finds in the portal's surroundings; or one way alone.", Default: "default",
            OneOf: ["default", "managed-identity", "workload-identity", "client-secret", "client-certificate", "developer"]),
        new Setting("tenantId", SettingKind.Text, "Tenant", "The directory's id, for a client secret or certificate.", Default: ""),
        new Setting("clientId", SettingKind.Text, "Client", "The application's or the managed identity's client id.", Default: ""),
        new Setting("clientSecret", SettingKind.Secret, "Client secret", "The application's secret."),
        new Setting("certificateFile", SettingKind.Text, "Certificate", "A file on the portal's machine with the application's certificate and key (PEM or PKCS#12).", Default: ""),
        new Setting("endpoint", SettingKind.Text, "Endpoint", "The Resource Manager of a sovereign or private cloud; empty for Azure's.", Default: "", IsRare: true),
        new Setting("audience", SettingKind.Text, "Audience", "What tokens for that endpoint are asked for; empty for the endpoint itself.", Default: "", IsRare: true),
        new Setting("authorityHost", SettingKind.Text, "Authority", "Where that cloud signs in; empty for Microsoft Entra.", Default: "", IsRare: true),
        new Setting("spot", SettingKind.Boolean, "Spot", "Spot machines: cheaper, and stopped when Azure needs the room.", Default: false, IsRare: true),
        new Setting("diskType", SettingKind.Text, "Disk type", "The kind of managed disk.", Default: "StandardSSD_LRS", OneOf: ["Standard_LRS", "StandardSSD_LRS", "StandardSSD_ZRS", "Premium_LRS", "Premium_ZRS"], IsRare: true),
        new Setting("zone", SettingKind.Text, "Zone", "The availability zone; empty for none.", Default: "", IsRare: true),
        new Setting("security", SettingKind.Text, "Security", "trusted-launch: secure boot and a virtual TPM; confidential: a confidential machine; standard: neither. The image must be made for it.", Default: "standard",
            OneOf: ["standard", "trusted-launch", "confidential"], IsRare: true),
        new Setting("publicAddress", SettingKind.Boolean, "Public address", "Gives each machine a public address, which goes with it.", Default: false, IsRare: true),
        CommonSettings.Reach,
        new Setting("callSeconds", SettingKind.Integer, "Deadline of a call", "After so many seconds a call that Azure does not answer is given up and tried again later.", Default: 30, Min: 2, Max: 600, Unit: "s", IsRare: true),
    ]);

    public static AzureSettings Read(JsonObject value)
    {
        var filled = Schema.WithDefaults(value);
        return new AzureSettings
        {
            Subscription = filled.Text("subscription"),
            Location = filled.Text("location"),
            ResourceGroup = filled.Text("resourceGroup"),
            Subnet = filled.Text("subnet"),
            SecurityGroup = filled.Text("securityGroup"),
            Sizes = filled.List("sizes", item => new VirtualMachineSize(item.Text("size"), item.Number("cpu"), item.Number("memoryMiB"))),
            Credential = filled.Text("credential"),
            TenantId = filled.Text("tenantId"),
            ClientId = filled.Text("clientId"),
            ClientSecret = filled.Text("clientSecret"),
            CertificateFile = filled.Text("certificateFile"),
            Endpoint = filled.Text("endpoint"),
            Audience = filled.Text("audience"),
            AuthorityHost = filled.Text("authorityHost"),
            Spot = filled.Flag("spot"),
            DiskType = filled.Text("diskType"),
            Zone = filled.Text("zone"),
            Security = filled.Text("security"),
            PublicAddress = filled.Flag("publicAddress"),
            CallDeadline = filled.Seconds("callSeconds"),
        };
    }

    // Holds a secret.
    public override string ToString() => $"Azure in {Location}";
}
