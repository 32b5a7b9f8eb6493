using LabPortal.Data;
using LabPortal.Data.Images;
using LabPortal.Data.Pools;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Sweeps;
using Microsoft.Extensions.Logging;
using NodaTime;

namespace LabPortal.Operations.Pools;

/// <summary>
/// Looks at each pool once a minute, at once after an edit, and more often while it is sick: its check, its hosts' capacity, its images.
/// What it finds is stored; placement and pages read only that.
/// </summary>
public sealed class PoolSweep(Database database, OpenPools pools, TimeProvider time, ILogger<PoolSweep> log) : PoolByPool(Name, database, pools, time, log)
{
    public const string Name = "pools";

    private static readonly Duration s_whileSick = Duration.FromSeconds(15);
    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(40);

    /// <summary>After so long an image that no look finds any more is forgotten.</summary>
    private static readonly Duration s_forgotten = Duration.FromDays(1);

    public override Task LookAsync(PoolId id, CancellationToken cancellation) => CheckAsync(id, cancellation);

    /// <summary>Looks at this pool now and stores what it found. A pool that is away or hangs is a problem that is stored, never an exception.</summary>
    public async Task CheckAsync(PoolId id, CancellationToken cancellation)
    {
        var seen = await ReadAsync(id, cancellation);
        var now = Time.Now();
        await Database.WriteAsync(async session =>
        {
            if (await PoolStore.FindAsync(session, id) is null) return;
            if (seen.Hosts is { } hosts) await PoolStore.SaveHostsAsync(session, id, hosts, now);
            foreach (var image in seen.Images) await ImagePresenceStore.SawAsync(session, image with { Pool = id, SeenAt = now });
            await ImagePresenceStore.ForgetAsync(session, id, now - s_forgotten);
            await PoolStore.SetProblemsAsync(session, id, seen.Problems, now);
            if (await GateStore.OpenUntilAsync(session, id) is { } open)
            {
                // Its breaker is closed by a good check as well as by an operation: of those there may be none.
                if (open > now) await PoolSweepStore.SetDueAsync(session, Name, id, open);
                else if (!seen.Problems.Any(problem => problem is { Blocks: true, Host: null }) && await GateStore.AnsweredAsync(session, id)) await SlotStore.ReopenAsync(session, id, now);
            }

            if (seen.Problems.Any(problem => problem.Blocks)) await PoolSweepStore.SetDueAsync(session, Name, id, now + s_whileSick);
        }, cancellation);
    }

    private async Task<Seen> ReadAsync(PoolId id, CancellationToken cancellation)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(s_deadline);
        var problems = new List<PoolProblem>();
        IReadOnlyList<HostCapacity>? hosts = null;
        var images = new List<PresenceRow>();
        try
        {
            // The provider is told to stop; should it not obey, nobody waits for it all the same.
            var open = await Pools.OpenWithFreshSecretsAsync(id, deadline.Token);
            problems.AddRange((await open.Provider.CheckAsync(deadline.Token).WaitAsync(deadline.Token)).Problems);
            if (open.Provider is ICapacityAbility capacity)
            {
                hosts = await capacity.ReadCapacityAsync(deadline.Token).WaitAsync(deadline.Token);
                if (hosts.All(host => host.Problem is not null || problems.Any(problem => problem.Blocks && problem.Host == host.Host)))
                    problems.Add(new PoolProblem("None of its hosts takes machines.", null, "Mend at least one host; the pool is looked at again by itself."));
            }

            // Whoever does not answer at all says nothing of images either, and would say the same again.
            if (open.Provider is IImagesAbility imaging && !problems.Exists(problem => problem is { Blocks: true, Host: null })) images.AddRange(await FindImagesAsync(open.Pool, imaging, deadline.Token));
            // Where the portal can bring an image, the page of images says what is missing, and has the button.
            if (open.Provider is not IImportAbility)
            {
                problems.AddRange(images.Where(image => image.State == PresenceState.Missing)
                    .Select(image => new PoolProblem($"Image {image.Image} {image.Version} is not there.", image.Host.Length > 0 ? image.Host : null, image.Note ?? "Correct the image's binding.", Blocks: false)));
            }
        }
        catch (ProviderFault fault)
        {
            problems.Add(new PoolProblem(fault.Message, null, fault.Kind switch
            {
                FaultKind.Unauthorized => "Renew the credentials or permissions that the pool uses.",
                FaultKind.Rejected => "Correct the pool's settings.",
                FaultKind.Broken => "See the portal's log, and whether the provider's version is one that is supported.",
                _ => "See whether the pool is up and can be reached; it is looked at again by itself.",
            }));
        }
        catch (OperationCanceledException) when (deadline.IsCancellationRequested && !cancellation.IsCancellationRequested)
        {
            problems.Add(new PoolProblem($"The pool did not answer within {s_deadline.TotalSeconds} s.", null, "See whether its hosts hang; it is looked at again by itself."));
        }

        return new Seen(problems, hosts, images);
    }

    private async Task<IReadOnlyList<PresenceRow>> FindImagesAsync(Pool pool, IImagesAbility imaging, CancellationToken cancellation)
    {
        var rows = new List<PresenceRow>();
        foreach (var image in await Database.ReadAsync(ImageStore.ListAsync, cancellation))
        {
            if (!image.Bindings.TryGetValue(pool.Provider, out var binding)) continue;
            try
            {
                foreach (var found in await imaging.FindAsync(new ImageBinding(image.Name, image.Version, binding), cancellation).WaitAsync(cancellation))
                {
                    rows.Add(new PresenceRow(pool.Id, found.Host, image.Name, image.Version, found.Present ? PresenceState.Present : PresenceState.Missing,
                        found.Digest, found.Bytes, found.Present ? found.Bytes : 0, found.Present ? null : found.Mend, null, default));
                }
            }
            catch (ProviderFault fault) when (fault.Kind == FaultKind.Rejected)
            {
                // A binding that this pool cannot read says nothing about the pool's other images, nor its health.
                rows.Add(new PresenceRow(pool.Id, "", image.Name, image.Version, PresenceState.Missing, null, 0, 0, fault.Message, null, default));
            }
        }

        return rows;
    }

    private sealed record Seen(IReadOnlyList<PoolProblem> Problems, IReadOnlyList<HostCapacity>? Hosts, IReadOnlyList<PresenceRow> Images);
}
