using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using LabPortal.Testing;
using Microsoft.Data.Sqlite;

namespace LabPortal.EndToEnd;

/// <summary>Ways into real guests through the portal, with clients that others wrote.</summary>
[Collection(typeof(WithRealGuests))]
public sealed class WaysInTests(RealGuests guests)
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(5);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_systems_own_ssh_goes_through_the_portal_carries_bytes_whole_ends_when_idle_and_is_audited()
    {
        using var folder = new TestFolder();
        var key = await SshIdentity.MakeAsync(folder.Path);
        await using var portal = await PortalProcess.StartAsync(folder["data"]);
        using var client = portal.Client();
        (await client.ApplyAsync(guests.Yaml(), cancellation: Cancellation)).Must(200);
        (await client.PostAsync("me/keys", new JsonObject { ["publicKey"] = key.PublicKey }, Cancellation)).Must(201);
        var id = (string)(await client.PostAsync("labs", new JsonObject { ["blueprint"] = "isolated", ["team"] = "qa", ["lease"] = new JsonObject { ["hours"] = 1 } }, Cancellation)).Must(202)["id"]!;
        var lab = await client.WaitForAsync(id, "ready", s_patience, Cancellation);
        var (machine, inner) = (lab["machines"]![0]!, lab["machines"]![1]!);
        var name = (string)machine["name"]!;
        var proxy = $"env {TunnelClient.TokenVariable}={PortalProcess.AdminToken} dotnet {typeof(TunnelClient).Assembly.Location} {TunnelClient.Word} {portal.Address} {id} {name}";

        // No route leads there by this name: whatever answers came through the portal.
        Assert.Equal(name, await key.RunThroughAsync(proxy, "guest.invalid", "hostname"));
        Assert.Equal("300000", await key.RunThroughAsync(proxy, "guest.invalid", "head -c 300000 /dev/zero | wc -c"));
        Assert.Equal(300_000, (await key.RunThroughAsync(proxy, "guest.invalid", "head -c 300000 /dev/zero | tr '\\0' x")).Length);

        // The other machine is on a network of the lab's own: to be reached from this one, as the rules let it, and by its consoles.
        Assert.Equal(("db", true, 0, 0), ((string)inner["name"]!, (bool)inner["consoleOnly"]!, inner["addresses"]!.AsArray().Count, inner["access"]!.AsArray().Count));
        Assert.StartsWith("SSH-2.0-dropbear", await key.RunThroughAsync(proxy, "guest.invalid", "for i in $(seq 30); do nc -w 2 10.0.0.20 22 </dev/null | head -n 1 | tr -d '\r' | grep SSH && break; sleep 1; done"), StringComparison.Ordinal);
        var refused = await client.PostAsync($"labs/{id}/machines/db/console", new JsonObject { ["kind"] = "ssh" }, Cancellation);
        Assert.Equal((409, "console.no-address"), (refused.Code, (string)refused.Body!["code"]!));

        var left = await EndsAsync(folder, 4);
        // Nobody does anything: it is closed, though the command would go on. Short only now, when silence is what is waited for.
        (await client.SendAsync(HttpMethod.Patch, "settings", JsonContent.Create(new { settings = new JsonObject { ["console-idle"] = 0.1 } }), Cancellation)).Must(200);
        var began = Stopwatch.GetTimestamp();
        var fault = await Assert.ThrowsAsync<InvalidOperationException>(() => key.RunThroughAsync(proxy, "guest.invalid", "sleep 600"));
        Assert.InRange(Stopwatch.GetElapsedTime(began), TimeSpan.FromSeconds(6), TimeSpan.FromSeconds(590));
        Assert.Contains("console.idle", fault.Message, StringComparison.Ordinal);

        var ends = await EndsAsync(folder, 5);
        Assert.Equal("console.idle", (string)ends[4]["why"]!);
        // ssh ends its command by a signal: nothing is said, and nothing was amiss.
        Assert.All(left, end => Assert.Contains((string)end["why"]!, (string[])["console.left", "console.lost", "console.ended"]));
        Assert.All(ends, end => Assert.Equal((name, "ssh"), ((string)end["machine"]!, (string)end["kind"]!)));
        Assert.True(left.Max(end => long.Parse((string)end["shown"]!, CultureInfo.InvariantCulture)) > 300_000);
        Assert.Equal(5, (await AuditAsync(folder, "begin-console")).Count);

        (await client.PostAsync($"labs/{id}/end", cancellation: Cancellation)).Must(202);
        await client.WaitForAsync(id, "ended", s_patience, Cancellation);
        await guests.HoldsNothingAsync();
        Assert.Equal(409, (await client.PostAsync($"labs/{id}/machines/{name}/console", new JsonObject { ["kind"] = "ssh" }, Cancellation)).Code);
        Assert.DoesNotContain("token=", portal.Log, StringComparison.Ordinal);
    }

    /// <summary>What is written once a console is over, which its client may see before it stands there.</summary>
    private static async Task<IReadOnlyList<JsonNode>> EndsAsync(TestFolder folder, int count)
    {
        for (var since = Stopwatch.GetTimestamp(); ; await Task.Delay(100, Cancellation))
        {
            var ends = await AuditAsync(folder, "end-console");
            if (ends.Count >= count || Stopwatch.GetElapsedTime(since) > s_patience)
            {
                Assert.Equal(count, ends.Count);
                return ends;
            }
        }
    }

    private static async Task<IReadOnlyList<JsonNode>> AuditAsync(TestFolder folder, string verb)
    {
        await using var connection = new SqliteConnection($"Data Source={Path.Combine(folder["data"], "portal.db")};Mode=ReadOnly;Pooling=False");
        await connection.OpenAsync(Cancellation);
        await using var command = connection.CreateCommand();
        command.CommandText = "SELECT detail FROM audit WHERE verb = $verb AND outcome = 'done' ORDER BY id";
        command.Parameters.AddWithValue("$verb", verb);
        var lines = new List<JsonNode>();
        await using var reader = await command.ExecuteReaderAsync(Cancellation);
        while (await reader.ReadAsync(Cancellation)) lines.Add(JsonNode.Parse(reader.GetString(0))!);
        return lines;
    }
}
