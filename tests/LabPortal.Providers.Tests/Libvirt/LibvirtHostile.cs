using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Xml.Linq;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Providers.Tests.Libvirt;

[Collection(GuestsOnLibvirt.Name)]
public sealed class LibvirtHostile(LibvirtPeer peer)
{
    private const int Machines = 10;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Ten_thousand_hostile_values_are_in_the_seeds_and_titles_of_real_machines_and_nowhere_else()
    {
        var installation = new InstallationId(Ids.New(TimeProvider.System));
        await using var provider = LibvirtPeer.Open(installation, $"qemu:///system?socket={peer.Libvirt.Socket}");
        var values = HostileStrings.Some(10_000).Select(text => ForeignText.Of(text)).ToList();
        foreach (var portion in values.Chunk(values.Count / Machines))
        {
            // The longest of them is a title as well.
            var title = portion.MaxBy(text => text.Length)!;
            var machine = new MachineSpec(
                new Owner(installation, new LabId(Ids.New(TimeProvider.System)), new MachineId(Ids.New(TimeProvider.System)), 1), "here", "web-1", title, LibvirtPeer.Bare, Cpu: 1, MemoryMiB: 64, DiskGiB: 1,
                new GuestSeed("ada", ["ssh-ed25519 AAAA"], null, new Dictionary<string, object> { ["runcmd"] = portion }));
            try
            {
                await provider.EnsureExistsAsync(machine, Cancellation);
                var domain = XDocument.Parse(await peer.Libvirt.VirshAsync(Cancellation, "dumpxml", machine.Owner.ResourceName)).Root!;
                Assert.Equal(machine.Owner.ResourceName, domain.Element("name")!.Value);
                Assert.Equal(Words(title.Replace('\ufffe', ' ').Replace('\uffff', ' ')), Words(domain.Element("title")!.Value));
                Assert.Equal(portion, SeedOf(machine)["runcmd"]!.AsArray().Select(value => value!.GetValue<string>()));
            }
            finally
            {
                await provider.EnsureGoneAsync(machine.Reference, CancellationToken.None);
            }
        }

        Assert.Empty(await provider.ListOwnedAsync(Cancellation));
    }

    /// <summary>A title is one line: how its parts are kept apart is libvirt's.</summary>
    private static IEnumerable<string> Words(string text) => text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);

    /// <summary>The user data, as it lies in the seed's volume.</summary>
    private JsonNode SeedOf(MachineSpec machine)
    {
        var seed = File.ReadAllBytes(Path.Combine(peer.Libvirt.Volumes, machine.Owner.ResourceName + ".seed"));
        var head = "#cloud-config\n"u8;
        var reader = new Utf8JsonReader(seed.AsSpan(seed.AsSpan().IndexOf(head) + head.Length), isFinalBlock: false, default);
        return JsonNode.Parse(ref reader)!;
    }
}
