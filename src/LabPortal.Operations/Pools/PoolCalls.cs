using LabPortal.Data;
using LabPortal.Data.Audit;
using LabPortal.Data.Images;
using LabPortal.Data.Pools;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.People;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Audit;
using LabPortal.Operations.People;
using LabPortal.Operations.Workflows;

namespace LabPortal.Operations.Pools;

/// <summary>Pools as people see and administer them.</summary>
public sealed partial class PoolCalls(Database database, OpenPools pools, PoolSweep sweep, RunViews runs, IEnumerable<IProviderKind> kinds, SecretStore secrets, Runs begin, ImageFolders imageFolders, TimeProvider time)
{
    /// <summary>Somebody waits for the answer of a listing: no longer than this.</summary>
    private static readonly TimeSpan s_listing = TimeSpan.FromSeconds(20);

    private const int MostShown = 200;

    private readonly AuditedWrite _audited = new(database, time);

    public Task<IReadOnlyList<PoolView>> ListAsync(Actor actor, CancellationToken cancellation) => May.Do(actor, Verb.SeePools)
        ? database.ReadAsync(async session => await ViewsAsync(session, await PoolStore.ListAsync(session)), cancellation)
        : Task.FromResult<IReadOnlyList<PoolView>>([]);

    public Task<Outcome<PoolView>> FindAsync(Actor actor, string name, CancellationToken cancellation) => database.ReadAsync<Outcome<PoolView>>(
        async session => May.Do(actor, Verb.SeePools) ? await ViewAsync(session, name) : Refusal.Forbidden(Verb.SeePools.Word()), cancellation);

    /// <summary>Runs the provider's check now and stores what it found.</summary>
    public async Task<Outcome<PoolView>> CheckAsync(Actor actor, string name, CancellationToken cancellation)
    {
        var asked = await ChangeAsync(actor, Verb.CheckPool, name, (_, pool) => Task.FromResult<Outcome<PoolId>>(pool.Id), null, cancellation);
        if (asked.Refusal is { } refusal) return refusal;
        await sweep.CheckAsync(asked.Value, cancellation);
        return await FindAsync(actor, name, cancellation);
    }

    /// <summary>What the provider itself lists as ours, now. A pool that does not answer is a <see cref="ProviderFault"/>.</summary>
    public async Task<Outcome<IReadOnlyList<ResourceView>>> ResourcesAsync(Actor actor, string name, CancellationToken cancellation)
    {
        if (!May.Do(actor, Verb.SeeOperations)) return Refusal.Forbidden(Verb.SeeOperations.Word());
        if (await database.ReadAsync(session => PoolStore.FindAsync(session, name), cancellation) is not { } pool) return Refusal.NotFound("pool", name);
        var open = await pools.OpenAsync(pool.Id, cancellation);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(s_listing);
        IReadOnlyList<OwnedResource> listed;
        try
        {
            listed = await open.Provider.ListOwnedAsync(deadline.Token).WaitAsync(deadline.Token);
        }
        catch (OperationCanceledException cause) when (!cancellation.IsCancellationRequested)
        {
            throw new ProviderFault(FaultKind.Transient, $"Pool \"{name}\" did not answer within {s_listing.TotalSeconds} s.", cause);
        }

        var owners = await database.ReadAsync(session => OrphanStore.OwnersAsync(session, listed.Select(resource => resource.Id)), cancellation);
        return listed.OrderBy(resource => resource.Name, StringComparer.Ordinal).ThenBy(resource => resource.Kind).Select(resource =>
        {
            var owner = owners.GetValueOrDefault(resource.Id);
            return new ResourceView(resource.Kind.Word(), resource.ExternalId, resource.Name, owner?.Lab, owner?.LabName, owner?.Machine, owner?.MachineName, resource.Generation, resource.Host,
                resource.Kind == ResourceKind.WarmState || owner?.Accounts(resource.Kind, resource.Name, resource.Generation) == true);
        }).ToList();
    }

    /// <summary>What the pool does now, and who waits for it.</summary>
    public async Task<Outcome<PoolNowView>> NowAsync(Actor actor, string name, CancellationToken cancellation)
    {
        if (!May.Do(actor, Verb.SeeOperations)) return Refusal.Forbidden(Verb.SeeOperations.Word());
        return await database.ReadAsync<Outcome<PoolNowView>>(async session =>
        {
            if (await PoolStore.FindAsync(session, name) is not { } pool) return Refusal.NotFound("pool", name);
            return new PoolNowView(
                [.. (await SlotStore.ListAsync(session, pool.Id)).Select(slot => new SlotView(
                    slot.Kind, slot.Run, slot.Workflow, slot.Lab, slot.LabName, slot.Team, slot.Machine, slot.Host, slot.TakenAt))],
                await runs.ListedAsync(session, await RunStore.WaitingAsync(session, pool.Id, MostShown)));
        }, cancellation);
    }

    public async Task<Outcome<PoolView>> SetModeAsync(Actor actor, string name, PoolMode mode, CancellationToken cancellation) => await ChangeAsync<PoolView>(
        actor, Verb.AdministerPools, name,
        async (session, pool) =>
        {
            await PoolStore.SetModeAsync(session, pool.Id, mode);
            return await ViewAsync(session, name);
        },
        [("mode", mode.Word())], cancellation);

    /// <summary>
    /// Copies an image file of the portal's machine to every host of the pool that lacks it, in the background; progress is in the pool's view.
    /// Hosts that have the image, or are getting it, stay as they are.
    /// </summary>
    public async Task<Outcome<PoolView>> ImportImageAsync(Actor actor, string pool, string image, string file, CancellationToken cancellation)
    {
        // Looked at before the transaction: a folder that hangs holds up nobody else's.
        var (mistake, bytes) = May.Do(actor, Verb.AdministerPools) ? await Task.Run(() => LookAt(file), cancellation) : default;
        return await ChangeAsync<PoolView>(actor, Verb.AdministerPools, pool, async (session, found) =>
        {
            List<FieldError> errors = mistake is null ? [] : [mistake];
            var entry = await ImageStore.FindCurrentAsync(session, image);
            if (entry is null) errors.Add(new FieldError("image", "image.unknown", [("image", image)]));
            else if (!entry.Bindings.ContainsKey(found.Provider)) errors.Add(new FieldError("image", "image.not-bound", [("image", image), ("kind", found.Provider)]));
            if (errors.Count > 0) return Refusal.Invalid(errors);

            var hosts = (await PoolStore.ListHostsAsync(session))[found.Id].Where(host => host.Problem is null).ToList();
            if (hosts.Count == 0) return Refusal.Conflict("pool.no-host-answers", ("pool", pool));
            var there = (await ImagePresenceStore.OfPoolAsync(session, found.Id))
                .Where(row => row.Image == entry!.Name && row.Version == entry.Version && row.State == PresenceState.Present).Select(row => row.Host).ToHashSet();
            foreach (var host in hosts.Where(host => !there.Contains(host.Host)))
                await ImagePresenceStore.AskImportAsync(session, found.Id, host.Host, entry!.Name, entry.Version, file, bytes, time.Now() - ImportSweep.Dead);
            return await ViewAsync(session, pool);
        }, [("image", image), ("file", file)], cancellation);
    }

    /// <summary>Where images are imported from.</summary>
    public IReadOnlyList<string> ImageFolders => imageFolders.Folders;

    /// <summary>
    /// Reads the image on every host of the pool that has it without a digest, in the background; progress is in the pool's view. It takes as long as
    /// a copy over the same wire, and is remembered there until the file changes.
    /// </summary>
    public async Task<Outcome<PoolView>> ReadDigestAsync(Actor actor, string pool, string image, CancellationToken cancellation) => await ChangeAsync<PoolView>(
        actor, Verb.AdministerPools, pool,
        async (session, found) =>
        {
            if (await ImageStore.FindCurrentAsync(session, image) is not { } entry) return Refusal.Invalid([new FieldError("image", "image.unknown", [("image", image)])]);
            return await ImagePresenceStore.AskDigestAsync(session, found.Id, entry.Name, entry.Version) == 0
                ? Refusal.Conflict("image.no-digest-missing", ("image", image), ("pool", pool))
                : await ViewAsync(session, pool);
        },
        [("digestOf", image)], cancellation);

    /// <summary>What a pool, or every pool, has left; the longest known first.</summary>
    public async Task<Outcome<Page<OrphanView>>> OrphansAsync(Actor actor, string? pool, int limit, string? after, CancellationToken cancellation)
    {
        if (!May.Do(actor, Verb.SeeOperations)) return Refusal.Forbidden(Verb.SeeOperations.Word());
        if (after is not null && !Guid.TryParseExact(after, "D", out _)) return Refusal.Invalid("after", "page.unknown-key");
        limit = Math.Clamp(limit, 1, MostShown);
        var orphans = await database.ReadAsync(session => OrphanStore.PageAsync(session, pool, limit + 1, after is null ? null : Guid.ParseExact(after, "D")), cancellation);
        return new Page<OrphanView>([.. orphans.Take(limit).Select(View)], orphans.Count > limit ? Ids.Canonical(orphans[limit - 1].Id) : null);
    }

    /// <summary>
    /// Deletes the orphan at its provider, in the background, with all that its generation left there; a late part of a snapshot on a machine that lives
    /// goes alone. Asking again changes nothing. Refused while people keep a part of it.
    /// </summary>
    public Task<Outcome<OrphanView>> DeleteOrphanAsync(Actor actor, Guid id, CancellationToken cancellation) => DecideAsync(actor, id, OrphanState.Deleting, cancellation);

    /// <summary>Leaves it, and all that its generation left, to people: no longer listed as an orphan, never touched.</summary>
    public Task<Outcome<OrphanView>> AdoptOrphanAsync(Actor actor, Guid id, CancellationToken cancellation) => DecideAsync(actor, id, OrphanState.Adopted, cancellation);

    private (FieldError? Mistake, long Bytes) LookAt(string file) => imageFolders.Mistake(file) is { } mistake ? (mistake, 0) : (null, new FileInfo(file).Length);

    private async Task<Outcome<OrphanView>> DecideAsync(Actor actor, Guid id, OrphanState state, CancellationToken cancellation)
    {
        var draft = new AuditDraft($"{Verb.DecideOrphan.Word()}:{(state == OrphanState.Adopted ? "adopt" : "delete")}", "orphan", Ids.Canonical(id));
        if (!May.Do(actor, Verb.DecideOrphan)) return await _audited.RefuseAsync(actor, draft, Refusal.Forbidden(Verb.DecideOrphan.Word()), cancellation);
        return await _audited.DoAsync<OrphanView>(actor, draft, async (session, now) =>
        {
            if (await OrphanStore.FindAsync(session, id) is not { } orphan) return Refusal.NotFound("orphan", Ids.Canonical(id));
            (draft.Team, draft.Detail["name"]) = (orphan.Team, orphan.Name);
            if (orphan.State == OrphanState.Gone) return Refusal.Conflict("orphan.gone");
            // A sweep may have seen it gone since it was read.
            if ((await OrphanSweep.TogetherAsync(session, orphan.Pool)).FirstOrDefault(group => group.Any(each => each.Id == id)) is not { } together) return Refusal.Conflict("orphan.gone");
            if (state == OrphanState.Deleting && together.Any(each => each.State == OrphanState.Adopted)) return Refusal.Conflict("orphan.adopted");
            if (state == OrphanState.Adopted && together.Any(each => each.State == OrphanState.Deleting)) return Refusal.Conflict("orphan.being-deleted");
            foreach (var each in together) await OrphanStore.SetStateAsync(session, each.Id, state, null);
            await PoolSweepStore.SetDueAsync(session, OrphanSweep.Name, orphan.Pool, now);
            return View((await OrphanStore.FindAsync(session, id))!);
        }, cancellation);
    }

    private async Task<Outcome<T>> ChangeAsync<T>(
        Actor actor, Verb verb, string name, Func<Session, Pool, Task<Outcome<T>>> change, IReadOnlyList<(string Name, string Value)>? detail, CancellationToken cancellation)
    {
        var draft = new AuditDraft(verb.Word(), "pool", name);
        foreach (var (key, value) in detail ?? []) draft.Detail[key] = value;
        if (!May.Do(actor, verb)) return await _audited.RefuseAsync(actor, draft, Refusal.Forbidden(verb.Word()), cancellation);
        return await _audited.DoAsync<T>(
            actor, draft, async (session, _) => await PoolStore.FindAsync(session, name) is { } pool ? await change(session, pool) : Refusal.NotFound("pool", name), cancellation);
    }

    private static async Task<Outcome<PoolView>> ViewAsync(Session session, string name)
        => await PoolStore.FindAsync(session, name) is { } pool ? (await ViewsAsync(session, [pool]))[0] : Refusal.NotFound("pool", name);

    private static async Task<IReadOnlyList<PoolView>> ViewsAsync(Session session, IReadOnlyList<Pool> found)
    {
        var hosts = await PoolStore.ListHostsAsync(session);
        var held = (await CapacityStore.ListHeldAsync(session)).ToDictionary(hold => (hold.Pool, hold.Host));
        var images = (await ImagePresenceStore.ListAsync(session)).ToLookup(row => row.Pool);
        var busy = await PoolStore.ListBusyAsync(session);
        return [.. found.Select(pool => new PoolView
        {
            Id = pool.Id,
            Name = pool.Name,
            Provider = pool.Provider,
            State = pool.State,
            Problems = pool.Problems,
            CheckedAt = pool.CheckedAt,
            Labels = pool.Labels,
            Limits = pool.Limits,
            OperationsNow = busy.GetValueOrDefault((pool.Id, "operation")),
            BootsNow = busy.GetValueOrDefault((pool.Id, "boot")),
            Hosts = [.. hosts[pool.Id].Select(host => View(pool, host, held.GetValueOrDefault((pool.Id, host.Host))))],
            Images = [.. images[pool.Id].Select(row => new ImagePresenceView(row.Image, row.Version, row.Host, row.State.Word(), row.Digest, row.IsBeingRead, row.Bytes, row.BytesDone, row.Note))],
            Declared = pool.Declared,
        })];
    }

    private static HostView View(Pool pool, HostCapacity host, Held? held)
    {
        var (cpu, memory, disk) = Placement.LimitOf(pool, host);
        return new HostView(host.Host, cpu, held?.Cpu ?? 0, memory, held?.MemoryMiB ?? 0, disk, held?.DiskGiB ?? 0, host.DiskFreeGiB, held?.Machines ?? 0, host.Acceleration, host.Problem);
    }

    private static OrphanView View(Orphan orphan) => new(
        orphan.Id, orphan.PoolName, orphan.Kind, orphan.ExternalId, orphan.Name, orphan.Lab, orphan.LabName, orphan.TeamName, orphan.Generation, orphan.Host, orphan.State.Word(),
        orphan.FirstSeenAt, orphan.LastSeenAt, orphan.Note);
}
