using System.Text;
using System.Text.Json.Nodes;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Providers.Azure;
using LabPortal.Testing;
using Microsoft.Extensions.Time.Testing;
using Xunit;
using static LabPortal.Providers.Tests.Eventually;

namespace LabPortal.Providers.Tests.Azure;

/// <summary>What holds of Azure alone.</summary>
public sealed class AzureLaws(ArmPeer peer) : IClassFixture<ArmPeer>, IDisposable
{
    private readonly TestFolder _folder = new();
    private readonly ArmWorld _subscription = new();
    private readonly InstallationId _installation = new(Ids.New(TimeProvider.System));

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_labs_group_goes_with_its_last_machine_and_not_before()
    {
        await using var provider = Open();
        var first = NewMachine();
        var second = first with { Owner = first.Owner with { Machine = new MachineId(Ids.New(TimeProvider.System)) } };
        foreach (var machine in new[] { first, second }) await RunAsync(provider, machine);
        Assert.Single(_subscription.Everything(), thing => thing.Type == "Microsoft.Resources/resourceGroups");
        await GoneAsync(provider, first);
        Assert.Equal(
            new[] { ResourceName(second), ResourceName(second) + ".card", ResourceName(second) + ".disk", AzureMapping.GroupOf(first.Owner).ResourceName }.Order(StringComparer.Ordinal),
            _subscription.Everything().Select(thing => thing.Name).Order(StringComparer.Ordinal));
        await GoneAsync(provider, second);
        Assert.Empty(_subscription.Everything());
    }

    [Fact]
    public async Task A_machine_for_a_group_that_is_being_deleted_comes_when_that_is_over()
    {
        await using var provider = Open();
        var first = NewMachine();
        await RunAsync(provider, first);
        _subscription.DeletionsHang = true;
        await provider.EnsureGoneAsync(first.Reference, Cancellation);
        var next = first with { Owner = first.Owner with { Generation = 2 } };
        Assert.Equal(FaultKind.Transient, (await Assert.ThrowsAsync<ProviderFault>(() => provider.EnsureExistsAsync(next, Cancellation))).Kind);
        _subscription.DeletionsHang = false;
        await EventuallyAsync(async () => Assert.Null(await Record.ExceptionAsync(() => provider.EnsureExistsAsync(next, Cancellation))));
    }

    [Theory, InlineData(1), InlineData(2), InlineData(3)]
    public async Task A_call_that_is_cut_off_is_not_repeated_behind_our_back(int call)
    {
        await using var harmed = Open(new WireFault.CutOff(call, AfterEffect: false));
        var before = peer.Calls;
        var fault = await Assert.ThrowsAsync<ProviderFault>(() => harmed.EnsureExistsAsync(NewMachine(), Cancellation));
        Assert.Equal((FaultKind.Transient, call), (fault.Kind, peer.Calls - before));
    }

    [Fact]
    public async Task Where_there_is_no_room_the_next_size_is_tried()
    {
        _subscription.Short.Add("Standard_B1s");
        await using var provider = Open();
        await provider.EnsureExistsAsync(NewMachine(), Cancellation);
        Assert.Equal("Standard_B2s", Machine()["properties"]!["hardwareProfile"]!["vmSize"]!.GetValue<string>());
    }

    [Fact]
    public async Task A_machine_that_Azure_finds_no_room_for_later_is_no_capacity()
    {
        _subscription.FailLater.Add("Standard_B1s");
        await using var provider = Open();
        var machine = NewMachine();
        await provider.EnsureExistsAsync(machine, Cancellation);
        await EventuallyAsync(async () =>
        {
            var failed = Assert.IsType<Observation.Present>(Assert.Single(await provider.ObserveAsync([machine.Reference], Cancellation)));
            Assert.Equal((PowerState.Failed, FaultKind.NoCapacity), (failed.Power, failed.Why));
            Assert.StartsWith("AllocationFailed: Allocation failed.", failed.Problem, StringComparison.Ordinal);
        });
    }

    [Fact]
    public async Task What_is_made_goes_with_its_machine_and_has_its_tags_and_data()
    {
        await using var provider = Open(more: """{"zone": "2", "spot": true, "security": "trusted-launch", "publicAddress": true}""");
        var machine = NewMachine() with { DiskGiB = 64 };
        await provider.EnsureExistsAsync(machine, Cancellation);
        var made = Machine();
        var properties = made["properties"]!;
        Assert.Equal(("Delete", 64), (properties["storageProfile"]!["osDisk"]!["deleteOption"]!.GetValue<string>(), properties["storageProfile"]!["osDisk"]!["diskSizeGB"]!.GetValue<int>()));
        Assert.Equal(("TrustedLaunch", "Spot", "2"), (properties["securityProfile"]!["securityType"]!.GetValue<string>(), properties["priority"]!.GetValue<string>(), made["zones"]![0]!.GetValue<string>()));
        Assert.Equal(_installation.ToString(), made["tags"]![AzureMapping.InstallationTag]!.GetValue<string>());
        var data = Encoding.UTF8.GetString(Convert.FromBase64String(properties["osProfile"]!["customData"]!.GetValue<string>()));
        Assert.StartsWith("#cloud-config\n{", data, StringComparison.Ordinal);
        Assert.Contains("\"hostname\":\"web-1\"", data, StringComparison.Ordinal);
        Assert.Equal("debian", properties["storageProfile"]!["imageReference"]!["publisher"]!.GetValue<string>());
    }

    [Fact]
    public async Task What_Azure_would_not_take_is_refused_before_it_is_asked()
    {
        await using var provider = Open();
        var machine = NewMachine();
        var large = machine with { Seed = machine.Seed with { UserData = new Dictionary<string, object> { ["write_files"] = new string('x', AzureMapping.MostCustomData) } } };
        var huge = machine with { Cpu = 4096 };
        var closed = machine with { Seed = new GuestSeed("ada", [], null, new Dictionary<string, object>()) };
        foreach (var refused in new[] { large, huge, closed })
            Assert.Equal(FaultKind.Rejected, (await Assert.ThrowsAsync<ProviderFault>(() => provider.EnsureExistsAsync(refused, Cancellation))).Kind);
        Assert.DoesNotContain(_subscription.Everything(), thing => thing.Type.EndsWith("virtualMachines", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_check_names_all_that_is_wrong_at_once()
    {
        await using var provider = Open(more: $$"""{"subnet": "{{ArmWorld.Subnet}}-lost", "sizes": [{"size": "Standard_Vast", "cpu": 1, "memoryMiB": 1}]}""");
        var check = await provider.CheckAsync(Cancellation);
        Assert.Equal([$"Subnet {ArmWorld.Subnet}-lost is not there.", "Size Standard_Vast is not in testwest."], check.Problems.Select(problem => problem.What));
        Assert.Equal([true, false], check.Problems.Select(problem => problem.Blocks));

        foreach (var action in new[] { "Microsoft.Compute/virtualMachines/write", "Microsoft.Compute/disks/delete", "Microsoft.Network/publicIPAddresses/write" }) _subscription.Denied.Add(action);
        _subscription.CoresUsed = 20;
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow.AddMinutes(-3));
        await using var second = AzurePools.Open(peer, _subscription, _installation, _folder.Path, time: clock);
        check = await second.CheckAsync(Cancellation);
        Assert.Equal(
            [
                "The portal's clock is 3 minutes behind that of Azure.", "The portal's role lacks Microsoft.Compute/disks/delete, Microsoft.Compute/virtualMachines/write.",
                "The subscription's allowance of Total Regional vCPUs in testwest is used up: 20 of 20.",
            ], check.Problems.Select(problem => problem.What));
        Assert.Equal([false, true, true], check.Problems.Select(problem => problem.Blocks));
    }

    [Theory]
    [InlineData("labs")]
    [InlineData("/labs")]
    [InlineData("/subscriptions/1/labs")]
    [InlineData("/subscriptions/a b/resourceGroups//providers")]
    public async Task What_is_no_resource_id_is_said_so_and_breaks_nothing(string typed)
    {
        await using var provider = Open(more: new JsonObject { ["subnet"] = typed }.ToJsonString());
        Assert.StartsWith($"The subnet {typed} is no resource id", Assert.Single((await provider.CheckAsync(Cancellation)).Problems).What, StringComparison.Ordinal);
        Assert.Equal(FaultKind.Rejected, (await Assert.ThrowsAsync<ProviderFault>(() => provider.EnsureExistsAsync(NewMachine(), Cancellation))).Kind);
        var image = NewMachine().Image with { Settings = new Dictionary<string, string> { ["image"] = typed } };
        Assert.Equal(FaultKind.Rejected, (await Assert.ThrowsAsync<ProviderFault>(() => ((IImagesAbility)provider).FindAsync(image, Cancellation))).Kind);
    }

    [Theory]
    [InlineData("*", "", true)]
    [InlineData("Microsoft.Compute/*", "", true)]
    [InlineData("*/write", "", true)]
    [InlineData("microsoft.compute/*/write", "", true)]
    [InlineData("Microsoft.Compute/virtualMachines/write", "", true)]
    [InlineData("Microsoft.Compute/*/read", "", false)]
    [InlineData("Microsoft.Compute/virtualMachines/writ", "", false)]
    [InlineData("*/virtualMachines/*/write", "", false)]
    [InlineData("*", "Microsoft.Compute/virtualMachines/*", false)]
    [InlineData("*", "Microsoft.Compute/disks/*", true)]
    public void A_grant_allows_what_its_actions_match_and_its_exceptions_do_not(string action, string not, bool allows)
        => Assert.Equal(allows, AzurePermissions.Allows([new AzureGrant([action], not.Length > 0 ? [not] : [])], "Microsoft.Compute/virtualMachines/write"));

    [Fact]
    public async Task A_serial_log_is_its_end_fetched_without_the_token()
    {
        await using var provider = Open();
        var machine = NewMachine();
        await RunAsync(provider, machine);
        var log = (ISerialLogAbility)provider;
        _subscription.Printed = "";
        Assert.Empty(await log.ReadSerialLogAsync(machine.Reference, 100, Cancellation));
        _subscription.Printed = string.Concat(Enumerable.Range(0, 100_000).Select(i => $"line {i}\n"));
        Assert.Equal(_subscription.Printed[^500..], Encoding.UTF8.GetString(await log.ReadSerialLogAsync(machine.Reference, 500, Cancellation)));
        _subscription.Printed = "short";
        Assert.Equal("short", Encoding.UTF8.GetString(await log.ReadSerialLogAsync(machine.Reference, 500, Cancellation)));
    }

    [Fact]
    public async Task A_revert_gives_the_machine_a_disk_of_the_snapshot_and_leaves_no_other()
    {
        await using var provider = Open(more: $$"""{"resourceGroup": "{{AzurePools.FixedGroup}}"}""");
        _subscription.Answer("PUT", $"/subscriptions/{ArmWorld.Subscription}/resourceGroups/{AzurePools.FixedGroup}", new Dictionary<string, string>(), [], full: false);
        var (machine, snapshots, snapshot) = (NewMachine(), (ISnapshotAbility)provider, new SnapshotId(Ids.New(TimeProvider.System)));
        await RunAsync(provider, machine);
        await snapshots.TakeSnapshotAsync(machine.Reference, snapshot, Cancellation);
        var had = new HashSet<string> { Disk() };
        for (var again = 0; again < 3; again++)
        {
            await snapshots.RevertAsync(machine.Reference, snapshot, Cancellation);
            // Never one that the guest has written on.
            Assert.True(had.Add(Disk()));
            Assert.EndsWith($"/snapshots/{AzureMapping.SnapshotName(machine.Owner, snapshot)}", _subscription.Find(Disk())!.Body["properties"]!["creationData"]!["sourceResourceId"]!.ToString(), StringComparison.Ordinal);
            await EventuallyAsync(() => Task.FromResult(Assert.Single(_subscription.Everything(), thing => thing.Type == "Microsoft.Compute/disks")));
        }

        await GoneAsync(provider, machine);
        await EventuallyAsync(() => Task.FromResult(Assert.Single(_subscription.Everything())));

        string Disk() => Machine()["properties"]!["storageProfile"]!["osDisk"]!["managedDisk"]!["id"]!.GetValue<string>();
    }

    /// <summary>As a pool of a private cloud is set up: its own authority, an application's secret.</summary>
    [Fact]
    public async Task A_client_secret_signs_in_at_the_pools_own_authority()
    {
        var (client, secret) = peer.NewApplication(_subscription);
        var settings = AzurePools.Settings(peer, $$"""{"credential": "client-secret", "tenantId": "tenant", "clientId": "{{client}}", "clientSecret": "{{secret}}", "authorityHost": "{{peer.Url}}"}""");
        foreach (var (given, problems) in new[] { (secret, 0), ("wrong", 1) })
        {
            settings["clientSecret"] = given;
            var read = AzureSettings.Read(settings);
            await using var provider = new AzureProvider(new PoolContext(_installation, "pool", settings, _folder.Path, TimeProvider.System), read, new AzureClient(read, transport: peer.NewTransport(harmed: false)), AzureTimes.Real);
            var check = await provider.CheckAsync(Cancellation);
            Assert.Equal(problems, check.Problems.Count);
            Assert.All(check.Problems, problem => Assert.StartsWith("The portal cannot sign in to Azure: ", problem.What, StringComparison.Ordinal));
        }
    }

    /// <summary>What holds the peer holds something: the definitions refuse what is none of theirs.</summary>
    [Theory]
    [InlineData("""{"location": "x", "properties": {"hardwareProfile": {"vmSize": "a"}, "sise": 1}}""", "Microsoft.Compute/virtualMachines: .properties.sise is unknown")]
    [InlineData("""{"location": "x", "properties": {"provisioningState": "a"}}""", "Microsoft.Compute/virtualMachines: .properties.provisioningState is only read")]
    [InlineData("""{"properties": {}}""", "Microsoft.Compute/virtualMachines: .location is missing")]
    [InlineData("""{"location": "x", "zones": "1"}""", "Microsoft.Compute/virtualMachines: .zones is \"1\", not of ArrayType")]
    public void The_definitions_refuse_what_is_none_of_theirs(string body, string wrong)
        => Assert.Equal([wrong], ArmDefinitions.Shared.Check("Microsoft.Compute/virtualMachines", "2023-07-01", (JsonObject)JsonNode.Parse(body)!, ArmWay.Put));

    [Theory]
    [InlineData("SkuNotAvailable", "", 409, FaultKind.NoCapacity)]
    [InlineData("AllocationFailed", "", 409, FaultKind.NoCapacity)]
    [InlineData("QuotaExceeded", "", 409, FaultKind.NoCapacity)]
    [InlineData("OperationNotAllowed", "Operation could not be completed as it results in exceeding approved Total Regional Cores quota.", 409, FaultKind.NoCapacity)]
    [InlineData("OperationNotAllowed", "The machine is being deleted.", 409, FaultKind.Transient)]
    [InlineData("ResourceGroupBeingDeleted", "", 409, FaultKind.Transient)]
    [InlineData("AuthorizationFailed", "", 403, FaultKind.Unauthorized)]
    [InlineData("InvalidAuthenticationToken", "", 401, FaultKind.Unauthorized)]
    [InlineData("TooManyRequests", "", 429, FaultKind.Throttled)]
    [InlineData("InvalidParameter", "", 400, FaultKind.Rejected)]
    [InlineData("InternalServerError", "", 500, FaultKind.Transient)]
    public void What_Azure_says_is_a_fault_of_this_kind(string code, string message, int status, FaultKind kind)
    {
        var fault = AzureFaults.Of("make the machine", code, message, status, null, new InvalidOperationException());
        Assert.Equal(kind, fault.Kind);
        Assert.Matches(@"^[A-Z].*\.$", fault.Message);
    }

    /// <summary>Least privilege: what a machine's whole life asks for is what the role allows.</summary>
    [Fact]
    public async Task The_role_names_each_permission_that_is_needed_and_no_other()
    {
        await using (var provider = Open(more: """{"publicAddress": true}"""))
        {
            var machine = NewMachine();
            await RunAsync(provider, machine);
            var power = (IPowerAbility)provider;
            await power.RestartAsync(machine.Reference, Cancellation);
            await power.StopAsync(machine.Reference, StopMode.Hard, Cancellation);
            await EventuallyAsync(async () => Assert.Equal(PowerState.Stopped, Assert.IsType<Observation.Present>(Assert.Single(await provider.ObserveAsync([machine.Reference], Cancellation))).Power));
            await power.StartAsync(machine.Reference, Cancellation);
            await provider.CheckAsync(Cancellation);
            var (snapshots, snapshot) = ((ISnapshotAbility)provider, new SnapshotId(Ids.New(TimeProvider.System)));
            await snapshots.TakeSnapshotAsync(machine.Reference, snapshot, Cancellation);
            await snapshots.RevertAsync(machine.Reference, snapshot, Cancellation);
            await snapshots.DeleteSnapshotAsync(machine.Reference, snapshot, Cancellation);
            await ((ISerialLogAbility)provider).ReadSerialLogAsync(machine.Reference, 100, Cancellation);
            foreach (var image in new[] { ArmWorld.GoldenImage, "debian:debian-12:12-gen2:latest" }) await ((IImagesAbility)provider).FindAsync(machine.Image with { Settings = new Dictionary<string, string> { ["image"] = image } }, Cancellation);
            await GoneAsync(provider, machine);
        }

        _subscription.Answer("PUT", $"/subscriptions/{ArmWorld.Subscription}/resourceGroups/{AzurePools.FixedGroup}", new Dictionary<string, string>(), [], full: false);
        await using (var provider = Open(more: $$"""{"resourceGroup": "{{AzurePools.FixedGroup}}"}""")) await provider.EnsureGoneAsync(NewMachine().Reference, Cancellation);

        // What Azure asks for itself when it makes a machine with its disk, card and address ("Deploy a virtual machine", permissions).
        string[] linked =
        [
            "Microsoft.Compute/disks/beginGetAccess/action", "Microsoft.Compute/snapshots/beginGetAccess/action", "Microsoft.Compute/galleries/images/read", "Microsoft.Compute/galleries/images/versions/read", "Microsoft.Network/networkInterfaces/join/action", "Microsoft.Network/networkInterfaces/write", "Microsoft.Network/networkSecurityGroups/join/action",
            "Microsoft.Network/publicIPAddresses/delete", "Microsoft.Network/publicIPAddresses/join/action", "Microsoft.Network/publicIPAddresses/write", "Microsoft.Network/virtualNetworks/subnets/join/action",
        ];
        var role = JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(Repository.Root, "infra/azure/role-definition.json"), Cancellation))!;
        Assert.Equal(peer.Actions.Union(linked).Order(StringComparer.Ordinal), role["Actions"]!.AsArray().Select(action => action!.GetValue<string>()).Order(StringComparer.Ordinal));
        Assert.Equal(AzurePermissions.Needed, role["Actions"]!.AsArray().Select(action => action!.GetValue<string>()));
        TestContext.Current.TestOutputHelper?.WriteLine($"API versions: {string.Join(", ", peer.Versions)}");
    }

    [Fact]
    public async Task Ten_thousand_hostile_values_come_back_as_they_were_and_nowhere_else()
    {
        await using var provider = Open(more: $$"""{"resourceGroup": "{{AzurePools.FixedGroup}}"}""");
        _subscription.Answer("PUT", $"/subscriptions/{ArmWorld.Subscription}/resourceGroups/{AzurePools.FixedGroup}", new Dictionary<string, string>(), [], full: false);
        var sent = new Dictionary<string, (string Title, IReadOnlyList<string> Values)>();
        foreach (var (title, values) in HostilePortions.All())
        {
            var machine = NewMachine() with { Title = title, Seed = new GuestSeed("ada", ["ssh-ed25519 AAAA"], null, new Dictionary<string, object> { ["runcmd"] = values }) };
            await provider.EnsureExistsAsync(machine, Cancellation);
            sent[ResourceName(machine)] = (title, values);
        }

        Assert.InRange(sent.Values.Sum(portion => portion.Values.Count), 10_000, 11_000);
        var machines = _subscription.Everything().Where(thing => thing.Type == "Microsoft.Compute/virtualMachines").ToList();
        Assert.Equal(sent.Keys.Order(), machines.Select(thing => thing.Name).Order());
        Assert.All(machines, machine =>
        {
            var body = _subscription.Find(machine.Id)!.Body;
            var line = ForeignText.Of(sent[machine.Name].Title, 256).Trim();
            Assert.Equal(line.Length == 0 ? "machine" : line, body["tags"]![AzureMapping.TitleTag]!.GetValue<string>());
            Assert.Equal(5, body["tags"]!.AsObject().Count);
            var data = Encoding.UTF8.GetString(Convert.FromBase64String(body["properties"]!["osProfile"]!["customData"]!.GetValue<string>()));
            Assert.Equal(sent[machine.Name].Values, JsonNode.Parse(data["#cloud-config\n".Length..])!["runcmd"]!.AsArray().Select(value => value!.GetValue<string>()));
        });
    }

    private static string ResourceName(MachineSpec machine) => machine.Owner.ResourceName;

    private static Task RunAsync(IProvider provider, MachineSpec machine) => EventuallyAsync(async () =>
    {
        await provider.EnsureExistsAsync(machine, Cancellation);
        Assert.Equal(PowerState.Running, Assert.IsType<Observation.Present>(Assert.Single(await provider.ObserveAsync([machine.Reference], Cancellation))).Power);
    });

    private static async Task GoneAsync(IProvider provider, MachineSpec machine)
    {
        await provider.EnsureGoneAsync(machine.Reference, Cancellation);
        await EventuallyAsync(async () => Assert.IsType<Observation.Absent>(Assert.Single(await provider.ObserveAsync([machine.Reference], Cancellation))));
    }

    private IProvider Open(WireFault? fault = null, string more = "{}") => AzurePools.Open(peer, _subscription, _installation, _folder.Path, fault, more);

    private JsonObject Machine() => _subscription.Find(Assert.Single(_subscription.Everything(), thing => thing.Type == "Microsoft.Compute/virtualMachines").Id)!.Body;

    private MachineSpec NewMachine() => new(
        new Owner(_installation, new LabId(Ids.New(TimeProvider.System)), new MachineId(Ids.New(TimeProvider.System)), 1),
        null, "web-1", "lab web", new ImageBinding("tiny", "1", new Dictionary<string, string> { ["image"] = "debian:debian-12:12-gen2:latest" }), Cpu: 1, MemoryMiB: 512, DiskGiB: 1,
        new GuestSeed("ada", ["ssh-ed25519 AAAA"], null, new Dictionary<string, object>()));

    public void Dispose()
    {
        Assert.Empty(peer.Violations);
        _folder.Dispose();
    }
}
