using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Azure;

/// <summary>Snapshots of a machine's disk; memory is not kept. A revert exchanges the disk ("Change the OS disk used by an Azure VM").</summary>
internal sealed partial class AzureProvider
{
    public async Task TakeSnapshotAsync(ResourceRef machine, SnapshotId snapshot, CancellationToken cancellation)
    {
        var (group, found) = await MustFindAsync(machine.Owner, cancellation);
        var name = AzureMapping.SnapshotName(machine.Owner, snapshot);
        if (await client.FindSnapshotAsync(group, name, cancellation) is null)
        {
            var disk = found.Disk ?? throw new ProviderFault(FaultKind.Transient, $"Azure does not show the disk of {machine.Owner.ResourceName} yet.");
            await client.CreateSnapshotAsync(group, name, disk, AzureMapping.SnapshotTags(machine.Owner, snapshot, runs: found.Power is "running" or "starting"), cancellation);
        }

        var taken = await UntilAsync(() => client.FindSnapshotAsync(group, name, cancellation), seen => seen?.Provisioning is "Succeeded" or "Failed", cancellation);
        if (taken!.Provisioning == "Succeeded") return;
        await client.DeleteRestAsync(taken.Id, cancellation);
        throw new ProviderFault(FaultKind.Transient, $"Azure could not take the snapshot of {machine.Owner.ResourceName}.");
    }

    public async Task<IReadOnlyList<MachineSnapshot>> ListSnapshotsAsync(ResourceRef machine, CancellationToken cancellation)
    {
        var (group, _) = await MustFindAsync(machine.Owner, cancellation);
        return
        [
            .. (await client.SnapshotsAsync(group, cancellation)).Where(view => view.Provisioning == "Succeeded")
                .Select(view => AzureMapping.ReadSnapshot(machine.Owner, view.Name, view.Tags) is { } id ? new MachineSnapshot(id, view.Id, view.TakenAt, WithMemory: false, Bytes: null) { Runs = Runs(view) } : null)
                .OfType<MachineSnapshot>(),
        ];
    }

    public async Task RevertAsync(ResourceRef machine, SnapshotId snapshot, CancellationToken cancellation)
    {
        var (group, found) = await MustFindAsync(machine.Owner, cancellation);
        var from = await client.FindSnapshotAsync(group, AzureMapping.SnapshotName(machine.Owner, snapshot), cancellation)
            ?? throw new ProviderFault(FaultKind.Rejected, $"Machine {machine.Owner.ResourceName} has no snapshot {snapshot}.");
        if (from.Provisioning != "Succeeded") from = (await UntilAsync(() => client.FindSnapshotAsync(group, from.Name, cancellation), seen => seen is null or { Provisioning: "Succeeded" }, cancellation))!;

        found = await DeallocatedAsync(machine.Owner, found, cancellation);
        var name = AzureMapping.DiskName(machine.Owner, snapshot, found.Disk ?? "");
        if (await client.FindDiskAsync(group, name, cancellation) is null) await client.CreateDiskAsync(group, name, from.Id, found.Zones, AzureMapping.Tags(machine.Owner), cancellation);
        var disk = await UntilAsync(() => client.FindDiskAsync(group, name, cancellation), seen => seen?.Provisioning is "Succeeded" or "Failed", cancellation);
        if (disk!.Provisioning == "Failed")
        {
            await client.DeleteRestAsync(disk.Id, cancellation);
            throw new ProviderFault(FaultKind.Transient, $"Azure could not make a disk of the snapshot of {machine.Owner.ResourceName}.");
        }

        await client.ExchangeDiskAsync(group, found.Name, name, disk.Id, cancellation);
        await UntilAsync(() => client.FindAsync(group, found.Name, cancellation), seen => seen is null || (seen.Provisioning == "Succeeded" && disk.Id.Equals(seen.Disk, StringComparison.OrdinalIgnoreCase)), cancellation);
        await RemoveDisksAsync(group, machine.Owner, disk.Id, cancellation);
        if (Runs(from)) await client.StartAsync(group, found.Name, cancellation);
    }

    public async Task DeleteSnapshotAsync(ResourceRef machine, SnapshotId snapshot, CancellationToken cancellation)
    {
        Require(machine.Owner);
        var (group, name) = (AzureMapping.GroupName(machine.Owner, settings), AzureMapping.SnapshotName(machine.Owner, snapshot));
        if (await client.FindSnapshotAsync(group, name, cancellation) is not { } found) return;
        await client.DeleteRestAsync(found.Id, cancellation);
        await UntilAsync(() => client.FindSnapshotAsync(group, name, cancellation), seen => seen is null, cancellation);
    }

    /// <summary>What a disk takes is not told: its size is billed.</summary>
    public async Task<long?> ReadDiskBytesAsync(ResourceRef machine, CancellationToken cancellation)
    {
        await MustFindAsync(machine.Owner, cancellation);
        return null;
    }

    /// <summary>All disks of the machine but this one: what earlier reverts left.</summary>
    private async Task RemoveDisksAsync(string group, Owner owner, string? but, CancellationToken cancellation)
    {
        foreach (var old in (await client.DisksAsync(group, cancellation)).Where(disk => disk.Name.StartsWith(owner.ResourceName + AzureMapping.DiskSuffix, StringComparison.Ordinal)))
        {
            if (!old.Id.Equals(but, StringComparison.OrdinalIgnoreCase) && !old.IsAttached) await client.DeleteRestAsync(old.Id, cancellation);
        }
    }

    private async Task<VirtualMachineView> DeallocatedAsync(Owner owner, VirtualMachineView found, CancellationToken cancellation)
    {
        // What is begun now is done first: a machine that is being changed takes no other order.
        if (found.Provisioning is not ("Succeeded" or "Failed") || found.Power is "starting" or "stopping" or "")
            (_, found) = await UntilAsync(() => MustFindAsync(owner, cancellation), seen => seen.Found.Provisioning is "Succeeded" or "Failed" && seen.Found.Power is not ("starting" or "stopping" or ""), cancellation);
        if (found.Power is not ("deallocated" or "deallocating")) await client.DeallocateAsync(AzureMapping.GroupName(owner, settings), found.Name, cancellation);
        return (await UntilAsync(() => MustFindAsync(owner, cancellation), seen => seen.Found is { Power: "deallocated", Provisioning: "Succeeded" or "Failed" }, cancellation)).Found;
    }

    private async Task<T> UntilAsync<T>(Func<Task<T>> look, Func<T, bool> isSo, CancellationToken cancellation)
    {
        while (true)
        {
            var seen = await look();
            if (isSo(seen)) return seen;
            await Task.Delay(times.Look, pool.Time, cancellation);
        }
    }

    private static bool Runs(DiskSnapshotView view) => view.Tags.GetValueOrDefault(AzureMapping.RunsTag) == "true";
}
