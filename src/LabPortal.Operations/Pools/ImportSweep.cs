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
/// Carries out the imports that were asked for: rows of image presence in the state <i>importing</i>. An import gives its row a beat; one that has
/// none any more was cut off and is begun again from the start, by whichever node has the file.
/// </summary>
public sealed class ImportSweep(Database database, OpenPools pools, TimeProvider time, ILogger<ImportSweep> log)
{
    private static readonly TimeSpan s_beat = TimeSpan.FromSeconds(1);
    private static readonly Duration s_dead = Duration.FromSeconds(30);
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(2);

    /// <summary>One copy to a host at a time: two would only share its disk.</summary>
    private readonly ConcurrentDictionary<(PoolId Pool, string Host), Task> _importing = new();

    /// <summary>One pass: begins what is asked for and waits for the quick ones.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        var begun = new List<Task>();
        foreach (var row in await database.ReadAsync(ImagePresenceStore.ImportingAsync, cancellation))
        {
            var place = (row.Pool, row.Host);
            if (_importing.ContainsKey(place) || (database.Dialect.IsShared && !File.Exists(row.File))) continue;
            var now = time.Now();
            if (!await database.WriteAsync(session => ImagePresenceStore.ClaimImportAsync(session, row, now - s_dead, now), cancellation)) continue;
            var importing = ImportAsync(row, cancellation);
            _importing[place] = importing;
            begun.Add(importing);
            _ = importing.ContinueWith(_ => _importing.TryRemove(place, out var _), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        }

        await Task.WhenAny(Task.WhenAll(begun), Task.Delay(s_patience, cancellation));
        cancellation.ThrowIfCancellationRequested();
    }

    private async Task ImportAsync(PresenceRow row, CancellationToken cancellation)
    {
        await Task.Yield();
        PresenceRow outcome;
        try
        {
            outcome = await CopyAsync(row, cancellation);
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            // Cut off by the portal's end: without a beat it is begun again.
            return;
        }
        catch (Exception fault)
        {
            log.LogWarning(fault, "The import of image {Image} to {Host} failed.", row.Image, row.Host);
            var why = fault is ProviderFault ? fault.Message : "The import failed; the portal's log has the cause.";
            outcome = row with { State = PresenceState.Failed, BytesDone = 0, Note = $"{why} Then import it again." };
        }

        await database.WriteAsync(session => ImagePresenceStore.EndImportAsync(session, outcome with { SeenAt = time.Now() }), CancellationToken.None);
    }

    private async Task<PresenceRow> CopyAsync(PresenceRow row, CancellationToken cancellation)
    {
        var open = await pools.OpenAsync(row.Pool, cancellation);
        var imaging = Imaging(open);
        var image = await database.ReadAsync(session => ImageStore.FindAsync(session, row.Image, row.Version), cancellation);
        if (image is null || !image.Bindings.TryGetValue(open.Pool.Provider, out var settings))
            throw new ProviderFault(FaultKind.Rejected, $"Image \"{row.Image}\" is no longer bound to {open.Pool.Provider} pools.");
        var binding = new ImageBinding(row.Image, row.Version, settings);

        var progress = new Progress();
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var copy = imaging.ImportAsync(binding, row.Host, row.File!, progress, end.Token);
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
        return there is { Present: true }
            ? row with { State = PresenceState.Present, Digest = there.Digest, Bytes = there.Bytes, BytesDone = there.Bytes, Note = null }
            : throw new ProviderFault(FaultKind.Broken, $"The pool took the image and does not show it on {row.Host}.");
    }

    private static IImagesAbility Imaging(OpenPool open) => open.Provider as IImagesAbility
        ?? throw new ProviderFault(FaultKind.Rejected, $"Pool \"{open.Pool.Name}\" takes no imports.");

    private sealed class Progress : IProgress<long>
    {
        private long _bytes;

        public long Bytes => Interlocked.Read(ref _bytes);

        public void Report(long value) => Interlocked.Exchange(ref _bytes, value);
    }
}
