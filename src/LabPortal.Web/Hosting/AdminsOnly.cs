using Hangfire.Dashboard;
using LabPortal.Operations.People;

namespace LabPortal.Web.Hosting;

/// <summary>Hangfire's own dashboard is for admins, with their rights as they are now.</summary>
internal sealed class AdminsOnly : IDashboardAsyncAuthorizationFilter
{
    public async Task<bool> AuthorizeAsync(DashboardContext context)
    {
        var http = context.GetHttpContext();
        return await http.SessionActorAsync(http.RequestServices.GetRequiredService<PeopleCalls>()) is { IsAdmin: true };
    }
}
