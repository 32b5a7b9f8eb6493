using System.Collections.Frozen;
using System.Text;

namespace LabPortal.Domain;

/// <summary>
/// The word of an enum member, as it is stored, sent and logged: kebab-case (<c>AwaitingApproval</c> is <c>awaiting-approval</c>).
/// Words are promises: renaming a member breaks stored data.
/// </summary>
public static class Words
{
    public static string Word<T>(this T member) where T : struct, Enum => Of<T>.Word[member];

    public static bool TryRead<T>(string? word, out T member) where T : struct, Enum
    {
        member = default;
        return word is not null && Of<T>.Member.TryGetValue(word, out member);
    }

    public static T Read<T>(string word) where T : struct, Enum => Of<T>.Member.TryGetValue(word, out var member)
        ? member
        : throw new FormatException($"\"{word}\" is no {typeof(T).Name}: {string.Join(", ", Of<T>.Member.Keys)}.");

    public static IEnumerable<string> All<T>() where T : struct, Enum => Enum.GetValues<T>().Select(member => member.Word());

    private static class Of<T> where T : struct, Enum
    {
        public static readonly FrozenDictionary<T, string> Word = Enum.GetValues<T>().ToFrozenDictionary(member => member, member => Kebab(member.ToString()));
        public static readonly FrozenDictionary<string, T> Member = Word.ToFrozenDictionary(pair => pair.Value, pair => pair.Key, StringComparer.Ordinal);
    }

    private static string Kebab(string name)
    {
        var word = new StringBuilder();
        for (var i = 0; i < name.Length; i++)
        {
            if (char.IsUpper(name[i]) && i > 0 && (char.IsLower(name[i - 1]) || (i + 1 < name.Length && char.IsLower(name[i + 1])))) word.Append('-');
            word.Append(char.ToLowerInvariant(name[i]));
        }

        return word.ToString();
    }
}
