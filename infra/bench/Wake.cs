using System.Diagnostics;
using System.Globalization;
using LabPortal.Data;
using LabPortal.Data.Migrations;
using LabPortal.Domain;
using LabPortal.Operations.Workflows;
using LabPortal.Testing;
using Npgsql;

namespace LabPortal.Bench;

/// <summary>
/// From <i>due</i> in one process to <i>begun</i> in another, against a bare NOTIFY between the same two processes. A run is due from the
/// commit on that says so; what the asking process needs for that transaction, a disk write among it, is shown besides.
/// </summary>
internal static class Wake
{
    private const int Count = 200;

    public static async Task<bool> RunAsync(TestDatabases databases, CancellationToken cancellation)
    {
        var time = TimeProvider.System;
        var setting = await databases.CreateSettingAsync(Engine.Postgres);
        await using var database = Database.Open(setting);
        await SchemaMigration.ApplyAsync(database, cancellation);
        var workflows = EmptyWorkflow.Taking(TimeSpan.Zero);
        var team = await EmptyWorkflow.AddTeamAsync(database, time);
        var labs = await EmptyWorkflow.AddLabsAsync(database, team, Count, time);
        var runs = new Runs(workflows, time);
        using var worker = Process.Start(new ProcessStartInfo(Environment.ProcessPath!, ["worker", setting]) { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardInput = true })!;
        try
        {
            await worker.StandardOutput.ReadLineAsync(cancellation);
            await Task.Delay(2000, cancellation);
            var bare = new List<double>();
            var woken = new List<double>();
            var asked = new List<double>();
            await using var source = NpgsqlDataSource.Create(setting);
            // In turns, so that both meet the same machine.
            foreach (var lab in labs)
            {
                await Task.Delay(20 + (woken.Count % 7 * 10), cancellation);
                await using (var notify = source.CreateCommand("SELECT pg_notify('bench', $1)"))
                {
                    notify.Parameters.AddWithValue(time.Now().ToMicroseconds().ToString(CultureInfo.InvariantCulture));
                    await notify.ExecuteNonQueryAsync(cancellation);
                }

                bare.Add(double.Parse((await worker.StandardOutput.ReadLineAsync(cancellation))!, CultureInfo.InvariantCulture));
                await Task.Delay(20, cancellation);
                await EmptyWorkflow.BeginAsync(database, runs, [lab], time);
                var due = time.Now();
                while (true)
                {
                    var begun = await database.ReadAsync(
                        session => session.QueryAsync<long>("SELECT j.intended_at - v.at FROM journal j JOIN runs r ON r.id = j.run_id CROSS JOIN LATERAL (VALUES (@due), (r.due_at)) AS v (at) WHERE r.lab_id = @Id AND r.state = 'done' ORDER BY 1", new { due, lab.Id }), cancellation);
                    if (begun is [var sinceDue, var sinceAsked])
                    {
                        woken.Add(Math.Max(0, sinceDue / 1000.0));
                        asked.Add(sinceAsked / 1000.0);
                        break;
                    }

                    await Task.Delay(10, cancellation);
                }
            }

            bare.Sort();
            woken.Sort();
            asked.Sort();
            Console.WriteLine($"bare NOTIFY        p50 {bare[Count / 2],6:F1} ms   p99 {bare[Count * 99 / 100],6:F1} ms   most {bare[^1],6:F1} ms");
            Console.WriteLine($"due to begun       p50 {woken[Count / 2],6:F1} ms   p99 {woken[Count * 99 / 100],6:F1} ms   most {woken[^1],6:F1} ms");
            Console.WriteLine($"asked to begun     p50 {asked[Count / 2],6:F1} ms   p99 {asked[Count * 99 / 100],6:F1} ms   most {asked[^1],6:F1} ms");
            Console.WriteLine($"ratio at p50       {woken[Count / 2] / bare[Count / 2],6:F1}   (aims: at most 3; nothing above 1,000 ms)");
            return woken[Count / 2] <= 3 * bare[Count / 2] && asked[^1] <= 1000;
        }
        finally
        {
            worker.Kill();
            await worker.WaitForExitAsync(CancellationToken.None);
        }
    }

    /// <summary>The other process: the engine, and a listener for the bare notifications.</summary>
    public static async Task WorkAsync(string setting, CancellationToken cancellation)
    {
        await using var database = Database.Open(setting);
        await using var host = new EngineHost(database, setting, EmptyWorkflow.Taking(TimeSpan.Zero), 10);
        await using var source = NpgsqlDataSource.Create(setting);
        await using var connection = await source.OpenConnectionAsync(cancellation);
        connection.Notification += (_, sent) => Console.WriteLine(
            ((TimeProvider.System.Now().ToMicroseconds() - long.Parse(sent.Payload, CultureInfo.InvariantCulture)) / 1000.0).ToString(CultureInfo.InvariantCulture));
        await using (var listen = new NpgsqlCommand("LISTEN bench", connection)) await listen.ExecuteNonQueryAsync(cancellation);
        Console.WriteLine("ready");
        while (true) await connection.WaitAsync(cancellation);
    }
}
