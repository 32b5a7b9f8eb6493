using LabPortal.Domain;
using LabPortal.Domain.Consoles;
using LabPortal.Operations.Consoles;
using LabPortal.Web.Hosting;
using NodaTime;

namespace LabPortal.Web.Api;

internal static class ConsoleRoutes
{
    public static async Task<IResult> AskAsync(HttpContext context, string id, string name, ConsoleCalls consoles, PortalSettings settings, CancellationToken cancellation)
    {
        if (!LabRoutes.TryRead(id, out var lab)) return LabRoutes.Unknown(context, id);
        var body = await Body.ReadAsync(context);
        var word = body.RequiredText("kind");
        var mistakes = body.Mistakes().ToList();
        if (!Words.TryRead<ConsoleKind>(word, out var kind) && mistakes.Count == 0)
            mistakes.Add(new FieldError("kind", "field.one-of", [("allowed", string.Join(", ", Words.All<ConsoleKind>()))]));
        return mistakes.Count > 0
            ? Answers.Invalid(context, mistakes)
            : Answers.Ok(context, await consoles.AskAsync(context.Actor(), lab, name, kind, cancellation),
                ticket => new ConsoleBody(ticket.Kind, ConsoleRoute.Address(context, settings, ticket), ticket.ExpiresAt));
    }
}

/// <summary>For the document alone: what is asked for.</summary>
internal sealed record ConsoleRequestBody(ConsoleKind Kind);

/// <summary>
/// <paramref name="Address"/> is a WebSocket's, and is good once, with the same token as this call. Binary messages are bytes of the machine;
/// it may be opened until <paramref name="ExpiresAt"/>.
/// </summary>
internal sealed record ConsoleBody(ConsoleKind Kind, string Address, Instant ExpiresAt);
