namespace LabPortal.Domain.Images;

/// <summary>
/// A catalogue entry: what guests start from. <see cref="Bindings"/> says, for each kind of provider, what a pool of that kind calls it.
/// A lab pins the version.
/// </summary>
public sealed record Image
{
    public required string Name { get; init; }
    public string Version { get; init; } = "1";
    public string Os { get; init; } = "linux";

    /// <summary>The account that the seed's keys and password are for.</summary>
    public string User { get; init; } = "root";

    /// <summary>Made for warm start: its guest waits where it is told to, before it looks at anything that is one machine's own.</summary>
    public bool Warm { get; init; }
    public required IReadOnlyDictionary<string, IReadOnlyDictionary<string, string>> Bindings { get; init; }
    public bool Declared { get; init; }
}

/// <summary>A named amount of vCPUs, memory (MiB) and disk (GiB).</summary>
public sealed record Size(string Name, int Cpu, int MemoryMiB, int DiskGiB, bool Declared = false);
