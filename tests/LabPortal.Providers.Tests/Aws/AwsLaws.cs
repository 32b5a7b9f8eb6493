using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Testing;
using NodaTime;
using Xunit;

namespace LabPortal.Providers.Tests.Aws;

public sealed class AwsLaws(Ec2Peer peer) : IClassFixture<Ec2Peer>, IDisposable
{
    private readonly TestFolder _folder = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_call_that_is_cut_off_is_not_repeated_behind_our_back()
    {
        var account = new Ec2World();
        var installation = new InstallationId(Ids.New(TimeProvider.System));
        await using var harmed = AwsPools.Open(peer.Url, peer.NewKey(account, new WireFault.CutOff(1, AfterEffect: false)), installation, _folder.Path);
        var before = peer.Actions.GetValueOrDefault("DescribeInstances");
        var fault = await Assert.ThrowsAsync<ProviderFault>(() => harmed.ListOwnedAsync(Cancellation));
        Assert.Equal(FaultKind.Transient, fault.Kind);
        Assert.Equal(before, peer.Actions.GetValueOrDefault("DescribeInstances"));
    }

    public void Dispose() => _folder.Dispose();
}
