using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Azure;

/// <summary>A spec → names, tags and candidates. Pure: the same spec gives the same.</summary>
internal static class AzureMapping
{
    // Azure's tag names may have no slash or colon.
    public const string InstallationTag = "labportal-installation";
    public const string LabTag = "labportal-lab";
    public const string MachineTag = "labportal-machine";
    public const string GenerationTag = "labportal-generation";
    public const string TitleTag = "labportal-title";

    /// <summary>Of a snapshot: which it is.</summary>
    public const string SnapshotTag = "labportal-snapshot";

    /// <summary>Of a snapshot: whether its machine ran.</summary>
    public const string RunsTag = "labportal-runs";

    public const string DiskSuffix = ".disk";
    public const string CardSuffix = ".card";
    public const string AddressSuffix = ".address";

    /// <summary>What <c>customData</c> takes, before it is written in base64 ("Custom data and cloud-init on Azure Virtual Machines").</summary>
    public const int MostCustomData = 64 * 1024;

    private const int LongestTag = 256;

    /// <summary>The lab's own group: there is one, whatever the generations of its machines.</summary>
    public static Owner GroupOf(Owner machine) => machine with { Machine = null, Generation = 1 };

    public static string GroupName(Owner owner, AzureSettings settings) => settings.ResourceGroup.Length > 0 ? settings.ResourceGroup : GroupOf(owner).ResourceName;

    public static IReadOnlyDictionary<string, string> Tags(Owner owner) => new Dictionary<string, string>
    {
        [InstallationTag] = owner.Installation.ToString(),
        [LabTag] = owner.Lab.ToString(),
        [MachineTag] = owner.Machine?.ToString() ?? "",
        [GenerationTag] = owner.Generation.ToString(CultureInfo.InvariantCulture),
    };

    public static IReadOnlyDictionary<string, string> MachineTags(MachineSpec machine) => new Dictionary<string, string>(Tags(machine.Owner)) { [TitleTag] = Title(machine.Title) };

    /// <summary>A snapshot's name has 80 characters at the most, which a whole id is too long for: the end of it, which is its random part.</summary>
    public static string SnapshotName(Owner owner, SnapshotId snapshot) => $"{owner.ResourceName}{Owner.SnapshotSuffix}{snapshot.Value.ToString("n")[^16..]}";

    public static IReadOnlyDictionary<string, string> SnapshotTags(Owner owner, SnapshotId snapshot, bool runs)
        => new Dictionary<string, string>(Tags(owner)) { [SnapshotTag] = snapshot.Value.ToString("n"), [RunsTag] = runs ? "true" : "false" };

    /// <summary>Which snapshot of this machine it is; empty where its tag and its name do not agree.</summary>
    public static SnapshotId? ReadSnapshot(Owner owner, string name, IReadOnlyDictionary<string, string> tags)
        => Guid.TryParseExact(tags.GetValueOrDefault(SnapshotTag), "n", out var id) && SnapshotName(owner, new SnapshotId(id)) == name ? new SnapshotId(id) : null;

    /// <summary>
    /// The disk that a revert gives the machine: the same for the same snapshot and the disk that it has now, so that a repeated revert goes on, and never one that
    /// the guest has written on since an earlier revert.
    /// </summary>
    public static string DiskName(Owner owner, SnapshotId snapshot, string now)
        => $"{owner.ResourceName}{DiskSuffix}-{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{snapshot.Value:n}/{now.Split('/')[^1]}")))[..12]}";

    public static string CustomData(MachineSpec machine)
    {
        var data = CloudConfig.UserDataFile(machine);
        return data.Length <= MostCustomData ? Convert.ToBase64String(data)
            : throw new ProviderFault(FaultKind.Rejected, $"The machine's user data has {data.Length} bytes, and Azure takes {MostCustomData} at the most: shorten it, or have the guest fetch it.");
    }

    /// <summary>The sizes that are large enough, as the pool prefers them.</summary>
    public static IReadOnlyList<string> SizesFor(MachineSpec machine, AzureSettings settings)
    {
        var fitting = settings.Sizes.Where(size => size.Cpu >= machine.Cpu && size.MemoryMiB >= machine.MemoryMiB).Select(size => size.Size).Distinct().ToList();
        return fitting.Count > 0 ? fitting
            : throw new ProviderFault(FaultKind.Rejected, $"None of the pool's sizes has {machine.Cpu} vCPU and {machine.MemoryMiB} MiB of memory: choose a smaller size, or have an admin add one.");
    }

    /// <summary>
    /// Azure asks for a first user itself and refuses some names (<c>root</c>, <c>admin</c>, …); cloud-init makes the user that people sign in as. This one has a
    /// key or password of theirs too, and no other way in.
    /// </summary>
    public const string FirstUser = "labportal";

    private static string Title(string title)
    {
        var line = ForeignText.Of(title, LongestTag).Trim();
        return line.Length == 0 ? "machine" : line;
    }
}
