namespace LabPortal.Data;

/// <summary>What people type into a search box: a part of a text, in whatever case.</summary>
internal static class TextSearch
{
    public static string In(string column, string parameter) => $"lower({column}) LIKE @{parameter} ESCAPE '!'";

    public static string? Part(string? text)
        => text is null ? null : $"%{text.ToLowerInvariant().Replace("!", "!!", StringComparison.Ordinal).Replace("%", "!%", StringComparison.Ordinal).Replace("_", "!_", StringComparison.Ordinal)}%";
}
