using System.Globalization;
using System.Net;
using Amazon;
using Amazon.EC2;
using Amazon.EC2.Model;
using Amazon.Runtime;
using Amazon.SecurityToken;
using LabPortal.Domain.Pools;
using NodaTime;

namespace LabPortal.Providers.Aws;

/// <summary>An instance as EC2 shows it.</summary>
internal sealed record InstanceView(
    string Id, string State, string Zone, IReadOnlyDictionary<string, string> Tags, IReadOnlyList<IPAddress> Addresses, string RootDevice, string? RootVolume, string? Why)
{
    public bool IsGone => State == "terminated";

    public bool IsLeaving => State is "shutting-down" or "terminated";
}

internal sealed record VolumeView(string Id, string State, string Zone, string? Snapshot, IReadOnlyDictionary<string, string> Tags);

internal sealed record SnapshotView(string Id, string State, Instant StartedAt, IReadOnlyDictionary<string, string> Tags);

internal sealed record CardView(string Id, string State, IReadOnlyDictionary<string, string> Tags);

internal sealed record ImageView(string Id, string RootDevice, int GiB);

/// <summary>
/// EC2's calls, one method each; with <see cref="AwsRequests"/> the only file that names the SDK. A call that fails is a <see cref="ProviderFault"/>. The SDK repeats
/// nothing by itself: the runner does, and counts.
/// </summary>
internal sealed partial class AwsClient : IDisposable
{
    private readonly AmazonEC2Client _ec2;
    private readonly AwsSettings _settings;

    public AwsClient(AwsSettings settings)
    {
        _settings = settings;
        var config = new AmazonEC2Config { MaxErrorRetry = 0, MaxStaleConnectionRetries = 0, Timeout = Timeout.InfiniteTimeSpan, AuthenticationRegion = settings.Region };
        if (settings.ServiceUrl.Length > 0) config.ServiceURL = settings.ServiceUrl;
        else config.RegionEndpoint = RegionEndpoint.GetBySystemName(settings.Region);
        _ec2 = Credentials(settings) is { } credentials ? new AmazonEC2Client(credentials, config) : new AmazonEC2Client(config);
        _ec2.AfterResponseEvent += (_, answer) =>
        {
            if (answer is WebServiceResponseEventArgs { ResponseHeaders: { } headers } && headers.TryGetValue("Date", out var date) && DateTimeOffset.TryParse(date, CultureInfo.InvariantCulture, out var at)) AnsweredAt = at;
        };
    }

    /// <summary>When EC2 says that it last answered.</summary>
    public DateTimeOffset? AnsweredAt { get; private set; }

    /// <summary>Empty for the SDK's own chain.</summary>
    private static AWSCredentials? Credentials(AwsSettings settings)
    {
        AWSCredentials? own = settings.AccessKeyId.Length > 0 ? new BasicAWSCredentials(settings.AccessKeyId, settings.SecretAccessKey) : null;
        if (settings.RoleArn.Length == 0) return own;
        var options = new AssumeRoleAWSCredentialsOptions { ExternalId = settings.ExternalId.Length > 0 ? settings.ExternalId : null };
        return new AssumeRoleAWSCredentials(own ?? Amazon.Runtime.Credentials.DefaultAWSCredentialsIdentityResolver.GetCredentials(), settings.RoleArn, "labportal", options);
    }

    public async Task<IReadOnlyList<InstanceView>> InstancesAsync(string tag, IReadOnlyCollection<string> values, CancellationToken cancellation)
    {
        var found = new List<InstanceView>();
        string? next = null;
        do
        {
            var request = new DescribeInstancesRequest { Filters = [new Filter($"tag:{tag}", [.. values])], MaxResults = 1000, NextToken = next };
            var answer = await CallAsync("DescribeInstances", _ec2.DescribeInstancesAsync, request, cancellation);
            found.AddRange((answer.Reservations ?? []).SelectMany(reservation => reservation.Instances ?? []).Select(View));
            next = answer.NextToken;
        }
        while (!string.IsNullOrEmpty(next));
        return found;
    }

    public async Task<IReadOnlyList<VolumeView>> VolumesAsync(string tag, string value, CancellationToken cancellation)
    {
        var found = new List<VolumeView>();
        string? next = null;
        do
        {
            var answer = await CallAsync("DescribeVolumes", _ec2.DescribeVolumesAsync, new DescribeVolumesRequest { Filters = [new Filter($"tag:{tag}", [value])], MaxResults = 500, NextToken = next }, cancellation);
            found.AddRange((answer.Volumes ?? []).Select(volume => new VolumeView(volume.VolumeId, volume.State?.Value ?? "", volume.AvailabilityZone, volume.SnapshotId, Tags(volume.Tags))));
            next = answer.NextToken;
        }
        while (!string.IsNullOrEmpty(next));
        return found;
    }

    public async Task<IReadOnlyList<SnapshotView>> SnapshotsAsync(string tag, string value, CancellationToken cancellation)
    {
        var found = new List<SnapshotView>();
        string? next = null;
        do
        {
            var answer = await CallAsync("DescribeSnapshots", _ec2.DescribeSnapshotsAsync,
                new DescribeSnapshotsRequest { OwnerIds = ["self"], Filters = [new Filter($"tag:{tag}", [value])], MaxResults = 1000, NextToken = next }, cancellation);
            found.AddRange((answer.Snapshots ?? []).Select(snapshot => new SnapshotView(
                snapshot.SnapshotId, snapshot.State?.Value ?? "", Instant.FromDateTimeUtc((snapshot.StartTime ?? DateTime.UnixEpoch).ToUniversalTime()), Tags(snapshot.Tags))));
            next = answer.NextToken;
        }
        while (!string.IsNullOrEmpty(next));
        return found;
    }

    public async Task<IReadOnlyList<CardView>> CardsAsync(string tag, string value, CancellationToken cancellation)
    {
        var found = new List<CardView>();
        string? next = null;
        do
        {
            var answer = await CallAsync("DescribeNetworkInterfaces", _ec2.DescribeNetworkInterfacesAsync,
                new DescribeNetworkInterfacesRequest { Filters = [new Filter($"tag:{tag}", [value])], MaxResults = 1000, NextToken = next }, cancellation);
            found.AddRange((answer.NetworkInterfaces ?? []).Select(card => new CardView(card.NetworkInterfaceId, card.Status?.Value ?? "", Tags(card.TagSet))));
            next = answer.NextToken;
        }
        while (!string.IsNullOrEmpty(next));
        return found;
    }

    /// <summary>By id, or the newest by a name's pattern; empty where there is none.</summary>
    public async Task<ImageView?> ImageAsync(string ami, string owner, CancellationToken cancellation)
    {
        var byId = ami.StartsWith("ami-", StringComparison.Ordinal);
        var request = byId ? new DescribeImagesRequest { ImageIds = [ami] } : new DescribeImagesRequest { Owners = [owner], Filters = [new Filter("name", [ami]), new Filter("state", ["available"])] };
        try
        {
            var answer = await CallAsync("DescribeImages", _ec2.DescribeImagesAsync, request, cancellation);
            return (answer.Images ?? []).OrderByDescending(image => image.CreationDate, StringComparer.Ordinal).Select(image => new ImageView(
                image.ImageId, image.RootDeviceName, (image.BlockDeviceMappings ?? []).FirstOrDefault(mapping => mapping.DeviceName == image.RootDeviceName)?.Ebs?.VolumeSize ?? 1)).FirstOrDefault();
        }
        catch (ProviderFault fault) when (fault.InnerException is AmazonServiceException { ErrorCode: "InvalidAMIID.NotFound" or "InvalidAMIID.Unavailable" or "InvalidAMIID.Malformed" })
        {
            return null;
        }
    }

    public async Task<IReadOnlySet<string>> SubnetsAsync(CancellationToken cancellation)
    {
        var answer = await CallAsync("DescribeSubnets", _ec2.DescribeSubnetsAsync, new DescribeSubnetsRequest { Filters = [new Filter("subnet-id", [.. _settings.Subnets])] }, cancellation);
        return (answer.Subnets ?? []).Select(subnet => subnet.SubnetId).ToHashSet();
    }

    public async Task<IReadOnlySet<string>> SecurityGroupsAsync(CancellationToken cancellation)
    {
        if (_settings.SecurityGroups.Count == 0) return new HashSet<string>();
        var answer = await CallAsync("DescribeSecurityGroups", _ec2.DescribeSecurityGroupsAsync, new DescribeSecurityGroupsRequest { Filters = [new Filter("group-id", [.. _settings.SecurityGroups])] }, cancellation);
        return (answer.SecurityGroups ?? []).Select(group => group.GroupId).ToHashSet();
    }

    public async Task<IReadOnlySet<string>> InstanceTypesAsync(CancellationToken cancellation)
    {
        var found = new HashSet<string>();
        string? next = null;
        do
        {
            var answer = await CallAsync("DescribeInstanceTypeOfferings", _ec2.DescribeInstanceTypeOfferingsAsync, new DescribeInstanceTypeOfferingsRequest
            {
                Filters = [new Filter("instance-type", [.. _settings.InstanceTypes.Select(size => size.Type).Distinct()])], MaxResults = 1000, NextToken = next,
            }, cancellation);
            found.UnionWith((answer.InstanceTypeOfferings ?? []).Select(offering => offering.InstanceType.Value));
            next = answer.NextToken;
        }
        while (!string.IsNullOrEmpty(next));
        return found;
    }

    /// <summary>The instance that was made, or that an earlier call with the same token made.</summary>
    public async Task<InstanceView> RunAsync(MachineSpec machine, ImageView image, string type, string subnet, string? labGroup, CancellationToken cancellation)
    {
        var answer = await CallAsync("RunInstances", _ec2.RunInstancesAsync, AwsRequests.Run(machine, _settings, image, type, subnet, labGroup), cancellation);
        return View(answer.Reservation.Instances.Single());
    }

    public Task StartAsync(string instance, CancellationToken cancellation) => CallAsync("StartInstances", _ec2.StartInstancesAsync, new StartInstancesRequest { InstanceIds = [instance] }, cancellation);

    public Task StopAsync(string instance, bool force, CancellationToken cancellation)
        => CallAsync("StopInstances", _ec2.StopInstancesAsync, new StopInstancesRequest { InstanceIds = [instance], Force = force }, cancellation);

    public Task RebootAsync(string instance, CancellationToken cancellation) => CallAsync("RebootInstances", _ec2.RebootInstancesAsync, new RebootInstancesRequest { InstanceIds = [instance] }, cancellation);

    /// <summary>False where one of them is not found; then none is terminated.</summary>
    public async Task<bool> TerminateAsync(IReadOnlyList<string> instances, CancellationToken cancellation)
    {
        try
        {
            await CallAsync("TerminateInstances", _ec2.TerminateInstancesAsync, new TerminateInstancesRequest { InstanceIds = [.. instances] }, cancellation);
            return true;
        }
        catch (ProviderFault fault) when (fault.InnerException is AmazonServiceException { ErrorCode: "InvalidInstanceID.NotFound" })
        {
            return false;
        }
    }

    public Task DeleteVolumeAsync(string volume, CancellationToken cancellation) => UnlessGoneAsync(
        "InvalidVolume.NotFound", CallAsync("DeleteVolume", _ec2.DeleteVolumeAsync, new DeleteVolumeRequest { VolumeId = volume }, cancellation));

    public Task DeleteCardAsync(string card, CancellationToken cancellation) => UnlessGoneAsync(
        "InvalidNetworkInterfaceID.NotFound", CallAsync("DeleteNetworkInterface", _ec2.DeleteNetworkInterfaceAsync, new DeleteNetworkInterfaceRequest { NetworkInterfaceId = card }, cancellation));

    public Task DeleteSnapshotAsync(string snapshot, CancellationToken cancellation) => UnlessGoneAsync(
        "InvalidSnapshot.NotFound", CallAsync("DeleteSnapshot", _ec2.DeleteSnapshotAsync, new DeleteSnapshotRequest { SnapshotId = snapshot }, cancellation));

    public async Task<string> CreateSnapshotAsync(string volume, IReadOnlyDictionary<string, string> tags, CancellationToken cancellation) => (await CallAsync(
        "CreateSnapshot", _ec2.CreateSnapshotAsync, new CreateSnapshotRequest { VolumeId = volume, TagSpecifications = [AwsRequests.Tagged(ResourceType.Snapshot, tags)] }, cancellation)).Snapshot.SnapshotId;

    /// <summary>A volume with what the snapshot keeps; the same token gives the same volume.</summary>
    public async Task<string> CreateVolumeAsync(string snapshot, string zone, string token, IReadOnlyDictionary<string, string> tags, CancellationToken cancellation)
        => (await CallAsync("CreateVolume", _ec2.CreateVolumeAsync, AwsRequests.Volume(_settings, snapshot, zone, token, tags), cancellation)).Volume.VolumeId;

    public Task DetachAsync(string volume, string instance, CancellationToken cancellation)
        => CallAsync("DetachVolume", _ec2.DetachVolumeAsync, new DetachVolumeRequest { VolumeId = volume, InstanceId = instance }, cancellation);

    public Task AttachAsync(string volume, string instance, string device, CancellationToken cancellation)
        => CallAsync("AttachVolume", _ec2.AttachVolumeAsync, new AttachVolumeRequest { VolumeId = volume, InstanceId = instance, Device = device }, cancellation);

    /// <summary>The instance's disk goes with it: of one that was attached later that is not so by itself.</summary>
    public Task GoesWithItAsync(string instance, string device, CancellationToken cancellation) => CallAsync(
        "ModifyInstanceAttribute", _ec2.ModifyInstanceAttributeAsync, AwsRequests.GoesWithIt(instance, device), cancellation);

    public async Task<byte[]> ConsoleOutputAsync(string instance, CancellationToken cancellation)
    {
        var answer = await CallAsync("GetConsoleOutput", _ec2.GetConsoleOutputAsync, new GetConsoleOutputRequest { InstanceId = instance, Latest = false }, cancellation);
        return string.IsNullOrEmpty(answer.Output) ? [] : Convert.FromBase64String(answer.Output);
    }

    public void Dispose() => _ec2.Dispose();

    private static async Task UnlessGoneAsync(string code, Task deletion)
    {
        try
        {
            await deletion;
        }
        catch (ProviderFault fault) when (fault.InnerException is AmazonServiceException service && service.ErrorCode == code)
        {
            // That is what was wanted.
        }
    }

    private async Task<TAnswer> CallAsync<TRequest, TAnswer>(string action, Func<TRequest, CancellationToken, Task<TAnswer>> call, TRequest request, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(_settings.CallDeadline);
        try
        {
            return await call(request, deadline.Token);
        }
        catch (Exception cause) when (deadline.IsCancellationRequested && cause is OperationCanceledException or AmazonClientException or HttpRequestException)
        {
            cancellation.ThrowIfCancellationRequested();
            throw AwsFaults.Late(action, _settings.CallDeadline, cause);
        }
        catch (AmazonServiceException cause) when (!string.IsNullOrEmpty(cause.ErrorCode))
        {
            throw AwsFaults.Of(action, cause.ErrorCode, cause.Message, (int)cause.StatusCode, RetryAfter(cause), cause);
        }
        catch (AmazonClientException cause) when (cause.Message.Contains("credentials", StringComparison.OrdinalIgnoreCase))
        {
            throw AwsFaults.NoCredentials(cause);
        }
        catch (Exception cause) when (cause is AmazonClientException or AmazonServiceException or HttpRequestException or IOException or System.Net.Sockets.SocketException)
        {
            throw AwsFaults.Away(action, cause);
        }
    }

    private static TimeSpan? RetryAfter(AmazonServiceException cause)
        => cause.InnerException is Amazon.Runtime.Internal.HttpErrorResponseException { Response: { } response } && response.IsHeaderPresent("Retry-After")
            && double.TryParse(response.GetHeaderValue("Retry-After"), NumberStyles.Float, CultureInfo.InvariantCulture, out var seconds)
            ? TimeSpan.FromSeconds(seconds)
            : null;

    private static InstanceView View(Amazon.EC2.Model.Instance instance) => new(
        instance.InstanceId, instance.State?.Name?.Value ?? "", instance.Placement?.AvailabilityZone ?? "", Tags(instance.Tags),
        [.. new[] { instance.PublicIpAddress, instance.PrivateIpAddress }.Select(text => IPAddress.TryParse(text, out var address) ? address : null).OfType<IPAddress>()],
        instance.RootDeviceName ?? "", (instance.BlockDeviceMappings ?? []).FirstOrDefault(mapping => mapping.DeviceName == instance.RootDeviceName)?.Ebs?.VolumeId, instance.StateReason?.Message);

    private static Dictionary<string, string> Tags(List<Tag>? tags) => (tags ?? []).DistinctBy(tag => tag.Key).ToDictionary(tag => tag.Key, tag => tag.Value ?? "");
}
