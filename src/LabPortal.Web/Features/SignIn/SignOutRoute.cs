using LabPortal.Web.Hosting;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Mvc;

namespace LabPortal.Web.Features.SignIn;

internal static class SignOutRoute
{
    /// <summary>Signing out is a deed of the person: a form with its antiforgery token, never a link that another site could plant.</summary>
    public static void MapSignOut(this WebApplication app) => app.MapPost("/sign-out/now", async (HttpContext context, [FromForm] bool? everywhere) =>
    {
        await context.SignOutAsync(Callers.CookieScheme);
        return Results.LocalRedirect("~/sign-in");
    }).AllowAnonymous().ExcludeFromDescription();
}
