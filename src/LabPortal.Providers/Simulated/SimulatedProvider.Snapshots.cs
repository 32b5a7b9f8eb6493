using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Simulated;

/// <summary>A snapshot is a resource of the world that keeps what the disk held, and whether the machine ran.</summary>
internal sealed partial class SimulatedProvider
{
    public async Task TakeSnapshotAsync(ResourceRef machine, SnapshotId snapshot, CancellationToken cancellation)
    {
        var owner = Ours(machine.Owner);
        await CallAsync(WireVerb.TakeSnapshot, [owner], rows =>
        {
            var (host, state) = Settled(rows, owner);
            var name = owner.SnapshotName(snapshot);
            if (IsThere(rows, name)) return default;
            rows.Run("INSERT INTO resources (name, kind, external_id, host, made_at) VALUES (@0, 'Snapshot', @0, @1, @2)", name, host, world.Now);
            rows.Run("INSERT INTO snapshots VALUES (@0, coalesce((SELECT content FROM contents WHERE disk = @1), ''), @2) ON CONFLICT DO UPDATE SET content = excluded.content, memory = excluded.memory",
                name, owner.ResourceName + Part.Disk.Suffix, state == PowerState.Running ? 1 : 0);
            return new Effect<int>(0, Changed: true, Resources: 1);
        }, cancellation);
    }

    public async Task<IReadOnlyList<MachineSnapshot>> ListSnapshotsAsync(ResourceRef machine, CancellationToken cancellation)
    {
        var owner = Ours(machine.Owner);
        return await CallAsync(WireVerb.ListSnapshots, [owner], rows =>
        {
            Settled(rows, owner);
            var prefix = owner.ResourceName + Owner.SnapshotSuffix;
            return new Effect<IReadOnlyList<MachineSnapshot>>([.. rows.Query(
                "SELECT r.name, r.made_at, s.memory FROM resources r JOIN snapshots s ON s.name = r.name WHERE r.name >= @0 AND r.name < @1 AND r.made_at <= @2 AND r.gone_at IS NULL",
                row => new MachineSnapshot(owner.ReadSnapshotName(row.GetString(0))!.Value, row.GetString(0), Instants.FromMicroseconds(row.GetInt64(1)), row.GetBoolean(2), null),
                prefix, prefix + '~', SeenMadeUntil(world.Now))]);
        }, cancellation);
    }

    public async Task<long?> ReadDiskBytesAsync(ResourceRef machine, CancellationToken cancellation)
    {
        var owner = Ours(machine.Owner);
        return await CallAsync(WireVerb.ReadDisk, [owner], rows =>
        {
            Settled(rows, owner);
            var prefix = owner.ResourceName + Owner.SnapshotSuffix;
            return new Effect<long?>(
                rows.Value<long>("SELECT coalesce(sum(length(CAST(content AS BLOB))), 0) FROM contents WHERE disk = @0", owner.ResourceName + Part.Disk.Suffix)
                + rows.Value<long>("SELECT coalesce(sum(length(CAST(content AS BLOB)) + s.memory * @2), 0) FROM resources r JOIN snapshots s ON s.name = r.name WHERE r.name >= @0 AND r.name < @1 AND r.gone_at IS NULL",
                    prefix, prefix + '~', rows.Value<long>("SELECT memory_mib FROM resources WHERE name = @0", owner.ResourceName) << 20));
        }, cancellation);
    }

    public async Task RevertAsync(ResourceRef machine, SnapshotId snapshot, CancellationToken cancellation)
    {
        var owner = Ours(machine.Owner);
        await CallAsync(WireVerb.Revert, [owner], rows =>
        {
            Settled(rows, owner);
            var name = owner.SnapshotName(snapshot);
            if (!rows.Query("SELECT gone_at IS NULL FROM resources WHERE name = @0", row => row.GetBoolean(0), name).Contains(true))
                throw new ProviderFault(FaultKind.Rejected, $"Machine {owner.ResourceName} has no snapshot {snapshot} in the simulated pool.");
            rows.Run("INSERT INTO contents SELECT @0, content FROM snapshots WHERE name = @1 ON CONFLICT DO UPDATE SET content = excluded.content", owner.ResourceName + Part.Disk.Suffix, name);

            // With its memory it does not boot: it runs on, and has its address at once.
            var now = world.Now;
            if (rows.Value<long>("SELECT memory FROM snapshots WHERE name = @0", name) == 1)
                rows.Run("UPDATE resources SET off_at = NULL, booted_at = @1 WHERE name = @0", owner.ResourceName, now);
            else rows.Run("UPDATE resources SET off_at = @1 WHERE name = @0", owner.ResourceName, now);
            return new Effect<int>(0, Changed: true);
        }, cancellation);
    }

    public async Task DeleteSnapshotAsync(ResourceRef machine, SnapshotId snapshot, CancellationToken cancellation)
    {
        var owner = Ours(machine.Owner);
        await CallAsync(WireVerb.DeleteSnapshot, [owner], rows =>
        {
            if ((HostOfParts(rows, owner) ?? machine.Host) is { } host) SimulatedHosts.RequireAnswering(rows, host);
            var removed = rows.Run("DELETE FROM resources WHERE name = @0 AND gone_at IS NULL", owner.SnapshotName(snapshot));
            rows.Run("DELETE FROM snapshots WHERE name = @0", owner.SnapshotName(snapshot));
            return new Effect<int>(0, removed > 0, Resources: -removed);
        }, cancellation);
    }
}
