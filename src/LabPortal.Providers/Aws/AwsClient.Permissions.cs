using Amazon.EC2.Model;
using Amazon.Runtime;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Aws;

/// <summary>
/// Which changes EC2 would let the credentials make, asked with <c>DryRun</c>, which changes nothing. It can be asked of what is there only: of a machine as it is
/// made, with an image; of what is done to machines, with a machine of this installation that is there now. Of the others nothing is known.
/// </summary>
internal sealed partial class AwsClient
{
    /// <summary>Any image that anybody on AWS may start, for asking alone.</summary>
    private const string AnybodysImages = "al2023-ami-2023*-x86_64";

    /// <summary>The permissions that are missing, as policies name them, in the order of their names.</summary>
    public async Task<IReadOnlyList<string>> MissingPermissionsAsync(InstallationId installation, InstanceView? machine, CancellationToken cancellation)
    {
        var missing = new SortedSet<string>(StringComparer.Ordinal);
        var image = await ImageAsync(AnybodysImages, "amazon", cancellation) ?? await ImageAsync("*", "self", cancellation);
        if (image is not null)
        {
            var spec = new MachineSpec(new Owner(installation, new LabId(Guid.Empty), new MachineId(Guid.Empty), 0), null, "nobody", "nobody", new ImageBinding("", "", new Dictionary<string, string>()), 1, 1, 1,
                new GuestSeed("nobody", [], null, new Dictionary<string, object>()));
            var run = AwsRequests.Run(spec, _settings, image, _settings.InstanceTypes[0].Type, _settings.Subnets[0], null);
            run.DryRun = true;
            await AskAsync("RunInstances", _ec2.RunInstancesAsync, run);
        }

        if (machine is not null)
        {
            List<string> one = [machine.Id];
            await AskAsync("StartInstances", _ec2.StartInstancesAsync, new StartInstancesRequest { InstanceIds = one, DryRun = true });
            await AskAsync("StopInstances", _ec2.StopInstancesAsync, new StopInstancesRequest { InstanceIds = one, DryRun = true });
            await AskAsync("RebootInstances", _ec2.RebootInstancesAsync, new RebootInstancesRequest { InstanceIds = one, DryRun = true });
            await AskAsync("TerminateInstances", _ec2.TerminateInstancesAsync, new TerminateInstancesRequest { InstanceIds = one, DryRun = true });
            await AskAsync("GetConsoleOutput", _ec2.GetConsoleOutputAsync, new GetConsoleOutputRequest { InstanceId = machine.Id, DryRun = true });
            if (machine.RootVolume is { } disk)
            {
                await AskAsync("CreateSnapshot", _ec2.CreateSnapshotAsync, new CreateSnapshotRequest { VolumeId = disk, DryRun = true });
                await AskAsync("DetachVolume", _ec2.DetachVolumeAsync, new DetachVolumeRequest { VolumeId = disk, InstanceId = machine.Id, DryRun = true });
                await AskAsync("AttachVolume", _ec2.AttachVolumeAsync, new AttachVolumeRequest { VolumeId = disk, InstanceId = machine.Id, Device = machine.RootDevice, DryRun = true });
                await AskAsync("DeleteVolume", _ec2.DeleteVolumeAsync, new DeleteVolumeRequest { VolumeId = disk, DryRun = true });
            }
        }

        return [.. missing];

        async Task AskAsync<TRequest, TAnswer>(string action, Func<TRequest, CancellationToken, Task<TAnswer>> call, TRequest request)
        {
            try
            {
                await CallAsync(action, call, request, cancellation);
            }
            catch (ProviderFault fault) when (fault.InnerException is AmazonServiceException { ErrorCode: "UnauthorizedOperation" } refusal)
            {
                missing.Add(AwsFaults.ActionOf(action, refusal.Message));
            }
            catch (ProviderFault fault) when (fault.InnerException is AmazonServiceException { ErrorCode: not null } && fault.Kind is not (FaultKind.Unauthorized or FaultKind.Throttled))
            {
                // DryRunOperation: it may. Anything else is about this request, and says nothing of what it may.
            }
        }
    }
}
