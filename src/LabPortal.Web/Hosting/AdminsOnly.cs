using System.Security.Claims;
using Hangfire.Dashboard;
using LabPortal.Operations.People;

namespace LabPortal.Web.Hosting;

/// <summary>Hangfire's own dashboard is for admins, with their rights as they are now.</summary>
internal sealed class AdminsOnly : IDashboardAsyncAuthorizationFilter
{
    public async Task<bool> AuthorizeAsync(DashboardContext context)
    {
        var http = context.GetHttpContext();
        if (Callers.Person(http.User) is not { } person) return false;
        var actor = await http.RequestServices.GetRequiredService<PeopleCalls>()
            .ActorOfAsync(person, http.User.FindFirstValue(Callers.StampClaim), http.Address(), http.RequestId(), http.RequestAborted);
        return actor is { IsAdmin: true };
    }
}
