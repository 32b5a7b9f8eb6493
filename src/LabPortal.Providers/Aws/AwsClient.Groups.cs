using Amazon.EC2;
using Amazon.EC2.Model;
using Amazon.Runtime;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Aws;

/// <summary>A security group as EC2 shows it.</summary>
internal sealed record GroupView(string Id, bool HasRules, IReadOnlyDictionary<string, string> Tags);

/// <summary>Security groups of labs.</summary>
internal sealed partial class AwsClient
{
    public async Task<IReadOnlyList<GroupView>> GroupsAsync(string tag, string value, CancellationToken cancellation)
    {
        var found = new List<GroupView>();
        string? next = null;
        do
        {
            var request = new DescribeSecurityGroupsRequest { Filters = [new Filter($"tag:{tag}", [value])], MaxResults = 1000, NextToken = next };
            var answer = await CallAsync("DescribeSecurityGroups", _ec2.DescribeSecurityGroupsAsync, request, cancellation);
            found.AddRange((answer.SecurityGroups ?? []).Select(group => new GroupView(group.GroupId, group.IpPermissions is { Count: > 0 }, Tags(group.Tags))));
            next = answer.NextToken;
        }
        while (!string.IsNullOrEmpty(next));
        return found;
    }

    /// <summary>Makes it, unless there is one of this name, though it may not show yet.</summary>
    public async Task EnsureGroupAsync(string name, IReadOnlyDictionary<string, string> tags, CancellationToken cancellation)
    {
        var subnet = await CallAsync("DescribeSubnets", _ec2.DescribeSubnetsAsync, new DescribeSubnetsRequest { Filters = [new Filter("subnet-id", [_settings.Subnets[0]])] }, cancellation);
        var vpc = (subnet.Subnets ?? []).FirstOrDefault()?.VpcId ?? throw new ProviderFault(FaultKind.Rejected, $"Subnet {_settings.Subnets[0]} is not in {_settings.Region}.");
        try
        {
            var request = new CreateSecurityGroupRequest { GroupName = name, Description = "The machines of one lab of LabPortal", VpcId = vpc, TagSpecifications = [AwsRequests.Tagged(ResourceType.SecurityGroup, tags)] };
            await CallAsync("CreateSecurityGroup", _ec2.CreateSecurityGroupAsync, request, cancellation);
        }
        catch (ProviderFault fault) when (fault.InnerException is AmazonServiceException { ErrorCode: "InvalidGroup.Duplicate" })
        {
            // That is what was wanted.
        }
    }

    /// <summary>Lets the group's machines reach each other, and the pool's networks reach them by SSH; the same again changes nothing.</summary>
    public async Task AuthorizeAsync(string group, CancellationToken cancellation)
    {
        try
        {
            await CallAsync("AuthorizeSecurityGroupIngress", _ec2.AuthorizeSecurityGroupIngressAsync, AwsRequests.LetIn(group, _settings.ReachedFrom), cancellation);
        }
        catch (ProviderFault fault) when (fault.InnerException is AmazonServiceException { ErrorCode: "InvalidPermission.Duplicate" })
        {
            // That is what was wanted.
        }
    }

    /// <summary>False where something still uses it.</summary>
    public async Task<bool> DeleteGroupAsync(string group, CancellationToken cancellation)
    {
        try
        {
            await UnlessGoneAsync("InvalidGroup.NotFound", CallAsync("DeleteSecurityGroup", _ec2.DeleteSecurityGroupAsync, new DeleteSecurityGroupRequest { GroupId = group }, cancellation));
            return true;
        }
        catch (ProviderFault fault) when (fault.InnerException is AmazonServiceException { ErrorCode: "DependencyViolation" })
        {
            return false;
        }
    }
}
