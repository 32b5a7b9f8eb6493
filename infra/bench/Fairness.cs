using LabPortal.Data;
using LabPortal.Data.Migrations;
using LabPortal.Domain;
using LabPortal.Operations.Workflows;
using LabPortal.Testing;

namespace LabPortal.Bench;

/// <summary>How long the 1,000 due runs of one team hold up the first run of another.</summary>
internal static class Fairness
{
    public static async Task<bool> RunAsync(TestDatabases databases, CancellationToken cancellation)
    {
        var time = TimeProvider.System;
        var setting = await databases.CreateSettingAsync(Engine.Postgres);
        await using var database = Database.Open(setting);
        await SchemaMigration.ApplyAsync(database, cancellation);
        // A step that takes a while, so that the queue is still long when the other team comes.
        var workflows = EmptyWorkflow.Taking(TimeSpan.FromMilliseconds(200));
        var (many, other) = (await EmptyWorkflow.AddTeamAsync(database, time), await EmptyWorkflow.AddTeamAsync(database, time));
        var runs = new Runs(workflows, time);
        await EmptyWorkflow.BeginAsync(database, runs, await EmptyWorkflow.AddLabsAsync(database, many, 1000, time), time);
        var first = await EmptyWorkflow.AddLabsAsync(database, other, 1, time);
        await using var host = new EngineHost(database, setting, workflows, 10);
        await Turns.DoneAsync(database, 50, cancellation);
        await EmptyWorkflow.BeginAsync(database, runs, first, time);
        await Turns.DoneAsync(database, 1001, cancellation);
        var (delay, waiting) = await database.ReadAsync(
            async session => (await session.FindAsync<long>("SELECT j.intended_at - r.created_at FROM runs r JOIN journal j ON j.run_id = r.id WHERE r.team_id = @other", new { other }),
                await session.FindAsync<long>("SELECT count(*) FROM runs r JOIN runs o ON o.team_id = @other WHERE r.team_id = @many AND r.finished_at > o.created_at", new { other, many })),
            cancellation);
        Console.WriteLine($"the other team's first run began after {delay / 1000.0:F0} ms, with {waiting} of the first team's still to do (aim: at most 1,000 ms)");
        return delay <= 1_000_000 && waiting > 100;
    }
}
