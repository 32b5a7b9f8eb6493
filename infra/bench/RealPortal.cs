using System.Text.Json.Nodes;
using LabPortal.Testing;

namespace LabPortal.Bench;

/// <summary>A portal with a pool of real guests on this machine, and a key that opens them: what every bench with guests begins with.</summary>
internal sealed class RealPortal : IAsyncDisposable
{
    private readonly TestFolder _folder = new();
    private PortalProcess? _portal;

    private RealPortal() { }

    /// <summary>What a person does at a shell; it signs in to the portal's machines, too.</summary>
    public static string ByHand { get; } = Path.Combine(Repository.Root, "infra/bench/by-hand");

    public PrivateLibvirt Libvirt { get; private set; } = null!;

    public PortalClient Client { get; private set; } = null!;

    public string Key => _folder["key"];

    /// <param name="blueprints">As YAML; the image <c>tiny</c> is there.</param>
    /// <param name="pool">What the pool has beside its hosts, as lines of YAML.</param>
    /// <param name="image">The file of another image for the host, which <paramref name="blueprints"/> declares.</param>
    public static async Task<RealPortal> StartAsync(string blueprints, CancellationToken cancellation, string pool = "", string? image = null)
    {
        var real = new RealPortal();
        try
        {
            real.Libvirt = await PrivateLibvirt.StartAsync(cancellation);
            if (image is not null)
            {
                File.Copy(image, Path.Combine(real.Libvirt.Volumes, Path.GetFileName(image)));
                await real.Libvirt.VirshAsync(cancellation, "pool-refresh", "lab");
            }

            await Tool.RunAsync(cancellation, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", real.Key);
            await File.WriteAllTextAsync(real._folder["apply.yaml"], string.Join("\n---\n", real.Pool() + pool, Common, blueprints), cancellation);
            real._portal = await PortalProcess.StartAsync(real._folder["data"], applyFile: real._folder["apply.yaml"]);
            real.Client = real._portal.Client();
            (await real.Client.PostAsync("me/keys", new JsonObject { ["publicKey"] = (await File.ReadAllTextAsync(real.Key + ".pub", cancellation)).Trim() }, cancellation)).Must(201);
            return real;
        }
        catch
        {
            await real.DisposeAsync();
            throw;
        }
    }

    /// <summary>The lab as the API answers, with its machines.</summary>
    public async Task<Answer> RequestAsync(string blueprint, CancellationToken cancellation) =>
        (await Client.PostAsync("labs", new JsonObject { ["blueprint"] = blueprint, ["team"] = "qa", ["lease"] = new JsonObject { ["hours"] = 1 } }, cancellation)).Must(202);

    /// <summary>Ends when somebody with the key was let in.</summary>
    public Task SignInAsync(string address, CancellationToken cancellation) => Tool.RunAsync(cancellation, ByHand, "sign-in", Key, address);

    /// <summary>Ends the lab as soon as it is ready, and waits until nothing is left of it.</summary>
    public async Task EndAsync(string lab, CancellationToken cancellation)
    {
        await Client.WaitForAsync(lab, "ready", cancellation: cancellation);
        (await Client.PostAsync($"labs/{lab}/end", cancellation: cancellation)).Must(202);
        await Client.WaitForAsync(lab, "ended", cancellation: cancellation);
    }

    public async ValueTask DisposeAsync()
    {
        Client?.Dispose();
        if (_portal is not null) await _portal.DisposeAsync();
        if (Libvirt is not null) await Libvirt.DisposeAsync();
        _folder.Dispose();
    }

    // A guest that becomes a warm state may take four times callSeconds, and boots here beside another.
    private string Pool() => $$"""
        kind: Pool
        name: this-machine
        provider: libvirt
        settings: { hosts: [{ name: here, uri: "{{Libvirt.Uri}}" }], storagePool: lab, network: lab, callSeconds: 90 }

        """;

    private const string Common = $$"""
        kind: Image
        name: tiny
        os: linux
        warm: true
        bindings: { libvirt: { volume: {{PrivateLibvirt.ImageVolume}} } }
        ---
        kind: Team
        name: qa
        zone: Etc/UTC
        quota: { labs: 100, machines: 100, cpu: 100, memoryMiB: 100000, diskGiB: 1000, snapshots: 100 }
        """;
}
