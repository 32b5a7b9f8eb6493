using System.Text.RegularExpressions;
using LabPortal.Domain;

namespace LabPortal.Operations.People;

/// <summary>What names and addresses of people may look like.</summary>
internal static partial class PersonRules
{
    public const int LongestName = 100;

    /// <summary>The one form in which addresses are stored and compared.</summary>
    public static string Email(string? email) => (email ?? "").Trim().ToLowerInvariant();

    // Only what mail itself needs; whether the address is somebody's is found out by writing to it (RFC 5321, 4.5.3.1.3: 254 at most).
    public static bool IsEmail(string email) => email.Length <= 254 && EmailForm().IsMatch(email);

    /// <summary>A name of something of a person's own (themselves, a token, a key): free text on one line.</summary>
    public static FieldError? CheckName(string field, string? name) => name?.Trim() switch
    {
        null or "" => new(field, "name.required"),
        { Length: > LongestName } => new(field, "name.too-long", [("max", LongestName)]),
        var text when text.Any(letter => char.IsControl(letter) || letter is '\u2028' or '\u2029') => new(field, "name.control-characters"),
        _ => null,
    };

    [GeneratedRegex(@"^[^@\s\p{C}]{1,64}@[^@\s\p{C}]{1,253}$", RegexOptions.CultureInvariant)]
    private static partial Regex EmailForm();
}
