using LabPortal.Data;
using LabPortal.Data.Notices;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using NodaTime;

namespace LabPortal.Operations.People;

/// <summary>The codes of notices. Promises: stored, and sent to webhooks.</summary>
public static class NoticeCodes
{
    public const string EndIsNear = "lease.end-is-near";
    public const string DeletionIsNear = "lease.deletion-is-near";
    public const string GraceBegun = "lease.grace-begun";
    public const string DeletionBegun = "lease.deletion-begun";
    public const string HeartbeatIsMissing = "heartbeat.is-missing";
    public const string HeartbeatMissed = "heartbeat.ended-by";
    public const string LabFailed = "lab.failed";
    public const string RunStuck = "run.stuck";
}

/// <summary>Tells a lab's owner, and the webhooks of its team.</summary>
public static class Notices
{
    /// <summary>Part of the transaction of what it tells: either both are there or neither. The lab's name goes with it.</summary>
    public static Task WriteAsync(Session session, Lab lab, string code, Instant now, params IReadOnlyList<(string Name, string Value)> arguments) => NoticeStore.InsertAsync(
        session,
        new Notice(Ids.New(now), lab.Owner, lab.Id, code, arguments.Append(("lab", lab.Name)).ToDictionary(argument => argument.Item1, argument => argument.Item2), now, null),
        lab.Team);
}
