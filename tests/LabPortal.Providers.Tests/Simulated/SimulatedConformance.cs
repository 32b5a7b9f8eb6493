using LabPortal.Domain;
using LabPortal.Domain.Pools;
using LabPortal.Providers.Simulated;
using Microsoft.Data.Sqlite;
using Xunit;

namespace LabPortal.Providers.Tests.Simulated;

[ConformanceOf(typeof(SimulatedKind))]
public class SimulatedConformance : ProviderConformance
{
    private readonly string _folder = Directory.CreateTempSubdirectory("labportal-").FullName;

    protected virtual string Settings => """{"missingImages": [{"image": "missing"}, {"image": "imported"}, {"image": "digested"}, {"image": "hostile"}]}""";

    protected override string DataFolder => _folder;

    protected override IReadOnlyList<string> Hosts => ["h1", "h2", "h3", "h4"];

    protected override int FewestWireCallsOfACreate => 4;

    protected override IReadOnlySet<Type> Abilities { get; } =
        new HashSet<Type> { typeof(IPowerAbility), typeof(ISnapshotAbility), typeof(ICapacityAbility), typeof(IImagesAbility), typeof(IImportAbility), typeof(ISerialLogAbility), typeof(ISerialConsoleAbility), typeof(INetworkAbility), typeof(IWarmStartAbility), typeof(IScreenAbility) };

    protected override ImageBinding Image => new("tiny", "1", new Dictionary<string, string>());

    protected override ImageBinding NewImage(string name, string format) => new(name, "1", new Dictionary<string, string> { ["format"] = format });

    protected override IProvider Open(InstallationId installation) => Open(installation, Settings);

    protected override async Task<IProvider> OpenAsync(InstallationId installation, WireFault fault, CancellationToken cancellation)
    {
        // A host with hardly any memory is full by the world's own count; the other faults are scripted.
        if (fault is WireFault.Full) return Open(installation, """{"hostMemoryMiB": 32}""");
        var scripted = fault switch
        {
            WireFault.CutOff cut => new ScriptedFault(Deed.Fail, cut.AfterEffect ? Moment.AfterEffect : Moment.BeforeEffect) { Nth = cut.Call },
            WireFault.Throttled throttled => new ScriptedFault(Deed.Fail) { Fault = FaultKind.Throttled, RetryAfter = throttled.RetryAfter, Times = ScriptedFault.Always },
            WireFault.RefusedLogin => new ScriptedFault(Deed.Fail) { Fault = FaultKind.Unauthorized, Times = ScriptedFault.Always },
            WireFault.Away => new ScriptedFault(Deed.Fail) { Times = ScriptedFault.Always },
            WireFault.Silent => new ScriptedFault(Deed.Hang) { Times = ScriptedFault.Always },
            _ => throw new NotSupportedException(fault.ToString()),
        };
        await using var world = new SimulatedWorld(WorldFile, TimeProvider.System);
        await world.ScriptAsync(scripted with { Subject = installation.ToString() }, cancellation);
        return Open(installation);
    }

    protected override async Task MendWireAsync(CancellationToken cancellation)
    {
        await using var world = new SimulatedWorld(WorldFile, TimeProvider.System);
        await world.ForgetScriptAsync(cancellation);
    }

    /// <summary>The file itself, with no code of the provider's between.</summary>
    protected override async Task<IReadOnlyList<PeerResource>> ListEverythingAsync(CancellationToken cancellation)
    {
        await using var connection = new SqliteConnection($"Data Source={WorldFile};Pooling=False");
        await connection.OpenAsync(cancellation);
        await using var command = connection.CreateCommand();
        command.CommandText = "SELECT kind, external_id, name FROM resources WHERE gone_at IS NULL OR gone_at > @now";
        command.Parameters.AddWithValue("@now", TimeProvider.System.Now().ToMicroseconds());
        var everything = new List<PeerResource>();
        try
        {
            await using var reader = await command.ExecuteReaderAsync(cancellation);
            while (await reader.ReadAsync(cancellation)) everything.Add(new PeerResource(Enum.Parse<ResourceKind>(reader.GetString(0)), reader.GetString(1), reader.GetString(2)));
        }
        catch (SqliteException nothingYet) when (nothingYet.Message.Contains("no such table", StringComparison.Ordinal))
        {
            return [];
        }

        return everything;
    }

    /// <summary>Each test has a world of its own, and the world goes with it.</summary>
    protected override Task RemoveImageAsync(ImageBinding image, CancellationToken cancellation) => Task.CompletedTask;

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
        GC.SuppressFinalize(this);
    }

    private string WorldFile => Path.Combine(_folder, "simulated-pool.world");

    private IProvider Open(InstallationId installation, string settings) =>
        new SimulatedKind().Open(new PoolContext(installation, "pool", SimulatedWorker.Settings(settings), _folder, TimeProvider.System));
}

/// <summary>The same where everything takes its time and reads lag.</summary>
[ConformanceOf(typeof(SimulatedKind))]
public sealed class SlowSimulatedConformance : SimulatedConformance
{
    protected override string Settings => """
        {"createSeconds": 0.1, "bootSeconds": 0.1, "stopSeconds": 0.1, "deleteSeconds": 0.1, "settlingSeconds": 0.05, "callSeconds": 0.002,
         "missingImages": [{"image": "missing"}, {"image": "imported"}, {"image": "digested"}, {"image": "hostile"}]}
        """;
}
