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

    /// <summary>The volume in which an import notes what it brought.</summary>
    public const string ImageDigest = ImageVolume + ".sha256";

    /// <summary>The stopped shell that starts the daemon; zero where it is at work.</summary>
    private int _keeper;

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
    /// <summary>The same at once, for those who know already which process it is.</summary>
    public static void Freeze(int daemon) => Signal(daemon, 19);

    public Task FreezeAsync(CancellationToken cancellation) => SignalAsync(19, cancellation);

    public Task ThawAsync(CancellationToken cancellation) => SignalAsync(18, cancellation);

    /// <summary>kill -9 of the daemon, and of whoever would start it again; its guests live on.</summary>
    public async Task KillAsync(CancellationToken cancellation)
    {
        var daemon = await PidAsync(cancellation);
        // proc(5): what stands before the state may hold spaces, in brackets; the parent comes next.
        _keeper = int.Parse((await File.ReadAllTextAsync($"/proc/{daemon}/stat", cancellation)).Split(") ")[^1].Split(' ')[1], CultureInfo.InvariantCulture);
        Signal(_keeper, 19);
        Signal(daemon, 9);
    }

    /// <summary>The daemon is started again. Without a kill before, nothing happens.</summary>
    public void Revive()
    {
        if (_keeper != 0) Signal(_keeper, 18);
        _keeper = 0;
    }

    /// <summary>A storage pool with nothing in it.</summary>
    public async Task AddEmptyPoolAsync(string name, CancellationToken cancellation)
    {
        Directory.CreateDirectory(Disk(name));
        await VirshAsync(cancellation, "pool-create-as", name, "dir", "--target", Disk(name));
    }

    /// <summary>A storage pool with the tiny image, on a disk of its own that only the daemon sees.</summary>
    public async Task AddSmallPoolAsync(string name, CancellationToken cancellation)
    {
        var (disk, target) = (Disk(name), Path.Combine(Disk(name), "pool"));
        Directory.CreateDirectory(disk);
        await AmongMountsAsync(cancellation, "mount", "-t", "tmpfs", "-o", $"size={SmallPool}", "tmpfs", disk);
        await AmongMountsAsync(cancellation, "mkdir", target);
        await AmongMountsAsync(cancellation, "cp", Path.Combine(Volumes, ImageVolume), target);
        await VirshAsync(cancellation, "pool-create-as", name, "dir", "--target", target);
    }

    /// <summary>There is no more room than is taken, as if somebody else's file took the rest: the next write fails. It costs no memory; while others write it is tried again.</summary>
    public Task FillAsync(string name, CancellationToken cancellation)
        => AmongMountsAsync(cancellation, "sh", "-c", """until mount -o remount,size="$(df -B1 --output=used "$1" | tail -n 1 | tr -d ' ')" "$1" 2>/dev/null; do sleep 0.1; done""", "sh", Disk(name));

    public Task MakeRoomAsync(string name, CancellationToken cancellation) => AmongMountsAsync(cancellation, "mount", "-o", $"remount,size={SmallPool}", Disk(name));

    /// <summary>Enough for what is held for one machine of 1 GiB and a snapshot of it; next to nothing of it is ever taken.</summary>
    private const string SmallPool = "6g";

    private string Disk(string name) => Path.Combine(Folder, $"{name}-disk");

    private async Task<string> AmongMountsAsync(CancellationToken cancellation, params string[] command)
        => await Tool.RunAsync(cancellation, "nsenter", ["--target", (await PidAsync(cancellation)).ToString(CultureInfo.InvariantCulture), "--mount", .. command]);

    public async ValueTask DisposeAsync()
    {
        await Tool.RunAsync(CancellationToken.None, Script, "stop", Folder);
        Directory.Delete(Folder, recursive: true);
    }

    private static string Script => Path.Combine(Repository.Root, "infra/libvirt");

    private async Task SignalAsync(int signal, CancellationToken cancellation) => Signal(await PidAsync(cancellation), signal);

    private static void Signal(int process, int signal)
    {
        if (kill(process, signal) != 0) throw new InvalidOperationException($"libvirtd took no signal: {Marshal.GetLastPInvokeErrorMessage()}");
    }

    [DllImport("libc", SetLastError = true)]
    private static extern int kill(int pid, int signal);
}
