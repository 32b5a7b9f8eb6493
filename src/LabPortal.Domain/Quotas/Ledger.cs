using NodaTime;

namespace LabPortal.Domain.Quotas;

/// <summary>Whose sum a limit bounds: the whole team's, or each member's in that team.</summary>
public enum QuotaScope
{
    Team,
    Person,
}

/// <summary>One limit. A dimension without a rule is unlimited.</summary>
public sealed record QuotaRule(QuotaScope Scope, Dimension Dimension, long Limit)
{
    /// <summary>How refusals name it: <c>team.cpu</c>, <c>person.labs</c>.</summary>
    public string Name => $"{Scope.Word()}.{Dimension.Name()}";
}

/// <summary>One ledger line of a team, with what a refusal says of its lab.</summary>
public sealed record LedgerLine(LabId Lab, string LabName, PersonId Person, string Owner, Dimension Dimension, Hold Hold);

/// <summary>One rule against one request: what others hold at the worst moment <paramref name="At"/> of the interval, and what is asked.</summary>
public sealed record QuotaUse(QuotaRule Rule, long Held, Instant At, long Asked)
{
    public long After => Held + Asked;

    public bool Fits => Asked == 0 || After <= Rule.Limit;
}

/// <summary>A team's limits and lines at one moment, read under the lock. Pure: the same questions get the same answers.</summary>
public sealed record Ledger(IReadOnlyList<QuotaRule> Rules, IReadOnlyList<LedgerLine> Lines)
{
    /// <summary>The ledger as it is without this lab: an edit never counts against itself.</summary>
    public Ledger Without(LabId lab) => this with { Lines = [.. Lines.Where(line => line.Lab != lab)] };

    /// <summary>All rules at once, over the half-open interval; <paramref name="to"/> is open where it is empty.</summary>
    public IReadOnlyList<QuotaUse> Weigh(PersonId person, IReadOnlyDictionary<Dimension, long> asked, Instant from, Instant? to) =>
    [
        .. Rules.Select(rule =>
        {
            var (held, at) = Peak.Of(LinesOf(rule, person).Select(line => line.Hold), from, to);
            return new QuotaUse(rule, held, at, asked.GetValueOrDefault(rule.Dimension));
        }),
    ];

    public bool Fits(PersonId person, IReadOnlyDictionary<Dimension, long> asked, Instant from, Instant? to) => Weigh(person, asked, from, to).All(use => use.Fits);

    /// <summary>Who holds this rule's amount at the moment, the most first.</summary>
    public IEnumerable<LedgerLine> HoldersAt(QuotaRule rule, PersonId person, Instant at) => LinesOf(rule, person)
        .Where(line => line.Hold.From <= at && (line.Hold.To is null || line.Hold.To > at))
        .OrderByDescending(line => line.Hold.Amount);

    /// <summary>The latest end before <paramref name="to"/> up to which it would fit from <paramref name="from"/> on, if any: a booking begins then.</summary>
    public Instant? LatestEnd(PersonId person, IReadOnlyDictionary<Dimension, long> asked, Instant from, Instant to) => Lines
        .Select(line => line.Hold.From)
        .Where(at => at > from && at < to)
        .Distinct()
        .OrderDescending()
        .Where(at => Fits(person, asked, from, at))
        .Select(at => (Instant?)at)
        .FirstOrDefault();

    /// <summary>When something of this length would fit at the earliest, after <paramref name="after"/>, if holds that have an end keep to it.</summary>
    public Instant? EarliestStart(PersonId person, IReadOnlyDictionary<Dimension, long> asked, Instant after, Duration length) => Lines
        .Select(line => line.Hold.To)
        .OfType<Instant>()
        .Where(at => at > after)
        .Distinct()
        .Order()
        .Select(CeilingToMinute)
        .Where(at => Fits(person, asked, at, at + length))
        .Select(at => (Instant?)at)
        .FirstOrDefault();

    private IEnumerable<LedgerLine> LinesOf(QuotaRule rule, PersonId person)
        => Lines.Where(line => line.Dimension == rule.Dimension && (rule.Scope == QuotaScope.Team || line.Person == person));

    private static Instant CeilingToMinute(Instant at)
    {
        var seconds = at.ToUnixTimeSeconds();
        return Instant.FromUnixTimeSeconds((seconds + 60) / 60 * 60);
    }
}
