using System.Diagnostics;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Providers.Aws;
using LabPortal.Testing;
using Microsoft.Extensions.Time.Testing;
using Xunit;
using static LabPortal.Providers.Tests.Eventually;

namespace LabPortal.Providers.Tests.Aws;

/// <summary>What holds of EC2 alone.</summary>
public sealed partial class AwsLaws(Ec2Peer peer) : IClassFixture<Ec2Peer>, IDisposable
{
    private readonly TestFolder _folder = new();
    private readonly Ec2World _account = new();
    private readonly InstallationId _installation = new(Ids.New(TimeProvider.System));

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_call_that_is_cut_off_is_not_repeated_behind_our_back()
    {
        await using var harmed = Open(new WireFault.CutOff(1, AfterEffect: false));
        var fault = await Assert.ThrowsAsync<ProviderFault>(() => harmed.ListOwnedAsync(Cancellation));
        Assert.Equal(FaultKind.Transient, fault.Kind);
    }

    [Theory]
    [InlineData(new[] { "t3.micro" }, "t3.small", "subnet-0a")]
    [InlineData(new[] { "test-1a" }, "t3.micro", "subnet-0b")]
    [InlineData(new[] { "t3.micro", "t3.small", "test-1a" }, "m6i.large", "subnet-0b")]
    public async Task Where_there_is_no_room_the_next_type_and_subnet_are_tried(string[] isShort, string type, string subnet)
    {
        _account.Short.UnionWith(isShort);
        await using var provider = Open();
        await provider.EnsureExistsAsync(NewMachine(), Cancellation);
        Assert.Equal((type, subnet), (Instance().Type, Instance().Subnet));
    }

    [Fact]
    public async Task A_lost_answer_makes_no_second_machine_though_there_is_room_for_the_better_type_by_then()
    {
        var machine = NewMachine();
        _account.Short.Add("t3.micro");
        // Micro in two subnets, then small.
        await using (var harmed = Open(new WireFault.CutOff(3, AfterEffect: true) { Of = "RunInstances" }))
            Assert.Equal(FaultKind.Transient, (await Assert.ThrowsAsync<ProviderFault>(() => harmed.EnsureExistsAsync(machine, Cancellation))).Kind);
        _account.Short.Clear();
        await using var provider = Open();
        await provider.EnsureExistsAsync(machine, Cancellation);
        Assert.Equal("t3.small", Instance().Type);
    }

    [Fact]
    public async Task What_is_made_is_encrypted_tagged_and_goes_with_its_machine_and_takes_version_2_of_the_metadata_service_only()
    {
        await using var provider = Open();
        var machine = NewMachine();
        await provider.EnsureExistsAsync(machine, Cancellation);
        var given = Instance().Given;
        Assert.Equal("required", given.At("MetadataOptions")["HttpTokens"]);
        var disk = given.First("BlockDeviceMapping")!.At("Ebs");
        Assert.Equal(("true", "true", "2"), (disk["Encrypted"], disk["DeleteOnTermination"], disk["VolumeSize"]));
        Assert.Equal("true", given.First("NetworkInterface")!["DeleteOnTermination"]);
        Assert.Equal(["sg-0a", _account.Everything().Single(thing => thing.Kind == "group").Id], given.First("NetworkInterface")!.Texts("SecurityGroupId"));
        Assert.Matches("^[0-9a-f]{48}$", given["ClientToken"]);
        Assert.Equal(["instance", "network-interface", "volume"], given.List("TagSpecification").Select(tags => tags["ResourceType"]).Order());
        Assert.All(_account.Everything(), thing => Assert.Equal(_installation.ToString(), thing.Tags[AwsMapping.InstallationTag]));
        Assert.StartsWith("#cloud-config\n{", Encoding.UTF8.GetString(Convert.FromBase64String(given["UserData"]!)), StringComparison.Ordinal);
        Assert.Contains("\"hostname\":\"web-1\"", Encoding.UTF8.GetString(Convert.FromBase64String(given["UserData"]!)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_lab_has_a_group_of_its_own_that_goes_with_its_last_machine()
    {
        await using var provider = Open(more: """{"reachedFrom": [{"network": "10.0.0.0/8"}, {"network": "fd00::/8"}]}""");
        var first = NewMachine();
        var second = first with { Owner = first.Owner with { Machine = new MachineId(Ids.New(TimeProvider.System)) } };
        var other = NewMachine();
        foreach (var machine in new[] { first, second, other }) await EventuallyAsync(async () => Assert.Null(await Record.ExceptionAsync(() => provider.EnsureExistsAsync(machine, Cancellation))));
        var groups = _account.Everything().Where(thing => thing.Kind == "group").ToDictionary(thing => thing.Name, thing => thing.Id);
        Assert.Equal(2, groups.Count);
        var own = groups[AwsMapping.GroupName(first.Owner)];
        foreach (var machine in new[] { first, second })
        {
            var instance = _account.Find(_account.Everything().Single(thing => thing.Kind == "instance" && thing.Name == machine.Owner.ResourceName).Id);
            Assert.Equal(["sg-0a", own], instance.Given.First("NetworkInterface")!.Texts("SecurityGroupId"));
        }

        var rules = _account.Find(own).Rules;
        Assert.Equal([("-1", null), ("tcp", "22")], rules.Select(rule => (rule["IpProtocol"], rule["FromPort"])));
        Assert.Equal(own, rules[0].First("Groups")!["GroupId"]);
        Assert.Equal(("10.0.0.0/8", "fd00::/8"), (rules[1].First("IpRanges")!["CidrIp"], rules[1].First("Ipv6Ranges")!["CidrIpv6"]));

        await provider.EnsureGoneAsync(first.Reference, Cancellation);
        Assert.Contains(_account.Everything(), thing => thing.Id == own);
        await EventuallyAsync(async () => Assert.Null(await Record.ExceptionAsync(() => provider.EnsureGoneAsync(second.Reference, Cancellation))));
        Assert.Equal(groups[AwsMapping.GroupName(other.Owner)], Assert.Single(_account.Everything(), thing => thing.Kind == "group").Id);
    }

    [Fact]
    public async Task A_revert_never_gives_back_a_disk_that_was_used_since_however_it_was_interrupted()
    {
        var machine = NewMachine();
        await using var provider = Open();
        await provider.EnsureExistsAsync(machine, Cancellation);
        var (snapshots, snapshot, disks) = ((ISnapshotAbility)provider, new SnapshotId(Ids.New(TimeProvider.System)), new HashSet<string>());
        while (await Record.ExceptionAsync(() => snapshots.TakeSnapshotAsync(machine.Reference, snapshot, Cancellation)) is ProviderFault { Kind: FaultKind.Transient }) await Task.Delay(20, Cancellation);
        var interrupted = 0;
        for (var call = 1; ; call++)
        {
            await using var harmed = (AwsProvider)Open(new WireFault.CutOff(call, AfterEffect: true));
            var cut = await Record.ExceptionAsync(() => harmed.RevertAsync(machine.Reference, snapshot, Cancellation)) is not null;
            if (cut) await snapshots.RevertAsync(machine.Reference, snapshot, Cancellation);
            // Whatever it has now, it never had before.
            Assert.True(disks.Add(Instance().Disk!.Id));
            Assert.Single(_account.Everything(), thing => thing.Kind == "volume");
            if (!cut) break;
            interrupted++;
        }

        Assert.InRange(interrupted, 8, 100);
    }

    [Fact]
    public async Task An_image_is_found_by_a_pattern_of_its_name_and_the_newest_is_taken()
    {
        await using var provider = Open();
        var machine = NewMachine();
        await provider.EnsureExistsAsync(machine with { Image = new ImageBinding("tiny", "1", new Dictionary<string, string> { ["ami"] = "tiny-*", ["owner"] = "123456789012" }) }, Cancellation);
        Assert.Equal("ami-00000001", Instance().Given["ImageId"]);
        var fault = await Assert.ThrowsAsync<ProviderFault>(() => provider.EnsureExistsAsync(NewMachine() with { Image = new ImageBinding("none", "1", new Dictionary<string, string> { ["ami"] = "ami-0000dead" }) }, Cancellation));
        Assert.Equal((FaultKind.Rejected, "Image ami-0000dead is not in test-1 (looked for by id)."), (fault.Kind, fault.Message));
    }

    [Fact]
    public async Task What_EC2_would_not_take_is_refused_before_it_is_asked()
    {
        await using var provider = Open();
        var machine = NewMachine();
        var large = machine with { Seed = machine.Seed with { UserData = new Dictionary<string, object> { ["write_files"] = new string('x', AwsMapping.MostUserData) } } };
        var huge = machine with { Cpu = 4096 };
        foreach (var refused in new[] { large, huge })
            Assert.Equal(FaultKind.Rejected, (await Assert.ThrowsAsync<ProviderFault>(() => provider.EnsureExistsAsync(refused, Cancellation))).Kind);
        Assert.Empty(_account.Everything());
    }

    [Fact]
    public async Task A_check_names_all_that_is_wrong_at_once()
    {
        await using var provider = Open(more: """{"subnets": [{"id": "subnet-0a"}, {"id": "subnet-lost"}], "securityGroups": [{"id": "sg-lost"}], "instanceTypes": [{"type": "z9.vast", "cpu": 1, "memoryMiB": 1}]}""");
        var check = await provider.CheckAsync(Cancellation);
        Assert.Equal(
            ["Subnet subnet-lost is not in test-1.", "Security group sg-lost is not in test-1.", "Instance type z9.vast is not in test-1."], check.Problems.Select(problem => problem.What));
        Assert.Equal([true, true, false], check.Problems.Select(problem => problem.Blocks));
    }

    [Fact]
    public async Task What_is_no_network_and_that_nobody_reaches_machines_is_said_by_the_check()
    {
        await using var mistyped = Open(more: """{"reachedFrom": [{"network": "10.0.0.0/8"}, {"network": "everywhere"}]}""");
        Assert.Equal(("everywhere is no network.", true), Assert.Single((await mistyped.CheckAsync(Cancellation)).Problems) is var wrong ? (wrong.What, wrong.Blocks) : default);
        await using var closed = Open(more: """{"securityGroups": []}""");
        Assert.Equal(("Nothing lets the portal reach machines.", false), Assert.Single((await closed.CheckAsync(Cancellation)).Problems) is var none ? (none.What, none.Blocks) : default);
    }

    /// <summary>The group was removed by this node, made anew by another one, and its lab ends on this one.</summary>
    [Fact]
    public async Task A_group_that_another_node_made_anew_is_removed_by_this_one()
    {
        await using var here = Open();
        await using var there = Open();
        var machine = NewMachine();
        await here.EnsureExistsAsync(machine, Cancellation);
        await here.EnsureGoneAsync(machine.Reference, Cancellation);
        Assert.Empty(_account.Everything());
        var next = machine with { Owner = machine.Owner with { Generation = 2 } };
        await EventuallyAsync(async () => Assert.Null(await Record.ExceptionAsync(() => there.EnsureExistsAsync(next, Cancellation))));
        await EventuallyAsync(async () => Assert.IsType<Observation.Present>(Assert.Single(await here.ObserveAsync([next.Reference], Cancellation))));
        await here.EnsureGoneAsync(next.Reference, Cancellation);
        Assert.Empty(_account.Everything());
    }

    [Fact]
    public async Task A_check_names_each_permission_that_is_missing_and_a_clock_that_is_wrong_before_a_call_fails_for_it()
    {
        await using var provider = Open();
        Assert.Empty((await provider.CheckAsync(Cancellation)).Problems);
        foreach (var action in new[] { "CreateTags", "StopInstances", "DeleteVolume" }) _account.Denied.Add(action);
        Assert.Equal("The credentials may not do ec2:CreateTags.", Assert.Single((await provider.CheckAsync(Cancellation)).Problems).What);
        _account.Denied.Clear();

        // What is done to machines can be asked of one that is there.
        var machine = NewMachine();
        await provider.EnsureExistsAsync(machine, Cancellation);
        await EventuallyAsync(async () => Assert.Equal(PowerState.Running, Assert.IsType<Observation.Present>(Assert.Single(await provider.ObserveAsync([machine.Reference], Cancellation))).Power));
        foreach (var action in new[] { "StopInstances", "DeleteVolume" }) _account.Denied.Add(action);
        await using var late = AwsPools.Open(peer.Url, peer.NewKey(_account), _installation, _folder.Path, time: new FakeTimeProvider(DateTimeOffset.UtcNow.AddMinutes(4)));
        var check = await late.CheckAsync(Cancellation);
        Assert.Equal(["The portal's clock is 4 minutes ahead of that of AWS.", "The credentials may not do ec2:DeleteVolume, ec2:StopInstances."], check.Problems.Select(problem => problem.What));
        Assert.Equal([false, true], check.Problems.Select(problem => problem.Blocks));
        Assert.Equal(PowerState.Running, Assert.IsType<Observation.Present>(Assert.Single(await provider.ObserveAsync([machine.Reference], Cancellation))).Power);
    }

    [Theory]
    [InlineData("InsufficientInstanceCapacity", 500, FaultKind.NoCapacity)]
    [InlineData("VcpuLimitExceeded", 400, FaultKind.NoCapacity)]
    [InlineData("RequestLimitExceeded", 503, FaultKind.Throttled)]
    [InlineData("UnauthorizedOperation", 403, FaultKind.Unauthorized)]
    [InlineData("RequestExpired", 400, FaultKind.Unauthorized)]
    [InlineData("InvalidAMIID.NotFound", 400, FaultKind.Rejected)]
    [InlineData("IncorrectInstanceState", 400, FaultKind.Transient)]
    [InlineData("InternalError", 500, FaultKind.Transient)]
    [InlineData("SomethingNew", 400, FaultKind.Rejected)]
    [InlineData("SomethingNew", 502, FaultKind.Transient)]
    public void What_EC2_says_is_a_fault_of_this_kind(string code, int status, FaultKind kind)
    {
        var fault = AwsFaults.Of("RunInstances", code, "It is so", status, null, new InvalidOperationException());
        Assert.Equal(kind, fault.Kind);
        Assert.Matches(@"^[A-Z].*\.$|infra/aws/iam-policy\.json", fault.Message);
        Assert.Equal(kind == FaultKind.Throttled, fault.RetryAfter is not null);
    }

    [Fact]
    public async Task Ten_thousand_hostile_values_come_back_as_they_were_and_nowhere_else()
    {
        await using var provider = Open();
        var sent = new Dictionary<string, (string Title, IReadOnlyList<string> Values)>();
        foreach (var (title, values) in HostilePortions.All())
        {
            var machine = NewMachine() with { Title = title, Seed = new GuestSeed("ada", [], null, new Dictionary<string, object> { ["runcmd"] = values }) };
            await provider.EnsureExistsAsync(machine, Cancellation);
            sent[machine.Owner.ResourceName] = (title, values);
        }

        Assert.InRange(sent.Values.Sum(portion => portion.Values.Count), 10_000, 11_000);
        var instances = _account.Everything().Where(thing => thing.Kind == "instance").ToList();
        Assert.Equal(sent.Keys.Order(), instances.Select(thing => thing.Name).Order());
        Assert.All(instances, instance =>
        {
            var line = ForeignText.Of(sent[instance.Name].Title, 256).Replace('\ufffe', '\ufffd').Replace('\uffff', '\ufffd').Trim();
            Assert.Equal(line.Length == 0 ? "machine" : line, instance.Tags[AwsMapping.TitleTag]);
            Assert.Equal(6, instance.Tags.Count);
            var data = Encoding.UTF8.GetString(Convert.FromBase64String(_account.Find(instance.Id).Given["UserData"]!));
            Assert.Equal(sent[instance.Name].Values, JsonNode.Parse(data["#cloud-config\n".Length..])!["runcmd"]!.AsArray().Select(value => value!.GetValue<string>()));
        });
    }

    /// <summary>Least privilege: what the client calls is what the policy allows.</summary>
    [Fact]
    public async Task The_policy_names_each_action_that_is_called_and_no_other()
    {
        var called = Directory.GetFiles(Path.Combine(Repository.Root, "src/LabPortal.Providers/Aws"), "AwsClient*.cs").SelectMany(file => Called().Matches(File.ReadAllText(file))).Select(match => $"ec2:{match.Groups[1].Value}");
        var policy = JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(Repository.Root, "infra/aws/iam-policy.json"), Cancellation))!;
        var allowed = policy["Statement"]!.AsArray().SelectMany(statement => statement!["Action"] is JsonArray many ? many.Select(one => one!.GetValue<string>()) : [statement["Action"]!.GetValue<string>()]);
        // Tags are set by the calls that make things, and are a permission of their own.
        Assert.Equal(called.Append("ec2:CreateTags").Distinct().Order(StringComparer.Ordinal), allowed.Order(StringComparer.Ordinal));
    }

    /// <summary>A client that others wrote, on the same peer: it is not only our own that understands it.</summary>
    [Fact]
    public async Task AWSs_own_command_line_drives_the_peer()
    {
        var key = peer.NewKey(_account);
        string[] run = ["run-instances", "--image-id", "ami-00000001", "--instance-type", "t3.micro", "--subnet-id", "subnet-0a", "--client-token", "once"];
        var first = (await AwsAsync(key, run)).RootElement.GetProperty("Instances")[0].GetProperty("InstanceId").GetString();
        Assert.Equal(first, (await AwsAsync(key, run)).RootElement.GetProperty("Instances")[0].GetProperty("InstanceId").GetString());
        var listed = (await AwsAsync(key, ["describe-instances"])).RootElement.GetProperty("Reservations");
        Assert.Equal(first, Assert.Single(listed.EnumerateArray()).GetProperty("Instances")[0].GetProperty("InstanceId").GetString());
        var refusal = await Assert.ThrowsAsync<InvalidOperationException>(() => AwsAsync(key, ["terminate-instances", "--dry-run", "--instance-ids", first!]));
        Assert.Contains("DryRunOperation", refusal.Message, StringComparison.Ordinal);
    }

    private async Task<JsonDocument> AwsAsync((string Id, string Secret) key, string[] arguments)
    {
        var start = new ProcessStartInfo("/usr/bin/aws", ["--endpoint-url", peer.Url, "--region", Ec2Peer.Region, "--output", "json", "--no-cli-pager", "ec2", .. arguments])
        {
            UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true,
            Environment = { ["PATH"] = "/usr/bin:/bin", ["HOME"] = _folder.Path, ["AWS_ACCESS_KEY_ID"] = key.Id, ["AWS_SECRET_ACCESS_KEY"] = key.Secret, ["AWS_MAX_ATTEMPTS"] = "1", ["AWS_EC2_METADATA_DISABLED"] = "true" },
        };
        using var process = Process.Start(start)!;
        var (said, complained) = (process.StandardOutput.ReadToEndAsync(Cancellation), process.StandardError.ReadToEndAsync(Cancellation));
        await process.WaitForExitAsync(Cancellation);
        return process.ExitCode == 0 ? JsonDocument.Parse(await said) : throw new InvalidOperationException(await complained);
    }

    private IProvider Open(WireFault? fault = null, string more = "{}") => AwsPools.Open(peer.Url, peer.NewKey(_account, fault), _installation, _folder.Path, more);

    private Thing Instance() => _account.Find(Assert.Single(_account.Everything(), thing => thing.Kind == "instance").Id);

    private MachineSpec NewMachine() => new(
        new Owner(_installation, new LabId(Ids.New(TimeProvider.System)), new MachineId(Ids.New(TimeProvider.System)), 1),
        null, "web-1", "lab web", new ImageBinding("tiny", "1", new Dictionary<string, string> { ["ami"] = "ami-00000001" }), Cpu: 1, MemoryMiB: 512, DiskGiB: 1,
        new GuestSeed("ada", ["ssh-ed25519 AAAA"], null, new Dictionary<string, object>()));

    public void Dispose() => _folder.Dispose();

    [GeneratedRegex("\"([A-Z][A-Za-z]+)\", _ec2\\.")]
    private static partial Regex Called();
}
