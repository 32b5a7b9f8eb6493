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

    /// <summary>Empty jobs a second, all of them waiting when the server starts, and commits for each.</summary>
    public static async Task<(double Rate, double Commits)> RunAsync(string connectionString, int jobs, int workers, CancellationToken cancellation)
    {
        var storage = new PostgreSqlStorage(new NpgsqlConnectionFactory(connectionString, new PostgreSqlStorageOptions()), new PostgreSqlStorageOptions());
        var client = new BackgroundJobClient(storage);
        for (var i = 0; i < jobs; i++) client.Enqueue((Expression<Action>)(() => Job()));
        s_done = 0;
        var before = await Postgres.CommitsAsync(connectionString, cancellation);
        var clock = Stopwatch.StartNew();
        using (var server = new BackgroundJobServer(new BackgroundJobServerOptions { WorkerCount = workers }, storage))
        {
            while (Volatile.Read(ref s_done) < jobs) await Task.Delay(5, cancellation);
            clock.Stop();
            server.SendStop();
        }

        return (jobs / clock.Elapsed.TotalSeconds, (await Postgres.CommitsAsync(connectionString, cancellation) - before) / (double)jobs);
    }
}
