using System.Buffers;
using System.Globalization;
using Azure;
using Azure.Core;
using Azure.Core.Pipeline;
using Azure.ResourceManager;
using Azure.ResourceManager.Compute;
using Azure.ResourceManager.Compute.Models;
using NodaTime;

namespace LabPortal.Providers.Azure;

/// <summary>A disk's snapshot as Azure shows it.</summary>
internal sealed record DiskSnapshotView(string Id, string Name, string Provisioning, Instant TakenAt, IReadOnlyDictionary<string, string> Tags);

internal sealed record DiskView(string Id, string Name, string Provisioning, bool IsAttached);

/// <summary>Disks, their snapshots, and what boot diagnostics keep.</summary>
internal sealed partial class AzureClient
{
    // A guest that prints without end must not fill the portal's memory.
    private const long MostOfALog = 64 << 20;

    public Task<DiskSnapshotView?> FindSnapshotAsync(string group, string name, CancellationToken cancellation) => CallAsync("read the snapshot", async ct =>
        await UnlessMissingAsync(async () => await _arm.GetSnapshotResource(SnapshotResource.CreateResourceIdentifier(_settings.Subscription, group, name)).GetAsync(ct)) is { } found ? View(found.Value.Data) : null, cancellation);

    /// <summary>The snapshots of a group; nothing where there is no such group.</summary>
    public Task<IReadOnlyList<DiskSnapshotView>> SnapshotsAsync(string group, CancellationToken cancellation) => CallAsync("list the snapshots of the group", ct =>
        OfGroupAsync(Group(group).GetSnapshots().GetAllAsync(ct), found => View(found.Data)), cancellation);

    /// <summary>The disks of a group; nothing where there is no such group.</summary>
    public Task<IReadOnlyList<DiskView>> DisksAsync(string group, CancellationToken cancellation) => CallAsync("list the disks of the group", ct =>
        OfGroupAsync(Group(group).GetManagedDisks().GetAllAsync(ct), found => new DiskView(found.Data.Id.ToString(), found.Data.Name, found.Data.ProvisioningState ?? "", found.Data.ManagedBy is not null)), cancellation);

    public Task<DiskView?> FindDiskAsync(string group, string name, CancellationToken cancellation) => CallAsync("read the disk", async ct =>
        await UnlessMissingAsync(async () => await _arm.GetManagedDiskResource(ManagedDiskResource.CreateResourceIdentifier(_settings.Subscription, group, name)).GetAsync(ct)) is { Value.Data: var found }
            ? new DiskView(found.Id.ToString(), found.Name, found.ProvisioningState ?? "", found.ManagedBy is not null) : null, cancellation);

    /// <summary>Orders it; the same again changes nothing.</summary>
    public Task CreateSnapshotAsync(string group, string name, string disk, IReadOnlyDictionary<string, string> tags, CancellationToken cancellation) => CallAsync("take the snapshot", async ct =>
        await Group(group).GetSnapshots().CreateOrUpdateAsync(WaitUntil.Started, name, AzureRequests.Snapshot(_settings, disk, tags), ct), cancellation);

    /// <summary>Orders a disk with what the snapshot keeps; the same again changes nothing.</summary>
    public Task CreateDiskAsync(string group, string name, string snapshot, IReadOnlyList<string> zones, IReadOnlyDictionary<string, string> tags, CancellationToken cancellation) => CallAsync("make the disk", async ct =>
        await Group(group).GetManagedDisks().CreateOrUpdateAsync(WaitUntil.Started, name, AzureRequests.Disk(_settings, snapshot, zones, tags), ct), cancellation);

    /// <summary>Orders that the machine, which is deallocated, has this disk, which goes with it; its old one stays.</summary>
    public Task ExchangeDiskAsync(string group, string machine, string diskName, string disk, CancellationToken cancellation) => CallAsync("exchange the disk", async ct =>
        await Machine(group, machine).UpdateAsync(WaitUntil.Started, AzureRequests.Exchange(diskName, disk), ct), cancellation);

    /// <summary>The end of what the machine printed; empty where nothing is kept yet.</summary>
    public Task<byte[]> SerialLogAsync(string group, string name, int maxBytes, CancellationToken cancellation) => CallAsync("read the serial log", async ct =>
    {
        var kept = await Machine(group, name).RetrieveBootDiagnosticsDataAsync(sasUriExpirationTimeInMinutes: 5, ct);
        if (kept.Value.SerialConsoleLogBlobUri is not { } address) return [];
        using var message = _plain.CreateMessage();
        message.BufferResponse = false;
        message.Request.Method = RequestMethod.Get;
        message.Request.Uri.Reset(address);
        await _plain.SendAsync(message, ct);
        if (message.Response.Status == 404) return [];
        if (message.Response.IsError) throw new RequestFailedException(message.Response);
        return await TailAsync(message.Response.ContentStream!, maxBytes, ct);
    }, cancellation);

    private static async Task<byte[]> TailAsync(Stream stream, int most, CancellationToken cancellation)
    {
        var tail = new ArrayBufferWriter<byte>(most);
        var buffer = new byte[64 << 10];
        for (long all = 0; all < MostOfALog;)
        {
            var read = await stream.ReadAsync(buffer, cancellation);
            if (read == 0) break;
            all += read;
            if (tail.WrittenCount + read > 4L * most)
            {
                var end = tail.WrittenSpan[^Math.Min(most, tail.WrittenCount)..].ToArray();
                tail.ResetWrittenCount();
                tail.Write(end);
            }

            tail.Write(buffer.AsSpan(0, read));
        }

        return tail.WrittenSpan[^Math.Min(most, tail.WrittenCount)..].ToArray();
    }

    private static async Task<string> GetAsync(HttpPipeline pipeline, Uri address, CancellationToken cancellation)
    {
        using var message = pipeline.CreateMessage();
        message.Request.Method = RequestMethod.Get;
        message.Request.Uri.Reset(address);
        await pipeline.SendAsync(message, cancellation);
        return message.Response.IsError ? throw new RequestFailedException(message.Response) : message.Response.Content.ToString();
    }

    private static async Task<IReadOnlyList<TView>> OfGroupAsync<T, TView>(AsyncPageable<T> pages, Func<T, TView> view) where T : notnull
    {
        var found = new List<TView>();
        try
        {
            await foreach (var one in pages) found.Add(view(one));
        }
        catch (RequestFailedException missing) when (missing.Status == 404)
        {
            return [];
        }

        return found;
    }

    private static DiskSnapshotView View(SnapshotData snapshot) => new(
        snapshot.Id.ToString(), snapshot.Name, snapshot.ProvisioningState ?? "", Instant.FromDateTimeOffset(snapshot.TimeCreated ?? DateTimeOffset.UnixEpoch), Tags(snapshot.Tags));
}
