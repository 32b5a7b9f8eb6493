using LabPortal.Domain.People;
using Xunit;

namespace LabPortal.Domain.Tests.People;

public sealed class MayTests
{
    // One column for each caller: admin, auditor, owner (requester), owner who left the team, and of another's lab the team's requester,
    // trainer, manager; a stranger.
    private const string Table = """
        see-catalogue     yes yes yes yes yes yes yes yes
        request-lab       yes -   yes -   yes yes yes -
        see-lab           yes yes yes yes yes yes yes -
        extend-lab        yes -   yes yes -   -   yes -
        start-lab         yes -   yes yes -   -   yes -
        stop-lab          yes -   yes yes -   -   yes -
        restart-lab       yes -   yes yes -   -   yes -
        snapshot-lab      yes -   yes yes -   -   yes -
        revert-lab        yes -   yes yes -   -   yes -
        delete-snapshot   yes -   yes yes -   -   yes -
        cancel-run        yes -   yes yes -   -   yes -
        end-lab           yes -   yes yes -   -   yes -
        read-serial-log   yes -   yes yes -   -   yes -
        reveal-password   -   -   yes yes -   -   -   -
        open-console      yes -   yes yes -   -   yes -
        watch-console     yes -   yes -   yes yes yes -
        see-quota         yes yes yes yes yes yes yes -
        see-team          yes yes yes yes yes yes yes -
        retry-run         yes -   -   -   -   -   -   -
        abandon-run       yes -   -   -   -   -   -   -
        see-pools         yes yes yes yes yes yes yes yes
        see-operations    yes yes -   -   -   -   -   -
        check-pool        yes -   -   -   -   -   -   -
        administer-pools  yes -   -   -   -   -   -   -
        decide-orphan     yes -   -   -   -   -   -   -
        apply-catalogue   yes -   -   -   -   -   -   -
        administer-people yes -   -   -   -   -   -   -
        administer-webhooks yes - -   -   -   -   yes -
        administer-settings yes -   -   -   -   -   -   -
        see-audit         yes yes -   -   -   -   -   -
        """;

    private static readonly TeamId s_team = new(Guid.NewGuid());
    private static readonly PersonId s_owner = new(Guid.NewGuid());
    private static readonly Actor[] s_callers =
    [
        Caller() with { IsAdmin = true },
        Caller() with { IsAuditor = true },
        Caller(TeamRole.Requester) with { Person = s_owner },
        Caller() with { Person = s_owner },
        Caller(TeamRole.Requester),
        Caller(TeamRole.Trainer),
        Caller(TeamRole.Manager),
        Caller() with { Teams = new Dictionary<TeamId, TeamRole> { [new TeamId(Guid.NewGuid())] = TeamRole.Manager } },
    ];

    public static TheoryData<string, int, bool> Cells()
    {
        var cells = new TheoryData<string, int, bool>();
        foreach (var row in Table.Split('\n').Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries)))
        {
            for (var caller = 0; caller < s_callers.Length; caller++) cells.Add(row[0], caller, row[caller + 1] == "yes");
        }

        return cells;
    }

    [Theory, MemberData(nameof(Cells))]
    public void Each_cell_of_the_table_is_as_written(string verb, int caller, bool may)
        => Assert.Equal(may, May.Do(s_callers[caller], Words.Read<Verb>(verb), s_owner, s_team));

    [Fact]
    public void The_table_has_every_verb() => Assert.Equal(Words.All<Verb>(), Table.Split('\n').Select(line => line.Split(' ')[0]));

    private static Actor Caller(TeamRole? role = null) => new()
    {
        Person = new PersonId(Guid.NewGuid()), Name = "x", Channel = Channel.Session,
        Teams = role is { } found ? new Dictionary<TeamId, TeamRole> { [s_team] = found } : new Dictionary<TeamId, TeamRole>(),
    };
}
