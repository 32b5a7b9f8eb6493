using LabPortal.Domain;

namespace LabPortal.Operations.Pools;

/// <summary>
/// The folders of the portal's machine from which images are imported. Nothing else of it may become a guest's disk: an admin of the portal
/// is not root of its machine, and its keys and database are files, too.
/// </summary>
public sealed class ImageFolders(IReadOnlyList<string> folders)
{
    public IReadOnlyList<string> Folders { get; } = folders;

    /// <summary>What is wrong with this file as an image's, or nothing. Links count as what they lead to.</summary>
    internal FieldError? Mistake(string file)
    {
        if (!Path.IsPathFullyQualified(file) || file.Contains('\0')) return new FieldError("file", "file.not-a-full-path");
        // Whether a file is there is nobody's business where it may not be read.
        if (!Folders.Any(folder => IsIn(folder, Path.GetFullPath(file)))) return Elsewhere();
        if (!File.Exists(file)) return new FieldError("file", "file.not-found", [("file", file)]);
        var real = RealPath(file);
        return Folders.Any(folder => IsIn(RealPath(folder), real)) ? null : Elsewhere();
    }

    private FieldError Elsewhere() => new("file", "file.elsewhere", [("folders", string.Join(", ", Folders))]);

    private static bool IsIn(string folder, string file) => file.StartsWith(folder.TrimEnd(Path.DirectorySeparatorChar) + Path.DirectorySeparatorChar, StringComparison.Ordinal);

    // realpath(3): each part of the way may be a link.
    private static string RealPath(string path)
    {
        var real = Path.GetPathRoot(path)!;
        foreach (var part in Path.GetFullPath(path)[real.Length..].Split(Path.DirectorySeparatorChar, StringSplitOptions.RemoveEmptyEntries))
        {
            var next = Path.Combine(real, part);
            var target = (Directory.Exists(next) ? (FileSystemInfo)new DirectoryInfo(next) : new FileInfo(next)).ResolveLinkTarget(returnFinalTarget: true);
            real = target is null ? next : RealPath(target.FullName);
        }

        return real;
    }
}
