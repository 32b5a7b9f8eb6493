using System.Security.Cryptography;
using System.Text;
using LabPortal.Data;
using LabPortal.Data.Labs;
using LabPortal.Data.Leases;
using LabPortal.Data.People;
using LabPortal.Data.Quotas;
using LabPortal.Domain;
using LabPortal.Domain.Costs;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using LabPortal.Domain.People;
using LabPortal.Domain.Quotas;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Audit;
using LabPortal.Operations.Consoles;
using LabPortal.Operations.Leases;
using LabPortal.Operations.Machines;
using LabPortal.Operations.People;
using LabPortal.Operations.Pools;
using LabPortal.Operations.Workflows;
using NodaTime;

namespace LabPortal.Operations.Labs;

/// <summary>
/// Everything that people do with labs. Each call takes the actor, asks <see cref="May"/>, and writes one audit line in the same
/// transaction. A lab that the caller may not see is <i>not found</i>.
/// </summary>
public sealed partial class LabCalls(Database database, TimeProvider time, Runs runs, RunViews runViews, Placing placing, OpenPools pools, SecretStore secrets)
{
    private const int LongestKey = 200;
    private readonly AuditedWrite _audited = new(database, time);

    /// <summary>
    /// Makes the lab, its quota holds and its provision run in one transaction, or refuses. With an idempotency key: the same key and
    /// the same request give the same lab; another request is a <see cref="RefusalKind.Mismatch"/>.
    /// </summary>
    public async Task<Outcome<LabView>> RequestAsync(Actor actor, LabRequest request, string? idempotencyKey, CancellationToken cancellation)
    {
        if (idempotencyKey is { Length: 0 or > LongestKey }) return Refusal.Invalid("Idempotency-Key", "idempotency.key-length", ("max", LongestKey));
        while (true)
        {
            var draft = new AuditDraft(Verb.RequestLab.Word(), "lab");
            draft.Detail["blueprint"] = Short(request.Blueprint);
            draft.Detail["team"] = Short(request.Team);
            try
            {
                return await _audited.DoAsync(actor, draft, (session, now) => RequestAsync(session, actor, request, idempotencyKey, draft, now), cancellation);
            }
            catch (RuleViolated violated) when (violated.Rule == Rules.IdempotencyKey)
            {
                // The same key was used at the same moment, and that request is committed: this one finds its lab.
            }
        }
    }

    private async Task<Outcome<LabView>> RequestAsync(Session session, Actor actor, LabRequest request, string? key, AuditDraft draft, Instant now)
    {
        var (caller, hash) = (actor.Person?.ToString() ?? "", HashOf(request));
        if (key is not null && await IdempotencyStore.FindAsync(session, caller, key) is { } before)
        {
            draft.ObjectId = before.Lab.ToString();
            draft.Detail["repeated"] = "true";
            if (before.BodyHash != hash) return new Refusal(RefusalKind.Mismatch, "idempotency.mismatch");
            var made = (await LabStore.FindAsync(session, before.Lab))!;
            return May.Do(actor, Verb.SeeLab, made.Owner, made.Team) ? await ViewAsync(session, actor, before.Lab, now) : Refusal.NotFound("lab", before.Lab.ToString());
        }

        var planned = await LabPlan.MakeAsync(session, actor, request, now, time);
        if (planned.Refusal is { } wrong) return wrong;
        var plan = planned.Value;
        draft.Team = plan.Team.Id;
        if (await NowhereAsync(session, plan) is { } nowhere) return nowhere;
        var ledger = await QuotaHoldStore.LockAsync(session, plan.Team.Id, now);
        if (await Offers.RefuseAsync(session, actor, request, plan, ledger, time) is { } full) return full;

        var lab = plan.Lab;
        draft.ObjectId = lab.Id.ToString();
        draft.Detail["name"] = lab.Name;
        await LabStore.InsertAsync(session, lab);
        await QuotaHoldStore.InsertAsync(session, lab, plan.Amounts, plan.From, plan.To);
        if (plan.Blueprint.SnapshotAtReady) await SnapshotStore.InsertAsync(session, PlannedSnapshot(lab, Snapshot.Clean, actor.Name, now));
        if (plan.Blueprint.Lease.Daily is { } daily) await LeaseStore.SetDailyAsync(session, lab.Id, daily);
        if (key is not null) await IdempotencyStore.InsertAsync(session, caller, key, hash, lab.Id, now);
        if ((await SshKeyStore.ListAsync(session, lab.Owner)).Count == 0) await secrets.SaveAsync(session, GuestSeeds.PasswordName(lab.Id), NewPassword(), now);
        await secrets.SaveAsync(session, PortalKey.NameOf(lab.Id), PortalKey.New(), now);
        LabStore.AppendEvent(session, lab.Id, now, LabEventKind.State, ("state", lab.State.Word()), ("by", actor.Name));
        if (lab.State == LabState.Scheduled || lab.Lease.Heartbeat is not null) await LeaseClock.ScheduleAsync(session, lab.Id, now);
        if (lab.State != LabState.Scheduled) await runs.BeginAsync(session, lab, WorkflowNames.Provision, NoArguments, actor.Name, now);
        return await ViewAsync(session, actor, lab.Id, now);
    }

    /// <summary>What the request would cost, hold and wait; changes nothing.</summary>
    public Task<Outcome<QuoteView>> QuoteAsync(Actor actor, LabRequest request, CancellationToken cancellation) => database.ReadAsync<Outcome<QuoteView>>(
        async session =>
        {
            var now = time.Now();
            var planned = await LabPlan.MakeAsync(session, actor, request, now, time);
            if (planned.Refusal is { } wrong) return wrong;
            var plan = planned.Value;
            var ledger = await QuotaHoldStore.ReadAsync(session, plan.Team.Id, now);
            var hours = (decimal)(plan.To - plan.Lab.Lease.Grace - plan.From).TotalHours;
            var considered = await placing.ConsiderAsync(session, plan.Blueprint.Placement, plan.Needs, plan.Lab.AskedPool, now, plan.Lab.Networks.Count > 0);
            return new QuoteView(
                [.. considered.Select(pool => new PoolQuote(
                    pool.Name, pool.Chosen, pool.Why, pool.ReadyBy is { } by ? Instant.Max(by, by + (plan.From - now)) : null, pool.PricePerHour,
                    pool.PricePerHour is { } price ? new Money((long)Math.Round(price.Millionths * hours, MidpointRounding.AwayFromZero), price.Currency) : null))],
                [.. ledger.Weigh(plan.Owner, plan.Amounts, plan.From, plan.To).Select(use => new QuotaEffectView(use.Rule.Dimension.Name(), use.Rule.Scope.Word(), use.Rule.Limit, use.Held, use.After))],
                await NowhereAsync(session, plan) ?? await Offers.RefuseAsync(session, actor, request, plan, ledger, time));
        },
        cancellation);

    public Task<Outcome<LabView>> FindAsync(Actor actor, LabId id, CancellationToken cancellation) => database.ReadAsync<Outcome<LabView>>(
        async session =>
        {
            var seen = await SeeAsync(session, actor, id);
            return seen.Refusal is { } no ? no : (await LabViewing.OfAsync(session, runViews, actor, [seen.Value], time.Now()))[0];
        },
        cancellation);

    /// <summary>Newest first. <see cref="LabFilter.SeenTeams"/> and Caller are set here. Runs without their steps.</summary>
    public Task<Page<LabView>> ListAsync(Actor actor, LabFilter filter, int limit, string? after, CancellationToken cancellation) => database.ReadAsync(
        async session =>
        {
            limit = Math.Clamp(limit, 1, 200);
            var mine = filter with { SeenTeams = actor.IsAdmin || actor.IsAuditor ? null : [.. actor.Teams.Keys], Caller = actor.Person };
            LabId? key = Guid.TryParseExact(after, "D", out var id) ? new LabId(id) : null;
            var labs = await LabStore.ListAsync(session, mine, limit + 1, key);
            var page = labs.Take(limit).ToList();
            return new Page<LabView>(await LabViewing.OfAsync(session, runViews, actor, page, time.Now()), labs.Count > limit ? page[^1].Id.ToString() : null);
        },
        cancellation);

    private async Task<Refusal?> NowhereAsync(Session session, LabPlan plan)
    {
        var nowhere = await placing.NowhereAsync(session, plan.Blueprint.Placement, plan.Needs, plan.Lab.AskedPool, plan.Lab.Networks.Count > 0);
        return nowhere.Count == 0
            ? null
            : Refusal.Invalid([.. nowhere.Select(machine => new FieldError(
                plan.Lab.AskedPool is null ? "blueprint" : "pool", "placement.nowhere", [("machine", plan.Lab.Machines[machine.Machine].Name), ("why", machine.Why)]))]);
    }

    private static async Task<Outcome<Lab>> SeeAsync(Session session, Actor actor, LabId id)
        => await LabStore.FindAsync(session, id) is { } lab && May.Do(actor, Verb.SeeLab, lab.Owner, lab.Team) ? lab : Refusal.NotFound("lab", id.ToString());

    private async Task<LabView> ViewAsync(Session session, Actor actor, LabId id, Instant now)
        => (await LabViewing.OfAsync(session, runViews, actor, [(await LabStore.FindAsync(session, id))!], now))[0];

    /// <summary>The same request has the same hash, in whatever order its parameters and labels came.</summary>
    private static string HashOf(LabRequest request)
    {
        var canonical = StoredJson.Write(request with
        {
            Parameters = new SortedDictionary<string, string>(request.Parameters.ToDictionary(), StringComparer.Ordinal),
            Labels = new SortedDictionary<string, string>(request.Labels.ToDictionary(), StringComparer.Ordinal),
        });
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(canonical)));
    }

    // Letters that are easily mistaken for each other are left out: people type it on a console. Some 114 bits.
    private static string NewPassword() => RandomNumberGenerator.GetString("abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", 20);

    private static string Short(string text) => text.Length <= 100 ? text : text[..100];

    private static readonly Dictionary<string, string> NoArguments = [];
}
