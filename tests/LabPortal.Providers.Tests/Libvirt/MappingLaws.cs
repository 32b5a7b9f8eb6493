using System.Net;
using System.Text;
using System.Text.Json;
using System.Xml.Linq;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Networks;
using LabPortal.Domain.Pools;
using LabPortal.Providers.Libvirt;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Providers.Tests.Libvirt;

public sealed class MappingLaws
{
    private const string Hostile = "a\"b'c<&>]]>\n\r\t$(reboot)`id`%s\\ \u0001\u007f\u2028é😀--><x>";

    private static readonly Owner Somebody = new(
        new InstallationId(Guid.Parse("01900000-0000-7000-8000-0123456789ab")), new LabId(Guid.Parse("01900000-0000-7000-8000-000000000001")), new MachineId(Guid.Parse("01900000-0000-7000-8000-000000000002")), 3);

    private static readonly LibvirtHostSettings Host = new("here", "qemu:///system", Hostile.Replace("\u0001", "", StringComparison.Ordinal), "net<&\"'>");

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private static MachineSpec Machine(string text = Hostile) => new(Somebody, "here", "web-1", text,
        new ImageBinding("tiny", "1", new Dictionary<string, string> { ["volume"] = "tiny.qcow2" }), 2, 128, 1,
        new GuestSeed("ada", [$"ssh-ed25519 AAAA {text}"], new Secret(text), new Dictionary<string, object>
        {
            ["write_files"] = new List<object> { new Dictionary<string, object> { ["path"] = "/etc/motd", ["content"] = text, ["append"] = true } },
            ["number"] = 1.5,
        }));

    /// <summary>Libvirt offers KVM in all of these; what counts is whether the guest of the probe gets through, measured by the emulated one.</summary>
    [Theory]
    [InlineData(0.2, 0.1, true, 1.5)]
    [InlineData(3.0, 5.0, true, 6.0)]
    [InlineData(3.0, null, false, 6.0)]
    [InlineData(0.2, null, false, 1.5)]
    [InlineData(null, null, false, 1.5)]
    [InlineData(null, 0.1, true, 1.5)]
    public async Task A_host_runs_with_KVM_only_where_a_guest_really_boots_with_it(double? emulated, double? kvm, bool worthIt, double limitOfKvm)
    {
        var booted = new List<(string Type, double Limit)>();
        Assert.Equal(worthIt, await Acceleration.IsWorthItAsync((type, limit) =>
        {
            booted.Add((type, limit.TotalSeconds));
            var seconds = type == "kvm" ? kvm : emulated;
            return Task.FromResult(seconds is { } took ? TimeSpan.FromSeconds(took) : (TimeSpan?)null);
        }));
        Assert.Equal([("qemu", 15), ("kvm", limitOfKvm)], booted);
    }

    [Theory]
    [InlineData(Acceleration.Kvm, "kvm", "host-model")]
    [InlineData(Acceleration.Emulated, "qemu", null)]
    public void A_domain_is_accelerated_as_the_host_is_and_then_shows_the_processor_of_the_host(string acceleration, string type, string? cpu)
    {
        var domain = LibvirtMapping.Domain(Machine(), Host, acceleration);
        Assert.Equal((type, cpu), (domain.Attribute("type")?.Value, domain.Element("cpu")?.Attribute("mode")?.Value));
    }

    [Fact]
    public void Hostile_text_stays_text_in_a_domain()
    {
        var domain = XDocument.Parse(LibvirtMapping.WithLog(LibvirtMapping.Domain(Machine(), Host, Acceleration.Emulated), "/pool/" + Hostile.Replace("\u0001", "", StringComparison.Ordinal)).ToString()).Root!;
        Assert.Equal("qemu", domain.Attribute("type")!.Value);
        Assert.Equal(Somebody.ResourceName, domain.Element("name")!.Value);
        var title = domain.Element("title")!.Value;
        Assert.Contains("$(reboot)`id`", title, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', title);
        Assert.Equal(Host.Network, domain.Descendants("interface").Single().Element("source")!.Attribute("network")!.Value);
        Assert.Empty(domain.Descendants("x"));
        Assert.StartsWith("/pool/a\"b'c<&>]]>", domain.Descendants("serial").Single().Element("log")!.Attribute("file")!.Value, StringComparison.Ordinal);
        var owner = Assert.Single(domain.Element("metadata")!.Elements());
        Assert.Equal(
            [Somebody.Installation.ToString(), Somebody.Lab.ToString(), Somebody.Machine.ToString()!, "3"],
            ((string[])["installation", "lab", "machine", "generation"]).Select(name => owner.Attribute(name)!.Value));
    }

    [Fact]
    public void A_card_with_rules_lets_pass_what_they_name_and_drops_the_rest()
    {
        var card = new CardSpec(1, "net", IPAddress.Parse("10.0.0.10"), 24,
            [new Opening(OpeningWay.Out, IPAddress.Parse("10.0.0.20"), Protocol.Tcp, new PortRange(7000, 7010)), new Opening(OpeningWay.In, null, null, null)]);
        var machine = Machine() with { Cards = [CardSpec.Shared, card] };
        var interfaces = LibvirtMapping.Domain(machine, Host, Acceleration.Emulated).Descendants("interface").ToList();
        Assert.Equal([(Host.Network, null, Somebody.DerivedMac(0)), ("net", $"{Somebody.ResourceName}.card1", Somebody.DerivedMac(1))], interfaces.Select(each => (
            each.Element("source")!.Attribute("network")!.Value, each.Element("filterref")?.Attribute("filter")?.Value, each.Element("mac")!.Attribute("address")!.Value)));

        var rules = LibvirtMapping.Filter(Somebody, card).Elements("rule").OrderBy(rule => (int)rule.Attribute("priority")!).Select(rule =>
            string.Join(' ', rule.Attributes().Where(each => each.Name != "priority").Select(each => each.Value).Append(rule.Elements().Single().Name.LocalName).Concat(rule.Elements().Single().Attributes().Select(each => $"{each.Name}={each.Value}")))).ToList();
        Assert.Equal(
            [
                $"drop out mac srcmacaddr={Somebody.DerivedMac(1)} match=no", "drop out arp arpsrcipaddr=10.0.0.10 match=no", "drop out ip srcipaddr=10.0.0.10 match=no",
                "accept inout mac protocolid=arp", "accept inout mac protocolid=ipv4", "accept out tcp dstipaddr=10.0.0.20 dstportstart=7000 dstportend=7010", "accept in all",
                "drop inout mac", "drop inout all",
            ],
            rules);
    }

    [Fact]
    public void The_same_spec_gives_the_same_bytes_and_another_generation_gives_others()
    {
        Assert.Equal(LibvirtMapping.Seed(Machine()), LibvirtMapping.Seed(Machine()));
        Assert.Equal(Domain(Machine()), Domain(Machine()));
        Assert.NotEqual(Domain(Machine()), Domain(Machine() with { Owner = Somebody with { Generation = 4 } }));

        static string Domain(MachineSpec machine) => LibvirtMapping.Domain(machine, Host, Acceleration.Kvm).ToString();
    }

    [Fact]
    public void A_disk_is_a_clone_with_its_format_said_and_never_smaller_than_its_image()
    {
        var image = new VolumeDescription("/pool/tiny.qcow2", "qcow2", 5L << 30, 1 << 20, null);
        var disk = LibvirtMapping.Disk("disk", 1L << 30, image);
        Assert.Equal((5L << 30).ToString(), disk.Element("capacity")!.Value);
        Assert.Equal("qcow2", disk.Element("backingStore")!.Element("format")!.Attribute("type")!.Value);
        Assert.Equal((8L << 30).ToString(), LibvirtMapping.Disk("disk", 8L << 30, image).Element("capacity")!.Value);
    }

    [Fact]
    public void No_text_leaves_its_place_in_a_domain_or_a_network()
    {
        TestContext.Current.TestOutputHelper?.WriteLine($"Seed {HostileStrings.Seed}");
        var shape = Shape("x");
        Assert.All(HostileStrings.Some(10_000), text => Assert.Equal(shape, Shape(text)));

        static string Shape(string text) => string.Join(' ', new[]
        {
            LibvirtMapping.Domain(Machine(text), Host, Acceleration.Emulated), LibvirtMapping.Network(new LabNetworks(Somebody with { Machine = null }, "here", text, ["inner"]), "inner"),
        }.SelectMany(made => XDocument.Parse(made.ToString()).Descendants()).Select(element => $"{element.Name}({string.Join(',', element.Attributes().Select(attribute => attribute.Name))})"));
    }

    /// <summary>What cloud-init reads it with: PyYAML, where it is.</summary>
    [Fact]
    public async Task User_data_survives_a_yaml_reader_that_is_not_ours()
    {
        var machine = Machine();
        var read = await ReadYamlAsync(CloudConfig.UserData(machine.Seed).ToJsonString(new JsonSerializerOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }));
        Assert.SkipWhen(read is null, "Neither PyYAML nor a Python is here.");
        var user = read!.Value.GetProperty("users")[0];
        Assert.Equal("ada", user.GetProperty("name").GetString());
        Assert.Equal(Hostile, user.GetProperty("plain_text_passwd").GetString());
        Assert.Equal(Hostile, read.Value.GetProperty("write_files")[0].GetProperty("content").GetString());
        Assert.True(read.Value.GetProperty("ssh_pwauth").GetBoolean());
    }

    [Fact]
    public void Without_a_password_none_may_be_used()
    {
        var data = CloudConfig.UserData(new GuestSeed("root", ["ssh-ed25519 AAAA"], null, new Dictionary<string, object>()));
        Assert.False(data["ssh_pwauth"]!.GetValue<bool>());
        Assert.False(data["disable_root"]!.GetValue<bool>());
        Assert.True(data["users"]![0]!["lock_passwd"]!.GetValue<bool>());
        Assert.Null(data["users"]![0]!["plain_text_passwd"]);
    }

    [Fact]
    public void A_host_key_is_told_as_cloud_init_takes_it_and_where_there_is_none_the_callers_stay()
    {
        var callers = new Dictionary<string, object> { ["ssh_keys"] = new Dictionary<string, object> { ["rsa_private"] = "theirs" } };
        var seed = new GuestSeed("root", [], null, callers, new HostKey(new Secret("private\n"), "ssh-ed25519 AAAA"));
        Assert.Equal("""{"ed25519_private":"private\n","ed25519_public":"ssh-ed25519 AAAA"}""", CloudConfig.UserData(seed)["ssh_keys"]!.ToJsonString());
        Assert.Equal("""{"rsa_private":"theirs"}""", CloudConfig.UserData(seed with { HostKey = null })["ssh_keys"]!.ToJsonString());
        Assert.DoesNotContain("private\n", seed.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void The_callers_users_stand_behind_ours()
    {
        var data = CloudConfig.UserData(new GuestSeed("ada", [], null, new Dictionary<string, object>
        {
            ["users"] = new List<object> { new Dictionary<string, object> { ["name"] = "bob" } },
        }));
        Assert.Equal(["ada", "bob"], data["users"]!.AsArray().Select(user => user!["name"]!.GetValue<string>()));
    }

    /// <summary>The authorities: libarchive (Rock Ridge and Joliet) and the kernel's own driver.</summary>
    [Fact]
    public async Task The_seed_is_a_volume_that_others_read()
    {
        var folder = Directory.CreateTempSubdirectory("lp-iso-").FullName;
        try
        {
            var iso = Path.Combine(folder, "seed.iso");
            (string Name, byte[] Content)[] files = [("meta-data", [.. "one"u8]), ("user-data", new byte[5000]), ("network-config", []), ("a name with ü.txt", [.. "x"u8])];
            Array.Fill(files[1].Content, (byte)'u');
            await File.WriteAllBytesAsync(iso, Iso9660.Write("cidata", files), Cancellation);

            foreach (var options in new[] { "iso9660:!joliet", "iso9660:!rockridge" })
            {
                var listed = await Tool.RunAsync(Cancellation, "bsdtar", "--options", options, "-tf", iso);
                Assert.Equal([.. files.Select(file => file.Name).Order(StringComparer.Ordinal), "."],
                    listed.Split('\n', StringSplitOptions.RemoveEmptyEntries).OrderBy(name => name == ".").ThenBy(name => name, StringComparer.Ordinal));
                Assert.Equal("one", await Tool.RunAsync(Cancellation, "bsdtar", "--options", options, "-xOf", iso, "meta-data"));
                Assert.Equal(5000, (await Tool.RunAsync(Cancellation, "bsdtar", "--options", options, "-xOf", iso, "user-data")).Length);
            }

            var about = await Tool.RunAsync(Cancellation, "isoinfo", "-d", "-i", iso);
            Assert.Contains("Volume id: cidata", about, StringComparison.Ordinal);
            Assert.Contains("Joliet with UCS level 3 found", about, StringComparison.Ordinal);
            Assert.Contains("Rock Ridge signatures version 1 found", about, StringComparison.Ordinal);
            Assert.Equal("cidata", (await Tool.RunAsync(Cancellation, "blkid", "-p", "-o", "value", "-s", "LABEL", iso)).Trim());
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void Too_many_files_for_a_seed_are_refused_rather_than_cut() => Assert.Throws<ArgumentException>(() =>
        Iso9660.Write("cidata", [.. Enumerable.Range(0, 40).Select(i => ($"a-file-of-a-long-name-{i}", Array.Empty<byte>()))]));

    [Theory]
    [InlineData("qcow2", "-b", "/etc/passwd", "-F", "raw", "-u")]
    [InlineData("qcow2", "-o", "data_file=DATA,data_file_raw=on")]
    // Not luks: its key takes so many rounds as fit a time, which a busy machine cannot measure.
    [InlineData("qcow2", "--object", "secret,id=s,data=x", "-o", "encrypt.format=aes,encrypt.key-secret=s")]
    [InlineData("raw")]
    [InlineData("vmdk")]
    public async Task Image_files_that_qemu_itself_made_with_something_behind_them_are_refused(string made, params string[] how)
    {
        var folder = Directory.CreateTempSubdirectory("lp-image-").FullName;
        try
        {
            var file = Path.Combine(folder, "image");
            await Tool.RunAsync(Cancellation, "qemu-img", ["create", "-q", "-f", made, .. how.Select(word => word.Replace("DATA", Path.Combine(folder, "data"), StringComparison.Ordinal)), file, "1M"]);
            await using var content = File.OpenRead(file);
            var fault = Assert.Throws<ProviderFault>(() => ImageFile.Read(content, "qcow2", "odd"));
            Assert.Equal(FaultKind.Rejected, fault.Kind);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task An_image_that_stands_by_itself_is_read_with_its_size()
    {
        var content = new MemoryStream(await File.ReadAllBytesAsync(await TinyImage.FileAsync(Cancellation), Cancellation));
        Assert.Equal(new ImageFile("qcow2", content.Length, 64 << 20), ImageFile.Read(content, "qcow2", "tiny"));
        Assert.Throws<ProviderFault>(() => ImageFile.Read(content, "raw", "tiny"));
    }

    [Theory]
    [InlineData(38, "Failed to connect socket to '/run/libvirt/libvirt-sock': Connection refused", FaultKind.Transient)]
    [InlineData(38, "Failed to connect socket to '/run/libvirt/libvirt-sock': Permission denied", FaultKind.Unauthorized)]
    [InlineData(38, "Cannot recv data: root@h: Permission denied (publickey).: Connection reset by peer", FaultKind.Unauthorized)]
    [InlineData(45, "authentication failed: authentication failed", FaultKind.Unauthorized)]
    [InlineData(1, "internal error: connection closed due to keepalive timeout", FaultKind.Transient)]
    [InlineData(1, "internal error: Child process (/usr/bin/qemu-img create) unexpected exit status 1: No space left on device", FaultKind.NoCapacity)]
    [InlineData(1, "internal error: process exited while connecting to monitor: cannot set up guest memory 'pc.ram': Cannot allocate memory", FaultKind.NoCapacity)]
    [InlineData(67, "unsupported configuration: CPU mode", FaultKind.Rejected)]
    [InlineData(49, "Storage pool not found: no storage pool with matching name 'lab'", FaultKind.Transient)]
    public void The_kind_of_a_fault_follows_from_what_libvirt_says(int code, string message, FaultKind kind)
    {
        var fault = LibvirtFaults.From((LibvirtError)code, message, "make the machine", "here", alive: true);
        Assert.Equal(kind, fault.Kind);
        Assert.StartsWith("Host \"here\" could not make the machine: ", fault.Message, StringComparison.Ordinal);
        Assert.EndsWith(".", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_ssh_uri_never_asks_and_a_shown_one_names_no_key()
    {
        Assert.Equal("qemu+ssh://h/system?keyfile=k&no_tty=1", LibvirtUri.WithoutPrompts("qemu+ssh://h/system?keyfile=k"));
        Assert.Equal("qemu+ssh://h/system?no_tty=1", LibvirtUri.WithoutPrompts("qemu+ssh://h/system"));
        Assert.Equal("qemu:///system", LibvirtUri.WithoutPrompts("qemu:///system"));
        Assert.Equal("qemu+ssh://h/system", LibvirtUri.Shown("qemu+ssh://h/system?keyfile=k"));
    }

    private static async Task<JsonElement?> ReadYamlAsync(string text)
    {
        var file = Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(file, "#cloud-config\n" + text, Encoding.UTF8, Cancellation);
            var (exit, output, _) = await Tool.TryAsync(Cancellation, "python3", "-c", "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1], encoding='utf-8-sig'))))", file);
            return exit == 0 ? JsonDocument.Parse(output).RootElement : null;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null;
        }
        finally
        {
            File.Delete(file);
        }
    }
}
