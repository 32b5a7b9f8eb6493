using System.Text.Json.Nodes;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.HyperV;

/// <summary>One host: what the pool calls it, where its sshd is (<see cref="Local"/>: this machine, without SSH), and by which key it proves itself.</summary>
internal sealed record HyperVHostSettings(string Name, string Address, int Port, string HostKey, string Switch)
{
    public const string LocalAddress = "local";

    public bool Local => Address == LocalAddress;
}

internal sealed record HyperVSettings
{
    public required IReadOnlyList<HyperVHostSettings> Hosts { get; init; }
    public required string User { get; init; }
    public required Secret Password { get; init; }
    public required Secret PrivateKey { get; init; }
    public required string Images { get; init; }
    public required string Folder { get; init; }
    public required int Vlan { get; init; }
    public required int Generation { get; init; }
    public required string SecureBoot { get; init; }
    public required bool Tpm { get; init; }
    public required bool Nested { get; init; }
    public required bool DynamicMemory { get; init; }
    public required TimeSpan CallDeadline { get; init; }

    private const string Off = "off";

    public static readonly SettingsSchema Schema = new(
    [
        new Setting("hosts", SettingKind.List, "Hosts", "The Hyper-V hosts of this pool.", Required: true, Min: 1, Max: 200, Items:
        [
            new Setting("name", SettingKind.Text, "Name", "What this pool calls the host; machines remember it.", Required: true, IsName: true),
            new Setting("address", SettingKind.Text, "Address", "Name or address of its SSH server; local: this machine, where the portal runs on Windows.", Required: true),
            new Setting("port", SettingKind.Integer, "Port", "The port of its SSH server, where it is not 22.", Min: 1, Max: 65535),
            new Setting("hostKey", SettingKind.Text, "Host key", "The fingerprint of its SSH server's key (SHA256:…), as \"ssh-keygen -lf\" prints it; no other is spoken to."),
            new Setting("switch", SettingKind.Text, "Switch", "Its virtual switch, where it is not the one below."),
        ]),
        new Setting("user", SettingKind.Text, "User", "Who signs in: a member of Hyper-V Administrators on each host.", Default: ""),
        new Setting("password", SettingKind.Secret, "Password", "The user's password, where no private key is given."),
        new Setting("privateKey", SettingKind.Secret, "Private key", "The user's private key, as OpenSSH writes it, without a passphrase.", HasLines: true),
        new Setting("images", SettingKind.Text, "Images", "The folder of the golden images (VHDX) on each host.", Default: @"C:\LabPortal\Images"),
        new Setting("folder", SettingKind.Text, "Machines", "The folder on each host in which each machine gets one of its own.", Default: @"C:\LabPortal\Machines"),
        new Setting("switch", SettingKind.Text, "Switch", "The virtual switch that machines are joined to.", Default: "LabPortal"),
        new Setting("vlan", SettingKind.Integer, "VLAN", "The VLAN that machines are in; 0 for none.", Default: 0, Min: 0, Max: 4094, IsRare: true),
        new Setting("generation", SettingKind.Integer, "Generation", "2 boots with UEFI, 1 with BIOS.", Default: 2, Min: 1, Max: 2, IsRare: true),
        new Setting("secureBoot", SettingKind.Text, "Secure boot", "Whose signatures a machine of generation 2 boots: most Linux, Windows, or any.", Default: "MicrosoftUEFICertificateAuthority",
            OneOf: ["MicrosoftUEFICertificateAuthority", "MicrosoftWindows", Off], IsRare: true),
        new Setting("tpm", SettingKind.Boolean, "TPM", "Gives machines of generation 2 a virtual TPM.", Default: false, IsRare: true),
        new Setting("nested", SettingKind.Boolean, "Nested virtualisation", "Lets guests run virtual machines of their own.", Default: false),
        new Setting("dynamicMemory", SettingKind.Boolean, "Dynamic memory", "A machine gets no more than it uses, down to a quarter of what was asked for.", Default: false),
        CommonSettings.Reach,
        new Setting("callSeconds", SettingKind.Integer, "Deadline of a call", "After so many seconds a call that a host does not answer is given up and tried again later.", Default: 120, Min: 2, Max: 600, Unit: "s", IsRare: true),
    ]);

    public static HyperVSettings Read(JsonObject value)
    {
        var filled = Schema.WithDefaults(value);
        return new HyperVSettings
        {
            Hosts = filled.List("hosts", host => new HyperVHostSettings(host.Text("name"), host.Text("address"), host["port"] is not null ? host.Number("port") : 22, host.Text("hostKey"),
                host.Text("switch") is { Length: > 0 } own ? own : filled.Text("switch"))),
            User = filled.Text("user"),
            Password = new Secret(filled.Text("password")),
            PrivateKey = new Secret(filled.Text("privateKey")),
            Images = filled.Text("images"),
            Folder = filled.Text("folder"),
            Vlan = filled.Number("vlan"),
            Generation = filled.Number("generation"),
            SecureBoot = filled.Text("secureBoot") is Off ? "" : filled.Text("secureBoot"),
            Tpm = filled.Flag("tpm"),
            Nested = filled.Flag("nested"),
            DynamicMemory = filled.Flag("dynamicMemory"),
            CallDeadline = filled.Seconds("callSeconds"),
        };
    }
}
