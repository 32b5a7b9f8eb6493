using System.Diagnostics;
using System.Linq.Expressions;
using Hangfire;
using Hangfire.PostgreSql;
using Hangfire.PostgreSql.Factories;

namespace LabPortal.Bench;

/// <summary>The baseline: empty jobs on Hangfire.PostgreSql at its vendor's defaults, but for the number of workers.</summary>
internal static class PlainHangfire
{
    private static int s_done;

    public static void Job() => Interlocked.Increment(ref s_done);

    /// <summary>Empty jobs a second, all of them waiting when the server starts, and commits for each; after some to warm up.</summary>
    public static async Task<(double Rate, double Commits)> RunAsync(string connectionString, int warmUp, int jobs, int workers, CancellationToken cancellation)
    {
        var storage = new PostgreSqlStorage(new NpgsqlConnectionFactory(connectionString, new PostgreSqlStorageOptions()), new PostgreSqlStorageOptions());
        Enqueue(storage, warmUp);
        await WorkAsync(storage, warmUp, workers, cancellation);
        Enqueue(storage, jobs);
        var before = await Postgres.CommitsAsync(connectionString, cancellation);
        var elapsed = await WorkAsync(storage, jobs, workers, cancellation);
        return (jobs / elapsed.TotalSeconds, (await Postgres.CommitsAsync(connectionString, cancellation) - before) / (double)jobs);
    }

    private static void Enqueue(PostgreSqlStorage storage, int jobs)
    {
        var client = new BackgroundJobClient(storage);
        for (var i = 0; i < jobs; i++) client.Enqueue((Expression<Action>)(() => Job()));
    }

    private static async Task<TimeSpan> WorkAsync(PostgreSqlStorage storage, int jobs, int workers, CancellationToken cancellation)
    {
        s_done = 0;
        var clock = Stopwatch.StartNew();
        using var server = new BackgroundJobServer(new BackgroundJobServerOptions { WorkerCount = workers }, storage);
        while (Volatile.Read(ref s_done) < jobs) await Task.Delay(5, cancellation);
        clock.Stop();
        server.SendStop();
        return clock.Elapsed;
    }
}
