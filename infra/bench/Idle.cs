using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Hangfire;
using Hangfire.PostgreSql;
using LabPortal.Testing;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace LabPortal.Bench;

/// <summary>
/// What an idle portal costs, with living labs and a real pool, against an ASP.NET host that has nothing but Hangfire at its vendor's defaults
/// on the same storage. All of them idle side by side, through the same minute.
/// </summary>
internal static class Idle
{
    private const int Labs = 20;
    private const string InMemory = "memory";

    /// <summary>The unit of times in /proc (proc(5), USER_HZ).</summary>
    private const double TicksPerSecond = 100;

    private static readonly TimeSpan s_settling = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_measured = TimeSpan.FromSeconds(60);

    public static async Task<bool> RunAsync(TestDatabases databases, CancellationToken cancellation)
    {
        using var folder = new TestFolder();
        await using var libvirt = await PrivateLibvirt.StartAsync(cancellation);
        await File.WriteAllTextAsync(folder["apply.yaml"], Yaml(libvirt), cancellation);
        var postgres = await databases.CreateSettingAsync(Engine.Postgres);
        await using var embedded = await PortalProcess.StartAsync(folder["embedded"], applyFile: folder["apply.yaml"]);
        await using var production = await PortalProcess.StartAsync(folder["production"], postgres, folder["apply.yaml"]);
        await FillAsync(embedded, cancellation);
        await FillAsync(production, cancellation);
        using var emptyInMemory = await StartHostAsync(InMemory, cancellation);
        using var emptyOnPostgres = await StartHostAsync(await databases.CreateSettingAsync(Engine.Postgres), cancellation);
        try
        {
            await Task.Delay(s_settling, cancellation);
            int[] processes = [embedded.Id, emptyInMemory.Id, production.Id, emptyOnPostgres.Id];
            var clock = Stopwatch.StartNew();
            var before = processes.Select(Ticks).ToList();
            await Task.Delay(s_measured, cancellation);
            var percent = processes.Zip(before, (process, ticks) => 100 * (Ticks(process) - ticks) / TicksPerSecond / clock.Elapsed.TotalSeconds).ToList();
            Console.WriteLine($"idle for {s_measured.TotalSeconds} s, {Labs} ready labs, 2 pools   portal {percent[0],5:F2} % of a core   Hangfire alone {percent[1],5:F2} %   on SQLite, jobs in memory");
            Console.WriteLine($"                                       portal {percent[2],5:F2} % of a core   Hangfire alone {percent[3],5:F2} %   on PostgreSQL (its own work not counted)");
            return true;
        }
        finally
        {
            foreach (var host in new[] { emptyInMemory, emptyOnPostgres }) host.Kill();
        }
    }

    /// <summary>The baseline's process: nothing of ours.</summary>
    public static async Task HostAsync(string storage)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Services.AddHangfire(hangfire => _ = storage == InMemory ? hangfire.UseInMemoryStorage() : (object)hangfire.UsePostgreSqlStorage(to => to.UseNpgsqlConnection(storage)));
        builder.Services.AddHangfireServer();
        await using var app = builder.Build();
        app.Urls.Add("http://127.0.0.1:0");
        await app.StartAsync();
        Console.WriteLine("ready");
        await app.WaitForShutdownAsync();
    }

    private static async Task<Process> StartHostAsync(string storage, CancellationToken cancellation)
    {
        var host = Process.Start(new ProcessStartInfo(Environment.ProcessPath!, ["idle-host", storage]) { UseShellExecute = false, RedirectStandardOutput = true })!;
        while (await host.StandardOutput.ReadLineAsync(cancellation) is { } line && line != "ready") { }
        return host;
    }

    private static async Task FillAsync(PortalProcess portal, CancellationToken cancellation)
    {
        using var client = portal.Client();
        var labs = new List<string>();
        for (var i = 0; i < Labs; i++)
            labs.Add((string)(await client.PostAsync("labs", JsonNode.Parse("""{"blueprint":"pretended","team":"qa","lease":{"hours":4}}"""), cancellation)).Must(202)["id"]!);
        foreach (var lab in labs) await client.WaitForAsync(lab, "ready", cancellation: cancellation);
    }

    /// <summary>User and system time of the process and of all that it started, living or reaped.</summary>
    private static long Ticks(int process)
    {
        var stat = File.ReadAllText($"/proc/{process}/stat");
        // What stands before may hold spaces: the name of the program, in brackets.
        var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        return fields[11..15].Sum(ticks => long.Parse(ticks, CultureInfo.InvariantCulture)) + Children(process).Sum(Ticks);
    }

    private static IEnumerable<int> Children(int process) => Directory.EnumerateDirectories($"/proc/{process}/task")
        .SelectMany(thread => File.ReadAllText(Path.Combine(thread, "children")).Split(' ', StringSplitOptions.RemoveEmptyEntries))
        .Select(child => int.Parse(child, CultureInfo.InvariantCulture));

    private static string Yaml(PrivateLibvirt libvirt) => $$"""
        kind: Pool
        name: this-machine
        provider: libvirt
        settings: { hosts: [{ name: here, uri: "{{libvirt.Uri}}" }], storagePool: lab, network: lab }
        ---
        kind: Pool
        name: pretend
        provider: simulated
        labels: [pretended]
        settings: { seed: 7, createSeconds: 0.05, bootSeconds: 0.1, hosts: 4, hostCpu: 64, hostMemoryMiB: 131072 }
        ---
        kind: Image
        name: tiny
        os: linux
        bindings: { libvirt: { volume: {{PrivateLibvirt.ImageVolume}} }, simulated: {} }
        ---
        kind: Blueprint
        name: pretended
        title: One pretended machine
        machines: [{ name: one, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1 }]
        placement: { require: [pretended] }
        lease: { default: 4h, max: 72h, grace: 24h }
        ---
        kind: Team
        name: qa
        zone: Etc/UTC
        quota: { labs: 100, machines: 100, cpu: 100, memoryMiB: 100000, diskGiB: 1000 }
        """;
}
