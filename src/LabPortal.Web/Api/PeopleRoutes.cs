using LabPortal.Domain;
using LabPortal.Domain.People;
using LabPortal.Operations.Catalogue;
using LabPortal.Operations.People;
using LabPortal.Operations.Quotas;
using LabPortal.Web.Hosting;

namespace LabPortal.Web.Api;

internal static class PeopleRoutes
{
    public static Task<IResult> TeamsAsync(HttpContext context, PeopleCalls people, CancellationToken cancellation)
        => Answers.PageAsync(context, async (asked, limit, after) => Outcome.Of(await people.TeamsAsync(context.Actor(), asked.Text("q"), limit, after, cancellation)), TeamBody.Of);

    public static async Task<IResult> TeamAsync(HttpContext context, string name, PeopleCalls people, CancellationToken cancellation)
        => Answers.Ok(context, await people.TeamAsync(context.Actor(), name, cancellation), TeamBody.Of);

    public static async Task<IResult> CreateTeamAsync(HttpContext context, PeopleCalls people, CancellationToken cancellation)
    {
        var body = await Body.ReadAsync(context);
        var (name, zone) = (body.RequiredText("name"), body.RequiredText("zone"));
        return body.Mistakes() is { Count: > 0 } mistakes
            ? Answers.Invalid(context, mistakes)
            : Answers.Created(context, await people.CreateTeamAsync(context.Actor(), name, zone, cancellation), team => $"{ApiRoutes.Prefix}/teams/{Uri.EscapeDataString(team.Name)}", TeamBody.Of);
    }

    public static async Task<IResult> SetMemberAsync(HttpContext context, string team, string person, PeopleCalls people, CancellationToken cancellation)
    {
        var body = await Body.ReadAsync(context);
        var role = body.RequiredWord<TeamRole>("role");
        if (body.Mistakes() is { Count: > 0 } mistakes) return Answers.Invalid(context, mistakes);
        return await IdOfAsync(context, person, people, cancellation) is { } id
            ? Answers.Ok(context, await people.SetMemberAsync(context.Actor(), team, id, role, cancellation), TeamBody.Of)
            : Answers.NotFound(context, "person", person);
    }

    public static async Task<IResult> RemoveMemberAsync(HttpContext context, string team, string person, PeopleCalls people, CancellationToken cancellation)
        => await IdOfAsync(context, person, people, cancellation) is { } id
            ? Answers.Ok(context, await people.SetMemberAsync(context.Actor(), team, id, role: null, cancellation), TeamBody.Of)
            : Answers.NotFound(context, "person", person);

    public static async Task<IResult> QuotaAsync(HttpContext context, string team, QuotaCalls quotas, CancellationToken cancellation)
        => Answers.Ok(context, await quotas.OfTeamAsync(context.Actor(), team, cancellation), quota => quota);

    public static Task<IResult> QuotasAsync(HttpContext context, QuotaCalls quotas, CancellationToken cancellation)
        => Answers.PageAsync(context, async (asked, limit, after) => Outcome.Of(await quotas.TreeAsync(context.Actor(), asked.Text("q"), limit, after, cancellation)), team => team);

    public static async Task<IResult> SetQuotaAsync(HttpContext context, string team, QuotaCalls quotas, CancellationToken cancellation)
    {
        var body = await Body.ReadAsync(context);
        var (quota, personQuota) = (body.Texts("quota"), body.Texts("personQuota"));
        return body.Mistakes() is { Count: > 0 } mistakes
            ? Answers.Invalid(context, mistakes)
            : Answers.Ok(context, await quotas.SetLimitsAsync(context.Actor(), team, quota, personQuota, null, cancellation), use => use);
    }

    public static async Task<IResult> DetachAsync(HttpContext context, string team, CatalogueCalls catalogue, CancellationToken cancellation)
        => Answers.Nothing(context, await catalogue.DetachAsync(context.Actor(), "team", team, cancellation));

    public static async Task<IResult> WebhooksAsync(HttpContext context, string team, WebhookCalls webhooks, CancellationToken cancellation)
        => Answers.Page(context, await webhooks.ListAsync(context.Actor(), team, cancellation), webhook => webhook.Id.ToString(), WebhookBody.Of);

    public static async Task<IResult> AddWebhookAsync(HttpContext context, string team, WebhookCalls webhooks, CancellationToken cancellation)
    {
        var body = await Body.ReadAsync(context);
        var address = body.RequiredText("address");
        return body.Mistakes() is { Count: > 0 } mistakes
            ? Answers.Invalid(context, mistakes)
            : Answers.Created(context, await webhooks.AddAsync(context.Actor(), team, address, cancellation),
                made => $"{ApiRoutes.Prefix}/teams/{Uri.EscapeDataString(team)}/webhooks/{made.Webhook.Id}",
                made => new NewWebhookBody(made.Webhook.Id, made.Webhook.Address, made.Webhook.CreatedAt, made.Secret.Reveal()));
    }

    public static async Task<IResult> RemoveWebhookAsync(HttpContext context, string team, string id, WebhookCalls webhooks, CancellationToken cancellation) => Guid.TryParseExact(id, "D", out var webhook)
        ? Answers.Nothing(context, await webhooks.RemoveAsync(context.Actor(), team, webhook, cancellation))
        : Answers.NotFound(context, "webhook", id);

    public static Task<IResult> PeopleAsync(HttpContext context, PeopleCalls people, CancellationToken cancellation)
        => Answers.PageAsync(context, (asked, limit, after) => people.PeopleAsync(context.Actor(), new PersonFilter { Text = asked.Text("q") }, limit, after, cancellation), PersonBody.Of);

    /// <summary>By id or e-mail address.</summary>
    public static async Task<IResult> PersonAsync(HttpContext context, string name, PeopleCalls people, CancellationToken cancellation)
        => Answers.Ok(context, await people.PersonAsync(context.Actor(), name, cancellation), PersonBody.Of);

    public static async Task<IResult> InviteAsync(HttpContext context, PeopleCalls people, PortalSettings settings, CancellationToken cancellation)
    {
        var body = await Body.ReadAsync(context);
        var (email, name, team, role) = (body.RequiredText("email"), body.Text("name"), body.Text("team"), body.Word<TeamRole>("role"));
        var (admin, auditor) = (body.Flag("admin") ?? false, body.Flag("auditor") ?? false);
        return body.Mistakes() is { Count: > 0 } mistakes
            ? Answers.Invalid(context, mistakes)
            : Answers.Ok(context, await people.InviteAsync(context.Actor(), email, name, team, role, admin, auditor, cancellation), link => NewLinkBody.Of(context, settings, "invitation", link));
    }

    public static async Task<IResult> ResetLinkAsync(HttpContext context, string name, PeopleCalls people, PortalSettings settings, CancellationToken cancellation)
        => await IdOfAsync(context, name, people, cancellation) is { } id
            ? Answers.Ok(context, await people.MakeResetLinkAsync(context.Actor(), id, cancellation), link => NewLinkBody.Of(context, settings, "reset", link))
            : Answers.NotFound(context, "person", name);

    public static Func<HttpContext, string, PeopleCalls, CancellationToken, Task<IResult>> SetDisabled(bool disabled) => async (context, name, people, cancellation)
        => await IdOfAsync(context, name, people, cancellation) is { } id
            ? Answers.Nothing(context, await people.SetDisabledAsync(context.Actor(), id, disabled, cancellation))
            : Answers.NotFound(context, "person", name);

    public static async Task<IResult> SetRolesAsync(HttpContext context, string name, PeopleCalls people, CancellationToken cancellation)
    {
        var body = await Body.ReadAsync(context);
        var (admin, auditor) = (body.RequiredFlag("admin"), body.RequiredFlag("auditor"));
        if (body.Mistakes() is { Count: > 0 } mistakes) return Answers.Invalid(context, mistakes);
        return await IdOfAsync(context, name, people, cancellation) is { } id
            ? Answers.Nothing(context, await people.SetRolesAsync(context.Actor(), id, admin, auditor, cancellation))
            : Answers.NotFound(context, "person", name);
    }

    public static async Task<IResult> NoticesAsync(HttpContext context, NoticeCalls notices, CancellationToken cancellation)
    {
        var asked = new Asked(context);
        var (limit, after) = (asked.Limit, asked.After);
        var before = Guid.TryParseExact(after, "D", out var key) ? key : (Guid?)null;
        if (after is not null && before is null) asked.Wrong("after", "field.not-a-key");
        return asked.Mistakes is { Count: > 0 } mistakes
            ? Answers.Invalid(context, mistakes)
            : Answers.Page(await notices.ListAsync(context.Actor(), limit, before, cancellation), NoticeBody.Of);
    }

    public static async Task<IResult> MarkReadAsync(HttpContext context, NoticeCalls notices, CancellationToken cancellation)
    {
        await notices.MarkReadAsync(context.Actor(), cancellation);
        return Results.NoContent();
    }

    public static async Task<IResult> MeAsync(HttpContext context, PeopleCalls people, CancellationToken cancellation)
        => Answers.Ok(context, await people.MeAsync(context.Actor(), cancellation), PersonBody.Of);

    public static async Task<IResult> TokensAsync(HttpContext context, PeopleCalls people, CancellationToken cancellation)
        => Answers.Page(context, await people.TokensAsync(context.Actor(), cancellation), token => token.Id.ToString(), TokenBody.Of);

    public static async Task<IResult> AddTokenAsync(HttpContext context, PeopleCalls people, CancellationToken cancellation)
    {
        var body = await Body.ReadAsync(context);
        var (name, days) = (body.RequiredText("name"), body.Whole("days") ?? 90);
        return body.Mistakes() is { Count: > 0 } mistakes
            ? Answers.Invalid(context, mistakes)
            : Answers.Created(context, await people.AddTokenAsync(context.Actor(), name, days, cancellation), made => $"{ApiRoutes.Prefix}/me/tokens/{made.Token.Id}",
                made => new NewTokenBody(made.Token.Id, made.Token.Name, made.Token.CreatedAt, made.Token.ExpiresAt, made.Text));
    }

    public static async Task<IResult> RemoveTokenAsync(HttpContext context, string id, PeopleCalls people, CancellationToken cancellation) => Guid.TryParseExact(id, "D", out var token)
        ? Answers.Nothing(context, await people.RemoveTokenAsync(context.Actor(), token, cancellation))
        : Answers.NotFound(context, "token", id);

    public static async Task<IResult> KeysAsync(HttpContext context, PeopleCalls people, CancellationToken cancellation)
        => Answers.Page(context, await people.KeysAsync(context.Actor(), cancellation), key => key.Id.ToString(), KeyBody.Of);

    public static async Task<IResult> AddKeyAsync(HttpContext context, PeopleCalls people, CancellationToken cancellation)
    {
        var body = await Body.ReadAsync(context);
        var (key, name) = (body.RequiredText("publicKey"), body.Text("name"));
        return body.Mistakes() is { Count: > 0 } mistakes
            ? Answers.Invalid(context, mistakes)
            : Answers.Created(context, await people.AddKeyAsync(context.Actor(), name, key, cancellation), made => $"{ApiRoutes.Prefix}/me/keys/{made.Id}", KeyBody.Of);
    }

    public static async Task<IResult> RemoveKeyAsync(HttpContext context, string id, PeopleCalls people, CancellationToken cancellation) => Guid.TryParseExact(id, "D", out var key)
        ? Answers.Nothing(context, await people.RemoveKeyAsync(context.Actor(), key, cancellation))
        : Answers.NotFound(context, "key", id);

    /// <summary>By id or e-mail address. Who may not see people is given no id that is anybody's: the call itself refuses, and audits it.</summary>
    private static async Task<PersonId?> IdOfAsync(HttpContext context, string name, PeopleCalls people, CancellationToken cancellation)
    {
        if (Guid.TryParseExact(name, "D", out var id)) return new PersonId(id);
        var found = await people.PersonAsync(context.Actor(), name, cancellation);
        return found.Ok ? found.Value.Id : found.Refusal!.Kind == RefusalKind.NotFound ? null : default(PersonId);
    }
}

/// <summary>Limits by dimension.</summary>
internal sealed record QuotaRequestBody(IReadOnlyDictionary<string, long>? Quota, IReadOnlyDictionary<string, long>? PersonQuota);
