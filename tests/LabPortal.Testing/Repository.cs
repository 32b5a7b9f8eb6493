namespace LabPortal.Testing;

/// <summary>Where the sources are that these tests were built from.</summary>
public static class Repository
{
    public static string Root { get; } = Find(AppContext.BaseDirectory);

    private static string Find(string folder) => File.Exists(Path.Combine(folder, "LabPortal.sln"))
        ? folder
        : Find(Path.GetDirectoryName(folder) ?? throw new InvalidOperationException("LabPortal.sln is in no folder above the tests."));
}
