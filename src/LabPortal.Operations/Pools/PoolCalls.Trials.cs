using LabPortal.Data;
using LabPortal.Data.Images;
using LabPortal.Data.Labs;
using LabPortal.Data.People;
using LabPortal.Data.Pools;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Leases;
using LabPortal.Domain.Machines;
using LabPortal.Domain.People;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Audit;
using LabPortal.Operations.Labs;
using LabPortal.Operations.Machines;
using LabPortal.Operations.People;
using NodaTime;

namespace LabPortal.Operations.Pools;

/// <summary>Trying a pool: a run like every other, with a lab of the portal's own, that no team is charged for.</summary>
public sealed partial class PoolCalls
{
    private const int MostTrials = 5;

    /// <summary>
    /// Has one machine made on the pool, reached and removed, in the background; also on a pool in maintenance. Whatever cuts it off, its run goes on to where
    /// nothing is left. Refused while another trial of the pool is under way.
    /// </summary>
    public async Task<Outcome<RunView>> TryAsync(Actor actor, string name, TrialRequest asked, CancellationToken cancellation) => await ChangeAsync<RunView>(
        actor, Verb.AdministerPools, name,
        async (session, pool) =>
        {
            if (actor.Person is not { } person) return Refusal.Forbidden(Verb.AdministerPools.Word());
            var errors = new List<FieldError>();
            var image = await ImageStore.FindCurrentAsync(session, asked.Image);
            if (image is null) errors.Add(new FieldError("image", "image.unknown", [("image", asked.Image)]));
            else if (!image.Bindings.ContainsKey(pool.Provider)) errors.Add(new FieldError("image", "image.not-bound", [("image", asked.Image), ("kind", pool.Provider)]));
            var size = asked.Size is null ? null : (await ImageStore.ListSizesAsync(session)).FirstOrDefault(size => size.Name == asked.Size);
            if (asked.Size is not null && size is null) errors.Add(new FieldError("size", "reference.unknown", [("kind", "Size"), ("name", asked.Size)]));
            Amount("cpu", asked.Cpu, 1024);
            Amount("memoryMiB", asked.MemoryMiB, 16 * 1024 * 1024);
            Amount("diskGiB", asked.DiskGiB, 64 * 1024);
            if (errors.Count > 0) return Refusal.Invalid(errors);
            await PoolStore.LockAsync(session, pool.Id);
            if ((await RunStore.TrialsAsync(session, pool.Name, 1)) is [{ } last] && last.State.IsLive()) return Refusal.Conflict("pool.being-tried", ("pool", pool.Name));

            var now = time.Now();
            var id = new LabId(Ids.New(time));
            var lab = new Lab
            {
                Id = id,
                Name = $"trial of {pool.Name}",
                Blueprint = "",
                BlueprintVersion = 0,
                Team = await TeamStore.EnsureOwnAsync(session, now),
                Owner = person,
                State = LabState.Provisioning,
                Version = 0,
                AskedPool = pool.Name,
                Lease = new Lease { Start = now, Length = Duration.FromHours(1), Grace = Duration.Zero, Zone = "UTC" },
                RequestedAt = now,
                Machines =
                [
                    new Machine
                    {
                        Id = new MachineId(Ids.New(time)), Lab = id, Name = "trial", State = MachineState.Pending, Generation = 0, Image = image!.Name, ImageVersion = image.Version,
                        Cpu = size?.Cpu ?? asked.Cpu, MemoryMiB = size?.MemoryMiB ?? asked.MemoryMiB, DiskGiB = size?.DiskGiB ?? asked.DiskGiB,
                    },
                ],
            };
            await LabStore.InsertAsync(session, lab);
            // Nobody needs to get in; but images that want a user with a way in get one.
            if ((await SshKeyStore.ListAsync(session, person)).Count == 0) await secrets.SaveAsync(session, GuestSeeds.PasswordName(id), SecretText.New(), now);
            var run = await begin.BeginAsync(session, lab, WorkflowNames.Try, new Dictionary<string, string>(), actor.Name, now);
            return (await runs.ListedAsync(session, [run]))[0];

            void Amount(string field, int amount, int most)
            {
                if (asked.Size is null && (amount < 1 || amount > most)) errors.Add(new FieldError(field, "field.range", [("min", 1), ("max", most)]));
            }
        },
        [("try", asked.Image)], cancellation);

    /// <summary>The last trials of the pool, newest first, the newest whole.</summary>
    public async Task<Outcome<IReadOnlyList<RunView>>> TrialsAsync(Actor actor, string name, CancellationToken cancellation)
    {
        if (!May.Do(actor, Verb.SeeOperations)) return Refusal.Forbidden(Verb.SeeOperations.Word());
        return await database.ReadAsync<Outcome<IReadOnlyList<RunView>>>(async session =>
        {
            var trials = await RunStore.TrialsAsync(session, name, MostTrials);
            var views = (await runs.ListedAsync(session, trials)).ToList();
            if (views.Count > 0) views[0] = await runs.WholeAsync(session, trials[0], (await LabStore.FindAsync(session, trials[0].Lab))!, views[0].Team, actor);
            return views;
        }, cancellation);
    }
}
