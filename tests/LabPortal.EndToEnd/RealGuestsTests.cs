using System.Text.Json.Nodes;
using LabPortal.Testing;

namespace LabPortal.EndToEnd;

/// <summary>The life of a lab of real guests, through the API alone; seen by ssh from outside and by libvirt's own client from below.</summary>
[Collection(typeof(WithRealGuests))]
public sealed class RealGuestsTests(RealGuests guests)
{
    /// <summary>A parameter is data, whatever it holds: for YAML, for the shell of the guest, and for the next one who fills in ${names}.</summary>
    private const string Greeting = """Grüße: "a" 'b' $(reboot) `reboot` ${motd} \n # %s | { [""";

    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(5);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Two_machines_are_signed_in_to_with_the_owners_key_keep_their_disks_over_a_stop_and_leave_nothing()
    {
        using var folder = new TestFolder();
        var yaml = guests.Yaml();
        var key = await SshIdentity.MakeAsync(folder.Path);
        await using var portal = await PortalProcess.StartAsync(folder["data"]);
        using var client = portal.Client();
        (await client.ApplyAsync(yaml, cancellation: Cancellation)).Must(200);
        (await client.PostAsync("me/keys", new JsonObject { ["publicKey"] = key.PublicKey }, Cancellation)).Must(201);

        var request = new JsonObject { ["blueprint"] = "pair", ["team"] = "qa", ["parameters"] = new JsonObject { ["motd"] = Greeting }, ["lease"] = new JsonObject { ["hours"] = 1 } };
        var id = (string)(await client.PostAsync("labs", request, Cancellation)).Must(202)["id"]!;
        var ready = await client.WaitForAsync(id, "ready", s_patience, Cancellation);
        Assert.Equal(["db", "web"], Machines(ready).Select(Name).Order(StringComparer.Ordinal));
        Assert.Equal(2, await guests.RunningAsync());
        foreach (var machine in Machines(ready))
        {
            Assert.Equal(Name(machine), await key.RunAsync(machine, $"echo {id} >/root/kept; sync; hostname"));
            Assert.Contains(Greeting, await key.SignInAsync(machine), StringComparison.Ordinal);
            Assert.Contains("here", (string)machine["whyHere"]!, StringComparison.Ordinal);
            Assert.Contains($"ssh ready host={Name(machine)}", await SerialLogAsync(client, id, machine), StringComparison.Ordinal);
        }

        var end = ready["lease"]!["end"]!.GetValue<DateTimeOffset>();
        (await client.PostAsync($"labs/{id}/extend", new JsonObject { ["hours"] = 2 }, Cancellation)).Must(202);
        Assert.Equal(end.AddHours(2), (await client.WaitForAsync(id, "ready", s_patience, Cancellation))["lease"]!["end"]!.GetValue<DateTimeOffset>());

        (await client.PostAsync($"labs/{id}/stop", cancellation: Cancellation)).Must(202);
        await client.WaitForAsync(id, "stopped", s_patience, Cancellation);
        Assert.Equal(0, await guests.RunningAsync());
        (await client.PostAsync($"labs/{id}/start", cancellation: Cancellation)).Must(202);
        foreach (var machine in Machines(await client.WaitForAsync(id, "ready", s_patience, Cancellation)))
        {
            Assert.Equal(1, (int)machine["generation"]!);
            Assert.Equal($"{id}\n{Name(machine)}", await key.RunAsync(machine, "cat /root/kept; hostname"));
        }

        (await client.PostAsync($"labs/{id}/end", cancellation: Cancellation)).Must(202);
        await client.WaitForAsync(id, "ended", s_patience, Cancellation);
        await guests.HoldsNothingAsync();
        Assert.Empty((await client.GetAsync($"pools/{RealGuests.Pool}/resources", Cancellation)).Must(200).Body!.AsArray());
        Assert.All((await client.GetAsync("teams/qa/quota", Cancellation)).Must(200).Body!.AsArray(), line => Assert.Equal(0, (long)line!["held"]!));
    }

    private static List<JsonNode> Machines(JsonNode lab) => [.. lab["machines"]!.AsArray().Select(machine => machine!)];

    private static string Name(JsonNode machine) => (string)machine["name"]!;

    private static async Task<string> SerialLogAsync(PortalClient client, string lab, JsonNode machine)
        => (string)(await client.GetAsync($"labs/{lab}/machines/{Name(machine)}/serial", Cancellation)).Must(200).Body!;
}
