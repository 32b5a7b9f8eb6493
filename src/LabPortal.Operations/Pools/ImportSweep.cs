using System.Collections.Concurrent;
using LabPortal.Data;
using LabPortal.Data.Images;
using LabPortal.Domain;
using LabPortal.Domain.Images;
using LabPortal.Domain.Pools;
using Microsoft.Extensions.Logging;
using NodaTime;

namespace LabPortal.Operations.Pools;

/// <summary>
/// Carries out the imports that were asked for (rows of image presence in the state <i>importing</i>), and the readings of images that are there
/// without a digest. Each gives its row a beat; one that has none any more was cut off and is begun again from the start: an import by whichever
/// node has the file.
/// </summary>
public sealed class ImportSweep(Database database, OpenPools pools, ImageFolders folders, TimeProvider time, ILogger<ImportSweep> log)
{
    /// <summary>An import or reading without a beat for so long is nobody's.</summary>
    internal static readonly Duration Dead = Duration.FromSeconds(30);

    private static readonly TimeSpan s_beat = TimeSpan.FromSeconds(1);
    private static readonly Duration s_nobodys = Duration.FromMinutes(2);
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(2);

    /// <summary>One copy to a host at a time: two would only share its disk.</summary>
    private readonly ConcurrentDictionary<(PoolId Pool, string Host), Task> _importing = new();

    /// <summary>Imports whose file is not here, since when this node has seen nobody begin them. One pass at a time.</summary>
    private Dictionary<(PoolId Pool, string Host, string Image, string Version, Instant Asked), Instant> _nobodys = [];

    /// <summary>One pass: begins what is asked for and waits for the quick ones.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        var begun = new List<Task>();
        var nobodys = new Dictionary<(PoolId, string, string, string, Instant), Instant>();
        var rows = await database.ReadAsync(ImagePresenceStore.UnderWayAsync, cancellation);
        foreach (var row in rows)
        {
            var place = (row.Pool, row.Host);
            if (_importing.ContainsKey(place)) continue;
            var now = time.Now();
            if (!row.IsBeingRead && database.Dialect.IsShared && folders.Mistake(row.File!) is not null)
            {
                // Another node may have the file, and be busy with another copy to the same host. Where none has, nobody would ever say so.
                if (rows.Any(other => (other.Pool, other.Host) == place && (other.ReadAt ?? other.SeenAt) > now - Dead)) continue;
                var key = (row.Pool, row.Host, row.Image, row.Version, row.SeenAt);
                var since = nobodys[key] = _nobodys.GetValueOrDefault(key, now);
                if (now - since >= s_nobodys)
                    await database.WriteAsync(session => ImagePresenceStore.GiveUpAsync(session, row, $"No node of the portal has the file {row.File}. Put it there; then import it again.", now), cancellation);
                continue;
            }

            if (!await database.WriteAsync(session => ImagePresenceStore.ClaimAsync(session, row, now - Dead, now), cancellation)) continue;
            var importing = ImportAsync(row, cancellation);
            _importing[place] = importing;
            begun.Add(importing);
            _ = importing.ContinueWith(_ => _importing.TryRemove(place, out var _), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        }

        _nobodys = nobodys;
        await Task.WhenAny(Task.WhenAll(begun), Task.Delay(s_patience, cancellation));
        cancellation.ThrowIfCancellationRequested();
    }

    private async Task ImportAsync(PresenceRow row, CancellationToken cancellation)
    {
        await Task.Yield();
        PresenceRow outcome;
        try
        {
            outcome = await CarryOutAsync(row, cancellation);
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            // Cut off by the portal's end: without a beat it is begun again.
            return;
        }
        catch (Exception fault)
        {
            var what = row.IsBeingRead ? "reading" : "import";
            log.LogWarning(fault, "The {What} of image {Image} on {Host} failed.", what, row.Image, row.Host);
            var why = fault is ProviderFault ? fault.Message : $"The {what} failed; the portal's log has the cause.";
            outcome = row.IsBeingRead
                ? row with { BytesDone = row.Bytes, Note = $"{why} Then read its digest again." }
                : row with { State = PresenceState.Failed, BytesDone = 0, Note = $"{why} Then import it again." };
        }

        await database.WriteAsync(session => ImagePresenceStore.EndAsync(session, outcome with { SeenAt = time.Now() }), CancellationToken.None);
    }

    private async Task<PresenceRow> CarryOutAsync(PresenceRow row, CancellationToken cancellation)
    {
        var open = await pools.OpenAsync(row.Pool, cancellation);
        var imaging = Imaging(open);
        var image = await database.ReadAsync(session => ImageStore.FindAsync(session, row.Image, row.Version), cancellation);
        if (image is null || !image.Bindings.TryGetValue(open.Pool.Provider, out var settings))
            throw new ProviderFault(FaultKind.Rejected, $"Image \"{row.Image}\" is no longer bound to {open.Pool.Provider} pools.");
        var binding = new ImageBinding(row.Image, row.Version, settings);

        if (!row.IsBeingRead && folders.Mistake(row.File!) is not null)
            throw new ProviderFault(FaultKind.Rejected, $"{row.File} is not, or no longer, a file of the folders from which images are imported.");

        var progress = new Progress();
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var copy = row.IsBeingRead
            ? imaging.ReadDigestAsync(binding, row.Host, progress, end.Token)
            : imaging.ImportAsync(binding, row.Host, row.File!, progress, end.Token);
        try
        {
            while (await Task.WhenAny(copy, Task.Delay(s_beat, cancellation)) != copy)
            {
                cancellation.ThrowIfCancellationRequested();
                await database.WriteAsync(session => ImagePresenceStore.SetProgressAsync(session, row, progress.Bytes, time.Now()), cancellation);
            }
        }
        finally
        {
            // Whatever ends the watch ends the copy: it must not go on beside the next one.
            await end.CancelAsync();
            await copy.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        await copy;
        // Opened again: somebody may have changed the pool during a long copy, and what it began with is closed.
        var there = (await Imaging(await pools.OpenAsync(row.Pool, cancellation)).FindAsync(binding, cancellation)).FirstOrDefault(found => found.Host == row.Host);
        if (row.IsBeingRead && there is not { Digest: not null }) throw new ProviderFault(FaultKind.Transient, $"The image on {row.Host} was changed just after it was read.");
        return there is { Present: true }
            ? row with { State = PresenceState.Present, Digest = there.Digest, Bytes = there.Bytes, BytesDone = there.Bytes, Note = null }
            : throw new ProviderFault(FaultKind.Broken, $"The pool took the image and does not show it on {row.Host}.");
    }

    private static IImportAbility Imaging(OpenPool open) => open.Provider as IImportAbility
        ?? throw new ProviderFault(FaultKind.Rejected, $"Pool \"{open.Pool.Name}\" takes no imports.");

    private sealed class Progress : IProgress<long>
    {
        private long _bytes;

        public long Bytes => Interlocked.Read(ref _bytes);

        public void Report(long value) => Interlocked.Exchange(ref _bytes, value);
    }
}
