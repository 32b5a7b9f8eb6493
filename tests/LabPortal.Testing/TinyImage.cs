namespace LabPortal.Testing;

/// <summary>The tiny guest's image, and that with the guest agent: built by <c>infra/images</c> where it is not there yet or older than its sources.</summary>
public static class TinyImage
{
    public static Task<string> FileAsync(CancellationToken cancellation) => FileAsync("tiny", cancellation);

    public static Task<string> WithAgentAsync(CancellationToken cancellation) => FileAsync("tiny-agent", cancellation);

    private static async Task<string> FileAsync(string name, CancellationToken cancellation)
    {
        var folder = Path.Combine(Repository.Root, "artifacts/images");
        Directory.CreateDirectory(folder);
        await using var one = await LockAsync(Path.Combine(folder, ".lock"), cancellation);
        var image = Path.Combine(folder, name + ".qcow2");
        var sources = Directory.EnumerateFiles(Path.Combine(Repository.Root, "infra/guests/tiny")).Append(Path.Combine(Repository.Root, "infra/images"));
        if (!File.Exists(image) || sources.Any(source => File.GetLastWriteTimeUtc(source) > File.GetLastWriteTimeUtc(image)))
            await Tool.RunAsync(cancellation, Path.Combine(Repository.Root, "infra/images"), name, folder);
        return image;
    }

    /// <summary>Test projects run side by side; one of them builds.</summary>
    private static async Task<FileStream> LockAsync(string file, CancellationToken cancellation)
    {
        while (true)
        {
            try
            {
                return new FileStream(file, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException)
            {
                await Task.Delay(200, cancellation);
            }
        }
    }
}
