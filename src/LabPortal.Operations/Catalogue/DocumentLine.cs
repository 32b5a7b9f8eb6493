using DiffPlex.DiffBuilder;
using DiffPlex.DiffBuilder.Model;

namespace LabPortal.Operations.Catalogue;

public enum LineChange
{
    Same,
    Removed,
    Added,
}

/// <summary>A line of two compared documents.</summary>
public sealed record DocumentLine(LineChange Change, string Text)
{
    internal static List<DocumentLine> Compare(string from, string to)
        => [.. InlineDiffBuilder.Diff(from.TrimEnd(), to.TrimEnd(), ignoreWhiteSpace: false).Lines.Select(line => new DocumentLine(
            line.Type switch { ChangeType.Inserted => LineChange.Added, ChangeType.Deleted => LineChange.Removed, _ => LineChange.Same }, line.Text))];
}
