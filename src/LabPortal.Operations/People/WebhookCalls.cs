using System.Net;
using LabPortal.Data;
using LabPortal.Data.Notices;
using LabPortal.Data.People;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.People;
using LabPortal.Operations.Audit;
using LabPortal.Operations.Settings;
using NodaTime;
using Secret = LabPortal.Domain.Pools.Secret;

namespace LabPortal.Operations.People;

public sealed record WebhookView(Guid Id, string Address, Instant CreatedAt, DeliveryView? LastDelivery = null);

/// <summary>
/// The newest notice for a webhook. State: <c>waiting</c> (to be sent at <paramref name="At"/>), <c>failing</c> (to be tried again then),
/// <c>delivered</c> or <c>given-up</c> (since then).
/// </summary>
public sealed record DeliveryView(string State, Instant At, int Attempts, Reason? Problem);

/// <summary>A webhook that was just made. Its secret, with which every delivery is signed, is given back this once.</summary>
public sealed record NewWebhook(WebhookView Webhook, Secret Secret);

/// <summary>
/// Where a team's notices go outside of the portal: for its managers and admins, since an address alone may be enough to write to
/// somebody's channel.
/// </summary>
public sealed class WebhookCalls(Database database, SecretStore secrets, LiveSettings settings, TimeProvider time)
{
    private const int MostOfTeam = 20;
    private const int LongestAddress = 2000;
    private readonly AuditedWrite _audited = new(database, time);

    public Task<Outcome<IReadOnlyList<WebhookView>>> ListAsync(Actor actor, string team, CancellationToken cancellation) => database.ReadAsync<Outcome<IReadOnlyList<WebhookView>>>(
        async session =>
        {
            var found = await FindTeamAsync(session, actor, team);
            if (found.Refusal is { } no) return no;
            var views = new List<WebhookView>();
            foreach (var webhook in await WebhookStore.ListAsync(session, found.Value.Id)) views.Add(View(webhook, await WebhookStore.LastDeliveryAsync(session, webhook)));
            return views;
        },
        cancellation);

    /// <summary>From now on: what was told before does not go there.</summary>
    public Task<Outcome<NewWebhook>> AddAsync(Actor actor, string team, string address, CancellationToken cancellation)
    {
        var draft = new AuditDraft("add-webhook", "webhook");
        return _audited.DoAsync<NewWebhook>(actor, draft, async (session, now) =>
        {
            var found = await FindTeamAsync(session, actor, team);
            if (found.Refusal is { } no) return no;
            draft.Team = found.Value.Id;
            if (Check(address, out var uri) is { } wrong) return Refusal.Invalid([wrong]);
            // The host alone: what follows it may be as good as a password.
            draft.Detail["host"] = uri.IdnHost;
            if ((await WebhookStore.ListAsync(session, found.Value.Id)).Count >= MostOfTeam) return Refusal.Conflict("webhook.too-many", ("max", MostOfTeam));
            var id = Ids.New(time);
            var webhook = new Webhook(id, found.Value.Id, uri.AbsoluteUri, $"webhook/{Ids.Canonical(id)}", now);
            draft.ObjectId = Ids.Canonical(id);
            var secret = SecretText.New();
            await secrets.SaveAsync(session, webhook.SecretName, secret, now);
            await WebhookStore.AddAsync(session, webhook);
            return new NewWebhook(View(webhook), new Secret(secret));
        }, cancellation);
    }

    /// <summary>Deliveries that still wait for it are not made.</summary>
    public Task<Outcome<Done>> RemoveAsync(Actor actor, string team, Guid id, CancellationToken cancellation)
    {
        var draft = new AuditDraft("remove-webhook", "webhook", Ids.Canonical(id));
        return _audited.DoAsync<Done>(actor, draft, async (session, _) =>
        {
            var found = await FindTeamAsync(session, actor, team);
            if (found.Refusal is { } no) return no;
            draft.Team = found.Value.Id;
            if (await WebhookStore.RemoveAsync(session, found.Value.Id, id) is not { } secret) return Refusal.NotFound("webhook", Ids.Canonical(id));
            await SecretStore.DeleteAsync(session, secret);
            return new Done();
        }, cancellation);
    }

    /// <summary>
    /// What can be said of an address without asking the network: a name is resolved, and what it leads to is checked, at each delivery,
    /// because its answer may change after today.
    /// </summary>
    private FieldError? Check(string address, out Uri uri)
    {
        if (address.Length > LongestAddress || !Uri.TryCreate(address, UriKind.Absolute, out uri!) || uri.Scheme is not ("https" or "http") || uri.HostNameType == UriHostNameType.Unknown
            || !IsSound(uri) || uri.UserInfo != "" || uri.Fragment != "" || address.Any(letter => char.IsControl(letter) || char.IsWhiteSpace(letter)))
        {
            uri = null!;
            return new FieldError("address", "webhook.address", [("max", LongestAddress)]);
        }

        var host = uri.IdnHost;
        if (settings.Now.WebhookHosts.Contains(host, StringComparer.OrdinalIgnoreCase)) return null;
        if (uri.Scheme != "https") return new FieldError("address", "webhook.https");
        return uri.IsLoopback || (IPAddress.TryParse(host, out var literal) && OutsideAddress.IsInside(literal)) ? new FieldError("address", "webhook.inside", [("host", host)]) : null;
    }

    /// <summary>As it is kept it is one line that hides nothing, and its host is a name that can be asked for.</summary>
    private static bool IsSound(Uri uri)
    {
        try
        {
            return uri.IdnHost.Length > 0 && ForeignText.Of(uri.AbsoluteUri, LongestAddress) == uri.AbsoluteUri;
        }
        catch (UriFormatException)
        {
            return false;
        }
    }

    private static async Task<Outcome<Team>> FindTeamAsync(Session session, Actor actor, string name)
    {
        if (await TeamStore.FindAsync(session, name) is not { } team || !May.Do(actor, Verb.SeeTeam, team: team.Id)) return Refusal.NotFound("team", name);
        return May.Do(actor, Verb.AdministerWebhooks, team: team.Id) ? team : Refusal.Forbidden(Verb.AdministerWebhooks.Word());
    }

    private static WebhookView View(Webhook webhook, LastDelivery? last = null) => new(webhook.Id, webhook.Address, webhook.CreatedAt, last is null ? null : new DeliveryView(
        (last.SentAt, last.Problem) switch { (null, null) => "waiting", (null, _) => "failing", (_, null) => "delivered", _ => "given-up" },
        last.SentAt ?? last.DueAt, last.Attempts, last.Problem));
}
