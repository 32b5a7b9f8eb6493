using System.Net;
using LabPortal.Domain.Machines;
using Xunit;

namespace LabPortal.Domain.Tests.Machines;

public sealed class GuestAddressTests
{
    [Fact]
    public void What_leads_to_nobodys_guest_is_no_address_and_a_guest_has_no_more_than_a_few()
    {
        string[] nobodys = ["0.0.0.0", "127.0.0.1", "169.254.169.254", "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "ff02::1", "::ffff:127.0.0.1"];
        Assert.Empty(GuestAddress.Of(nobodys.Select(IPAddress.Parse)));
        Assert.Equal(["10.0.0.7", "fd00::7"], GuestAddress.Of([IPAddress.Parse("::ffff:10.0.0.7"), IPAddress.Parse("10.0.0.7"), IPAddress.Parse("fd00::7")]).Select(address => address.ToString()));
        Assert.Equal(GuestAddress.Most, GuestAddress.Of(Enumerable.Range(1, 250).Select(n => IPAddress.Parse($"10.0.0.{n}"))).Count);
    }
}
