using LabPortal.Domain.People;
using LabPortal.Operations.Consoles;
using LabPortal.Operations.People;
using LabPortal.Web.Api;
using LabPortal.Web.Features.SignIn;
using Microsoft.AspNetCore.Authentication;

namespace LabPortal.Web.Hosting;

/// <summary>
/// The one address that consoles are reached at, by a browser with its cookie or by a program with its token. What the address carries counts
/// once, for a few seconds, and for that session alone; a page of another site gets nothing, whatever cookies it makes a browser send.
/// </summary>
internal static class ConsoleRoute
{
    private const string Path = "/consoles";
    private const string TokenKey = "token";
    private const string TakeOverKey = "takeOver";

    public static void MapConsoles(this WebApplication app)
    {
        app.UseWebSockets(new WebSocketOptions { KeepAliveInterval = TimeSpan.FromSeconds(15), KeepAliveTimeout = TimeSpan.FromSeconds(30) });
        app.MapGet(Path, ServeAsync).AllowAnonymous().ExcludeFromDescription();
    }

    /// <summary>The address for this ticket, as the caller reaches the portal: <c>ws</c> or <c>wss</c>.</summary>
    public static string Address(HttpContext context, PortalSettings settings, ConsoleTicket ticket)
    {
        var portal = settings.PublicAddress ?? $"{context.Request.Scheme}://{context.Request.Host}{context.Request.PathBase}";
        // http → ws, https → wss.
        return $"ws{portal["http".Length..]}/{Local(ticket)}";
    }

    /// <summary>The same for a page of ours, from its base.</summary>
    public static string Local(ConsoleTicket ticket, bool takeOver = false) => $"{Path[1..]}?{TokenKey}={ticket.Token}{(takeOver ? $"&{TakeOverKey}=true" : "")}";

    private static async Task ServeAsync(
        HttpContext context, ConsoleCalls calls, ConsoleRooms rooms, ConsoleSessions sessions, PeopleCalls people, PortalSettings settings, IHostApplicationLifetime life, CancellationToken cancellation)
    {
        if (await CallerAsync(context, people, cancellation) is not { } actor)
        {
            await Problems.WriteAsync(context, StatusCodes.Status401Unauthorized, "actor.unknown");
            return;
        }

        if (!context.WebSockets.IsWebSocketRequest)
        {
            await Problems.WriteAsync(context, StatusCodes.Status400BadRequest, "console.not-a-socket");
            return;
        }

        // Whoever is passed on is asked everything there, and comes no further.
        if (!ConsolePassage.IsPassedOn(context) && await rooms.ElsewhereAsync(context.Request.Query[TokenKey].ToString(), cancellation) is { } other)
        {
            if (await ConsolePassage.PassOnAsync(context, other.Address!, life.ApplicationStopping)) return;
            await rooms.ForgetAsync(other, cancellation);
        }

        var pass = await calls.EnterAsync(actor, context.Request.Query[TokenKey].ToString(), StrangeOrigin(context, settings, actor), cancellation);
        if (pass.Refusal is { } refusal)
        {
            await Problems.Of(context, refusal).ExecuteAsync(context);
            return;
        }

        using var socket = await context.WebSockets.AcceptWebSocketAsync();
        await sessions.ServeAsync(pass.Value, socket, context.Request.Query[TakeOverKey] == "true", life.ApplicationStopping);
    }

    private static async Task<Actor?> CallerAsync(HttpContext context, PeopleCalls people, CancellationToken cancellation)
    {
        if (context.Request.Headers.Authorization.Count > 0)
            return (await context.AuthenticateAsync(Callers.TokenScheme)).Succeeded ? context.Actor() : null;
        return PortalSession.Read(context.User) is { } session
            && await people.ActorOfAsync(session.Person, session.Stamp, context.Address(), context.RequestId(), cancellation) is { } actor
            ? actor with { Session = session.Session }
            : null;
    }

    /// <summary>
    /// Empty where the call comes from where it should. Browsers say which page opened a socket (RFC 6455, 10.2), and let every page open one
    /// with our cookie: without an origin a cookie counts for nothing.
    /// </summary>
    private static string? StrangeOrigin(HttpContext context, PortalSettings settings, Actor actor)
    {
        var origin = context.Request.Headers.Origin.ToString();
        if (origin.Length == 0) return actor.Channel == Channel.Session ? "-" : null;
        string[] own = [$"{context.Request.Scheme}://{context.Request.Host}", .. settings.PublicAddress is { } address ? [new Uri(address).GetLeftPart(UriPartial.Authority)] : Array.Empty<string>()];
        return own.Contains(origin, StringComparer.OrdinalIgnoreCase) ? null : origin;
    }
}
