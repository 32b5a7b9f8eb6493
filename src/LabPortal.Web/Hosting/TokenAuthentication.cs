using System.Security.Claims;
using System.Text.Encodings.Web;
using LabPortal.Operations.People;
using LabPortal.Web.Api;
using Microsoft.AspNetCore.Authentication;
using Microsoft.Extensions.Options;

namespace LabPortal.Web.Hosting;

/// <summary><c>Authorization: Bearer TOKEN</c> (RFC 6750): a person's API token, or the configured admin token.</summary>
internal sealed class TokenAuthentication(
    IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory logs, UrlEncoder encoder, PeopleCalls people)
    : AuthenticationHandler<AuthenticationSchemeOptions>(options, logs, encoder)
{
    protected override async Task<AuthenticateResult> HandleAuthenticateAsync()
    {
        var header = Request.Headers.Authorization.ToString();
        if (!header.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase)) return AuthenticateResult.NoResult();
        var token = header["Bearer ".Length..].Trim();
        var actor = await people.ActorOfTokenAsync(token, Context.Address(), Context.RequestId(), Context.RequestAborted);
        if (actor is null) return AuthenticateResult.Fail("No such token.");
        Context.Features.Set(actor);
        var identity = new ClaimsIdentity([new Claim(ClaimTypes.Name, actor.Name), new Claim(ClaimTypes.NameIdentifier, actor.Person?.ToString() ?? actor.Name)], Scheme.Name);
        return AuthenticateResult.Success(new AuthenticationTicket(new ClaimsPrincipal(identity), Scheme.Name));
    }

    protected override Task HandleChallengeAsync(AuthenticationProperties properties)
    {
        Response.Headers.WWWAuthenticate = Request.Headers.ContainsKey("Authorization") ? "Bearer error=\"invalid_token\"" : "Bearer";
        return Problems.WriteAsync(Context, StatusCodes.Status401Unauthorized, "actor.unknown");
    }

    protected override Task HandleForbiddenAsync(AuthenticationProperties properties) => Problems.WriteAsync(Context, StatusCodes.Status403Forbidden, "actor.may-not");
}
