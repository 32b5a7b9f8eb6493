using System.Globalization;
using System.Runtime.InteropServices;

namespace LabPortal.Testing;

/// <summary>
/// A libvirtd of a test's own (<c>infra/libvirt</c>) with the tiny image in its storage pool <c>lab</c>; its network is called
/// <c>lab</c> too. Guests are reached from the test by their address. Disposing leaves nothing, and neither does a killed test run.
/// </summary>
public sealed class PrivateLibvirt : IAsyncDisposable
{
    public const string ImageVolume = "tiny.qcow2";

    private PrivateLibvirt(string folder, string uri)
    {
        Folder = folder;
        Uri = uri;
    }

    public string Folder { get; }

    public string Uri { get; }

    public string Socket => Path.Combine(Folder, "run/libvirt/libvirt-sock");

    public string Volumes => Path.Combine(Folder, "volumes");

    public async Task<int> PidAsync(CancellationToken cancellation) =>
        int.Parse(await Tool.RunAsync(cancellation, Script, "pid", Folder), CultureInfo.InvariantCulture);

    /// <summary>Why it cannot be had here, in one sentence; null where it can. Under CI there is no excuse.</summary>
    public static string? WhyNot => Environment.GetEnvironmentVariable("CI") == "true" ? null
        : !Environment.IsPrivilegedProcess ? "A private libvirtd needs root, for its network namespace."
        : !File.Exists("/usr/sbin/libvirtd") ? "libvirtd is not installed (infra/libvirt names the packages)."
        : null;

    public static async Task<PrivateLibvirt> StartAsync(CancellationToken cancellation)
    {
        var image = await TinyImage.FileAsync(cancellation);
        // Short, because a Unix socket's path is.
        var folder = Directory.CreateTempSubdirectory("lp-").FullName;
        var uri = (await Tool.RunAsync(cancellation, Script, "start", folder, "--until", Environment.ProcessId.ToString(CultureInfo.InvariantCulture))).Trim();
        var libvirt = new PrivateLibvirt(folder, uri);
        File.Copy(image, Path.Combine(libvirt.Volumes, ImageVolume));
        await libvirt.VirshAsync(cancellation, "pool-refresh", "lab");
        return libvirt;
    }

    /// <summary>libvirt's own client: what it says is what the peer says.</summary>
    public Task<string> VirshAsync(CancellationToken cancellation, params string[] arguments) =>
        Tool.RunAsync(cancellation, "virsh", ["--quiet", "--connect", Uri, .. arguments]);

    /// <summary>Stops the daemon in the middle of whatever it does, as a machine that swaps or a debugger does.</summary>
    public Task FreezeAsync(CancellationToken cancellation) => SignalAsync(19, cancellation);

    public Task ThawAsync(CancellationToken cancellation) => SignalAsync(18, cancellation);

    public async ValueTask DisposeAsync()
    {
        await Tool.RunAsync(CancellationToken.None, Script, "stop", Folder);
        Directory.Delete(Folder, recursive: true);
    }

    private static string Script => Path.Combine(Repository.Root, "infra/libvirt");

    private async Task SignalAsync(int signal, CancellationToken cancellation)
    {
        if (kill(await PidAsync(cancellation), signal) != 0) throw new InvalidOperationException($"libvirtd took no signal: {Marshal.GetLastPInvokeErrorMessage()}");
    }

    [DllImport("libc", SetLastError = true)]
    private static extern int kill(int pid, int signal);
}
