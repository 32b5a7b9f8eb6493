using LabPortal.Domain;
using LabPortal.Domain.People;
using LabPortal.Operations.People;
using LabPortal.Operations.Telemetry;
using LabPortal.Web.Features.SignIn;
using Microsoft.AspNetCore.Components;
using Microsoft.AspNetCore.Components.Authorization;

namespace LabPortal.Web.Features.Shell;

/// <summary>
/// Who uses this circuit. The actor is made anew for each call: a right that is taken away, or a password that was changed, counts
/// at once, however long the page has been open.
/// </summary>
internal sealed class Caller(AuthenticationStateProvider authentication, PeopleCalls people, NavigationManager navigation, TimeProvider time)
{
    public string? Address { get; set; }

    /// <summary>The person of this circuit by its session alone; says nothing about rights.</summary>
    public async Task<PersonId?> PersonAsync()
        => PortalSession.Read((await authentication.GetAuthenticationStateAsync()).User)?.Person;

    public async Task<Actor> ActorAsync(CancellationToken cancellation)
    {
        var session = PortalSession.Read((await authentication.GetAuthenticationStateAsync()).User);
        if (session is { } known && await people.ActorOfAsync(known.Person, known.Stamp, Address, PortalTrace.ClickId ?? Ids.Canonical(Ids.New(time)), cancellation) is { } actor)
            return actor with { Session = known.Session };
        navigation.NavigateTo(PortalSession.SignInPath(new Uri(navigation.Uri).PathAndQuery), forceLoad: true);
        throw new SignedOutException();
    }
}

/// <summary>The session is over and the browser is on its way to sign in: whatever was going on ends quietly.</summary>
internal sealed class SignedOutException : OperationCanceledException;
