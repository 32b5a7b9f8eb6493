using LabPortal.Data;
using LabPortal.Data.Leases;
using LabPortal.Data.Migrations;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using LabPortal.Operations.Leases;
using LabPortal.Operations.Workflows;
using LabPortal.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using NodaTime;

namespace LabPortal.Bench;

/// <summary>50,000 living leases, 500 of which are over within a minute: how late each stop and each deletion begins.</summary>
internal static class Leases
{
    private const int Living = 49_500;
    private const int Spread = 400;

    /// <summary>So many end at one instant, as leases until a full hour do.</summary>
    private const int Together = 100;
    private const int Due = Spread + Together;
    private static readonly Duration s_most = Duration.FromSeconds(5);

    public static async Task<bool> RunAsync(TestDatabases databases, CancellationToken cancellation)
    {
        var met = true;
        foreach (var engine in Enum.GetValues<Engine>())
        {
            await using var database = Database.Open(await databases.CreateSettingAsync(engine));
            await SchemaMigration.ApplyAsync(database, cancellation);
            met &= await RunAsync(engine, database, cancellation);
        }

        return met;
    }

    private static async Task<bool> RunAsync(Engine engine, Database database, CancellationToken cancellation)
    {
        var time = TimeProvider.System;
        var team = await EmptyWorkflow.AddTeamAsync(database, time);
        var now = time.Now();
        await AddAsync(database, team, time, [.. Enumerable.Range(0, Living).Select(i => (LabState.Ready, Lasting(now, Duration.FromHours(3) + Duration.FromMinutes(i), Duration.FromHours(1))))]);

        now = time.Now();
        var first = now + Duration.FromSeconds(4);
        // Stops and deletions in turn; too short for a warning.
        var due = await AddAsync(database, team, time, [.. Enumerable.Range(0, Due).Select(i =>
        {
            var at = first + (i < Spread ? Duration.FromSeconds(55) * i / Spread : Duration.FromSeconds(30));
            return i % 2 == 0 ? (LabState.Ready, Lasting(now, at - now, Duration.FromHours(1))) : (LabState.Grace, Lasting(now, Duration.Zero, at - now));
        })]);

        using var stopping = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var sweeping = new LeaseSweep(database, new Runs(new RegisteredWorkflows(), time), time, NullLogger<LeaseSweep>.Instance).RunAsync(stopping.Token);
        var late = await SeeAsync(database, time, due, first + Duration.FromMinutes(2), cancellation);
        await stopping.CancelAsync();
        await sweeping;

        var runs = await database.ReadAsync(session => session.FindAsync<long>("SELECT count(*) FROM runs"), cancellation);
        if (late.Count < Due || runs != Due)
        {
            Console.WriteLine($"{engine,-9} {late.Count} of {Due} seen to begin, {runs} runs in all");
            return false;
        }

        Console.WriteLine($"{engine,-9} begun late by   p50 {late[Due / 2],6:F0} ms   p99 {late[Due * 99 / 100],6:F0} ms   most {late[^1],6:F0} ms   (aim: at most {s_most.TotalMilliseconds:N0} ms)");
        return late[^1] <= s_most.TotalMilliseconds;
    }

    /// <summary>From each lab's moment until somebody else sees its run: the commit counts, and not what the sweep says of itself.</summary>
    private static async Task<List<double>> SeeAsync(Database database, TimeProvider time, Dictionary<LabId, Instant> due, Instant until, CancellationToken cancellation)
    {
        var late = new Dictionary<LabId, double>();
        while (late.Count < due.Count && time.Now() < until)
        {
            var begun = await database.ReadAsync(session => session.QueryAsync<LabId>("SELECT lab_id FROM runs"), cancellation);
            var seen = time.Now();
            foreach (var lab in begun.Where(due.ContainsKey)) late.TryAdd(lab, (seen - due[lab]).TotalMilliseconds);
            await Task.Delay(20, cancellation);
        }

        return [.. late.Values.Order()];
    }

    private static Lease Lasting(Instant from, Duration length, Duration grace) => new() { Start = from, End = from + length, Grace = grace, Zone = "UTC" };

    /// <summary>With the moments that the clock itself gives them.</summary>
    private static async Task<Dictionary<LabId, Instant>> AddAsync(Database database, TeamId team, TimeProvider time, IReadOnlyList<(LabState State, Lease Lease)> leases)
    {
        var moments = new Dictionary<LabId, Instant>();
        foreach (var batch in leases.Chunk(500))
        {
            var added = await database.WriteAsync(
                async session =>
                {
                    var those = new List<(LabId, Instant)>();
                    foreach (var (state, lease) in batch)
                    {
                        var lab = await EmptyWorkflow.AddLabAsync(session, team, time, state, lease);
                        var next = LeaseMoment.Of(lab, null, null, null, lease.Start)!;
                        await LeaseStore.SetNextAsync(session, lab.Id, next);
                        those.Add((lab.Id, next.At));
                    }

                    return those;
                },
                CancellationToken.None);
            foreach (var (lab, at) in added) moments[lab] = at;
        }

        return moments;
    }
}
