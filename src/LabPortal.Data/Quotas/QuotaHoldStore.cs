using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Quotas;
using NodaTime;

namespace LabPortal.Data.Quotas;

/// <summary>The ledger's lines. They are made by the request; only their end moves afterwards.</summary>
public static class QuotaHoldStore
{
    /// <summary>Until when the lab holds its quota; open-ended (empty) while its end is unconfirmed.</summary>
    public static Task SetEndAsync(Session session, LabId lab, Instant? to) => session.ExecuteAsync("UPDATE quota_holds SET to_at = @to WHERE lab_id = @lab", new { lab, to });

    public static Task InsertAsync(Session session, Lab lab, IReadOnlyDictionary<Dimension, long> amounts, Instant from, Instant? to) => session.ExecuteAsync("""
        INSERT INTO quota_holds (lab_id, dimension, team_id, person_id, amount, from_at, to_at) VALUES (@Lab, @Dimension, @Team, @Owner, @Amount, @from, @to)
        """,
        amounts.Select(amount => new { Lab = lab.Id, Dimension = amount.Key.Name(), lab.Team, lab.Owner, Amount = amount.Value, from, to }).ToList());

    /// <summary>The lab holds one more of this from now on; the line is made where there is none.</summary>
    public static Task AddOneAsync(Session session, Lab lab, Dimension dimension, Instant from, Instant? to) => session.ExecuteAsync("""
        INSERT INTO quota_holds (lab_id, dimension, team_id, person_id, amount, from_at, to_at) VALUES (@Id, @Dimension, @Team, @Owner, 1, @from, @to)
        ON CONFLICT (lab_id, dimension) DO UPDATE SET amount = quota_holds.amount + 1
        """,
        new { lab.Id, Dimension = dimension.Name(), lab.Team, lab.Owner, from, to });

    /// <summary>The lab holds one less of this.</summary>
    public static async Task ReleaseOneAsync(Session session, LabId lab, Dimension dimension)
    {
        await session.ExecuteAsync("UPDATE quota_holds SET amount = amount - 1 WHERE lab_id = @lab AND dimension = @Dimension", new { lab, Dimension = dimension.Name() });
        await session.ExecuteAsync("DELETE FROM quota_holds WHERE lab_id = @lab AND dimension = @Dimension AND amount <= 0", new { lab, Dimension = dimension.Name() });
    }

    /// <summary>
    /// The team's limits and lines, with the team's row locked until the transaction ends: whoever adds to the ledger or moves a line's end
    /// outwards decides under this lock. The team's row and not the quotas' rows, because those may be replaced while somebody waits for them.
    /// </summary>
    public static async Task<Ledger> LockAsync(Session session, TeamId team, Instant now)
    {
        await session.QueryAsync<TeamId>($"SELECT id FROM teams WHERE id = @team {session.Dialect.ForUpdate}", new { team });
        return await ReadAsync(session, team, now);
    }

    /// <summary>
    /// The team's limits, and its lines from <paramref name="now"/> on. A line whose end is over while its lab is not (the clock is about to
    /// end it) counts as open-ended.
    /// </summary>
    public static async Task<Ledger> ReadAsync(Session session, TeamId team, Instant now)
    {
        var rules = await session.QueryAsync<RuleRow>("SELECT scope, dimension, amount FROM quotas WHERE team_id = @team ORDER BY scope DESC, dimension", new { team });
        var lines = await session.QueryAsync<LineRow>("""
            SELECT h.lab_id AS lab, l.name AS lab_name, h.person_id AS person, p.name AS owner, h.dimension, h.amount, h.from_at,
                CASE WHEN h.to_at <= @now THEN NULL ELSE h.to_at END AS to_at
            FROM quota_holds h JOIN labs l ON l.id = h.lab_id JOIN people p ON p.id = h.person_id
            WHERE h.team_id = @team AND (h.to_at IS NULL OR h.to_at > @now
                OR h.lab_id IN (SELECT id FROM labs WHERE next_at <= @now AND state NOT IN ('ended', 'failed')))
            ORDER BY h.lab_id, h.dimension
            """, new { team, now });
        return new Ledger(
            [.. rules.Where(row => Dimensions.Find(row.Dimension) is not null).Select(row => new QuotaRule(Words.Read<QuotaScope>(row.Scope), Dimensions.Find(row.Dimension)!.Value, row.Amount))],
            [.. lines.Where(row => Dimensions.Find(row.Dimension) is not null).Select(row => new LedgerLine(row.Lab, row.LabName, row.Person, row.Owner, Dimensions.Find(row.Dimension)!.Value, new Hold(row.Amount, row.FromAt, row.ToAt)))]);
    }

    /// <summary>What the lab itself holds.</summary>
    public static async Task<IReadOnlyDictionary<Dimension, long>> OfLabAsync(Session session, LabId lab)
        => (await session.QueryAsync<RuleRow>("SELECT '' AS scope, dimension, amount FROM quota_holds WHERE lab_id = @lab", new { lab }))
            .ToDictionary(row => Dimensions.Find(row.Dimension)!.Value, row => row.Amount);

    private sealed class RuleRow
    {
        public string Scope { get; init; } = "";
        public string Dimension { get; init; } = "";
        public long Amount { get; init; }
    }

    private sealed class LineRow
    {
        public LabId Lab { get; init; }
        public string LabName { get; init; } = "";
        public PersonId Person { get; init; }
        public string Owner { get; init; } = "";
        public string Dimension { get; init; } = "";
        public long Amount { get; init; }
        public Instant FromAt { get; init; }
        public Instant? ToAt { get; init; }
    }
}
