using System.Text.Json.Nodes;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

/// <summary>One hypervisor: what the pool calls it, where its libvirtd is, and which storage pool and network of it are ours to use.</summary>
internal sealed record LibvirtHostSettings(string Name, string Uri, string StoragePool, string Network);

internal sealed record LibvirtSettings(IReadOnlyList<LibvirtHostSettings> Hosts, string Acceleration, TimeSpan CallDeadline, int WarmStates)
{
    public static readonly SettingsSchema Schema = new(
    [
        new Setting("hosts", SettingKind.List, "Hosts", "The hypervisors of this pool.", Required: true, Min: 1, Max: 200, Items:
        [
            new Setting("name", SettingKind.Text, "Name", "What this pool calls the host; machines remember it.", Required: true, IsName: true),
            new Setting("uri", SettingKind.Text, "URI", "Where its libvirtd is: qemu:///system, qemu+ssh://user@host/system?keyfile=…, qemu+tls://host/system.", Required: true),
            new Setting("pool", SettingKind.Text, "Storage pool", "Its storage pool, where it is not the one below."),
            new Setting("network", SettingKind.Text, "Network", "Its network, where it is not the one below."),
        ]),
        new Setting("storagePool", SettingKind.Text, "Storage pool", "The storage pool (a folder of files) for images, disks, seeds and logs.", Default: "default"),
        new Setting("network", SettingKind.Text, "Network", "The libvirt network that machines are joined to.", Default: "default"),
        CommonSettings.Reach,
        new Setting("acceleration", SettingKind.Text, "Acceleration", "auto: KVM where a probe shows that guests really run with it; kvm or emulated: always so, without asking.",
            Default: Libvirt.Acceleration.Auto, OneOf: [Libvirt.Acceleration.Auto, Libvirt.Acceleration.Kvm, Libvirt.Acceleration.Emulated]),
        new Setting("callSeconds", SettingKind.Integer, "Deadline of a call", "After so many seconds a call that a host does not answer is given up and tried again later.",
            Default: 30, Min: 2, Max: 600, Unit: "s"),
        new Setting("warmStates", SettingKind.Integer, "Warm states", "So many saved memories a host keeps, from which machines are started warm where their blueprint says so; each takes at the most as much disk as such a machine has memory. 0: every machine boots.",
            Default: 4, Min: 0, Max: 100),
    ]);

    public static LibvirtSettings Read(JsonObject value)
    {
        var filled = Schema.WithDefaults(value);
        return new LibvirtSettings(
            filled.List("hosts", host => new LibvirtHostSettings(host.Text("name"), host.Text("uri"), Own(host, "pool") ?? filled.Text("storagePool"), Own(host, "network") ?? filled.Text("network"))),
            filled.Text("acceleration"), filled.Seconds("callSeconds"), filled.Number("warmStates"));

        static string? Own(JsonObject host, string name) => host[name]?.GetValue<string>();
    }
}
