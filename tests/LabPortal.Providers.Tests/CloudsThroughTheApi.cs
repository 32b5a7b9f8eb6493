using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;
using LabPortal.Providers.Tests.Aws;
using LabPortal.Providers.Tests.Azure;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Providers.Tests;

/// <summary>The built portal over clouds that lose answers, and over clouds that many ask at once. Each pool has an account of its own, with a wire of its own.</summary>
public sealed class CloudsThroughTheApi(Ec2Peer ec2, ArmPeer arm) : IClassFixture<Ec2Peer>, IClassFixture<ArmPeer>, IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(5);

    private readonly TestFolder _folder = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    /// <summary>
    /// The fault matrix: each wire call of a lab's whole life, the checks of its pool among them, is lost once before and once after it took effect. Printed as a table.
    /// </summary>
    [Fact]
    public async Task Whichever_wire_call_is_lost_the_lab_becomes_ready_and_leaves_nothing()
    {
        await using var portal = await StartAsync();
        using var client = portal.Client();
        var undisturbed = await LiveAsync(client, [NewAws("aws-whole"), NewAzure("azure-whole")]);
        Assert.All(undisturbed, life => Assert.Equal("ended", life.Ended));

        // How often a look is repeated the clock says: of each action the first calls are lost, which every life has.
        var cuts = undisturbed.SelectMany(life => life.Account.Told().Actions.OrderBy(action => action.Key, StringComparer.Ordinal).SelectMany(action => Enumerable.Range(1, Math.Min(2, action.Value))
            .SelectMany(call => new[] { false, true }.Select(after => (life.Account.Kind, Cut: new WireFault.CutOff(call, after) { Of = action.Key })))));
        var harmed = cuts.Select((one, i) => one.Kind == "aws" ? NewAws($"aws-{i}", one.Cut) : NewAzure($"azure-{i}", one.Cut)).ToList();
        var lives = await LiveAsync(client, harmed);

        var table = new StringBuilder().AppendLine("| kind | call | lost | lab | then | left | s |").AppendLine("|---|---|---|---|---|---|---|");
        foreach (var life in lives) table.AppendLine($"| {life.Account.Kind} | {life.Account.Cut!.Of} {life.Account.Cut.Call} | {(life.Account.Cut.AfterEffect ? "after" : "before")} its effect{(life.Account.Told().Cut is null ? ", not reached" : "")} | {life.Became} | {life.Ended} | {life.Account.Left().Count} | {life.Took.TotalSeconds:0.0} |");
        TestContext.Current.TestOutputHelper?.WriteLine(table.ToString());
        Assert.All(lives, life => Assert.Equal(("ready", "ended"), (life.Became, life.Ended)));
        Assert.All(lives, life => Assert.Empty(life.Account.Left()));
        // The changes are among them, before and after; of RunInstances the first only asks.
        foreach (var (cut, call) in new[] { ("RunInstances", 2), ("TerminateInstances", 1), ("CreateSecurityGroup", 1), ("AuthorizeSecurityGroupIngress", 1), ("DeleteSecurityGroup", 1), ("Microsoft.Resources/subscriptions/resourceGroups/write", 1), ("Microsoft.Compute/virtualMachines/write", 1), ("Microsoft.Resources/subscriptions/resourceGroups/delete", 1) })
            Assert.Equal(2, lives.Count(life => life.Account.Told().Cut == cut && life.Account.Cut!.Call == call));
        Assert.Empty(ec2.Violations);
        Assert.Empty(arm.Violations);
    }

    /// <summary>As many as the pool's limit allows are made at once, by few threads; the wall time beside what the cloud itself takes is printed.</summary>
    [Theory]
    [InlineData("aws")]
    [InlineData("azure")]
    public async Task Two_hundred_machines_asked_for_at_once_are_built_within_the_limit(string kind)
    {
        const int Machines = 200;
        const int AtOnce = 20;
        await using var portal = await StartAsync();
        using var client = portal.Client();
        var account = kind == "aws" ? NewAws("many") : NewAzure("many");
        account.Creates.Takes = TimeSpan.FromSeconds(1.5);
        await ApplyAsync(client, [account], $"limits: {{ operationsAtOnce: {AtOnce}, bootsAtOnce: {Machines} }}");

        var since = Stopwatch.GetTimestamp();
        var asked = await Task.WhenAll(Enumerable.Range(0, Machines).Select(async _ => (string)(await client.PostAsync("labs", new JsonObject { ["blueprint"] = "one", ["team"] = "qa", ["pool"] = "many" }, Cancellation)).Must(202)["id"]!));
        var (threads, askedAfter) = (0, Stopwatch.GetElapsedTime(since));
        foreach (var id in asked)
        {
            threads = Math.Max(threads, Directory.GetDirectories($"/proc/{portal.Id}/task").Length);
            Assert.Equal("ready", await UntilAsync(client, id, "ready", "failed"));
        }

        var took = Stopwatch.GetElapsedTime(since);
        var bound = account.Creates.Takes * account.Creates.All / AtOnce;
        TestContext.Current.TestOutputHelper?.WriteLine($"{kind}: {Machines} machines in {took.TotalSeconds:0.0} s, the cloud's own bound {bound.TotalSeconds:0.0} s, ratio {took / bound:0.00}; asked for within {askedAfter.TotalSeconds:0.0} s, made from {Stopwatch.GetElapsedTime(since, account.Creates.First).TotalSeconds:0.0} to {Stopwatch.GetElapsedTime(since, account.Creates.Last).TotalSeconds:0.0} s, at most {account.Creates.MostAtOnce} at once, {threads} threads");
        Assert.Equal(Machines, account.Creates.All);
        Assert.InRange(account.Creates.MostAtOnce, AtOnce / 2, AtOnce);
        Assert.InRange(threads, 1, Machines / 2);
    }

    private async Task<PortalProcess> StartAsync()
    {
        await File.WriteAllTextAsync(_folder["azure.pem"], arm.CertificatePem, Cancellation);
        return await PortalProcess.StartAsync(_folder["data"], more: new Dictionary<string, string> { ["SSL_CERT_FILE"] = _folder["azure.pem"], ["LabPortal__Limits__CallsPerSecond"] = "10000" });
    }

    private async Task<IReadOnlyList<Life>> LiveAsync(PortalClient client, IReadOnlyList<Account> accounts)
    {
        await ApplyAsync(client, accounts, "");
        return await Task.WhenAll(accounts.Select(async account =>
        {
            var since = Stopwatch.GetTimestamp();
            var id = (string)(await client.PostAsync("labs", new JsonObject { ["blueprint"] = "one", ["team"] = "qa", ["pool"] = account.Name }, Cancellation)).Must(202)["id"]!;
            var became = await UntilAsync(client, id, "ready", "failed");
            (await client.PostAsync($"labs/{id}/end", cancellation: Cancellation)).Must(202);
            return new Life(account, became, await UntilAsync(client, id, "ended"), Stopwatch.GetElapsedTime(since));
        }));
    }

    /// <summary>The first of these states that the lab is in; the one that it is in at last where it comes to none of them.</summary>
    private static async Task<string> UntilAsync(PortalClient client, string id, params string[] states)
    {
        for (var since = Stopwatch.GetTimestamp(); ; await Task.Delay(500, Cancellation))
        {
            var state = (string)(await client.GetAsync($"labs/{id}", Cancellation)).Must(200)["state"]!;
            if (states.Contains(state) || Stopwatch.GetElapsedTime(since) > s_patience) return state;
        }
    }

    private async Task ApplyAsync(PortalClient client, IReadOnlyList<Account> accounts, string more)
    {
        foreach (var account in accounts) await File.WriteAllTextAsync(_folder[$"{account.Name}.secret"], account.Secret, Cancellation);
        var pools = accounts.Select(account => $$"""
            kind: Pool
            name: {{account.Name}}
            provider: {{account.Kind}}
            settings: {{account.Settings(_folder[$"{account.Name}.secret"])}}
            {{more}}
            ---

            """);
        (await client.ApplyAsync(string.Concat(pools) + """
            kind: Image
            name: tiny
            os: linux
            bindings: { azure: { image: "debian:debian-12:12-gen2:latest" }, aws: { ami: ami-00000001 } }
            ---
            kind: Blueprint
            name: one
            title: One machine
            machines: [{ name: one, image: tiny, cpu: 1, memoryMiB: 256, diskGiB: 1 }]
            lease: { default: 4h, max: 72h, grace: 0 }
            ---
            kind: Team
            name: qa
            zone: Europe/Berlin
            quota: { labs: 1000, machines: 1000, cpu: 10000, memoryMiB: 4096000, diskGiB: 20000 }
            """, cancellation: Cancellation)).Must(200);
    }

    private Account NewAws(string name, WireFault? fault = null)
    {
        var world = new Ec2World();
        var key = ec2.NewKey(world, fault);
        return new Account(name, "aws", fault as WireFault.CutOff, key.Secret, world.Creates, () => ec2.Told(key.Id), () => [.. world.Everything().Select(thing => thing.Id)],
            secret => $$"""{ region: {{Ec2Peer.Region}}, serviceUrl: "{{ec2.Url}}", accessKeyId: {{key.Id}}, secretAccessKey: { file: {{secret}} }, subnets: [{ id: subnet-0a }], instanceTypes: [{ type: t3.micro, cpu: 2, memoryMiB: 1024 }], reach: none }""");
    }

    private Account NewAzure(string name, WireFault? fault = null)
    {
        var world = new ArmWorld();
        var (client, secret) = arm.NewApplication(world, fault);
        return new Account(name, "azure", fault as WireFault.CutOff, secret, world.Creates, () => arm.Told(client), () => [.. world.Everything().Select(thing => thing.Id)],
            file => $$"""{ subscription: {{ArmWorld.Subscription}}, location: {{ArmWorld.Location}}, subnet: {{ArmWorld.Subnet}}, endpoint: "{{arm.Url}}", authorityHost: "{{arm.Url}}", credential: client-secret, tenantId: tenant, clientId: {{client}}, clientSecret: { file: {{file}} }, sizes: [{ size: Standard_B1s, cpu: 1, memoryMiB: 1024 }], reach: none }""");
    }

    private sealed record Account(string Name, string Kind, WireFault.CutOff? Cut, string Secret, Busy Creates, Func<(IReadOnlyDictionary<string, int> Actions, string? Cut)> Told, Func<IReadOnlyList<string>> Left, Func<string, string> Settings);

    private sealed record Life(Account Account, string Became, string Ended, TimeSpan Took);
}
