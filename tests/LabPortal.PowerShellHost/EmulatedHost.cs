using System.Buffers;
using System.Management.Automation;
using System.Text.Json;

namespace LabPortal.PowerShellHost;

/// <summary>A machine as the emulated host keeps it, in a file of its own.</summary>
public sealed record VirtualMachine
{
    public required Guid Id { get; init; }
    public required string Name { get; init; }
    public required string Path { get; init; }
    public required string Disk { get; set; }
    public required int Generation { get; init; }
    public required string Switch { get; init; }
    public string State { get; set; } = "Off";
    public string Notes { get; set; } = "";
    public DateTime ChangedAt { get; set; }
    public bool IsShuttingDown { get; set; }
    public Dictionary<string, string> Settings { get; init; } = [];
    public List<Checkpoint> Checkpoints { get; init; } = [];
}

public sealed record Checkpoint(Guid Id, string Name, DateTime CreatedAt, string State, string Notes);

/// <summary>
/// What the module does, on machines that are files below <c>LABPORTAL_HOST</c>. Errors have the ids that public reports of the real module show
/// (<c>OutOfMemory</c>, <c>InvalidParameter</c>, <c>InvalidState</c>, <c>AccessDenied</c>); several machines may have one name, as there.
/// </summary>
public sealed class EmulatedHost(string folder)
{
    private const int GuestMilliseconds = 60;

    private static readonly SearchValues<char> s_refused = SearchValues.Create("\\/:*?\"<>|");

    public static EmulatedHost Current { get; } = new(Environment.GetEnvironmentVariable("LABPORTAL_HOST") ?? ".");

    private string Machines => Path.Combine(folder, "vms");

    public object? Run(string cmdlet, IReadOnlyDictionary<string, object?> given)
    {
        if (Wire.Current.IsDenied) throw new HyperVError("AccessDenied", ErrorCategory.PermissionDenied, "You do not have the required permission to complete this task. Contact the administrator of the authorization policy for the computer.");
        Directory.CreateDirectory(Machines);
        using var held = Locks.Open(Path.Combine(folder, "lock"));
        return new Call(this, cmdlet, given).Run();
    }

    /// <summary>All machines at one moment, for whoever is no call of the module.</summary>
    public IReadOnlyList<VirtualMachine> Look()
    {
        Directory.CreateDirectory(folder);
        using var held = Locks.Open(Path.Combine(folder, "lock"));
        return All();
    }

    private IReadOnlyList<VirtualMachine> All()
    {
        if (!Directory.Exists(Machines)) return [];
        return [.. Directory.EnumerateFiles(Machines, "*.json").Order(StringComparer.Ordinal).Select(file => Lived(JsonSerializer.Deserialize<VirtualMachine>(File.ReadAllText(file))!))];
    }

    private void Save(VirtualMachine machine)
    {
        var file = Path.Combine(Machines, $"{machine.Id}.json");
        File.WriteAllText(file + ".new", JsonSerializer.Serialize(machine));
        File.Move(file + ".new", file, overwrite: true);
    }

    private static VirtualMachine Lived(VirtualMachine machine)
    {
        if (machine.IsShuttingDown && DateTime.UtcNow - machine.ChangedAt > TimeSpan.FromMilliseconds(GuestMilliseconds)) (machine.State, machine.IsShuttingDown) = ("Off", false);
        return machine;
    }

    private sealed class Call(EmulatedHost host, string cmdlet, IReadOnlyDictionary<string, object?> given)
    {
        public object? Run()
        {
            switch (cmdlet)
            {
                case "Get-VMHost": return Shape(("Name", "HV-1"), ("LogicalProcessorCount", 16), ("MemoryCapacity", 64L << 30));
                case "Get-VMSwitch": return new[] { Shape(("Name", "LabPortal"), ("SwitchType", "External")) };
                case "Get-VM": return Found(wildcards: true).Select(Shape).ToArray();
                case "New-VHD": return NewDisk();
                case "Resize-VHD": return Resize();
                case "New-VM": return NewMachine();
                case "Get-VMSnapshot": return Found().SelectMany(machine => machine.Checkpoints.Where(each => Text("Name") is not { } name || name == each.Name).Select(each => Shape(machine, each))).ToArray();
            }

            foreach (var machine in Found())
            {
                Change(machine);
                if (cmdlet != "Remove-VM") host.Save(machine);
            }

            return null;
        }

        private void Change(VirtualMachine machine)
        {
            switch (cmdlet)
            {
                case "Set-VM":
                    if (Text("Notes") is { } notes) machine.Notes = notes;
                    if (given.ContainsKey("DynamicMemory") && given.ContainsKey("StaticMemory")) throw new HyperVError("InvalidParameter", ErrorCategory.InvalidArgument, "DynamicMemory and StaticMemory cannot both be given.");
                    if (given.Keys.Except(["Name", "Notes", "AutomaticCheckpointsEnabled"], StringComparer.OrdinalIgnoreCase).Any()) MustBe(machine, "Off");
                    Keep(machine);
                    break;
                case "Set-VMProcessor" or "Set-VMFirmware" or "Set-VMKeyProtector" or "Enable-VMTPM":
                    MustBe(machine, "Off");
                    if (cmdlet == "Set-VMFirmware" && machine.Generation != 2) throw new HyperVError("InvalidParameter", ErrorCategory.InvalidArgument, "The operation is supported only for generation 2 virtual machines.");
                    if (cmdlet == "Enable-VMTPM" && !machine.Settings.ContainsKey("Set-VMKeyProtector.NewLocalKeyProtector")) throw new HyperVError("InvalidState", ErrorCategory.InvalidOperation, "The virtual machine has no key protector.");
                    Keep(machine);
                    break;
                case "Set-VMNetworkAdapter" or "Set-VMNetworkAdapterVlan":
                    Keep(machine);
                    break;
                case "Add-VMDvdDrive":
                    if (!File.Exists(Text("Path"))) throw new HyperVError("ObjectNotFound", ErrorCategory.ObjectNotFound, $"'{Text("Path")}' cannot be found.");
                    Keep(machine);
                    break;
                case "Start-VM":
                    if (machine.State == "Running") break;
                    if (Wire.Current.IsFull) throw new HyperVError("OutOfMemory", ErrorCategory.FromStdErr, $"'{machine.Name}' failed to start.\nNot enough memory in the system to start the virtual machine {machine.Name}.\nCould not initialize memory: Ran out of memory (0x8007000E).");
                    if (!File.Exists(machine.Disk)) throw new HyperVError("OperationFailed", ErrorCategory.NotSpecified, $"'{machine.Name}' failed to start: '{machine.Disk}' was not found (0x80070002).");
                    Turn(machine, "Running");
                    break;
                case "Stop-VM":
                    if (machine.State == "Off") break;
                    MustBe(machine, "Running");
                    if (Is("Save")) Turn(machine, "Saved");
                    else if (Is("TurnOff")) Turn(machine, "Off");
                    else (machine.IsShuttingDown, machine.ChangedAt) = (true, DateTime.UtcNow);
                    break;
                case "Restart-VM":
                    MustConfirm(Is("Force"));
                    MustBe(machine, "Running");
                    Turn(machine, "Running");
                    break;
                case "Remove-VM":
                    MustConfirm(Is("Force"));
                    MustBe(machine, "Off", "Saved");
                    File.Delete(Path.Combine(host.Machines, $"{machine.Id}.json"));
                    Directory.Delete(Path.Combine(machine.Path, "Virtual Machines"), recursive: true);
                    foreach (var checkpoint in machine.Checkpoints) Forget(machine, checkpoint);
                    break;
                case "Checkpoint-VM":
                    var taken = new Checkpoint(Guid.NewGuid(), Text("SnapshotName") ?? $"{machine.Name} - ({DateTime.Now})", DateTime.UtcNow, machine.State, machine.Notes);
                    File.WriteAllBytes(Layer(machine, taken), new byte[machine.State == "Running" ? 65536 : 4096]);
                    machine.Checkpoints.Add(taken);
                    break;
                case "Restore-VMSnapshot":
                    MustConfirm(IsConfirmed);
                    var wanted = machine.Checkpoints.FirstOrDefault(each => each.Name == Text("Name")) ?? throw new HyperVError("InvalidParameter", ErrorCategory.InvalidArgument, $"Hyper-V was unable to find a checkpoint with name \"{Text("Name")}\".");
                    machine.Notes = wanted.Notes;
                    // Its memory is there, and it goes on from it when it is started.
                    Turn(machine, wanted.State == "Running" ? "Saved" : "Off");
                    break;
                case "Remove-VMSnapshot":
                    MustConfirm(IsConfirmed);
                    foreach (var gone in machine.Checkpoints.Where(each => Texts("Name").Contains(each.Name)).ToList())
                    {
                        Forget(machine, gone);
                        machine.Checkpoints.Remove(gone);
                    }

                    break;
                default:
                    throw new HyperVError("NotImplemented", ErrorCategory.NotImplemented, $"The emulated host does nothing for {cmdlet}.");
            }
        }

        private PSObject NewDisk()
        {
            var (path, parent) = (Texts("Path").Single(), Text("ParentPath"));
            if (File.Exists(path)) throw new HyperVError("OperationFailed", ErrorCategory.ResourceExists, $"Failed to create the virtual hard disk: '{path}' exists (0x80070050).");
            if (parent is not null && !File.Exists(parent)) throw new HyperVError("ObjectNotFound", ErrorCategory.ObjectNotFound, $"'{parent}' cannot be found.");
            if (!Directory.Exists(Path.GetDirectoryName(path))) throw new HyperVError("OperationFailed", ErrorCategory.NotSpecified, $"Failed to create the virtual hard disk: the path of '{path}' was not found (0x80070003).");
            var size = given.TryGetValue("SizeBytes", out var bytes) && bytes is not null ? Convert.ToInt64(bytes, null) : 256L << 20;
            File.WriteAllText(path, JsonSerializer.Serialize(new Disk(parent, size)));
            return Shape(("Path", path), ("Size", (ulong)size), ("ParentPath", parent), ("VhdType", parent is null ? "Dynamic" : "Differencing"));
        }

        private object? Resize()
        {
            var path = Texts("Path").Single();
            if (!File.Exists(path)) throw new HyperVError("ObjectNotFound", ErrorCategory.ObjectNotFound, $"'{path}' cannot be found.");
            var disk = JsonSerializer.Deserialize<Disk>(File.ReadAllText(path))!;
            var size = Convert.ToInt64(given["SizeBytes"], null);
            if (size < disk.Size) throw new HyperVError("OperationFailed", ErrorCategory.NotSpecified, "Failed to resize the virtual disk: it is larger.");
            File.WriteAllText(path, JsonSerializer.Serialize(disk with { Size = size }));
            return null;
        }

        private PSObject NewMachine()
        {
            var (name, disk, path, toSwitch) = (Text("Name") ?? "New virtual machine", Text("VHDPath"), Text("Path"), Text("SwitchName"));
            if (name.AsSpan().IndexOfAny(s_refused) >= 0) throw new HyperVError("InvalidParameter", ErrorCategory.InvalidArgument, "The name has characters that it may not have.");
            if (disk is null || path is null || !File.Exists(disk)) throw new HyperVError("ObjectNotFound", ErrorCategory.ObjectNotFound, $"'{disk}' cannot be found.");
            if (toSwitch is not (null or "LabPortal")) throw new HyperVError("InvalidParameter", ErrorCategory.InvalidArgument, $"Hyper-V was unable to find a virtual switch with name \"{toSwitch}\".");
            var machine = new VirtualMachine { Id = Guid.NewGuid(), Name = name, Path = Path.Combine(path, name), Disk = disk, Generation = Convert.ToInt32(given.GetValueOrDefault("Generation") ?? 1, null), Switch = toSwitch ?? "" };
            Directory.CreateDirectory(Path.Combine(machine.Path, "Virtual Machines"));
            File.WriteAllText(Path.Combine(machine.Path, "Virtual Machines", $"{machine.Id}.vmcx"), name);
            Keep(machine);
            host.Save(machine);
            return Shape(machine);
        }

        private List<VirtualMachine> Found(bool wildcards = false)
        {
            var all = host.All();
            var names = Texts(cmdlet is "Get-VM" or "Set-VM" or "Start-VM" or "Stop-VM" or "Restart-VM" or "Remove-VM" or "Checkpoint-VM" ? "Name" : "VMName");
            if (names.Count == 0) return wildcards ? [.. all] : throw new HyperVError("InvalidParameter", ErrorCategory.InvalidArgument, "The emulated host takes machines by name.");
            return [.. names.SelectMany(name =>
            {
                var found = all.Where(machine => new WildcardPattern(name, WildcardOptions.IgnoreCase).IsMatch(machine.Name)).ToList();
                return found.Count > 0 || WildcardPattern.ContainsWildcardCharacters(name) ? found : throw new HyperVError("InvalidParameter", ErrorCategory.InvalidArgument, $"Hyper-V was unable to find a virtual machine with name \"{name}\".");
            })];
        }

        private static void Turn(VirtualMachine machine, string state) => (machine.State, machine.ChangedAt, machine.IsShuttingDown) = (state, DateTime.UtcNow, false);

        private void Keep(VirtualMachine machine)
        {
            foreach (var (name, value) in given) machine.Settings[$"{cmdlet}.{name}"] = LanguagePrimitives.ConvertTo<string>(value);
        }

        private static string Layer(VirtualMachine machine, Checkpoint checkpoint) => Path.Combine(Path.GetDirectoryName(machine.Disk)!, $"disk_{checkpoint.Id}.avhdx");

        private static void Forget(VirtualMachine machine, Checkpoint checkpoint) => File.Delete(Layer(machine, checkpoint));

        private static void MustBe(VirtualMachine machine, params string[] states)
        {
            if (!states.Contains(machine.State)) throw new HyperVError("InvalidState", ErrorCategory.InvalidOperation, $"The operation cannot be performed while the object is in its current state: '{machine.Name}' is {machine.State}.");
        }

        private static void MustConfirm(bool isConfirmed)
        {
            if (!isConfirmed) throw new HyperVError("InvalidOperation", ErrorCategory.InvalidOperation, "Windows PowerShell is in NonInteractive mode. Read and Prompt functionality is not available.");
        }

        private bool IsConfirmed => given.TryGetValue("Confirm", out var confirm) && !LanguagePrimitives.IsTrue(confirm);

        private bool Is(string name) => given.TryGetValue(name, out var value) && LanguagePrimitives.IsTrue(value);

        private string? Text(string name) => given.TryGetValue(name, out var value) ? value as string : null;

        private IReadOnlyList<string> Texts(string name) => given.TryGetValue(name, out var value) ? value switch { string one => [one], string[] many => many, _ => [] } : [];

        private static PSObject Shape(VirtualMachine machine)
        {
            var isUp = machine.State == "Running" && DateTime.UtcNow - machine.ChangedAt > TimeSpan.FromMilliseconds(GuestMilliseconds);
            var card = Shape(("Name", "Network Adapter"), ("SwitchName", machine.Switch), ("IPAddresses", isUp ? (string[])[$"10.20.{machine.Id.ToByteArray()[0]}.{machine.Id.ToByteArray()[1] | 1}", "fe80::1"] : []));
            return Shape(("Name", machine.Name), ("Id", machine.Id), ("State", machine.State), ("Status", "Operating normally"), ("Notes", machine.Notes), ("Generation", machine.Generation), ("NetworkAdapters", new object[] { card }));
        }

        private static PSObject Shape(VirtualMachine machine, Checkpoint checkpoint)
            => Shape(("VMName", machine.Name), ("Name", checkpoint.Name), ("Id", checkpoint.Id), ("CreationTime", checkpoint.CreatedAt.ToLocalTime()), ("SnapshotType", "Standard"));

        private static PSObject Shape(params (string Name, object? Value)[] properties)
        {
            var shape = new PSObject();
            foreach (var (name, value) in properties) shape.Properties.Add(new PSNoteProperty(name, value));
            return shape;
        }
    }

    private sealed record Disk(string? Parent, long Size);
}
