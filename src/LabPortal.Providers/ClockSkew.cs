using LabPortal.Domain.Pools;

namespace LabPortal.Providers;

/// <summary>
/// How far the portal's clock is from that of the cloud which answered it, by the answer's <c>Date</c> (RFC 9110, whole seconds). Clouds refuse requests and tokens of
/// another time, after five minutes as a rule: it is told before that.
/// </summary>
internal static class ClockSkew
{
    private static readonly TimeSpan s_most = TimeSpan.FromMinutes(1);

    /// <summary>Empty where both are near enough, or nothing is known.</summary>
    public static PoolProblem? Problem(string cloud, DateTimeOffset? theirs, DateTimeOffset ours)
    {
        if (theirs is not { } date || (ours - date).Duration() <= s_most) return null;
        var ahead = ours > date;
        return new PoolProblem(
            $"The portal's clock is {(ours - date).Duration().TotalMinutes:0.#} minutes {(ahead ? "ahead of" : "behind")} that of {cloud}.", null,
            "Let the portal's machine keep time (timedatectl set-ntp true): a difference of five minutes and more makes requests and tokens invalid.", Blocks: false);
    }
}
