using System.Security.Cryptography;
using System.Text;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Aws;

/// <summary>A spec → names, tags, tokens and candidates. Pure: the same spec gives the same.</summary>
internal static class AwsMapping
{
    public const string InstallationTag = "labportal:installation";
    public const string LabTag = "labportal:lab";
    public const string MachineTag = "labportal:machine";
    public const string GenerationTag = "labportal:generation";
    public const string TitleTag = "labportal:title";

    /// <summary>The name of the machine that a snapshot is of.</summary>
    public const string OfTag = "labportal:of";

    /// <summary>Of a snapshot: whether its machine ran.</summary>
    public const string RunsTag = "labportal:runs";
    public const string NameTag = "Name";
    public const string DiskSuffix = ".disk";
    public const string CardSuffix = ".card";
    public const string GroupSuffix = ".group";

    /// <summary>What <c>RunInstances</c> takes, before it is written in base64 (EC2 User Guide, "Instance user data").</summary>
    public const int MostUserData = 16 * 1024;

    private const int LongestTag = 256;

    /// <summary>The lab's own group: there is one, whatever the generations of its machines.</summary>
    public static Owner GroupOf(Owner machine) => machine with { Machine = null, Generation = 1 };

    public static string GroupName(Owner owner) => GroupOf(owner).ResourceName + GroupSuffix;

    public static IReadOnlyDictionary<string, string> Tags(Owner owner, string suffix) => new Dictionary<string, string>
    {
        [NameTag] = owner.ResourceName + suffix,
        [InstallationTag] = owner.Installation.ToString(),
        [LabTag] = owner.Lab.ToString(),
        [MachineTag] = owner.Machine?.ToString() ?? "",
        [GenerationTag] = owner.Generation.ToString(System.Globalization.CultureInfo.InvariantCulture),
    };

    public static IReadOnlyDictionary<string, string> MachineTags(MachineSpec machine) => new Dictionary<string, string>(Tags(machine.Owner, "")) { [TitleTag] = Title(machine.Title) };

    public static IReadOnlyDictionary<string, string> SnapshotTags(Owner owner, SnapshotId snapshot, bool runs) => new Dictionary<string, string>(Tags(owner, ""))
    {
        [NameTag] = owner.SnapshotName(snapshot), [OfTag] = owner.ResourceName, [RunsTag] = runs ? "true" : "false",
    };

    /// <summary>At most 64 ASCII characters: from installation, machine and generation alone, so that no repeated create makes a second one.</summary>
    public static string ClientToken(Owner owner, string purpose) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{owner.ResourceName}/{purpose}")))[..48];

    public static string UserData(MachineSpec machine)
    {
        var data = CloudConfig.UserDataFile(machine);
        return data.Length <= MostUserData ? Convert.ToBase64String(data)
            : throw new ProviderFault(FaultKind.Rejected, $"The machine's user data has {data.Length} bytes, and AWS takes {MostUserData} at the most: shorten it, or have the guest fetch it.");
    }

    /// <summary>The types that are large enough, as the pool prefers them.</summary>
    public static IReadOnlyList<string> TypesFor(MachineSpec machine, AwsSettings settings)
    {
        var fitting = settings.InstanceTypes.Where(size => size.Cpu >= machine.Cpu && size.MemoryMiB >= machine.MemoryMiB).Select(size => size.Type).Distinct().ToList();
        return fitting.Count > 0 ? fitting
            : throw new ProviderFault(FaultKind.Rejected, $"None of the pool's instance types has {machine.Cpu} vCPU and {machine.MemoryMiB} MiB of memory: choose a smaller size, or have an admin add a type.");
    }

    /// <summary>A tag's value takes any character of a line that EC2's answers, which are XML 1.0, can hold.</summary>
    private static string Title(string title)
    {
        var line = ForeignText.Of(title, LongestTag).Replace('\ufffe', '\ufffd').Replace('\uffff', '\ufffd').Trim();
        return line.Length == 0 ? "machine" : line;
    }
}
