using System.CommandLine;
using System.Globalization;
using System.Text.RegularExpressions;

namespace LabPortal.Cli.Shell;

/// <summary>Instants and spans as people type and read them; the API has them in UTC.</summary>
internal static partial class Moments
{
    /// <summary>In the time zone of this machine, and how far off.</summary>
    public static string Show(string instant, TimeProvider time)
    {
        if (!DateTimeOffset.TryParse(instant, CultureInfo.InvariantCulture, out var at)) return instant;
        var off = at - time.GetUtcNow();
        var local = TimeZoneInfo.ConvertTime(at, time.LocalTimeZone).ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture);
        return off >= TimeSpan.Zero ? $"{local} (in {Short(off)})" : $"{local} ({Short(-off)} ago)";
    }

    public static string Show(string instant) => Show(instant, TimeProvider.System);

    public static string Short(TimeSpan span) => span switch
    {
        { TotalDays: >= 2 } => string.Create(CultureInfo.InvariantCulture, $"{span.TotalDays:0.#} d"),
        { TotalHours: >= 2 } => string.Create(CultureInfo.InvariantCulture, $"{span.TotalHours:0.#} h"),
        { TotalMinutes: >= 2 } => string.Create(CultureInfo.InvariantCulture, $"{span.TotalMinutes:0} min"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{span.TotalSeconds:0} s"),
    };

    /// <summary>As the API takes it.</summary>
    public static string Write(DateTimeOffset at) => at.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);

    /// <summary>An option that takes an instant: with its offset, or in the time zone of this machine.</summary>
    public static Option<DateTimeOffset?> Option(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "INSTANT",
        CustomParser = given =>
        {
            var text = given.Tokens[0].Value;
            if (InstantForm().IsMatch(text) && DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeLocal, out var at)) return at;
            given.AddError($"{name} takes an instant like 2030-01-31T18:00 (the time of this machine) or 2030-01-31T18:00:00Z, not \"{Safe.Text(text)}\".");
            return null;
        },
    };

    /// <summary>An option that takes a span.</summary>
    public static Option<TimeSpan?> SpanOption(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "SPAN",
        CustomParser = given =>
        {
            var text = given.Tokens[0].Value;
            if (SpanForm().Match(text) is { Success: true } match && double.Parse(match.Groups["n"].Value, CultureInfo.InvariantCulture) is <= 1e6 and var count)
            {
                return match.Groups["unit"].Value switch
                {
                    "s" => TimeSpan.FromSeconds(count),
                    "m" => TimeSpan.FromMinutes(count),
                    "h" => TimeSpan.FromHours(count),
                    _ => TimeSpan.FromDays(count),
                };
            }

            given.AddError($"{name} takes a span like 90s, 30m, 4h or 2d, not \"{Safe.Text(text)}\".");
            return null;
        },
    };

    [GeneratedRegex(@"\A\d{4}-\d\d-\d\d[T ]\d\d:\d\d", RegexOptions.CultureInvariant)]
    private static partial Regex InstantForm();

    [GeneratedRegex(@"\A(?<n>\d{1,7}(\.\d{1,3})?)(?<unit>[smhd])\z", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture)]
    private static partial Regex SpanForm();
}
