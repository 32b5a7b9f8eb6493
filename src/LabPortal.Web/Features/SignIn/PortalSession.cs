using System.Security.Claims;
using LabPortal.Domain;
using LabPortal.Operations.People;
using LabPortal.Web.Hosting;
using Microsoft.AspNetCore.Authentication;

namespace LabPortal.Web.Features.SignIn;

/// <summary>What a browser's cookie says: which person, and the stamp that their password had. Rights are read with each call.</summary>
internal static class PortalSession
{
    // Dot segments are resolved as a browser does.
    private static readonly Uri s_somewhere = new("http://portal.invalid");

    public static Task BeginAsync(HttpContext context, SignedIn person)
    {
        var session = Ids.Canonical(Ids.New(context.RequestServices.GetRequiredService<TimeProvider>()));
        return context.SignInAsync(Callers.CookieScheme, Callers.Principal(person, session), new AuthenticationProperties { IsPersistent = true });
    }

    public static (PersonId Person, string? Stamp, string? Session)? Read(ClaimsPrincipal user)
        => Callers.Person(user) is { } person ? (person, user.FindFirstValue(Callers.StampClaim), user.FindFirstValue(Callers.SessionClaim)) : null;

    /// <summary>From the portal's own base; <paramref name="page"/> is the whole path, with whatever path a proxy has the portal below.</summary>
    public static string SignInPath(string page) => $"sign-in?ReturnUrl={Uri.EscapeDataString(page)}";

    /// <summary>A page of this portal to go on to. Anything that could lead elsewhere becomes the first page.</summary>
    /// <param name="address">The whole path, as somebody asks for it.</param>
    /// <param name="below">The path that the portal has at its host, where that is not the host's own.</param>
    public static string SafeReturn(string? address, PathString below)
        => address is ['/', ..] and not ['/', '/' or '\\', ..] && !address.Any(char.IsControl)
            && Uri.TryCreate(s_somewhere, address, out var there) && there.Host == s_somewhere.Host && PathString.FromUriComponent(there).StartsWithSegments(below) ? address : "labs";
}
