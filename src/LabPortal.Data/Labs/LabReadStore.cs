using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Workflows;

namespace LabPortal.Data.Labs;

/// <summary>What is shown beside labs, for many of them at once.</summary>
public static class LabReadStore
{
    /// <summary>Each lab's live run, or its last where none is live.</summary>
    public static async Task<IReadOnlyDictionary<LabId, Run>> RunsOfAsync(Session session, IReadOnlyCollection<LabId> labs) => labs.Count == 0
        ? new Dictionary<LabId, Run>()
        : (await RunStore.ReadAsync(session, $"WHERE {session.Dialect.AnyOf("lab_id", "labs")} AND (state IN ('running', 'undoing', 'stuck') OR id IN (SELECT max(id) FROM runs WHERE {session.Dialect.AnyOf("lab_id", "labs")} GROUP BY lab_id))", new { labs = Many.Of(labs) }))
            .GroupBy(run => run.Lab).ToDictionary(runs => runs.Key, runs => runs.OrderBy(run => run.State.IsLive()).Last());

    public static async Task<IReadOnlyDictionary<PersonId, string>> OwnersOfAsync(Session session, IReadOnlyCollection<LabId> labs) => labs.Count == 0
        ? new Dictionary<PersonId, string>()
        : (await session.QueryAsync<NameRow>($"SELECT id, name FROM people WHERE id IN (SELECT owner_id FROM labs WHERE {session.Dialect.AnyOf("labs.id", "labs")})", new { labs = Many.Of(labs) }))
            .ToDictionary(row => new PersonId(row.Id), row => row.Name);

    /// <summary>The names of the teams of these labs; the portal's own has none.</summary>
    public static async Task<IReadOnlyDictionary<TeamId, string>> TeamsOfAsync(Session session, IReadOnlyCollection<LabId> labs) => labs.Count == 0
        ? new Dictionary<TeamId, string>()
        : (await session.QueryAsync<NameRow>(
            $"SELECT id, name FROM teams WHERE id IN (SELECT team_id FROM labs WHERE {session.Dialect.AnyOf("labs.id", "labs")}) AND id NOT IN (SELECT id FROM installation)", new { labs = Many.Of(labs) }))
            .ToDictionary(row => new TeamId(row.Id), row => row.Name);

    /// <summary>Why each machine is where it is, by machine and generation.</summary>
    public static async Task<IReadOnlyDictionary<(MachineId Machine, int Generation), string>> WhyHereAsync(Session session, LabId lab)
        => (await session.QueryAsync<WhyRow>("SELECT machine_id AS machine, generation, why FROM placements WHERE machine_id IN (SELECT id FROM machines WHERE lab_id = @lab)", new { lab }))
            .ToDictionary(row => (row.Machine, row.Generation), row => row.Why);

    private sealed class NameRow
    {
        public Guid Id { get; init; }
        public string Name { get; init; } = "";
    }

    private sealed class WhyRow
    {
        public MachineId Machine { get; init; }
        public int Generation { get; init; }
        public string Why { get; init; } = "";
    }
}
