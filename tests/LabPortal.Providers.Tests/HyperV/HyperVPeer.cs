using System.Text.Json.Nodes;
using LabPortal.Domain;
using LabPortal.Domain.Pools;
using LabPortal.PowerShellHost;
using LabPortal.Providers.HyperV;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Providers.Tests.HyperV;

/// <summary>
/// Hyper-V hosts without Windows: Debian's sshd, and behind it the real PowerShell engine with an emulated module (<c>tests/LabPortal.PowerShellHost</c>). Each key of its
/// sshd belongs to one host and one way to harm the line to it.
/// </summary>
public sealed class HyperVPeer : IAsyncLifetime
{
    private readonly TestFolder _folder = new();
    private LoopbackSshd? _sshd;
    private string _fingerprint = "";

    internal LoopbackSshd Sshd => _sshd!;

    public async ValueTask InitializeAsync()
    {
        _sshd = await LoopbackSshd.StartAsync(CancellationToken.None);
        _fingerprint = await _sshd.FingerprintAsync(CancellationToken.None);
        var dotnet = Environment.GetEnvironmentVariable("PATH")!.Split(':').Select(path => Path.Combine(path, "dotnet")).First(File.Exists);
        await WriteProgramAsync("powershell.exe", $"""
            export DOTNET_EnableDiagnostics=0 DOTNET_TieredPGO=0 DOTNET_NOLOGO=1 HOME="{_folder.Path}"
            exec '{dotnet}' '{Path.Combine(AppContext.BaseDirectory, "LabPortal.PowerShellHost.dll")}' "$@"
            """);
        await WriteProgramAsync("shell", $"""
            export LABPORTAL_HOST="$1" LABPORTAL_WIRE="$2" PATH="{_folder.Path}:$PATH"
            exec sh -c "$SSH_ORIGINAL_COMMAND"
            """);
    }

    public async ValueTask DisposeAsync()
    {
        await _sshd!.DisposeAsync();
        _folder.Dispose();
    }

    /// <summary>A program that is this host's PowerShell, without SSH.</summary>
    public async Task<string> ProgramAsync(HyperVFolder host)
    {
        var name = $"local-{Guid.NewGuid():n}";
        await WriteProgramAsync(name, $"""
            export LABPORTAL_HOST='{host.Host}' LABPORTAL_WIRE=well
            exec '{_folder.Path}/powershell.exe' "$@"
            """);
        return _folder[name];
    }

    /// <summary>A pool's settings for this host, and beside them the private key that signs in to it.</summary>
    public async Task<(JsonObject Settings, string Key)> SettingsAsync(HyperVFolder host, string wire = "well") => (new JsonObject
    {
        ["hosts"] = new JsonArray(new JsonObject { ["name"] = HyperVFolder.Name, ["address"] = "127.0.0.1", ["port"] = Sshd.Port, ["hostKey"] = _fingerprint }),
        ["user"] = "root", ["images"] = host.Images, ["folder"] = host.Machines, ["callSeconds"] = 60,
    }, await Sshd.NewKeyAsync($"{_folder.Path}/shell {host.Host} {wire}", CancellationToken.None));

    internal async Task<IProvider> OpenAsync(HyperVFolder host, InstallationId installation, string wire = "well", string more = "{}", string? key = null, TimeProvider? time = null)
    {
        var (settings, own) = await SettingsAsync(host, wire);
        (settings["password"], settings["privateKey"]) = ("winter-7d1c", key ?? own);
        foreach (var (name, value) in JsonNode.Parse(more)!.AsObject())
        {
            if (name == "hosts") foreach (var other in value!.AsArray()) settings["hosts"]!.AsArray().Add(other!.DeepClone());
            else if (name == "host") foreach (var (each, given) in value!.AsObject()) settings["hosts"]![0]![each] = given?.DeepClone();
            else settings[name] = value?.DeepClone();
        }

        Assert.Empty(HyperVSettings.Schema.Validate(settings));
        return new HyperVProvider(new PoolContext(installation, "pool", settings, host.Data, time ?? TimeProvider.System), HyperVSettings.Read(settings));
    }

    private async Task WriteProgramAsync(string name, string script)
    {
        await File.WriteAllTextAsync(_folder[name], "#!/bin/sh\n" + script + "\n");
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(_folder[name], UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }
}

/// <summary>What one emulated host has on its disks.</summary>
public sealed class HyperVFolder : IDisposable
{
    public const string Name = "hv-1";
    private readonly TestFolder _folder = new();

    public HyperVFolder()
    {
        foreach (var each in new[] { Host, Images, Data }) Directory.CreateDirectory(each);
        File.WriteAllText(Path.Combine(Images, "tiny.vhdx"), "A golden image.");
    }

    public string Host => _folder["host"];

    public string Images => _folder["images"];

    public string Machines => _folder["machines"];

    public string Data => _folder["data"];

    public IReadOnlyList<VirtualMachine> All => new EmulatedHost(Host).Look();

    public IReadOnlyList<PeerResource> Everything()
    {
        var folders = Directory.Exists(Machines) ? Directory.GetDirectories(Machines) : [];
        return
        [
            .. All.Select(machine => new PeerResource(ResourceKind.Machine, machine.Id.ToString(), machine.Name)),
            .. All.SelectMany(machine => machine.Checkpoints).Select(checkpoint => new PeerResource(ResourceKind.Snapshot, checkpoint.Id.ToString(), checkpoint.Name)),
            .. folders.Select(folder => new PeerResource(ResourceKind.Disk, folder, Path.GetFileName(folder))),
            .. folders.Select(folder => (Folder: folder, Seed: Path.Combine(folder, "seed.iso"))).Where(each => File.Exists(each.Seed)).Select(each => new PeerResource(ResourceKind.Seed, each.Seed, Path.GetFileName(each.Folder) + ".iso")),
        ];
    }

    public void Dispose() => _folder.Dispose();
}
