using System.Diagnostics;
using System.Security.Claims;
using LabPortal.Domain;
using LabPortal.Domain.People;
using LabPortal.Operations.People;
using Microsoft.AspNetCore.Authentication.Cookies;

namespace LabPortal.Web.Hosting;

/// <summary>Who calls: by the cookie that a sign-in left, or as the <see cref="Actor"/> that a request acts as.</summary>
internal static class Callers
{
    public const string CookieScheme = CookieAuthenticationDefaults.AuthenticationScheme;
    public const string TokenScheme = "token";
    public const string StampClaim = "stamp";

    /// <summary>Which sign-in of the person it is: what one browser is given is of no use in another.</summary>
    public const string SessionClaim = "session";

    /// <summary>The cookie's content: the person's id, name and stamp, and which sign-in it is. Rights are never in it; they are read anew for each call.</summary>
    public static ClaimsPrincipal Principal(SignedIn signedIn, string session) => new(new ClaimsIdentity(
        [
            new Claim(ClaimTypes.NameIdentifier, signedIn.Person.ToString()),
            new Claim(ClaimTypes.Name, signedIn.Name),
            new Claim(StampClaim, signedIn.Stamp),
            new Claim(SessionClaim, session),
        ],
        CookieScheme));

    public static PersonId? Person(ClaimsPrincipal principal)
        => Guid.TryParse(principal.FindFirstValue(ClaimTypes.NameIdentifier), out var id) ? new PersonId(id) : null;

    /// <summary>The actor of an API call; there is one wherever authorization let the call through.</summary>
    public static Actor Actor(this HttpContext context)
        => context.Features.Get<Actor>() ?? throw new InvalidOperationException("This call has no actor: its route does not require one.");

    /// <summary>The actor of a browser's request, with the rights as they are now; nobody where the session is over.</summary>
    public static async Task<Actor?> SessionActorAsync(this HttpContext context, PeopleCalls people) => Person(context.User) is { } person
        ? await people.ActorOfAsync(person, context.User.FindFirstValue(StampClaim), context.Address(), context.RequestId(), context.RequestAborted)
        : null;

    public static string? Address(this HttpContext context) => context.Connection.RemoteIpAddress is { } address
        ? (address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address).ToString()
        : null;

    /// <summary>One id for a request, in its answer, its log lines and its audit line.</summary>
    public static string RequestId(this HttpContext context) => Activity.Current?.TraceId.ToHexString() ?? context.TraceIdentifier;
}
