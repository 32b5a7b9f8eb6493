using LabPortal.Data;
using LabPortal.Data.People;
using LabPortal.Domain.People;

namespace LabPortal.Operations.People;

internal static class ActorNow
{
    /// <summary>
    /// Rights read anew: a role that was taken away counts while a page or a console is open. Nobody where the person may not sign in any more, or the
    /// session's password was changed.
    /// </summary>
    public static async Task<Actor?> ReadAsync(Session session, Actor actor)
    {
        if (actor.Person is not { } person) return actor;
        var fromPerson = actor.Channel is Channel.Session or Channel.Token;
        // The bootstrap token's person cannot sign in and counts as disabled; the token is what has the rights.
        if (await PersonStore.FindAsync(session, person) is not { } now || (fromPerson && now.Disabled)) return null;
        if (actor.Stamp is { } stamp && (await PasswordStore.FindAsync(session, person) is not { } password || SecretText.Hash(password.Stamp) != stamp)) return null;
        return actor with
        {
            IsAdmin = fromPerson ? now.IsAdmin : actor.IsAdmin,
            IsAuditor = fromPerson ? now.IsAuditor : actor.IsAuditor,
            Teams = (await TeamStore.MembershipsAsync(session, person)).ToDictionary(member => member.Team, member => member.Role),
        };
    }
}
