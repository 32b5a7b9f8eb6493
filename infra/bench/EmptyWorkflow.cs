using LabPortal.Data;
using LabPortal.Data.Labs;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using LabPortal.Operations.Workflows;
using NodaTime;

namespace LabPortal.Bench;

/// <summary>One step that does nothing (or only takes a while), so that what is measured is the engine alone.</summary>
internal sealed class EmptyStep(TimeSpan takes) : Step("empty")
{
    public override bool ForEachMachine => false;

    public override async Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation)
    {
        if (takes > TimeSpan.Zero) await Task.Delay(takes, cancellation);
        return StepAnswer.Done;
    }
}

internal static class EmptyWorkflow
{
    public const string Name = "empty";

    public static RegisteredWorkflows Taking(TimeSpan takes) => new([new Workflow { Name = Name, Version = 1, Steps = [new EmptyStep(takes)] }]);

    public static async Task<TeamId> AddTeamAsync(Database database, TimeProvider time)
    {
        var (team, person) = (new TeamId(Ids.New(time)), new PersonId(Ids.New(time)));
        await database.WriteAsync(
            async session =>
            {
                await session.ExecuteAsync("INSERT INTO teams (id, name, zone, created_at) VALUES (@team, @Name, 'UTC', 0)", new { team, Name = $"team {team}" });
                await session.ExecuteAsync("INSERT INTO people (id, name, email, created_at) VALUES (@person, 'Bench', @Email, 0)", new { person, Email = $"{team}@example.org" });
            },
            CancellationToken.None);
        s_owners[team] = person;
        return team;
    }

    private static readonly Dictionary<TeamId, PersonId> s_owners = [];

    /// <summary>A lab without machines.</summary>
    public static async Task<Lab> AddLabAsync(Session session, TeamId team, TimeProvider time, LabState state = LabState.Ready, Lease? lease = null)
    {
        var now = time.Now();
        var lab = new Lab
        {
            Id = new LabId(Ids.New(time)),
            Name = "bench",
            Blueprint = "bench",
            BlueprintVersion = 1,
            Team = team,
            Owner = s_owners[team],
            State = state,
            Version = 0,
            Lease = lease ?? new Lease { Start = now, End = now + Duration.FromDays(100), Grace = Duration.Zero, Zone = "UTC" },
            RequestedAt = now,
        };
        await LabStore.InsertAsync(session, lab);
        return lab;
    }

    public static async Task<IReadOnlyList<Lab>> AddLabsAsync(Database database, TeamId team, int count, TimeProvider time)
    {
        var labs = new List<Lab>();
        foreach (var batch in Enumerable.Range(0, count).Chunk(200))
        {
            labs.AddRange(await database.WriteAsync(
                async session =>
                {
                    var added = new List<Lab>();
                    foreach (var _ in batch) added.Add(await AddLabAsync(session, team, time));
                    return added;
                },
                CancellationToken.None));
        }

        return labs;
    }

    public static async Task BeginAsync(Database database, Runs runs, IReadOnlyList<Lab> labs, TimeProvider time)
    {
        foreach (var batch in labs.Chunk(200))
        {
            await database.WriteAsync(
                async session =>
                {
                    foreach (var lab in batch) await runs.BeginAsync(session, lab, Name, new Dictionary<string, string>(), "bench", time.Now());
                },
                CancellationToken.None);
        }
    }
}
