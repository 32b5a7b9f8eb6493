using System.Globalization;
using LabPortal.Data;
using LabPortal.Data.Blueprints;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using LabPortal.Domain.People;
using LabPortal.Domain.Quotas;
using NodaTime;

namespace LabPortal.Operations.Labs;

/// <summary>
/// What would fit where a quota is full. Every offer was weighed like a request before it is made. Its change has the form of the request's
/// JSON: each field replaces the request's.
/// </summary>
public static class Offers
{
    public const string UntilBooking = "offer.until";
    public const string Later = "offer.later";
    public const string OtherBlueprint = "offer.blueprint";

    private const int MostBlueprints = 3;
    private static readonly Duration s_worthwhile = Duration.FromMinutes(5);

    /// <summary>The request with the offer taken.</summary>
    public static LabRequest Take(this LabRequest request, Offer offer)
    {
        foreach (var (field, value) in offer.Change)
        {
            request = field switch
            {
                "lease" => request with { Lease = LeaseOf(value) },
                "start" => request with { Start = Instants.Read((string)value!) },
                "blueprint" => request with { Blueprint = (string)value! },
                "parameters" => request with { Parameters = (IReadOnlyDictionary<string, string>)value! },
                _ => throw new ArgumentException($"An offer does not change \"{field}\".", nameof(offer)),
            };
        }

        return request;
    }

    /// <summary>The extension that an offer stands for.</summary>
    public static LeaseRequest TakeLease(this Offer offer) => LeaseOf(offer.Change);

    internal static async Task<Refusal?> RefuseAsync(Session session, Actor actor, LabRequest request, LabPlan plan, Ledger ledger, TimeProvider time)
    {
        var uses = ledger.Weigh(plan.Owner, plan.Amounts, plan.From, plan.To);
        if (uses.All(use => use.Fits)) return null;
        var offers = new List<Offer>();
        foreach (var (candidate, offer) in await CandidatesAsync(session, request, plan, ledger))
        {
            var other = await LabPlan.MakeAsync(session, actor, candidate, plan.Now, time);
            if (other.Ok && ledger.Fits(plan.Owner, other.Value.Amounts, other.Value.From, other.Value.To)) offers.Add(offer);
        }

        var blueprints = offers.Where(offer => offer.Code == OtherBlueprint).Take(MostBlueprints).ToList();
        return Full(uses, ledger, plan.Owner, [.. offers.Where(offer => offer.Code != OtherBlueprint), .. blueprints]);
    }

    /// <summary>Does the longer lease fit beside everybody else's holds? A shorter one that ends before a booking is offered.</summary>
    internal static Refusal? RefuseExtension(Lab lab, Lease next, IReadOnlyDictionary<Dimension, long> amounts, Ledger ledger, Instant now)
    {
        var others = ledger.Without(lab.Id);
        var (from, to) = (Instant.Max(now, lab.Lease.Start), next.HoldUntil(now));
        var uses = others.Weigh(lab.Owner, amounts, from, to);
        if (uses.All(use => use.Fits)) return null;
        var offers = new List<Offer>();
        if (others.LatestEnd(lab.Owner, amounts, from, to) is { } latest)
        {
            var until = FloorToMinute(latest - lab.Lease.Grace);
            if (until > now + s_worthwhile && until > (lab.Lease.End ?? lab.Lease.HoldUntil(now) - lab.Lease.Grace))
                offers.Add(new Offer(UntilBooking, [("until", until)], new Dictionary<string, object?> { ["until"] = Instants.Write(until) }));
        }

        return Full(uses, others, lab.Owner, offers);
    }

    /// <summary>Is there room for one more snapshot, from now until the lab's hold ends? Nothing smaller would fit: who holds the rest is told.</summary>
    internal static Refusal? RefuseSnapshot(Lab lab, Ledger ledger, Instant now)
    {
        var uses = ledger.Weigh(lab.Owner, new Dictionary<Dimension, long> { [Dimension.Snapshots] = 1 }, now, lab.Lease.HoldUntil(now));
        return uses.All(use => use.Fits) ? null : Full(uses, ledger, lab.Owner, []);
    }

    private static async Task<List<(LabRequest, Offer)>> CandidatesAsync(Session session, LabRequest request, LabPlan plan, Ledger ledger)
    {
        var candidates = new List<(LabRequest, Offer)>();
        void Consider(Offer offer) => candidates.Add((request.Take(offer), offer));

        var lease = plan.Lab.Lease;
        if (ledger.LatestEnd(plan.Owner, plan.Amounts, plan.From, plan.To) is { } latest)
        {
            var until = FloorToMinute(latest - lease.Grace);
            if (until >= plan.From + s_worthwhile) Consider(new Offer(UntilBooking, [("until", until)], new Dictionary<string, object?> { ["lease"] = Until(until) }));
        }

        if (ledger.EarliestStart(plan.Owner, plan.Amounts, plan.From, plan.To - plan.From) is { } start)
        {
            var change = new Dictionary<string, object?> { ["start"] = Instants.Write(start) };
            if (lease.End is { } end) change["lease"] = Until(start + (end - plan.From));
            Consider(new Offer(Later, [("start", start)], change));
        }

        foreach (var blueprint in (await BlueprintStore.ListAsync(session)).Where(blueprint => blueprint.Name != plan.Blueprint.Name && !blueprint.Retired
            && (blueprint.Teams.Count == 0 || blueprint.Teams.Contains(plan.Team.Name)) && blueprint.Parameters.All(parameter => !parameter.Required)))
        {
            var change = new Dictionary<string, object?> { ["blueprint"] = blueprint.Name, ["parameters"] = new Dictionary<string, string>() };
            Consider(new Offer(OtherBlueprint, [("blueprint", blueprint.Title)], change));
        }

        return candidates;
    }

    private static Refusal Full(IReadOnlyList<QuotaUse> uses, Ledger ledger, PersonId owner, IReadOnlyList<Offer> offers)
    {
        // The rule that is overshot most; the others that bind are told as errors beside it.
        var binding = uses.Where(use => !use.Fits).OrderByDescending(use => (double)use.After / Math.Max(1, use.Rule.Limit)).ToList();
        var worst = binding[0];
        var holders = ledger.HoldersAt(worst.Rule, owner, worst.At).Select(line => new QuotaHolder(line.LabName, line.Lab.Value, line.Owner, line.Hold.Amount, line.Hold.To)).ToList();
        return new Refusal(
            RefusalKind.Conflict, "quota.full", Arguments(worst),
            [.. binding.Select(use => new FieldError("quota", "quota.full", Arguments(use)))],
            new QuotaRefusal(worst.Rule.Name, worst.Rule.Dimension.Name(), worst.Rule.Limit, worst.Held, worst.Asked, holders, offers));
    }

    private static (string, object)[] Arguments(QuotaUse use) =>
    [
        ("rule", use.Rule.Name), ("scope", use.Rule.Scope.Word()), ("dimension", use.Rule.Dimension.Name()), ("limit", Of(use, use.Rule.Limit)), ("held", Of(use, use.Held)),
        ("free", Of(use, Math.Max(0, use.Rule.Limit - use.Held))), ("asked", Of(use, use.Asked)), ("at", use.At),
    ];

    private static Amount Of(QuotaUse use, long amount) => new(use.Rule.Dimension, amount);

    private static Dictionary<string, object?> Until(Instant until) => new() { ["until"] = Instants.Write(until) };

    private static LeaseRequest LeaseOf(object? value)
    {
        var lease = (IReadOnlyDictionary<string, object?>)value!;
        return lease.TryGetValue("until", out var until)
            ? new LeaseRequest(Until: Instants.Read((string)until!))
            : new LeaseRequest(Convert.ToDecimal(lease["hours"], CultureInfo.InvariantCulture));
    }

    private static Instant FloorToMinute(Instant at) => Instant.FromUnixTimeSeconds(at.ToUnixTimeSeconds() / 60 * 60);
}
