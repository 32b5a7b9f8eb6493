using Amazon.EC2;
using Amazon.EC2.Model;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Aws;

/// <summary>The larger requests, written out. Pure.</summary>
internal static class AwsRequests
{
    public static RunInstancesRequest Run(MachineSpec machine, AwsSettings settings, ImageView image, string type, string subnet, string? labGroup) => new()
    {
        ClientToken = AwsMapping.ClientToken(machine.Owner, "instance"),
        ImageId = image.Id,
        InstanceType = new InstanceType(type),
        MinCount = 1,
        MaxCount = 1,
        UserData = AwsMapping.UserData(machine),
        // Version 2 of the metadata service alone: what a page of the guest may be made to fetch gets no credentials.
        MetadataOptions = new InstanceMetadataOptionsRequest { HttpTokens = HttpTokensState.Required, HttpEndpoint = InstanceMetadataEndpointState.Enabled, HttpPutResponseHopLimit = 1 },
        // A guest that shuts itself down is stopped, not gone.
        InstanceInitiatedShutdownBehavior = settings.Spot ? null : ShutdownBehavior.Stop,
        InstanceMarketOptions = settings.Spot
            ? new InstanceMarketOptionsRequest { MarketType = MarketType.Spot, SpotOptions = new SpotMarketOptions { SpotInstanceType = SpotInstanceType.OneTime, InstanceInterruptionBehavior = InstanceInterruptionBehavior.Terminate } }
            : null,
        BlockDeviceMappings =
        [
            new BlockDeviceMapping
            {
                DeviceName = image.RootDevice,
                Ebs = new EbsBlockDevice
                {
                    VolumeSize = Math.Max(machine.DiskGiB, image.GiB), VolumeType = new VolumeType(settings.VolumeType), DeleteOnTermination = true, Encrypted = true, KmsKeyId = KeyOf(settings),
                },
            },
        ],
        NetworkInterfaces =
        [
            new InstanceNetworkInterfaceSpecification
            {
                DeviceIndex = 0, SubnetId = subnet, AssociatePublicIpAddress = settings.PublicAddress, DeleteOnTermination = true, Groups = settings.SecurityGroups.Count > 0 || labGroup is not null ? [.. settings.SecurityGroups, .. labGroup is null ? Array.Empty<string>() : [labGroup]] : null,
            },
        ],
        TagSpecifications =
        [
            Tagged(ResourceType.Instance, AwsMapping.MachineTags(machine)),
            Tagged(ResourceType.Volume, AwsMapping.Tags(machine.Owner, AwsMapping.DiskSuffix)),
            Tagged(ResourceType.NetworkInterface, AwsMapping.Tags(machine.Owner, AwsMapping.CardSuffix)),
        ],
    };

    public static AuthorizeSecurityGroupIngressRequest LetIn(string group, IReadOnlyList<string> networks)
    {
        List<IpPermission> let = [new IpPermission { IpProtocol = "-1", UserIdGroupPairs = [new UserIdGroupPair { GroupId = group }] }];
        if (networks.Count > 0)
        {
            let.Add(new IpPermission
            {
                IpProtocol = "tcp", FromPort = 22, ToPort = 22,
                Ipv4Ranges = [.. networks.Where(network => !network.Contains(':')).Select(network => new IpRange { CidrIp = network })],
                Ipv6Ranges = [.. networks.Where(network => network.Contains(':')).Select(network => new Ipv6Range { CidrIpv6 = network })],
            });
        }

        return new AuthorizeSecurityGroupIngressRequest { GroupId = group, IpPermissions = let };
    }

    public static CreateVolumeRequest Volume(AwsSettings settings, string snapshot, string zone, string token, IReadOnlyDictionary<string, string> tags) => new()
    {
        ClientToken = token, SnapshotId = snapshot, AvailabilityZone = zone, VolumeType = new VolumeType(settings.VolumeType), Encrypted = true, KmsKeyId = KeyOf(settings),
        TagSpecifications = [Tagged(ResourceType.Volume, tags)],
    };

    public static ModifyInstanceAttributeRequest GoesWithIt(string instance, string device) => new()
    {
        InstanceId = instance, BlockDeviceMappings = [new InstanceBlockDeviceMappingSpecification { DeviceName = device, Ebs = new EbsInstanceBlockDeviceSpecification { DeleteOnTermination = true } }],
    };

    public static TagSpecification Tagged(ResourceType type, IReadOnlyDictionary<string, string> tags) => new()
    {
        ResourceType = type, Tags = [.. tags.Select(tag => new Tag(tag.Key, tag.Value))],
    };

    private static string? KeyOf(AwsSettings settings) => settings.KmsKey.Length > 0 ? settings.KmsKey : null;
}
