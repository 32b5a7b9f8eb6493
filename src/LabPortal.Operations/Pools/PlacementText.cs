using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Labs;

namespace LabPortal.Operations.Pools;

/// <summary>The explanation of a placement as it is stored with it: one line for people, the same for page, API and log.</summary>
internal static class PlacementText
{
    private static readonly Dictionary<string, string> s_sentences = new()
    {
        ["place.fits"] = "fits",
        ["pool.not-asked"] = "the request insists on {asked}",
        ["pool.image-not-bound"] = "image {image} has no binding for {kind} pools",
        ["pool.lacks-labels"] = "lacks the labels {labels}",
        ["pool.maintenance"] = "is in maintenance",
        ["pool.draining"] = "is draining",
        ["pool.not-checked"] = "was not checked yet",
        ["pool.sick"] = "is sick: {what}",
        ["pool.said-full"] = "said that it is full",
        ["host.lacks-labels"] = "lacks the labels {labels}",
        ["host.too-small-cpu"] = "has {limit} vCPU in all, {asked} are asked for",
        ["host.too-small-memory"] = "has {limit} of memory in all, {asked} are asked for",
        ["host.too-small-disk"] = "has {limit} of disk in all, {asked} are asked for",
        ["host.image-missing"] = "does not have image {image}: {mend}",
        ["host.image-coming"] = "is still importing image {image}",
        ["host.sick"] = "takes no machines: {what}",
        ["host.said-full"] = "said that it is full",
        ["host.full-cpu"] = "has {free} vCPU free, {asked} are asked for",
        ["host.full-memory"] = "has {free} of memory free, {asked} are asked for",
        ["host.full-disk"] = "has {free} of disk free, {asked} are asked for",
    };

    public static string Of(Reason reason)
    {
        var sentence = s_sentences[reason.Code];
        foreach (var (name, value) in reason.Arguments) sentence = sentence.Replace($"{{{name}}}", value.TrimEnd('.'), StringComparison.Ordinal);
        return sentence;
    }

    public static string Of(PlacementDecision decision)
    {
        // What may still come to fit is what somebody who waits looks for first.
        var others = decision.Verdicts.Where(verdict => verdict != decision.Chosen).OrderByDescending(verdict => verdict.Fits || verdict.CanWait).Select(verdict
            => verdict.Fits ? $"{Place(verdict)} fits too and came after it" : $"{Place(verdict)} {Of(verdict.Why)}");
        var lines = decision.Chosen is { } chosen ? others.Prepend($"Chosen{By(decision.Policy)}: {Place(chosen)}") : others;
        var text = string.Join("; ", lines);
        return text.Length == 0 ? "There is no pool." : text.EndsWith('.') ? text : text + ".";
    }

    /// <summary>What is said of one pool: the host that was chosen in it, or why each of its hosts was not.</summary>
    public static string OfPool(PlacementDecision decision, string pool)
    {
        if (decision.Chosen is { } chosen && chosen.Pool.Name == pool) return chosen.Host is null ? "chosen" : $"chosen, on {chosen.Host}";
        var verdicts = decision.Verdicts.Where(verdict => verdict.Pool.Name == pool).ToList();
        if (verdicts.Any(verdict => verdict.Fits)) return "fits too; another is preferred";
        var reasons = verdicts.GroupBy(verdict => Of(verdict.Why)).Select(group => group.First().Host is null ? group.Key : $"{string.Join(", ", group.Select(verdict => verdict.Host))} {group.Key}");
        return string.Join("; ", reasons);
    }

    private static string By(PlacementPolicy? policy) => policy switch
    {
        PlacementPolicy.OwnHardwareFirst => " (own hardware first)",
        PlacementPolicy.FastestToReady => " (fastest to ready)",
        _ => "",
    };

    private static string Place(Verdict verdict) => verdict.Host is null ? verdict.Pool.Name : $"{verdict.Pool.Name}/{verdict.Host}";
}
