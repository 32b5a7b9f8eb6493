using System.Diagnostics;
using System.Text.Json.Nodes;
using LabPortal.Testing;

namespace LabPortal.EndToEnd;

/// <summary>Snapshots of real guests, through the API alone; what came back is asked of the guest itself, by ssh.</summary>
[Collection(typeof(WithRealGuests))]
public sealed class RealSnapshotsTests(RealGuests guests)
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(5);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_lab_is_reset_to_clean_and_to_a_snapshot_of_ones_own_and_leaves_nothing()
    {
        using var folder = new TestFolder();
        var yaml = guests.Yaml() + RealGuests.Resettable;
        var key = await SshIdentity.MakeAsync(folder.Path);
        await using var portal = await PortalProcess.StartAsync(folder["data"]);
        using var client = portal.Client();
        (await client.ApplyAsync(yaml, cancellation: Cancellation)).Must(200);
        (await client.PostAsync("me/keys", new JsonObject { ["publicKey"] = key.PublicKey }, Cancellation)).Must(201);
        var request = new JsonObject { ["blueprint"] = "resettable", ["team"] = "qa" };
        var id = (string)(await client.PostAsync("labs", request, Cancellation)).Must(202)["id"]!;
        var machine = (await client.WaitForAsync(id, "ready", s_patience, Cancellation))["machines"]![0]!;
        var clean = Assert.Single((await client.GetAsync($"labs/{id}/snapshots", Cancellation)).Must(200)["items"].AsArray())!;
        Assert.Equal(("clean", "taken", true), ((string)clean["name"]!, (string)clean["state"]!, (bool)clean["machines"]![0]!["withMemory"]!));

        await key.RunAsync(machine, "echo mine > /root/file; sync");
        var began = Stopwatch.GetTimestamp();
        (await client.PostAsync($"labs/{id}/revert", new JsonObject { ["name"] = "clean" }, Cancellation)).Must(202);
        await client.WaitForAsync(id, "ready", s_patience, Cancellation);
        Assert.Equal("clean", await key.RunAsync(machine, "test -e /root/file || echo clean"));
        TestContext.Current.TestOutputHelper?.WriteLine($"Reset to clean until SSH answered: {Stopwatch.GetElapsedTime(began).TotalSeconds:0.0} s");

        // One of one's own, reverted to from a lab that was stopped: it runs again, as it was.
        await key.RunAsync(machine, "echo mine > /root/file; sync");
        (await client.PostAsync($"labs/{id}/snapshot", new JsonObject { ["name"] = "mine" }, Cancellation)).Must(202);
        await client.WaitForAsync(id, "ready", s_patience, Cancellation);
        await key.RunAsync(machine, "rm /root/file; sync");
        (await client.PostAsync($"labs/{id}/stop", cancellation: Cancellation)).Must(202);
        await client.WaitForAsync(id, "stopped", s_patience, Cancellation);
        (await client.PostAsync($"labs/{id}/revert", new JsonObject { ["name"] = "mine" }, Cancellation)).Must(202);
        await client.WaitForAsync(id, "ready", s_patience, Cancellation);
        Assert.Equal("mine", await key.RunAsync(machine, "cat /root/file"));

        (await client.DeleteAsync($"labs/{id}/snapshots/mine", Cancellation)).Must(202);
        await client.WaitForAsync(id, "ready", s_patience, Cancellation);
        Assert.Equal(["clean"], (await client.GetAsync($"labs/{id}/snapshots", Cancellation)).Must(200)["items"].AsArray().Select(item => (string)item!["name"]!));
        var resources = (await client.GetAsync($"pools/{RealGuests.Pool}/resources", Cancellation)).Must(200).Body!.AsArray();
        Assert.Single(resources, resource => (string)resource!["kind"]! == "snapshot" && (bool)resource["known"]!);

        (await client.PostAsync($"labs/{id}/end", cancellation: Cancellation)).Must(202);
        await client.WaitForAsync(id, "ended", s_patience, Cancellation);
        await guests.HoldsNothingAsync();
    }
}
