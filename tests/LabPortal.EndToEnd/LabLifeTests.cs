using System.Net.WebSockets;
using System.Text;
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
        await asking.WaitForAsync(id, "ready", cancellation: Cancellation);
        await LoseTheRoomAsync(one, two, id);
        (await watching.PostAsync($"labs/{id}/end", cancellation: Cancellation)).Must(202);
        await watching.WaitForAsync(id, "ended", TimeSpan.FromMinutes(5), Cancellation);
        Assert.Empty((await watching.GetAsync("pools/pretend/resources", Cancellation)).Must(200).Body!.AsArray());
    }

    /// <summary>The node that has a console's room is killed: who looks on from another is told, and opens it there at once.</summary>
    private static async Task LoseTheRoomAsync(PortalProcess having, PortalProcess other, string lab)
    {
        using var theirs = await EnterAsync(having, lab);
        await ReadUntilAsync(theirs, text => text.Contains("\"live\":true", StringComparison.Ordinal));
        using var ours = await EnterAsync(other, lab);
        await ReadUntilAsync(ours, text => text.Contains("\"you\":2", StringComparison.Ordinal));

        await having.KillAsync();
        Assert.Equal((WebSocketCloseStatus.EndpointUnavailable, "console.lost"), await ReadUntilAsync(ours, _ => false));

        // Asked once: nobody waits until the dead one's beat has lapsed.
        using var again = await EnterAsync(other, lab);
        await ReadUntilAsync(again, text => text.Contains("\"you\":1,\"mayType\":true,\"types\":1", StringComparison.Ordinal));
    }

    private static async Task<WebSocket> EnterAsync(PortalProcess portal, string lab)
    {
        using var client = portal.Client();
        var way = (await client.PostAsync($"labs/{lab}/machines/web/console", new JsonObject { ["kind"] = "serial" }, Cancellation)).Must(200);
        var socket = new ClientWebSocket();
        socket.Options.SetRequestHeader("Authorization", $"Bearer {PortalProcess.AdminToken}");
        await socket.ConnectAsync(new Uri((string)way["address"]!), Cancellation);
        return socket;
    }

    /// <summary>Until this was said, or it was closed: then how.</summary>
    private static async Task<(WebSocketCloseStatus? Status, string? Why)> ReadUntilAsync(WebSocket socket, Predicate<string> enough)
    {
        var (said, portion) = (new StringBuilder(), new byte[4096]);
        while (!enough(said.ToString()))
        {
            var part = await socket.ReceiveAsync(portion, Cancellation);
            if (part.MessageType == WebSocketMessageType.Close) return (part.CloseStatus, part.CloseStatusDescription);
            said.Append(Encoding.UTF8.GetString(portion, 0, part.Count));
        }

        return (null, null);
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
