using System.Text.Json.Nodes;
using LabPortal.Cli.Shell;

namespace LabPortal.Cli.Api;

/// <summary>A problem whole: what is wrong, in which fields, who holds the quota, and what would fit with the flags that take it.</summary>
internal static class ProblemText
{
    public static void Say(JsonObject problem, bool isVerbose)
    {
        foreach (var line in Lines(problem, isVerbose)) Terminal.Say(line);
    }

    internal static IEnumerable<string> Lines(JsonObject problem, bool isVerbose)
    {
        yield return $"lab: {Safe.Text(problem.Text("title"))}: {Safe.Text(problem.Text("detail"))}";
        foreach (var error in problem.Items("errors")) yield return $"  {Safe.Text(Named(error.Text("field")))}{Safe.Text(error.Text("message"))}";
        if (problem.At("refusal") is JsonObject refusal)
        {
            foreach (var line in Holders(refusal).Concat(Offers(refusal))) yield return line;
        }

        // A fault of the portal is found in its log by this alone.
        if (isVerbose || problem.Number("status") >= 500) yield return $"trace id {Safe.Text(problem.Text("traceId"))}";
    }

    private static IEnumerable<string> Holders(JsonObject refusal)
    {
        var holders = refusal.Items("holders").ToList();
        if (holders.Count == 0) yield break;
        yield return $"Who holds {Safe.Text(refusal.Text("dimension"))} now:";
        foreach (var holder in holders)
        {
            var until = holder.Text("until") is { Length: > 0 } end ? $" until {Moments.Show(end)}" : "";
            yield return Safe.Text($"  {holder.Text("amount")} by {holder.Text("name")} of {holder.Text("owner")}{until}");
        }
    }

    private static IEnumerable<string> Offers(JsonObject refusal)
    {
        var offers = refusal.Items("offers").ToList();
        if (offers.Count == 0) yield break;
        yield return "What would fit:";
        foreach (var offer in offers) yield return $"  {Safe.Text(offer.Text("say"))}: {Taken(offer.At("change") as JsonObject ?? [])}";
    }

    /// <summary>The change to the request, as it is typed.</summary>
    private static string Taken(JsonObject change) => string.Join(' ', Leaves(change, "").Select(leaf => leaf switch
    {
        ("blueprint", { } name) => $"lab request {Safe.Word(name.Plain())}",
        ("parameters", _) => "(without --param)",
        (var path, { } value) when path.Split('.', 2) is ["parameters", var name] => $"--param {Safe.Word($"{name}={value.Plain()}")}",
        (var path, { } value) when path.Split('.', 2) is ["labels", var name] => $"--label {Safe.Word($"{name}={value.Plain()}")}",
        (var path, var value) when Flag(path) is { } flag => value is null ? $"(without {flag})" : $"{flag} {Safe.Word(value.Plain())}",
        _ => Safe.Text($"{leaf.Path}={leaf.Value.Plain()}"),
    }));

    // A merge patch: an object in it goes deeper, except where it is empty and so replaces what was there.
    private static IEnumerable<(string Path, JsonNode? Value)> Leaves(JsonObject change, string under) => change.SelectMany(field => field.Value is JsonObject { Count: > 0 } inner
        ? Leaves(inner, $"{under}{field.Key}.")
        : [(under + field.Key, field.Value)]);

    private static string Named(string field) => (field, Flag(field)) switch
    {
        ("", _) => "",
        (_, null) => $"{field}: ",
        (_, var flag) => $"{field} ({flag}): ",
    };

    /// <summary>The flag that gives this field of a request.</summary>
    private static string? Flag(string field) => field switch
    {
        "name" or "team" or "pool" or "start" or "state" or "owner" or "limit" => $"--{field}",
        "lease.hours" or "hours" => "--hours",
        "lease.until" or "until" => "--until",
        "lease" => "--hours or --until",
        "q" => "--search",
        "Idempotency-Key" => "--idempotency-key",
        "blueprint" => "BLUEPRINT",
        _ when field.StartsWith("parameters.", StringComparison.Ordinal) => $"--param {field["parameters.".Length..]}",
        _ when field.StartsWith("labels.", StringComparison.Ordinal) => $"--label {field["labels.".Length..]}",
        _ => null,
    };
}
