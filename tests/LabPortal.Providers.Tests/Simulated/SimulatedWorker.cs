using System.Diagnostics;
using System.Text.Json.Nodes;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Providers.Simulated;

namespace LabPortal.Providers.Tests.Simulated;

/// <summary>Another process with a simulated pool open: creates machines, destroys them, or both, until it ends or is killed.</summary>
internal static class SimulatedWorker
{
    public const string Word = "simulated-worker";

    /// <summary>Order: create, destroy or cycle; the world's folder; the installation; then the machines' ids.</summary>
    public static async Task<int> RunAsync(string[] order)
    {
        var installation = new InstallationId(Guid.Parse(order[2]));
        await using var provider = new SimulatedKind().Open(new PoolContext(installation, "pool", [], order[1], TimeProvider.System));
        foreach (var id in order[3..])
        {
            var machine = Machine(installation, new MachineId(Guid.Parse(id)));
            if (order[0] is "create" or "cycle") await provider.EnsureExistsAsync(machine, CancellationToken.None);
            if (order[0] is "destroy" or "cycle") await provider.EnsureGoneAsync(machine.Reference, CancellationToken.None);
        }

        return 0;
    }

    public static Process Start(string deed, string folder, InstallationId installation, params IEnumerable<MachineId> machines)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!, [Word, deed, folder, installation.ToString(), .. machines.Select(machine => machine.ToString())]);

        // Under `dotnet test.dll` the process is the dotnet command itself.
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet") start.ArgumentList.Insert(0, typeof(SimulatedWorker).Assembly.Location);
        return Process.Start(start)!;
    }

    public static MachineSpec Machine(InstallationId installation, MachineId machine, int memoryMiB = 64, string? host = null) => new(
        new Owner(installation, new LabId(machine.Value), machine, 1), host, "web-1", "web", new ImageBinding("tiny", "1", new Dictionary<string, string>()),
        1, memoryMiB, 1, new GuestSeed("ada", [], null, new Dictionary<string, object>()));

    public static JsonObject Settings(string json) => JsonNode.Parse(json)!.AsObject();
}
