using System.CommandLine;
using System.Text.Json.Nodes;
using LabPortal.Cli.Help;
using LabPortal.Cli.Shell;

namespace LabPortal.Cli.Labs;

/// <summary>What several lab commands take.</summary>
internal static class LabArguments
{
    public static Argument<string> Lab() => new("LAB") { HelpName = "LAB", Description = "Its name, its id, or the beginning of its id.", CompletionSources = { Suggestions.Labs } };

    public static Argument<string> LabOrMachine() => new("LAB[/MACHINE]") { HelpName = "LAB[/MACHINE]", Description = "A lab by its name, its id or the beginning of its id; or one machine of it.", CompletionSources = { Suggestions.Labs } };

    public static Option<bool> Wait(string until) => new("--wait", "-w") { Description = $"Wait until {until}; tell what happens meanwhile." };

    public static Option<TimeSpan?> Timeout() => Moments.SpanOption("--timeout", "Wait no longer than this, like 90s, 30m, 4h.");

    public static Option<bool> Yes() => new("--yes", "-y") { Description = "Do not ask." };

    /// <summary>Decimal hours, and the other way to say how long.</summary>
    public static (Option<decimal?> Hours, Option<DateTimeOffset?> Until) Lease() => (
        new Option<decimal?>("--hours") { Description = "For that many hours; decimal.", HelpName = "HOURS" },
        Moments.Option("--until", "Until then, like 2030-01-31T18:00 (the time of this machine) or with its offset."));

    /// <summary><c>{"hours"}</c> or <c>{"until"}</c>; which of them is right, or none, is for the portal to say.</summary>
    public static JsonObject? ReadLease(Call call, Option<decimal?> hours, Option<DateTimeOffset?> until)
    {
        var lease = new JsonObject();
        if (call.Value(hours) is { } number) lease["hours"] = number;
        if (call.Value(until) is { } at) lease["until"] = Moments.Write(at);
        return lease.Count == 0 ? null : lease;
    }

    /// <summary>An option that may be repeated, each time with <c>NAME=VALUE</c>.</summary>
    public static Option<JsonObject> Pairs(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "NAME=VALUE",
        Arity = ArgumentArity.OneOrMore,
        CustomParser = given =>
        {
            var pairs = new JsonObject();
            foreach (var text in given.Tokens.Select(token => token.Value))
            {
                if (text.IndexOf('=', StringComparison.Ordinal) is not (> 0 and var at)) given.AddError($"{name} takes NAME=VALUE, not \"{Safe.Text(text)}\".");
                else if (!pairs.TryAdd(text[..at], text[(at + 1)..])) given.AddError($"{name} gives \"{Safe.Text(text[..at])}\" twice.");
            }

            return pairs;
        },
    };
}
