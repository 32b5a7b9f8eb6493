using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.HyperV;

/// <summary>What is wanted → a script's input, and back. Pure.</summary>
internal static class HyperVMapping
{
    /// <summary>So little memory Hyper-V gives a machine at the least (<c>Set-VM</c>, <c>MemoryMinimumBytes</c>).</summary>
    private const long LeastMemory = 32L << 20;

    public static JsonObject Name(Owner owner, HyperVSettings settings) => new()
    {
        ["name"] = owner.ResourceName,
        ["folder"] = settings.Folder,
        // Which byte of the lock file is the machine's.
        ["lock"] = BinaryPrimitives.ReadUInt32BigEndian(SHA256.HashData(Encoding.UTF8.GetBytes(owner.ResourceName))),
    };

    /// <summary>Where the image's file is on each host.</summary>
    public static string ImageFile(ImageBinding image, HyperVSettings settings)
    {
        var file = image.Require("vhdx");
        if (file.Length == 0 || file[0] is '/' or '\\' || file.Contains(':', StringComparison.Ordinal) || file.Split('/', '\\').Contains(".."))
            throw new ProviderFault(FaultKind.Rejected, $"Image \"{image.Image}\" is bound to \"{file}\", which is no file below the pool's folder of images.");
        return Join(settings.Images, file);
    }

    public static JsonObject Create(MachineSpec machine, HyperVSettings settings, string toSwitch)
    {
        var memory = (long)machine.MemoryMiB << 20;
        var wanted = Name(machine.Owner, settings);
        wanted["notes"] = Notes(machine);
        wanted["image"] = machine.Image.Image;
        wanted["parent"] = ImageFile(machine.Image, settings);
        wanted["seed"] = Convert.ToBase64String(CloudConfig.NoCloud(machine));
        wanted["cpu"] = machine.Cpu;
        wanted["memoryBytes"] = memory;
        wanted["memoryLeastBytes"] = Math.Max(LeastMemory, memory / 4);
        wanted["dynamicMemory"] = settings.DynamicMemory;
        wanted["diskBytes"] = (long)machine.DiskGiB << 30;
        wanted["generation"] = settings.Generation;
        wanted["secureBoot"] = settings.SecureBoot;
        wanted["tpm"] = settings.Tpm;
        wanted["nested"] = settings.Nested;
        wanted["switch"] = toSwitch;
        wanted["vlan"] = settings.Vlan;
        wanted["mac"] = machine.Owner.DerivedMac(0).Replace(":", "", StringComparison.Ordinal);
        return wanted;
    }

    /// <summary>Whose the machine is, for whoever looks at it in Hyper-V Manager; written when it is whole.</summary>
    private static string Notes(MachineSpec machine) => new JsonObject
    {
        ["labportal"] = machine.Owner.Installation.ToString(),
        ["lab"] = machine.Owner.Lab.ToString(),
        ["machine"] = machine.Owner.Machine!.Value.ToString(),
        ["generation"] = machine.Owner.Generation,
        ["title"] = ForeignText.Of(machine.Title),
    }.ToJsonString();

    /// <summary>A machine that Hyper-V shows. One without its notes is not whole yet.</summary>
    public static Observation.Present Seen(ResourceRef reference, string host, JsonNode machine)
    {
        var state = machine["state"]!.GetValue<string>();
        var isWhole = machine["notes"]!.GetValue<string>().Contains(reference.Owner.Installation.ToString(), StringComparison.OrdinalIgnoreCase);
        // Microsoft.HyperV.PowerShell.VMState.
        var power = state switch
        {
            _ when !isWhole => PowerState.Building,
            "Running" => PowerState.Running,
            "Off" or "Saved" or "Paused" or "FastSaved" => PowerState.Stopped,
            "Starting" or "Reset" or "Resuming" => PowerState.Building,
            "Stopping" or "Saving" or "Pausing" or "FastSaving" => PowerState.Stopping,
            _ => PowerState.Failed,
        };
        return new Observation.Present(reference, power, machine["id"]!.GetValue<string>(), host,
            [.. List(machine["addresses"]).Select(text => IPAddress.TryParse(text?.GetValue<string>(), out var address) ? address : null).OfType<IPAddress>()],
            power == PowerState.Failed ? $"Hyper-V says of it: {state}, {machine["status"]?.GetValue<string>()}." : null);
    }

    public static MachineSnapshot? Snapshot(Owner owner, JsonNode checkpoint)
    {
        if (owner.ReadSnapshotName(checkpoint["name"]!.GetValue<string>()) is not { } snapshot) return null;
        var taken = DateTimeOffset.Parse(checkpoint["taken"]!.GetValue<string>(), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal);
        return new MachineSnapshot(snapshot, checkpoint["id"]!.GetValue<string>(), NodaTime.Instant.FromDateTimeOffset(taken), WithMemory: checkpoint["runs"]!.GetValue<bool>(), Bytes: null);
    }

    /// <summary>A list of none or one may come as nothing or as itself: PowerShell's lists unfold.</summary>
    public static IEnumerable<JsonNode?> List(JsonNode? node) => node switch
    {
        null => [],
        JsonArray list => list,
        _ => [node],
    };

    private static string Join(string folder, string file) => folder.TrimEnd('/', '\\') + (folder.Contains('/', StringComparison.Ordinal) ? '/' : '\\') + file;
}
