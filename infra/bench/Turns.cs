using System.Diagnostics;
using LabPortal.Data;
using LabPortal.Domain;
using LabPortal.Operations.Workflows;
using LabPortal.Testing;

namespace LabPortal.Bench;

/// <summary>
/// Empty turns a second and commits for each, against empty jobs on plain Hangfire, with the same number of workers. Both have worked a
/// while before it is measured, as services do.
/// </summary>
internal static class Turns
{
    private const int Workers = 10;

    public static async Task<bool> RunAsync(TestDatabases databases, CancellationToken cancellation)
    {
        var time = TimeProvider.System;
        var plain = await PlainHangfire.RunAsync(await databases.CreateSettingAsync(Engine.Postgres), 300, 2000, Workers, cancellation);
        var setting = await databases.CreateSettingAsync(Engine.Postgres);
        await using var database = Database.Open(setting);
        await Data.Migrations.SchemaMigration.ApplyAsync(database, cancellation);
        var workflows = EmptyWorkflow.Taking(TimeSpan.Zero);
        var team = await EmptyWorkflow.AddTeamAsync(database, time);
        const int WarmUp = 1000, Count = 8000;
        var runs = new Runs(workflows, time);
        var labs = await EmptyWorkflow.AddLabsAsync(database, team, WarmUp + Count, time);
        await EmptyWorkflow.BeginAsync(database, runs, [.. labs.Take(WarmUp)], time);
        await using (new EngineHost(database, setting, workflows, Workers)) await DoneAsync(database, WarmUp, cancellation);
        await EmptyWorkflow.BeginAsync(database, runs, [.. labs.Skip(WarmUp)], time);
        var before = await Postgres.CommitsAsync(setting, cancellation);
        var clock = Stopwatch.StartNew();
        int polls;
        await using (new EngineHost(database, setting, workflows, Workers))
        {
            polls = await DoneAsync(database, WarmUp + Count, cancellation);
            clock.Stop();
        }

        var commits = (await Postgres.CommitsAsync(setting, cancellation) - before - polls) / (double)Count;
        var rate = Count / clock.Elapsed.TotalSeconds;
        Console.WriteLine($"plain Hangfire.PostgreSql  {plain.Rate,7:F0} jobs/s   {plain.Commits,5:F1} commits each");
        Console.WriteLine($"LabPortal                  {rate,7:F0} turns/s  {commits,5:F1} commits each");
        Console.WriteLine($"ratio                      {rate / plain.Rate,7:F1}          (aims: at least 8; at most 3 commits)");
        return rate >= 8 * plain.Rate && commits <= 3;
    }

    internal static async Task<int> DoneAsync(Database database, int count, CancellationToken cancellation)
    {
        for (var polls = 1; ; polls++)
        {
            if (await database.ReadAsync(session => session.FindAsync<long>("SELECT count(*) FROM runs WHERE state = 'done'"), cancellation) >= count) return polls;
            await Task.Delay(50, cancellation);
        }
    }
}
