using System.Text.Json.Nodes;
using LabPortal.Testing;

[assembly: AssemblyFixture(typeof(TestDatabases))]

namespace LabPortal.EndToEnd;

/// <summary>The life of a lab through the API alone, on a simulated pool.</summary>
public sealed class LabLifeTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_lab_lives_from_request_to_end_and_leaves_nothing()
    {
        using var folder = new TestFolder();
        await File.WriteAllTextAsync(folder["apply.yaml"], SimulatedCatalogue.Yaml(), Cancellation);
        await using var portal = await PortalProcess.StartAsync(folder["data"], applyFile: folder["apply.yaml"]);
        using var client = portal.Client();

        var asked = (await client.PostAsync("labs", Request(), Cancellation)).Must(202);
        var id = (string)asked["id"]!;
        Assert.Equal($"/api/v1/labs/{id}", asked.Headers.Location!.OriginalString);
        var ready = await client.WaitForAsync(id, "ready", cancellation: Cancellation);
        Assert.Equal(["running", "running"], ready["machines"]!.AsArray().Select(machine => (string)machine!["state"]!));
        Assert.All(ready["machines"]!.AsArray(), machine => Assert.Equal(1, (int)machine!["generation"]!));
        Assert.NotEmpty((await client.GetAsync("pools/pretend/resources", Cancellation)).Must(200).Body!.AsArray());

        var end = ready["lease"]!["end"]!.GetValue<DateTimeOffset>();
        (await client.PostAsync($"labs/{id}/extend", new JsonObject { ["hours"] = 2 }, Cancellation)).Must(202);
        Assert.Equal(end.AddHours(2), (await client.WaitForAsync(id, "ready", cancellation: Cancellation))["lease"]!["end"]!.GetValue<DateTimeOffset>());

        (await client.PostAsync($"labs/{id}/stop", cancellation: Cancellation)).Must(202);
        Assert.Contains("start", (await client.WaitForAsync(id, "stopped", cancellation: Cancellation))["verbs"]!.AsArray().Select(verb => (string)verb!));
        (await client.PostAsync($"labs/{id}/start", cancellation: Cancellation)).Must(202);
        await client.WaitForAsync(id, "ready", cancellation: Cancellation);
        (await client.PostAsync($"labs/{id}/end", cancellation: Cancellation)).Must(202);
        await client.WaitForAsync(id, "ended", cancellation: Cancellation);

        Assert.Empty((await client.GetAsync("pools/pretend/resources", Cancellation)).Must(200).Body!.AsArray());
        Assert.All((await client.GetAsync("teams/qa/quota", Cancellation)).Must(200).Body!.AsArray(), line => Assert.Equal(0, (long)line!["held"]!));
        (await client.PostAsync($"labs/{id}/start", cancellation: Cancellation)).Must(409);
        Assert.Equal(0, await portal.StopAsync());
    }

    [Fact]
    public async Task The_same_key_gives_the_same_lab_and_another_body_is_refused()
    {
        using var folder = new TestFolder();
        await File.WriteAllTextAsync(folder["apply.yaml"], SimulatedCatalogue.Yaml(), Cancellation);
        await using var portal = await PortalProcess.StartAsync(folder["data"], applyFile: folder["apply.yaml"]);
        using var client = portal.Client();

        var first = (await WithKeyAsync(client, Request())).Must(202);
        var second = (await WithKeyAsync(client, Request())).Must(202);
        var other = (await WithKeyAsync(client, Request(hours: 3))).Must(422);

        Assert.Equal((string)first["id"]!, (string)second["id"]!);
        Assert.Single((await client.GetAsync("labs", Cancellation)).Must(200)["items"]!.AsArray());
        Assert.NotEqual("", (string)other["detail"]!);
    }

    [Fact]
    public async Task What_one_process_does_another_tells_long_before_it_would_look_by_itself()
    {
        using var folder = new TestFolder();
        await File.WriteAllTextAsync(folder["apply.yaml"], SimulatedCatalogue.Yaml(createSeconds: 0.5, bootSeconds: 1), Cancellation);
        var database = await databases.CreateSettingAsync(Engine.Postgres);
        await using var one = await PortalProcess.StartAsync(folder["data"], database, folder["apply.yaml"]);
        await using var two = await PortalProcess.StartAsync(folder["data"], database, folder["apply.yaml"]);
        using var asking = one.Client();
        using var watching = two.Client();

        var id = (string)(await asking.PostAsync("labs", Request(), Cancellation)).Must(202)["id"]!;
        var late = new List<TimeSpan>();
        var versions = new List<long>();
        var opened = DateTimeOffset.UtcNow;
        // A feed looks by itself every 30 s. The quickest of a few tells that it was woken: a moment in which the machine is busy with something
        // else says nothing of the feed. How quick it is as a rule, infra/bench/run wake measures.
        var verbs = new Queue<string>(["stop", "start", "stop", "start"]);
        await foreach (var (version, data) in watching.EventsAsync(id, cancellation: Cancellation))
        {
            versions.Add(version);
            var at = data["at"]!.GetValue<DateTimeOffset>();
            if (at > opened) late.Add(DateTimeOffset.UtcNow - at);
            if ((string)data["kind"]! != "state" || (string?)data["state"] is not ("ready" or "stopped")) continue;
            if ((late.Count > 0 && late.Min() < TimeSpan.FromSeconds(10)) || !verbs.TryDequeue(out var verb)) break;
            await asking.WaitForAsync(id, (string)data["state"]!, cancellation: Cancellation);
            (await asking.PostAsync($"labs/{id}/{verb}", cancellation: Cancellation)).Must(202);
        }

        Assert.Equal(Enumerable.Range(1, versions.Count).Select(version => (long)version), versions);
        Assert.True(late.Min() < TimeSpan.FromSeconds(10), $"The quickest of {late.Count} events came {late.Min()} late.");

        var resumed = new List<long>();
        await foreach (var (version, _) in watching.EventsAsync(id, after: versions[^3], Cancellation))
        {
            resumed.Add(version);
            if (resumed.Count == 2) break;
        }

        Assert.Equal(versions[^2..], resumed);
        (await watching.PostAsync($"labs/{id}/end", cancellation: Cancellation)).Must(202);
        await asking.WaitForAsync(id, "ended", cancellation: Cancellation);
        Assert.Empty((await asking.GetAsync("pools/pretend/resources", Cancellation)).Must(200).Body!.AsArray());
    }

    [Fact]
    public async Task A_second_process_on_an_embedded_database_says_why_it_will_not_start()
    {
        using var folder = new TestFolder();
        await using var portal = await PortalProcess.StartAsync(folder["data"]);

        var refused = await Assert.ThrowsAsync<InvalidOperationException>(() => PortalProcess.StartAsync(folder["data"]));

        Assert.Contains("Another portal uses", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_catalogue_with_mistakes_is_told_whole_and_the_portal_starts()
    {
        using var folder = new TestFolder();
        await File.WriteAllTextAsync(folder["apply.yaml"], "kind: Team\nname: qa\nzone: Mars/Olympus\ncolour: red\n", Cancellation);
        await using var portal = await PortalProcess.StartAsync(folder["data"], applyFile: folder["apply.yaml"]);
        using var client = portal.Client();

        var health = await client.GetAsync("/health/ready", Cancellation);

        Assert.Equal("degraded", (string)health.Must(200)["status"]!);
        Assert.Contains("zone", portal.Log, StringComparison.Ordinal);
        Assert.Contains("colour", portal.Log, StringComparison.Ordinal);
        Assert.Empty((await client.GetAsync("teams", Cancellation)).Must(200)["items"]!.AsArray());
        Assert.NotNull(portal.SetupLink);
    }

    private static JsonObject Request(decimal hours = 1) => new()
    {
        ["blueprint"] = "pair",
        ["team"] = "qa",
        ["lease"] = new JsonObject { ["hours"] = hours },
    };

    private static Task<Answer> WithKeyAsync(PortalClient client, JsonObject body)
        => client.SendAsync(HttpMethod.Post, "labs", System.Net.Http.Json.JsonContent.Create(body), Cancellation, ("Idempotency-Key", "pipeline-17"));
}
