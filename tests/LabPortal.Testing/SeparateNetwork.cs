using System.Diagnostics;
using System.Globalization;
using System.Net;

namespace LabPortal.Testing;

/// <summary>
/// A network namespace that reaches one address of this machine and nothing else: it has no route further. It lives as long as the process
/// in it, which ends with this one.
/// </summary>
public sealed class SeparateNetwork : IAsyncDisposable
{
    private readonly Process _keeper;

    private SeparateNetwork(Process keeper, IPAddress here) => (_keeper, Here) = (keeper, here);

    /// <summary>This machine, as it is reached from in there.</summary>
    public IPAddress Here { get; }

    public static async Task<SeparateNetwork> StartAsync(CancellationToken cancellation)
    {
        // Reads until this process closes its input, or is gone: then nobody is left in the namespace, and it vanishes with its interfaces.
        var keeper = Process.Start(new ProcessStartInfo("unshare", ["--net", "sh", "-c", "ip link set lo up; echo up; exec cat"]) { UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true })!;
        await keeper.StandardOutput.ReadLineAsync(cancellation);
        // Benchmarking addresses (RFC 2544): nothing else here has them.
        var (id, number) = (keeper.Id.ToString(CultureInfo.InvariantCulture), keeper.Id % 16384 * 4);
        string Address(int one) => $"198.{18 + (number >> 16)}.{(number >> 8) & 255}.{(number & 255) + one}";
        var network = new SeparateNetwork(keeper, IPAddress.Parse(Address(1)));
        try
        {
            await Tool.RunAsync(cancellation, "ip", "link", "add", $"lpt{id}", "type", "veth", "peer", "name", "portal", "netns", id);
            await Tool.RunAsync(cancellation, "ip", "addr", "add", $"{Address(1)}/30", "dev", $"lpt{id}");
            await Tool.RunAsync(cancellation, "ip", "link", "set", $"lpt{id}", "up");
            await network.RunAsync(cancellation, "ip", "addr", "add", $"{Address(2)}/30", "dev", "portal");
            await network.RunAsync(cancellation, "ip", "link", "set", "portal", "up");
            return network;
        }
        catch
        {
            await network.DisposeAsync();
            throw;
        }
    }

    /// <summary>A command, as it is run in there.</summary>
    public IReadOnlyList<string> Inside(params string[] command) => ["nsenter", $"--net=/proc/{_keeper.Id.ToString(CultureInfo.InvariantCulture)}/ns/net", "--", .. command];

    public Task<string> RunAsync(CancellationToken cancellation, params string[] command)
    {
        var inside = Inside(command);
        return Tool.RunAsync(cancellation, inside[0], [.. inside.Skip(1)]);
    }

    public async ValueTask DisposeAsync()
    {
        _keeper.StandardInput.Close();
        await _keeper.WaitForExitAsync();
        _keeper.Dispose();
    }
}
