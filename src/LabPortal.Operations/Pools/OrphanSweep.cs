using LabPortal.Data;
using LabPortal.Data.Audit;
using LabPortal.Data.Costs;
using LabPortal.Data.Pools;
using LabPortal.Domain;
using LabPortal.Domain.Costs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.People;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Sweeps;
using Microsoft.Extensions.Logging;
using NodaTime;

namespace LabPortal.Operations.Pools;

/// <summary>
/// Compares what each pool lists as ours with what lives here, and lists the rest as orphans once it was seen in two listings, the pool's settling
/// time apart. Deletes those that an admin decided on, and by itself only as many in one pass as the pool's limits allow (none, by default).
/// </summary>
public sealed class OrphanSweep(Database database, OpenPools pools, PortalIdentity portal, TimeProvider time, ILogger<OrphanSweep> log) : PoolByPool(Name, database, pools, time, log)
{
    public const string Name = "orphans";

    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(40);

    /// <summary>Looks at this pool now. A pool that does not answer is a <see cref="ProviderFault"/>, and nothing is concluded.</summary>
    public override async Task LookAsync(PoolId id, CancellationToken cancellation)
    {
        var open = await Pools.OpenAsync(id, cancellation);
        await DeleteDecidedAsync(open, cancellation);

        // Listed first, known after: a generation is written before it is made, so what is listed and lives is always found.
        var first = Time.Now();
        var listed = await ListAsync(open, cancellation);
        var strangers = await StrangersAsync(listed, cancellation);
        if (strangers.Count > 0)
        {
            await Task.Delay(open.Provider.SettlingTime.ToTimeSpan(), Time, cancellation);
            listed = await ListAsync(open, cancellation);
            var seenBefore = strangers.Select(Key).ToHashSet();
            strangers = [.. (await StrangersAsync(listed, cancellation)).Where(stranger => seenBefore.Contains(Key(stranger)))];
        }

        await WriteAsync(open.Pool, listed, strangers, first, cancellation);
        if (open.Pool.Limits.OrphanDeletionsPerPass > 0) await DecideByItselfAsync(open.Pool, cancellation);
    }

    private static (ResourceKind, string) Key(OwnedResource resource) => (resource.Kind, resource.ExternalId);

    private static async Task<IReadOnlyList<OwnedResource>> ListAsync(OpenPool open, CancellationToken cancellation)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(s_deadline);
        try
        {
            return await open.Provider.ListOwnedAsync(deadline.Token).WaitAsync(deadline.Token);
        }
        catch (OperationCanceledException cause) when (!cancellation.IsCancellationRequested)
        {
            throw new ProviderFault(FaultKind.Transient, $"Pool \"{open.Pool.Name}\" did not list its resources within {s_deadline.TotalSeconds} s.", cause);
        }
    }

    private async Task<IReadOnlyList<OwnedResource>> StrangersAsync(IReadOnlyList<OwnedResource> listed, CancellationToken cancellation)
    {
        if (listed.Count == 0) return [];
        var owners = await Database.ReadAsync(session => OrphanStore.OwnersAsync(session, listed.Select(resource => resource.Id)), cancellation);
        // Warm states have no owner among labs; they come and go by a sweep of their own.
        return [.. listed.Where(resource => resource.Kind != ResourceKind.WarmState).Where(resource => !owners.TryGetValue(resource.Id, out var owner) || !owner.Accounts(resource.Kind, resource.Name, resource.Generation))];
    }

    private Task WriteAsync(Pool pool, IReadOnlyList<OwnedResource> listed, IReadOnlyList<OwnedResource> strangers, Instant first, CancellationToken cancellation) => Database.WriteAsync(
        async session =>
        {
            var now = Time.Now();
            var before = await OrphanStore.OfPoolAsync(session, pool.Id);
            var owners = await OrphanStore.OwnersAsync(session, [.. strangers.Select(stranger => stranger.Id), .. before.Select(orphan => orphan.Owner)]);
            foreach (var stranger in strangers)
            {
                // It was looked up again in this transaction: a run may have begun to account for it.
                var owner = owners.GetValueOrDefault(stranger.Id);
                if (owner?.Accounts(stranger.Kind, stranger.Name, stranger.Generation) == true) continue;
                await OrphanStore.SawAsync(session, pool.Id, stranger, owner, first, now, Time);
            }

            var there = listed.Select(resource => (resource.Kind.Word(), resource.ExternalId)).ToHashSet();
            foreach (var orphan in before.Where(orphan => !there.Contains((orphan.Kind, orphan.ExternalId)))) await OrphanStore.SetStateAsync(session, orphan.Id, OrphanState.Gone, null);
            await MeterAsync(session, pool, before, await OrphanStore.OfPoolAsync(session, pool.Id), owners, now);
        },
        cancellation);

    /// <summary>From its first to its last resource, what a generation left is metered to the team that made it. A late part of a snapshot stands on a machine that may live, and is metered as it is.</summary>
    private async Task MeterAsync(Session session, Pool pool, IReadOnlyList<Orphan> before, IReadOnlyList<Orphan> after, IReadOnlyDictionary<Guid, KnownOwner> owners, Instant now)
    {
        var (was, remains) = (ByGeneration(before), ByGeneration(after));
        foreach (var (left, since) in remains.Where(pair => !was.ContainsKey(pair.Key))) await AppendAsync(left, "orphan", since);
        foreach (var (left, _) in was.Where(pair => !remains.ContainsKey(pair.Key))) await AppendAsync(left, MachineState.Gone.Word(), now);

        async Task AppendAsync((Guid Owner, int Generation) left, string state, Instant at)
        {
            if (!owners.TryGetValue(left.Owner, out var owner) || owner.Machine is not { } machine) return;
            await MeterStore.AppendAsync(session, new MeterEvent(machine, left.Generation, owner.Lab, owner.Team, pool.Id, state, owner.Cpu, owner.MemoryMib, owner.DiskGib, at, now), Time);
        }

        static Dictionary<(Guid Owner, int Generation), Instant> ByGeneration(IReadOnlyList<Orphan> orphans)
            => orphans.Where(orphan => orphan.Kind != ResourceKind.Snapshot.Word()).GroupBy(orphan => (orphan.Owner, orphan.Generation)).ToDictionary(group => group.Key, group => group.Min(orphan => orphan.FirstSeenAt));
    }

    /// <summary>
    /// What the pool's orphans are decided on together: all that a generation left, which its name takes with it. Late parts of snapshots on a generation that
    /// lives go each by itself.
    /// </summary>
    internal static async Task<IEnumerable<IReadOnlyList<Orphan>>> TogetherAsync(Session session, PoolId pool)
    {
        var orphans = await OrphanStore.OfPoolAsync(session, pool);
        var owners = await OrphanStore.OwnersAsync(session, orphans.Select(orphan => orphan.Owner));
        return orphans.GroupBy(orphan => (orphan.Owner, orphan.Generation, Alone: owners.GetValueOrDefault(orphan.Owner)?.Accounts(orphan.Generation) == true ? orphan.Id : default), (_, together) => together.ToList());
    }

    private Task DecideByItselfAsync(Pool pool, CancellationToken cancellation) => Database.WriteAsync(
        async session =>
        {
            // What people adopted keeps what stands and falls with it.
            var generations = (await TogetherAsync(session, pool.Id))
                .Where(group => group.Any(orphan => orphan.State == OrphanState.Listed) && group.All(orphan => orphan.State != OrphanState.Adopted)).Take(pool.Limits.OrphanDeletionsPerPass).ToList();
            foreach (var orphan in generations.SelectMany(group => group).Where(orphan => orphan.State == OrphanState.Listed))
            {
                await OrphanStore.SetStateAsync(session, orphan.Id, OrphanState.Deleting, null);
                // Nobody asked for it: the line is the only trace of who decided.
                await AuditStore.AppendAsync(session, Actor.Portal("orphans"), $"{Verb.DecideOrphan.Word()}:delete", "orphan", Ids.Canonical(orphan.Id), orphan.Team, AuditStore.Done,
                    new Dictionary<string, string> { ["name"] = orphan.Name, ["pool"] = pool.Name }, Time.Now(), Time);
            }

            if (generations.Count > 0) await PoolSweepStore.SetDueAsync(session, Name, pool.Id, Time.Now());
        },
        cancellation);

    /// <summary>
    /// Each generation once: its name takes with it everything that was made under it; so a part that people adopted keeps the rest. Of a generation that lives
    /// only late parts of snapshots go, each by itself, and none while a run may account for it. Whether it is gone, the next listing says.
    /// </summary>
    private async Task DeleteDecidedAsync(OpenPool open, CancellationToken cancellation)
    {
        var orphans = await Database.ReadAsync(session => OrphanStore.OfPoolAsync(session, open.Pool.Id), cancellation);
        foreach (var group in orphans.GroupBy(orphan => (orphan.Owner, orphan.Generation)).Where(group => group.Any(orphan => orphan.State == OrphanState.Deleting)))
        {
            var orphan = group.First();
            var owners = await Database.ReadAsync(session => OrphanStore.OwnersAsync(session, [orphan.Owner]), cancellation);
            var owner = owners.GetValueOrDefault(orphan.Owner);
            var ofLab = owner is { Machine: null } || orphan.Kind is "network" or "group";
            var lab = owner?.Lab ?? new LabId(orphan.Owner);
            var reference = new ResourceRef(
                new Owner(portal.Installation, lab, ofLab ? null : new MachineId(orphan.Owner), orphan.Generation),
                group.Select(each => each.Host).Distinct().Count() == 1 ? orphan.Host : null);
            if (owner?.Accounts(orphan.Generation) != true)
            {
                if (group.All(each => each.State == OrphanState.Deleting)) await DeleteAsync(group, token => open.Provider.EnsureGoneAsync(reference, token), cancellation);
                continue;
            }

            foreach (var each in group.Where(each => each.State == OrphanState.Deleting))
            {
                if (owner.HasLiveRun && each.Kind == ResourceKind.Snapshot.Word()) continue;
                if (open.Provider is ISnapshotAbility snapshots && !Accounts(owner, each) && Owner.ReadPartName(each.Name) is { } part)
                    await DeleteAsync([each], token => snapshots.DeleteSnapshotAsync(reference, part, token), cancellation);
                else
                    await NoteAsync([each], OrphanState.Listed, "It belongs to a lab that lives again and was not deleted.", cancellation);
            }
        }
    }

    private static bool Accounts(KnownOwner owner, Orphan orphan) => owner.Accounts(orphan.Kind == ResourceKind.Snapshot.Word() ? ResourceKind.Snapshot : ResourceKind.Machine, orphan.Name, orphan.Generation);

    private async Task DeleteAsync(IEnumerable<Orphan> orphans, Func<CancellationToken, Task> delete, CancellationToken cancellation)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(s_deadline);
        try
        {
            await delete(deadline.Token).WaitAsync(deadline.Token);
        }
        catch (ProviderFault fault)
        {
            // It stays to be deleted; each pass tries again, and the list says why it is still there.
            Log.LogWarning(fault, "Orphan {Orphan} could not be deleted.", orphans.First().Name);
            await NoteAsync(orphans, OrphanState.Deleting, fault.Message, cancellation);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            await NoteAsync(orphans, OrphanState.Deleting, $"The pool did not answer within {s_deadline.TotalSeconds} s.", cancellation);
        }
    }

    private Task NoteAsync(IEnumerable<Orphan> orphans, OrphanState state, string note, CancellationToken cancellation) => Database.WriteAsync(
        async session =>
        {
            foreach (var orphan in orphans) await OrphanStore.SetStateAsync(session, orphan.Id, state, note);
        },
        cancellation);
}
