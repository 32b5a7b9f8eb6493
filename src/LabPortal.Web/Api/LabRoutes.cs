using LabPortal.Data.Labs;
using LabPortal.Domain;
using LabPortal.Domain.Consoles;
using LabPortal.Domain.Labs;
using LabPortal.Domain.People;
using LabPortal.Operations.Audit;
using LabPortal.Operations.Consoles;
using LabPortal.Operations.Labs;
using LabPortal.Operations.People;
using LabPortal.Web.Hosting;

namespace LabPortal.Web.Api;

internal static class LabRoutes
{
    public static async Task<IResult> RequestAsync(HttpContext context, LabCalls labs, CancellationToken cancellation)
    {
        var body = await Body.ReadAsync(context);
        var request = Read(body);
        var mistakes = body.Mistakes().ToList();
        var key = IdempotencyKey(context, mistakes);
        return mistakes.Count > 0
            ? await InvalidAsync(context, labs, body, request, mistakes, cancellation)
            : Answers.Accepted(context, await labs.RequestAsync(context.Actor(), request, key, cancellation), Location, LabBody.Of);
    }

    public static async Task<IResult> QuoteAsync(HttpContext context, LabCalls labs, CancellationToken cancellation)
    {
        var body = await Body.ReadAsync(context);
        var request = Read(body);
        var mistakes = body.Mistakes();
        if (mistakes.Count > 0) return await InvalidAsync(context, labs, body, request, mistakes, cancellation);
        return Answers.Ok(context, await labs.QuoteAsync(context.Actor(), request, cancellation), quote => new QuoteBody(
            [.. quote.Pools.Select(pool => new PoolQuoteBody(
                pool.Pool, pool.Chosen, pool.Why, pool.ReadyBy, pool.PricePerHour?.Amount, pool.PriceTotal?.Amount, (pool.PricePerHour ?? pool.PriceTotal)?.Currency))],
            quote.Quota)
        {
            Refusal = quote.Refusal?.Quota is { } quota ? Problems.Describe(quota) : null,
        });
    }

    public static async Task<IResult> ListAsync(HttpContext context, LabCalls labs, PeopleCalls people, CancellationToken cancellation)
    {
        var asked = new Asked(context);
        var actor = context.Actor();
        var (limit, after) = (asked.Limit, asked.After);
        if (after is not null && !Guid.TryParseExact(after, "D", out _)) asked.Wrong("after", "field.not-a-key");
        var filter = new LabFilter { States = asked.Words<LabState>("state"), Blueprint = asked.Text("blueprint"), Text = asked.Text("q") };
        if (asked.Text("team") is { } name)
        {
            var team = await people.TeamAsync(actor, name, cancellation);
            if (team.Ok) filter = filter with { Team = team.Value.Id };
            else asked.Wrong("team", "team.unknown", ("team", name));
        }

        if (asked.Text("owner") is { } owner)
        {
            if (await OwnerAsync(actor, owner, people, cancellation) is { } person) filter = filter with { Owner = person };
            else asked.Wrong("owner", "person.unknown", ("name", owner));
        }

        return asked.Mistakes is { Count: > 0 } mistakes
            ? Answers.Invalid(context, mistakes)
            : Answers.Page(await labs.ListAsync(actor, filter, limit, after, cancellation), LabBody.Of);
    }

    public static async Task<IResult> FindAsync(HttpContext context, string id, LabCalls labs, ConsoleCalls consoles, CancellationToken cancellation)
    {
        if (!TryRead(id, out var lab)) return Unknown(context, id);
        var found = await labs.FindAsync(context.Actor(), lab, cancellation);
        if (found.Refusal is { } no) return Problems.Of(context, no);
        var offered = await consoles.OfferedAsync(context.Actor(), lab, cancellation);
        return Results.Ok(LabBody.Of(found.Value with { Machines = [.. found.Value.Machines.Select(machine => With(machine, offered.GetValueOrDefault(machine.Name) ?? new ConsoleOffer([], IsWhole: true)))] }));
    }

    public static async Task<IResult> ExtendAsync(HttpContext context, string id, LabCalls labs, CancellationToken cancellation)
    {
        if (!TryRead(id, out var lab)) return Unknown(context, id);
        var body = await Body.ReadAsync(context);
        var by = new LeaseRequest(body.Number("hours"), body.Instant("until"));
        return body.Mistakes() is { Count: > 0 } mistakes
            ? Answers.Invalid(context, mistakes)
            : Answers.Accepted(context, await labs.ExtendAsync(context.Actor(), lab, by, cancellation), Location, LabBody.Of);
    }

    public static Func<HttpContext, string, LabCalls, CancellationToken, Task<IResult>> Ask(LabVerb verb) => async (context, id, labs, cancellation) =>
    {
        if (!TryRead(id, out var lab)) return Unknown(context, id);
        return (await Body.ReadAsync(context)).Mistakes() is { Count: > 0 } mistakes
            ? Answers.Invalid(context, mistakes)
            : Answers.Accepted(context, await labs.AskAsync(context.Actor(), lab, verb, cancellation), Location, LabBody.Of);
    };

    public static Func<HttpContext, string, string, LabCalls, CancellationToken, Task<IResult>> AskMachine(LabVerb verb) => async (context, id, name, labs, cancellation) =>
    {
        if (!TryRead(id, out var lab)) return Unknown(context, id);
        return (await Body.ReadAsync(context)).Mistakes() is { Count: > 0 } mistakes
            ? Answers.Invalid(context, mistakes)
            : Answers.Accepted(context, await labs.AskMachineAsync(context.Actor(), lab, name, verb, cancellation), Location, LabBody.Of);
    };

    public static async Task<IResult> KeepAsync(HttpContext context, string id, LabCalls labs, CancellationToken cancellation)
    {
        if (!TryRead(id, out var lab)) return Unknown(context, id);
        var body = await Body.ReadAsync(context);
        var minutes = body.Number("minutes");
        if (body.Mistakes() is { Count: > 0 } mistakes) return Answers.Invalid(context, mistakes);
        var kept = minutes is { } term ? await labs.TieAsync(context.Actor(), lab, term, cancellation) : await labs.BeatAsync(context.Actor(), lab, cancellation);
        return Answers.Ok(context, kept, LabBody.Of);
    }

    public static async Task<IResult> LetGoAsync(HttpContext context, string id, LabCalls labs, CancellationToken cancellation) => TryRead(id, out var lab)
        ? Answers.Ok(context, await labs.LetGoAsync(context.Actor(), lab, cancellation), LabBody.Of)
        : Unknown(context, id);

    public static async Task<IResult> AbandonAsync(HttpContext context, string id, LabCalls labs, CancellationToken cancellation)
    {
        if (!TryRead(id, out var lab)) return Unknown(context, id);
        var body = await Body.ReadAsync(context);
        var reason = body.RequiredText("reason");
        return body.Mistakes() is { Count: > 0 } mistakes
            ? Answers.Invalid(context, mistakes)
            : Answers.Accepted(context, await labs.AbandonAsync(context.Actor(), lab, reason, cancellation), Location, LabBody.Of);
    }

    public static Task<IResult> SnapshotAsync(HttpContext context, string id, LabCalls labs, CancellationToken cancellation)
        => NamedAsync(context, id, (lab, name) => labs.SnapshotAsync(context.Actor(), lab, name, cancellation));

    public static Task<IResult> RevertAsync(HttpContext context, string id, LabCalls labs, CancellationToken cancellation)
        => NamedAsync(context, id, (lab, name) => labs.RevertAsync(context.Actor(), lab, name, cancellation));

    public static async Task<IResult> SnapshotsAsync(HttpContext context, string id, LabCalls labs, CancellationToken cancellation) => TryRead(id, out var lab)
        ? Answers.Page(context, await labs.SnapshotsAsync(context.Actor(), lab, cancellation), snapshot => snapshot.Name, snapshot => snapshot)
        : Unknown(context, id);

    public static async Task<IResult> DisksAsync(HttpContext context, string id, LabDisks disks, CancellationToken cancellation) => TryRead(id, out var lab)
        ? Answers.Page(context, await disks.ReadAsync(context.Actor(), lab, cancellation), disk => disk.Machine, disk => disk)
        : Unknown(context, id);

    public static async Task<IResult> DeleteSnapshotAsync(HttpContext context, string id, string name, LabCalls labs, CancellationToken cancellation) => TryRead(id, out var lab)
        ? Answers.Accepted(context, await labs.DeleteSnapshotAsync(context.Actor(), lab, name, cancellation), Location, LabBody.Of)
        : Unknown(context, id);

    private static async Task<IResult> NamedAsync(HttpContext context, string id, Func<LabId, string, Task<Outcome<LabView>>> call)
    {
        if (!TryRead(id, out var lab)) return Unknown(context, id);
        var body = await Body.ReadAsync(context);
        var name = body.RequiredText("name");
        return body.Mistakes() is { Count: > 0 } mistakes ? Answers.Invalid(context, mistakes) : Answers.Accepted(context, await call(lab, name), Location, LabBody.Of);
    }

    public static async Task<IResult> SerialLogAsync(HttpContext context, string id, string name, LabCalls labs, CancellationToken cancellation)
    {
        if (!TryRead(id, out var lab)) return Unknown(context, id);
        var log = await labs.SerialLogAsync(context.Actor(), lab, name, cancellation);
        return log.Ok ? Results.Text(log.Value, "text/plain; charset=utf-8") : Problems.Of(context, log.Refusal!);
    }

    public static async Task<IResult> PasswordAsync(HttpContext context, string id, LabCalls labs, CancellationToken cancellation) => TryRead(id, out var lab)
        ? Answers.Ok(context, await labs.RevealPasswordAsync(context.Actor(), lab, cancellation), password => new PasswordBody(password))
        : Unknown(context, id);

    public static bool TryRead(string text, out LabId id)
    {
        var good = Guid.TryParseExact(text, "D", out var value);
        id = new LabId(value);
        return good;
    }

    public static IResult Unknown(HttpContext context, string id) => Answers.NotFound(context, "lab", id);

    /// <summary>Where a machine is reached directly, the portal leads to the same port for who cannot.</summary>
    private static MachineView With(MachineView machine, ConsoleOffer offered) => machine with
    {
        Consoles = offered.IsWhole ? offered.Kinds : null,
        Access = offered.Kinds.Contains(ConsoleKind.Ssh) && machine.Access is [var direct, ..] ? [.. machine.Access, direct with { Via = "portal" }] : machine.Access,
    };

    public static async Task<IResult> AuditAsync(HttpContext context, string id, LabCalls labs, CancellationToken cancellation)
    {
        if (!TryRead(id, out var lab)) return Unknown(context, id);
        var asked = new Asked(context);
        var (limit, after, before) = (asked.Limit, asked.After, Guid.Empty);
        if (after is not null && !Guid.TryParseExact(after, "D", out before)) asked.Wrong("after", "field.not-a-key");
        if (asked.Mistakes is { Count: > 0 } mistakes) return Answers.Invalid(context, mistakes);
        var done = await labs.DoneToAsync(context.Actor(), lab, after is null ? null : before, limit, cancellation);
        if (done.Refusal is { } no) return Problems.Of(context, no);
        var lines = done.Value.Items.Reverse().ToList();
        return Answers.Page(new Page<AuditLine>(lines, done.Value.More ? Ids.Canonical(lines[^1].Id) : null), AuditBody.Of);
    }

    private static string Location(LabView lab) => $"{ApiRoutes.Prefix}/labs/{lab.Id}";

    private static LabRequest Read(Body body)
    {
        var lease = body.Object("lease");
        return new LabRequest
        {
            Blueprint = body.RequiredText("blueprint"),
            Team = body.RequiredText("team"),
            Name = body.Text("name"),
            Parameters = body.Texts("parameters"),
            Pool = body.Text("pool"),
            Labels = body.Texts("labels"),
            Lease = lease is null ? null : new LeaseRequest(lease.Number("hours"), lease.Instant("until"), lease.Number("heartbeatMinutes")),
            Start = body.Instant("start"),
        };
    }

    /// <summary>What cannot be read is told together with what is wrong in the rest: a quote finds that and changes nothing.</summary>
    private static async Task<IResult> InvalidAsync(
        HttpContext context, LabCalls labs, Body body, LabRequest request, IReadOnlyList<FieldError> mistakes, CancellationToken cancellation)
    {
        if (body.IsBroken) return Answers.Invalid(context, mistakes);
        var rest = (await labs.QuoteAsync(context.Actor(), request, cancellation)).Refusal?.Errors ?? [];
        return Answers.Invalid(context, [.. mistakes, .. rest.Where(error => mistakes.All(mistake => mistake.Field != error.Field && !mistake.Field.StartsWith(error.Field + ".", StringComparison.Ordinal)))]);
    }

    private static string? IdempotencyKey(HttpContext context, List<FieldError> mistakes)
    {
        if (context.Request.Headers["Idempotency-Key"] is not [{ Length: > 0 } key]) return null;
        if (key.Length > 200 || key.Any(letter => letter is < '!' or > '~')) mistakes.Add(new FieldError("Idempotency-Key", "call.idempotency-key", [("max", 200)]));
        return key;
    }

    /// <summary><c>me</c>, a person's id, or the e-mail address of somebody in a team that the caller sees.</summary>
    private static async Task<PersonId?> OwnerAsync(Actor actor, string owner, PeopleCalls people, CancellationToken cancellation)
    {
        if (owner == "me") return actor.Person;
        if (Guid.TryParseExact(owner, "D", out var id)) return new PersonId(id);
        return await people.MemberAsync(actor, owner, cancellation);
    }
}
