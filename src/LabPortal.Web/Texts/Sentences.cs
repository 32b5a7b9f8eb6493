using System.Globalization;
using System.Resources;
using System.Text.RegularExpressions;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using NodaTime;

namespace LabPortal.Web.Texts;

/// <summary>
/// The sentence for a code, in the language of the current culture. Codes with their arguments travel through the whole portal; they
/// become words only here, for pages and API alike. Arguments stand in the text as <c>{name}</c>.
/// </summary>
internal static partial class Sentences
{
    private const string Unknown = "unknown";
    private static readonly ResourceManager s_texts = new("LabPortal.Web.Texts.Sentences", typeof(Sentences).Assembly);

    /// <summary>A code without a sentence becomes a general one that names the code.</summary>
    public static string Of(string code, IEnumerable<(string Name, object Value)>? arguments)
        => Find(code) is { } text ? Fill(text, arguments?.Select(argument => (argument.Name, InWords(argument.Name, argument.Value)))) : Fill(Find(Unknown)!, [("code", code)]);

    public static string Of(Refusal refusal) => Of(refusal.Code, refusal.Arguments);

    public static string Of(FieldError error) => Of(error.Code, error.Arguments);

    public static string Of(Offer offer) => Of(offer.Code, offer.Arguments);

    public static string Of(Reason reason) => OfStored(reason.Code, reason.Arguments);

    /// <summary>A code that was stored with its arguments as text.</summary>
    public static string OfStored(string code, IReadOnlyDictionary<string, string> arguments)
        => Of(code, arguments.Select(argument => (argument.Key, (object)argument.Value)));

    /// <summary>The bare text of a code, or nothing.</summary>
    public static string? Find(string code) => s_texts.GetString(code, CultureInfo.CurrentUICulture);

    /// <summary>Puts the arguments in. Values are data: what looks like a placeholder in one stays as it is.</summary>
    public static string Fill(string text, IEnumerable<(string Name, object Value)>? arguments)
    {
        if (arguments is null) return text;
        var values = arguments.ToDictionary(argument => argument.Name, argument => argument.Value);
        return Placeholder().Replace(text, match => values.TryGetValue(match.Groups[1].Value, out var value) ? Show(value) : match.Value);
    }

    /// <summary>What is a word for programs becomes one for people, wherever a sentence names it: <c>memoryMiB</c>, <c>boot</c>, <c>provision</c>.</summary>
    private static object InWords(string name, object value)
        => name is "dimension" or "scope" or "step" or "workflow" && value is string word && Find($"{name}.{word}") is { } text ? text : value;

    private static string Show(object value) => value switch
    {
        Instant instant => instant.ToString("uuuu-MM-dd HH:mm 'UTC'", CultureInfo.InvariantCulture),
        Duration duration => Show(duration),
        IFormattable number => number.ToString(null, CultureInfo.CurrentCulture),
        _ => value?.ToString() ?? "",
    };

    private static string Show(Duration duration) => duration.TotalDays >= 2 ? $"{duration.TotalDays:0.#} d" : duration.TotalHours >= 1 ? $"{duration.TotalHours:0.#} h" : $"{duration.TotalMinutes:0.#} min";

    [GeneratedRegex(@"\{([A-Za-z]+)\}")]
    private static partial Regex Placeholder();
}
