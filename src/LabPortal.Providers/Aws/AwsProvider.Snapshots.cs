using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Aws;

/// <summary>
/// Snapshots of a machine's disk. EBS fixes what a snapshot keeps when it is asked for, and copies it afterwards; memory is not kept. A revert exchanges the disk:
/// that works for instances in any state and on clouds that only speak the older calls, which <c>CreateReplaceRootVolumeTask</c> does not.
/// </summary>
internal sealed partial class AwsProvider
{
    public async Task TakeSnapshotAsync(ResourceRef machine, SnapshotId snapshot, CancellationToken cancellation)
    {
        var instance = await MustFindAsync(machine.Owner, cancellation);
        if (await FindAsync(machine.Owner, snapshot, cancellation) is not null) return;
        var disk = instance.RootVolume ?? throw new ProviderFault(FaultKind.Transient, $"Machine {machine.Owner.ResourceName} has no disk now; an unfinished revert gives it one when it is repeated.");
        var made = await _client.CreateSnapshotAsync(disk, AwsMapping.SnapshotTags(machine.Owner, snapshot, runs: instance.State is "running" or "pending"), cancellation);

        // This create knows no token: one whose reply was lost a moment ago did not show above, and does by the time that this one shows.
        var all = await UntilAsync(() => AllAsync(machine.Owner, cancellation), seen => seen.Any(view => view.Id == made), cancellation);
        foreach (var twice in all.Where(view => view.Tags[AwsMapping.NameTag] == machine.Owner.SnapshotName(snapshot)).Skip(1)) await _client.DeleteSnapshotAsync(twice.Id, cancellation);
    }

    public async Task<IReadOnlyList<MachineSnapshot>> ListSnapshotsAsync(ResourceRef machine, CancellationToken cancellation)
    {
        await MustFindAsync(machine.Owner, cancellation);
        return
        [
            .. (await AllAsync(machine.Owner, cancellation)).DistinctBy(view => view.Tags[AwsMapping.NameTag])
                .Select(view => new MachineSnapshot(machine.Owner.ReadSnapshotName(view.Tags[AwsMapping.NameTag])!.Value, view.Id, view.StartedAt, WithMemory: false, Bytes: null) { Runs = Runs(view) }),
        ];
    }

    public async Task RevertAsync(ResourceRef machine, SnapshotId snapshot, CancellationToken cancellation)
    {
        var instance = await MustFindAsync(machine.Owner, cancellation);
        var from = await FindAsync(machine.Owner, snapshot, cancellation) ?? throw new ProviderFault(FaultKind.Rejected, $"Machine {machine.Owner.ResourceName} has no snapshot {snapshot}.");
        if (from.State != "completed") await UntilAsync(() => FindAsync(machine.Owner, snapshot, cancellation), seen => seen is null or { State: "completed" }, cancellation);

        instance = await StoppedAsync(machine.Owner, instance, cancellation);
        // A token must not give back a volume that an earlier revert made, and the guest has written on since: all that the machine has had so far is in it.
        var before = await _client.VolumesAsync(AwsMapping.NameTag, machine.Owner.ResourceName + AwsMapping.DiskSuffix, cancellation);
        var token = AwsMapping.ClientToken(machine.Owner, $"{from.Id} beside {string.Join(' ', before.Select(volume => volume.Id).Append(instance.RootVolume).Distinct().Order(StringComparer.Ordinal))}");
        var disk = await _client.CreateVolumeAsync(from.Id, instance.Zone, token, AwsMapping.Tags(machine.Owner, AwsMapping.DiskSuffix), cancellation);
        var disks = await UntilAsync(() => _client.VolumesAsync(AwsMapping.NameTag, machine.Owner.ResourceName + AwsMapping.DiskSuffix, cancellation),
            seen => seen.Any(volume => volume.Id == disk && volume.State is "available" or "in-use"), cancellation);
        if (instance.RootVolume is { } old && old != disk)
        {
            await _client.DetachAsync(old, instance.Id, cancellation);
            disks = await UntilAsync(() => _client.VolumesAsync(AwsMapping.NameTag, machine.Owner.ResourceName + AwsMapping.DiskSuffix, cancellation),
                seen => seen.All(volume => volume.Id != old || volume.State == "available"), cancellation);
        }

        if (disks.FirstOrDefault(volume => volume.Id == disk)?.State != "in-use") await _client.AttachAsync(disk, instance.Id, instance.RootDevice, cancellation);
        await UntilAsync(() => MustFindAsync(machine.Owner, cancellation), seen => seen.RootVolume == disk, cancellation);
        await _client.GoesWithItAsync(instance.Id, instance.RootDevice, cancellation);
        foreach (var left in disks.Where(volume => volume.Id != disk && volume.State == "available")) await _client.DeleteVolumeAsync(left.Id, cancellation);
        if (Runs(from)) await _client.StartAsync(instance.Id, cancellation);
    }

    public async Task DeleteSnapshotAsync(ResourceRef machine, SnapshotId snapshot, CancellationToken cancellation)
    {
        Require(machine.Owner);
        var name = machine.Owner.SnapshotName(snapshot);
        foreach (var view in (await AllAsync(machine.Owner, cancellation)).Where(view => view.Tags[AwsMapping.NameTag] == name)) await _client.DeleteSnapshotAsync(view.Id, cancellation);
    }

    /// <summary>What a disk takes is not told by EBS, which bills its size.</summary>
    public async Task<long?> ReadDiskBytesAsync(ResourceRef machine, CancellationToken cancellation)
    {
        await MustFindAsync(machine.Owner, cancellation);
        return null;
    }

    private async Task<InstanceView> StoppedAsync(Owner owner, InstanceView instance, CancellationToken cancellation)
    {
        // What is begun now is done before it is asked to stop: an instance that is starting takes no other order.
        if (instance.State == "pending") instance = await UntilAsync(() => MustFindAsync(owner, cancellation), seen => seen.State != "pending", cancellation);
        if (instance.State == "running") await _client.StopAsync(instance.Id, force: true, cancellation);
        return await UntilAsync(() => MustFindAsync(owner, cancellation), seen => seen.State == "stopped", cancellation);
    }

    private async Task<T> UntilAsync<T>(Func<Task<T>> look, Func<T, bool> isSo, CancellationToken cancellation)
    {
        // What was made shows soon as a rule; what changes takes long.
        for (var pause = TimeSpan.FromMilliseconds(100); ; pause *= 2)
        {
            var seen = await look();
            if (isSo(seen)) return seen;
            if (pause > times.Look) pause = times.Look;
            await Task.Delay(pause, pool.Time, cancellation);
        }
    }

    private async Task<SnapshotView?> FindAsync(Owner owner, SnapshotId snapshot, CancellationToken cancellation)
    {
        var name = owner.SnapshotName(snapshot);
        return (await AllAsync(owner, cancellation)).FirstOrDefault(view => view.Tags[AwsMapping.NameTag] == name);
    }

    /// <summary>The machine's snapshots in this generation, the oldest first: of two that were made at once, the first one counts.</summary>
    private async Task<IReadOnlyList<SnapshotView>> AllAsync(Owner owner, CancellationToken cancellation)
        => [.. (await _client.SnapshotsAsync(AwsMapping.OfTag, owner.ResourceName, cancellation))
            .Where(view => view.State != "error" && owner.ReadSnapshotName(view.Tags.GetValueOrDefault(AwsMapping.NameTag) ?? "") is not null)
            .OrderBy(view => view.StartedAt).ThenBy(view => view.Id, StringComparer.Ordinal)];

    private static bool Runs(SnapshotView view) => view.Tags.GetValueOrDefault(AwsMapping.RunsTag) == "true";
}
