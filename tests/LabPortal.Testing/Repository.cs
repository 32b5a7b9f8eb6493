namespace LabPortal.Testing;

/// <summary>Where the sources are that these tests were built from.</summary>
public static class Repository
{
    public static string Root { get; } = Find(AppContext.BaseDirectory);

    /// <summary>What these tests were built as, and so what was built beside them.</summary>
    public static string Configuration => AppContext.BaseDirectory.Contains($"{Path.DirectorySeparatorChar}Release{Path.DirectorySeparatorChar}", StringComparison.Ordinal) ? "Release" : "Debug";

    private static string Find(string folder) => File.Exists(Path.Combine(folder, "LabPortal.sln"))
        ? folder
        : Find(Path.GetDirectoryName(folder) ?? throw new InvalidOperationException("LabPortal.sln is in no folder above the tests."));
}
