using System.Text.Json.Nodes;
using LabPortal.Testing;

namespace LabPortal.EndToEnd;

/// <summary>What a pipeline does with <c>lab</c>, on a real guest.</summary>
[Collection(typeof(WithRealGuests))]
public sealed class CommandLineTests(RealGuests guests)
{
    private static readonly string s_lab = Path.Combine(Repository.Root, "src", "LabPortal.Cli", "bin", Repository.Configuration, "net10.0", "lab.dll");

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_lab_is_requested_waited_for_signed_in_to_and_ended()
    {
        using var folder = new TestFolder();
        await File.WriteAllTextAsync(folder["apply.yaml"], guests.Yaml() + """

            ---
            kind: Blueprint
            name: one
            title: One small Linux machine
            machines: [{ name: web, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1 }]
            lease: { default: 1h, max: 4h, grace: 1h }
            """, Cancellation);
        var key = await SshIdentity.MakeAsync(folder.Path);
        await using var portal = await PortalProcess.StartAsync(folder["data"], applyFile: folder["apply.yaml"]);
        using (var client = portal.Client()) (await client.PostAsync("me/keys", new JsonObject { ["publicKey"] = key.PublicKey }, Cancellation)).Must(201);

        Task<string> LabAsync(params string[] arguments) => Tool.RunAsync(Cancellation, "env",
            ["NO_PROXY=*", $"XDG_CONFIG_HOME={folder.Path}", $"LAB_URL={portal.Address}", $"LAB_TOKEN={PortalProcess.AdminToken}", "dotnet", s_lab, .. arguments]);

        var ready = JsonNode.Parse(await LabAsync("request", "one", "--team", "qa", "--name", "ci", "--wait", "--timeout", "5m", "-o", "json"))!;
        Assert.Equal("ready", (string)ready["state"]!);
        Assert.Equal("web", await key.RunAsync(ready["machines"]![0]!, "hostname"));
        await LabAsync("end", "ci", "--yes", "--wait", "--timeout", "5m");
        await guests.HoldsNothingAsync();
    }
}
