namespace LabPortal.Domain.People;

/// <summary>Everything that somebody may or may not do; one word each, as it stands in the audit.</summary>
public enum Verb
{
    SeeCatalogue,
    RequestLab,
    SeeLab,
    ExtendLab,
    StartLab,
    StopLab,
    RestartLab,
    SnapshotLab,
    RevertLab,
    DeleteSnapshot,
    CancelRun,
    EndLab,
    ReadSerialLog,
    RevealPassword,
    OpenConsole,
    WatchConsole,
    SeeQuota,
    SeeTeam,
    RetryRun,
    AbandonRun,
    SeePools,
    SeeOperations,
    CheckPool,
    AdministerPools,
    DecideOrphan,
    ApplyCatalogue,
    AdministerPeople,
    AdministerWebhooks,
    AdministerSettings,
    SeeAudit,
}

/// <summary>Whose the object is, seen from the actor. Objects of nobody (a pool, the catalogue) are <see cref="Other"/>.</summary>
public enum Relation
{
    Own,
    Team,
    Other,
}

/// <summary>
/// The one table of who may do what. Members of a team see each other's labs; owner, the team's manager and admins act on them.
/// A test holds every cell.
/// </summary>
public static class May
{
    private enum Grant
    {
        /// <summary>Everybody who is signed in.</summary>
        Everyone,

        /// <summary>The owner, the team's manager, admins.</summary>
        Actors,

        /// <summary>Members of the object's team, admins; auditors too.</summary>
        Seers,

        /// <summary>Members of the object's team and admins.</summary>
        Members,

        /// <summary>The team's manager and admins.</summary>
        Managers,

        /// <summary>The owner alone: not even an admin reads a password that is not theirs.</summary>
        OwnerOnly,
        Admins,
        AdminsAndAuditors,
    }

    private static readonly IReadOnlyDictionary<Verb, Grant> s_table = new Dictionary<Verb, Grant>
    {
        [Verb.SeeCatalogue] = Grant.Everyone,
        [Verb.RequestLab] = Grant.Members,
        [Verb.SeeLab] = Grant.Seers,
        [Verb.ExtendLab] = Grant.Actors,
        [Verb.StartLab] = Grant.Actors,
        [Verb.StopLab] = Grant.Actors,
        [Verb.RestartLab] = Grant.Actors,
        [Verb.SnapshotLab] = Grant.Actors,
        [Verb.RevertLab] = Grant.Actors,
        [Verb.DeleteSnapshot] = Grant.Actors,
        [Verb.CancelRun] = Grant.Actors,
        [Verb.EndLab] = Grant.Actors,
        [Verb.ReadSerialLog] = Grant.Actors,
        [Verb.RevealPassword] = Grant.OwnerOnly,
        [Verb.OpenConsole] = Grant.Actors,
        [Verb.WatchConsole] = Grant.Members,
        [Verb.SeeQuota] = Grant.Seers,
        [Verb.SeeTeam] = Grant.Seers,
        [Verb.RetryRun] = Grant.Admins,
        [Verb.AbandonRun] = Grant.Admins,
        [Verb.SeePools] = Grant.Everyone,
        [Verb.SeeOperations] = Grant.AdminsAndAuditors,
        [Verb.CheckPool] = Grant.Admins,
        [Verb.AdministerPools] = Grant.Admins,
        [Verb.DecideOrphan] = Grant.Admins,
        [Verb.ApplyCatalogue] = Grant.Admins,
        [Verb.AdministerPeople] = Grant.Admins,
        [Verb.AdministerWebhooks] = Grant.Managers,
        [Verb.AdministerSettings] = Grant.Admins,
        [Verb.SeeAudit] = Grant.AdminsAndAuditors,
    };

    /// <summary>May this actor do this to something owned by <paramref name="owner"/> in <paramref name="team"/> (either may be empty)?</summary>
    public static bool Do(Actor actor, Verb verb, PersonId? owner = null, TeamId? team = null)
    {
        var role = team is { } id && actor.Teams.TryGetValue(id, out var found) ? found : (TeamRole?)null;
        var relation = owner is not null && owner == actor.Person ? Relation.Own : role is not null ? Relation.Team : Relation.Other;
        return Do(actor.IsAdmin, actor.IsAuditor, role, verb, relation);
    }

    /// <summary>The table itself: global roles, the role in the object's team (or none), the verb, whose it is.</summary>
    public static bool Do(bool admin, bool auditor, TeamRole? role, Verb verb, Relation relation) => s_table[verb] switch
    {
        Grant.Everyone => true,
        Grant.Actors => admin || relation == Relation.Own || (relation == Relation.Team && role == TeamRole.Manager),
        Grant.Seers => admin || auditor || relation != Relation.Other,
        Grant.Members => admin || role is not null,
        Grant.Managers => admin || role == TeamRole.Manager,
        Grant.OwnerOnly => relation == Relation.Own,
        Grant.AdminsAndAuditors => admin || auditor,
        _ => admin,
    };

    /// <summary>The right that a lab's verb needs.</summary>
    public static Verb ToDo(Labs.LabVerb verb) => verb switch
    {
        Labs.LabVerb.Extend => Verb.ExtendLab,
        Labs.LabVerb.Start => Verb.StartLab,
        Labs.LabVerb.Stop => Verb.StopLab,
        Labs.LabVerb.Restart => Verb.RestartLab,
        Labs.LabVerb.Snapshot => Verb.SnapshotLab,
        Labs.LabVerb.Revert => Verb.RevertLab,
        Labs.LabVerb.DeleteSnapshot => Verb.DeleteSnapshot,
        Labs.LabVerb.Cancel => Verb.CancelRun,
        Labs.LabVerb.End => Verb.EndLab,
        Labs.LabVerb.Retry => Verb.RetryRun,
        _ => Verb.AbandonRun,
    };
}
