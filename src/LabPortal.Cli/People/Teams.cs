using LabPortal.Cli.Api;
using LabPortal.Cli.Shell;

namespace LabPortal.Cli.People;

internal static class Teams
{
    /// <summary>The team of somebody who sees one only; whoever sees more has to say which.</summary>
    public static async Task<string> OnlyOneAsync(PortalApi api, string how, CancellationToken cancellation)
    {
        var teams = (await api.ListAsync("teams", [], null, cancellation)).Items("items").Select(team => team.Text("name")).ToList();
        return teams switch
        {
            [var team] => team,
            [] => throw new CommandFailed(Exit.NotAllowed, "You are in no team yet: a manager or an administrator has to add you to one."),
            _ => throw new CommandFailed(Exit.Invalid, Safe.Text($"For which team? Say {how} with one of: {string.Join(", ", teams)}.")),
        };
    }
}
