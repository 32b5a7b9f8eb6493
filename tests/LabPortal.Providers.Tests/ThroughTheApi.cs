using System.Diagnostics;
using System.Text.Json.Nodes;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Providers.Tests.Aws;
using LabPortal.Providers.Tests.Azure;
using LabPortal.Providers.Tests.HyperV;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Providers.Tests;

/// <summary>The built portal, as its users have it, over peers of several kinds: people ask for the same blueprint on each, and do not see which it is.</summary>
public sealed class ThroughTheApi(Ec2Peer ec2, ArmPeer arm, HyperVPeer hyperV) : IClassFixture<Ec2Peer>, IClassFixture<ArmPeer>, IClassFixture<HyperVPeer>, IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(5);
    private static readonly string[] s_pools = ["aws", "azure", "hyper-v", "simulated"];

    private readonly TestFolder _folder = new();
    private readonly HyperVFolder _host = new();
    private readonly Ec2World _account = new();
    private readonly ArmWorld _subscription = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _host.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public async Task One_blueprint_lives_on_each_kind_of_pool_and_leaves_only_what_others_put_there()
    {
        var before = await NeighboursAsync();
        // The machine believes the peer's certificate as it would that of a private cloud.
        await File.WriteAllTextAsync(_folder["azure.pem"], arm.CertificatePem, Cancellation);
        await using var portal = await PortalProcess.StartAsync(_folder["data"], more: new Dictionary<string, string> { ["SSL_CERT_FILE"] = _folder["azure.pem"] });
        using var client = portal.Client();
        (await client.ApplyAsync(await YamlAsync(), cancellation: Cancellation)).Must(200);
        foreach (var pool in s_pools)
        {
            (await client.PostAsync($"pools/{pool}/check", cancellation: Cancellation)).Must(200);
            Assert.Equal("healthy", (string)(await client.GetAsync($"pools/{pool}", Cancellation)).Must(200)["state"]!);
        }

        await Task.WhenAll(s_pools.Select(pool => LiveAsync(client, pool)));

        Assert.Equal(before.Order(), Everything().Order());
        Assert.Empty(ec2.Violations);
        Assert.Empty(arm.Violations);
    }

    private static async Task LiveAsync(PortalClient client, string pool)
    {
        var since = Stopwatch.GetTimestamp();
        var id = (string)(await client.PostAsync("labs", new JsonObject { ["blueprint"] = "one", ["team"] = "qa", ["pool"] = pool }, Cancellation)).Must(202)["id"]!;
        var lab = await client.WaitForAsync(id, "ready", s_patience, Cancellation);
        Assert.Equal(pool, (string)lab["machines"]![0]!["pool"]!);
        Tell("ready");
        foreach (var (verb, body, state) in new (string, JsonObject?, string)[]
        {
            ("stop", null, "stopped"), ("start", null, "ready"), ("snapshot", new JsonObject { ["name"] = "base" }, "ready"), ("stop", null, "stopped"), ("revert", new JsonObject { ["name"] = "base" }, "ready"),
        })
        {
            (await client.PostAsync($"labs/{id}/{verb}", body, Cancellation)).Must(202);
            lab = await client.WaitForAsync(id, state, s_patience, Cancellation);
            Tell(verb);
        }

        Assert.Equal("taken", (string)Assert.Single((await client.GetAsync($"labs/{id}/snapshots", Cancellation)).Must(200)["items"].AsArray())!["state"]!);
        var resources = (await client.GetAsync($"pools/{pool}/resources", Cancellation)).Must(200).Body!.AsArray();
        Assert.Contains(resources, resource => (string)resource!["kind"]! == "snapshot");
        Assert.All(resources, resource => Assert.True((bool)resource!["known"]!, resource.ToJsonString()));

        (await client.PostAsync($"labs/{id}/end", cancellation: Cancellation)).Must(202);
        await client.WaitForAsync(id, "ended", s_patience, Cancellation);
        Tell("end");
        Assert.Empty((await client.GetAsync($"pools/{pool}/resources", Cancellation)).Must(200).Body!.AsArray());

        void Tell(string done) => TestContext.Current.TestOutputHelper?.WriteLine($"{pool}: {done} after {Stopwatch.GetElapsedTime(since).TotalSeconds:0.0} s");
    }

    /// <summary>What another installation has on the same peers.</summary>
    private async Task<IReadOnlyList<string>> NeighboursAsync()
    {
        var theirs = new InstallationId(Ids.New(TimeProvider.System));
        await using var aws = AwsPools.Open(ec2.Url, ec2.NewKey(_account), theirs, _folder.Path);
        await using var azure = AzurePools.Open(arm, _subscription, theirs, _folder.Path);
        await using var windows = await hyperV.OpenAsync(_host, theirs);
        foreach (var (provider, key, value) in new[] { (aws, "ami", "ami-00000001"), (azure, "image", ArmWorld.GoldenImage), (windows, "vhdx", "tiny.vhdx") })
        {
            var machine = new MachineSpec(new Owner(theirs, new LabId(Ids.New(TimeProvider.System)), new MachineId(Ids.New(TimeProvider.System)), 1), null, "theirs", "of others",
                new ImageBinding("tiny", "1", new Dictionary<string, string> { [key] = value }), 1, 256, 1, new GuestSeed("ada", [], new Secret("of-others"), new Dictionary<string, object>()));
            while ((await provider.ObserveAsync([machine.Reference], Cancellation))[0] is not Observation.Present { Power: PowerState.Running }) await provider.EnsureExistsAsync(machine, Cancellation);
        }

        var all = Everything();
        Assert.InRange(all.Count, 9, 20);
        return all;
    }

    private IReadOnlyList<string> Everything() => [.. _account.Everything().Select(thing => $"{thing.Kind} {thing.Id} {thing.Name}"), .. _subscription.Everything().Select(thing => thing.Id), .. _host.Everything().Select(thing => thing.ToString())];

    private async Task<string> YamlAsync()
    {
        var (settings, key) = await hyperV.SettingsAsync(_host);
        await File.WriteAllTextAsync(_folder["hyper-v.key"], key, Cancellation);
        (settings["privateKey"], settings["reach"]) = (new JsonObject { ["file"] = _folder["hyper-v.key"] }, "none");
        var access = ec2.NewKey(_account);
        await File.WriteAllTextAsync(_folder["aws.key"], access.Secret, Cancellation);
        var (application, secret) = arm.NewApplication(_subscription);
        await File.WriteAllTextAsync(_folder["azure.secret"], secret, Cancellation);
        return $$"""
            kind: Pool
            name: azure
            provider: azure
            settings: { subscription: {{ArmWorld.Subscription}}, location: {{ArmWorld.Location}}, subnet: {{ArmWorld.Subnet}}, endpoint: "{{arm.Url}}", authorityHost: "{{arm.Url}}", credential: client-secret, tenantId: tenant, clientId: {{application}}, clientSecret: { file: {{_folder["azure.secret"]}} }, sizes: [{ size: Standard_B1s, cpu: 1, memoryMiB: 1024 }], reach: none }
            ---
            kind: Pool
            name: hyper-v
            provider: hyper-v
            settings: {{settings.ToJsonString()}}
            ---
            kind: Pool
            name: aws
            provider: aws
            settings: { region: {{Ec2Peer.Region}}, serviceUrl: "{{ec2.Url}}", accessKeyId: {{access.Id}}, secretAccessKey: { file: {{_folder["aws.key"]}} }, subnets: [{ id: subnet-0a }, { id: subnet-0b }], securityGroups: [{ id: sg-0a }], instanceTypes: [{ type: t3.micro, cpu: 2, memoryMiB: 1024 }], reach: none }
            ---
            kind: Pool
            name: simulated
            provider: simulated
            settings: { seed: 7, createSeconds: 0.05, bootSeconds: 0.1, hosts: 2 }
            ---
            kind: Image
            name: tiny
            os: linux
            bindings: { simulated: {}, azure: { image: "debian:debian-12:12-gen2:latest" }, aws: { ami: ami-00000001 }, hyper-v: { vhdx: tiny.vhdx } }
            ---
            kind: Blueprint
            name: one
            title: One machine, wherever
            machines: [{ name: one, image: tiny, cpu: 1, memoryMiB: 256, diskGiB: 1 }]
            lease: { default: 4h, max: 72h, grace: 24h }
            ---
            kind: Team
            name: qa
            zone: Europe/Berlin
            quota: { labs: 10, machines: 10, cpu: 100, memoryMiB: 40960, diskGiB: 200 }
            """;
    }
}
