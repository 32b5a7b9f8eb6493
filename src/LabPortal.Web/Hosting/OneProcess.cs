namespace LabPortal.Web.Hosting;

/// <summary>Holds an embedded database for this process alone, as long as it lives; a killed process lets go by dying.</summary>
internal sealed class OneProcess : IDisposable
{
    private readonly FileStream _lock;

    private OneProcess(FileStream held) => _lock = held;

    public static OneProcess Hold(string databasePath)
    {
        var path = databasePath + ".lock";
        try
        {
            return new OneProcess(new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None));
        }
        catch (IOException fault) when (File.Exists(path))
        {
            throw new InvalidOperationException(
                $"Another portal uses {databasePath}. An SQLite database serves one process: stop the other one, name another LabPortal:DataFolder, or use PostgreSQL.", fault);
        }
    }

    // The file stays: removing it would let two processes hold two files of one name.
    public void Dispose() => _lock.Dispose();
}
