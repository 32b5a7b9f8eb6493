namespace LabPortal.Data;

/// <summary>A parameter that holds many values, for <see cref="SqlDialect.AnyOf"/>: an array on PostgreSQL, JSON on SQLite.</summary>
public readonly record struct Many(IReadOnlyList<string> Values)
{
    /// <summary>Of ids or words, in their stored form.</summary>
    public static Many Of<T>(IEnumerable<T> values) where T : notnull => new([.. values.Select(value => value.ToString()!)]);
}
