using System.Security.Cryptography;
using System.Text;
using Azure.Core;
using Azure.ResourceManager.Compute;
using Azure.ResourceManager.Compute.Models;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Azure;

/// <summary>The larger requests, written out. Pure.</summary>
internal static class AzureRequests
{
    /// <summary>Machine, disk and card in one; disk, card and address go with the machine.</summary>
    public static VirtualMachineData Machine(MachineSpec machine, AzureSettings settings, string size)
    {
        var name = machine.Owner.ResourceName;
        var data = new VirtualMachineData(new AzureLocation(settings.Location))
        {
            HardwareProfile = new VirtualMachineHardwareProfile { VmSize = new VirtualMachineSizeType(size) },
            StorageProfile = new VirtualMachineStorageProfile
            {
                ImageReference = Image(machine.Image.Require("image")),
                OSDisk = new VirtualMachineOSDisk(DiskCreateOptionType.FromImage)
                {
                    Name = name + AzureMapping.DiskSuffix,
                    // An image is never made smaller, and Azure would refuse it: small wishes are left to the image.
                    DiskSizeGB = machine.DiskGiB >= 30 ? machine.DiskGiB : null,
                    DeleteOption = DiskDeleteOptionType.Delete,
                    ManagedDisk = new VirtualMachineManagedDisk
                    {
                        StorageAccountType = new StorageAccountType(settings.DiskType),
                        SecurityProfile = settings.Security == "confidential" ? new VirtualMachineDiskSecurityProfile { SecurityEncryptionType = SecurityEncryptionType.VmGuestStateOnly } : null,
                    },
                },
            },
            OSProfile = new VirtualMachineOSProfile
            {
                ComputerName = machine.HostName,
                AdminUsername = AzureMapping.FirstUser,
                CustomData = AzureMapping.CustomData(machine),
                LinuxConfiguration = new LinuxConfiguration { DisablePasswordAuthentication = machine.Seed.AuthorizedKeys.Count > 0 },
            },
            NetworkProfile = new VirtualMachineNetworkProfile { NetworkApiVersion = NetworkApiVersion.TwoThousandTwenty1101 },
            BootDiagnostics = new BootDiagnostics { Enabled = true },
        };
        foreach (var key in machine.Seed.AuthorizedKeys)
            data.OSProfile.LinuxConfiguration.SshPublicKeys.Add(new SshPublicKeyConfiguration { Path = $"/home/{AzureMapping.FirstUser}/.ssh/authorized_keys", KeyData = key.Trim() });
        // Without a key Azure asks for a password, with rules of its own: one that nobody knows, and that follows from the machine.
        if (machine.Seed.AuthorizedKeys.Count == 0) data.OSProfile.AdminPassword = Unknown(machine);
        data.NetworkProfile.NetworkInterfaceConfigurations.Add(Card(name, settings));
        if (settings.Zone.Length > 0) data.Zones.Add(settings.Zone);
        if (settings.Spot) (data.Priority, data.EvictionPolicy) = (VirtualMachinePriorityType.Spot, VirtualMachineEvictionPolicyType.Deallocate);
        if (settings.Security != "standard")
        {
            data.SecurityProfile = new SecurityProfile
            {
                SecurityType = settings.Security == "confidential" ? SecurityType.ConfidentialVm : SecurityType.TrustedLaunch, UefiSettings = new UefiSettings { IsSecureBootEnabled = true, IsVirtualTpmEnabled = true },
            };
        }

        foreach (var (key, value) in AzureMapping.MachineTags(machine)) data.Tags[key] = value;
        return data;
    }

    /// <summary>Incremental: it keeps, and costs, only what is another than in the one before.</summary>
    public static SnapshotData Snapshot(AzureSettings settings, string disk, IReadOnlyDictionary<string, string> tags)
    {
        var data = new SnapshotData(new AzureLocation(settings.Location)) { CreationData = new DiskCreationData(DiskCreateOption.Copy) { SourceResourceId = new ResourceIdentifier(disk) }, Incremental = true };
        foreach (var (key, value) in tags) data.Tags[key] = value;
        return data;
    }

    public static ManagedDiskData Disk(AzureSettings settings, string snapshot, IReadOnlyList<string> zones, IReadOnlyDictionary<string, string> tags)
    {
        var data = new ManagedDiskData(new AzureLocation(settings.Location))
        {
            Sku = new DiskSku { Name = new DiskStorageAccountType(settings.DiskType) }, CreationData = new DiskCreationData(DiskCreateOption.Copy) { SourceResourceId = new ResourceIdentifier(snapshot) },
        };
        foreach (var zone in zones) data.Zones.Add(zone);
        foreach (var (key, value) in tags) data.Tags[key] = value;
        return data;
    }

    public static VirtualMachinePatch Exchange(string name, string disk) => new()
    {
        StorageProfile = new VirtualMachineStorageProfile
        {
            OSDisk = new VirtualMachineOSDisk(DiskCreateOptionType.FromImage) { Name = name, ManagedDisk = new VirtualMachineManagedDisk { Id = new ResourceIdentifier(disk) }, DeleteOption = DiskDeleteOptionType.Delete },
        },
    };

    private static VirtualMachineNetworkInterfaceConfiguration Card(string name, AzureSettings settings)
    {
        var address = new VirtualMachineNetworkInterfaceIPConfiguration("first") { SubnetId = Id("subnet", settings.Subnet), Primary = true };
        if (settings.PublicAddress) address.PublicIPAddressConfiguration = new VirtualMachinePublicIPAddressConfiguration(name + AzureMapping.AddressSuffix) { DeleteOption = ComputeDeleteOption.Delete };
        var card = new VirtualMachineNetworkInterfaceConfiguration(name + AzureMapping.CardSuffix) { Primary = true, DeleteOption = ComputeDeleteOption.Delete };
        if (settings.SecurityGroup.Length > 0) card.NetworkSecurityGroupId = Id("network security group", settings.SecurityGroup);
        card.IPConfigurations.Add(address);
        return card;
    }

    /// <summary>What somebody typed, as a resource id.</summary>
    public static ResourceIdentifier Id(string what, string text)
    {
        // Parsed when it is looked into, and not before.
        if (ResourceIdentifier.TryParse(text, out var id) && id is { SubscriptionId: not null, ResourceGroupName: not null }) return id;
        throw new ProviderFault(FaultKind.Rejected, $"The {what} {text} is no resource id: it has to be like /subscriptions/ID/resourceGroups/GROUP/providers/….");
    }

    /// <summary>The same, where Azure can know such an image.</summary>
    public static string Known(string image) => image.StartsWith('/') || image.Split(':').Length == 4 ? image
        : throw new ProviderFault(FaultKind.Rejected, $"Image {image} is neither publisher:offer:sku:version nor a resource id that begins with a slash.");

    private static ImageReference Image(string image) => Known(image).Split(':') is [var publisher, var offer, var sku, var version]
        ? new ImageReference { Publisher = publisher, Offer = offer, Sku = sku, Version = version }
        : new ImageReference { Id = Id("image", image) };

    private static string Unknown(MachineSpec machine) => machine.Seed is { Password: null, HostKey: null }
        ? throw new ProviderFault(FaultKind.Rejected, "Azure needs a first user that can sign in: add an SSH key to your profile, or have the blueprint ask for a password.")
        : "aA1!" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{machine.Owner.ResourceName}/{machine.Seed.Password?.Reveal()}/{machine.Seed.HostKey?.Private.Reveal()}")))[..40];
}
