using LabPortal.Data;
using LabPortal.Data.Blueprints;
using LabPortal.Data.Catalogue;
using LabPortal.Data.Images;
using LabPortal.Data.People;
using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Costs;
using LabPortal.Domain.Images;
using LabPortal.Domain.Networks;
using LabPortal.Domain.People;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Audit;
using LabPortal.Operations.Pools;

namespace LabPortal.Operations.Catalogue;

/// <summary>
/// A blueprint as a caller sees it: with each machine's amounts, and what it costs per hour where it would be placed now (nothing where that is
/// not known).
/// </summary>
public sealed record BlueprintView(Blueprint Blueprint, IReadOnlyList<MachineAmount> Machines, int Cpu, int MemoryMiB, int DiskGiB, Money? PricePerHour = null)
{
    /// <summary>Everything that it is, as an apply or a save would take it.</summary>
    public CatalogueDocument Document => YamlTree.Of(Blueprint);
}

public sealed record MachineAmount(string Name, string Image, int Cpu, int MemoryMiB, int DiskGiB, IReadOnlyList<Card> Cards);

/// <summary>Something was applied or would be: <c>kind/name</c> each.</summary>
public sealed record Applied(IReadOnlyList<string> Created, IReadOnlyList<string> Changed, IReadOnlyList<string> Unchanged, IReadOnlyList<string> Pruned);

public sealed partial class CatalogueCalls(Database database, TimeProvider time, IEnumerable<IProviderKind> kinds)
{
    private readonly AuditedWrite _audited = new(database, time);
    private readonly Dictionary<string, IProviderKind> _kinds = kinds.ToDictionary(kind => kind.Name, StringComparer.Ordinal);

    /// <summary>The current blueprints that the caller's teams may request; all for an admin.</summary>
    public Task<IReadOnlyList<BlueprintView>> BlueprintsAsync(Actor actor, CancellationToken cancellation) => database.ReadAsync(
        session => SeenAsync(actor, session), cancellation);

    public Task<Outcome<BlueprintView>> BlueprintAsync(Actor actor, string name, CancellationToken cancellation) => database.ReadAsync<Outcome<BlueprintView>>(
        async session => (await SeenAsync(actor, session)).FirstOrDefault(view => view.Blueprint.Name == name) is { } found ? found : Refusal.NotFound("blueprint", name),
        cancellation);

    public Task<IReadOnlyList<Image>> ImagesAsync(Actor actor, CancellationToken cancellation)
        => May.Do(actor, Verb.SeeCatalogue) ? database.ReadAsync(ImageStore.ListAsync, cancellation) : Task.FromResult<IReadOnlyList<Image>>([]);

    public Task<IReadOnlyList<Size>> SizesAsync(Actor actor, CancellationToken cancellation)
        => May.Do(actor, Verb.SeeCatalogue) ? database.ReadAsync(ImageStore.ListSizesAsync, cancellation) : Task.FromResult<IReadOnlyList<Size>>([]);

    /// <summary>
    /// Applies a stream of YAML documents: all or nothing, all mistakes told at once with their lines. Absence never deletes;
    /// <paramref name="prune"/> deletes declared objects that are not in the text, and is refused while labs live on them.
    /// A dry run does all of it and takes it back.
    /// </summary>
    public async Task<Outcome<Applied>> ApplyAsync(Actor actor, string yaml, bool dryRun, bool prune, CancellationToken cancellation)
    {
        var draft = new AuditDraft("apply-catalogue", "catalogue") { Detail = { ["prune"] = prune ? "true" : "false" } };
        if (!May.Do(actor, Verb.ApplyCatalogue)) return await _audited.RefuseAsync(actor, draft, Refusal.Forbidden(draft.Verb), cancellation);
        var reading = new YamlReading();
        var declared = new Declarations(reading, _kinds).Read(reading.Read(yaml));
        if (!dryRun)
        {
            return await _audited.DoAsync(actor, draft, async (session, now) =>
            {
                var outcome = await new CatalogueApply(session, reading, declared, prune, now, time).DoAsync();
                if (outcome.Ok) Note(draft, outcome.Value);
                return outcome;
            }, cancellation);
        }

        var would = default(Outcome<Applied>);
        try
        {
            await database.WriteAsync(async session =>
            {
                would = await new CatalogueApply(session, reading, declared, prune, time.Now(), time).DoAsync();
                throw new TakeBackException();
            }, cancellation);
        }
        catch (TakeBackException)
        {
            // The transaction is rolled back: that is the dry run.
        }

        return would;
    }

    /// <summary>Makes a declared object editable in the portal again.</summary>
    public async Task<Outcome<Done>> DetachAsync(Actor actor, string kind, string name, CancellationToken cancellation)
    {
        var draft = new AuditDraft("detach", kind.ToLowerInvariant(), name);
        if (!May.Do(actor, Verb.ApplyCatalogue)) return await _audited.RefuseAsync(actor, draft, Refusal.Forbidden(draft.Verb), cancellation);
        if (Enum.GetNames<Kind>().FirstOrDefault(known => known.Equals(kind, StringComparison.OrdinalIgnoreCase)) is not { } word)
            return Refusal.Invalid("kind", "yaml.unknown-kind", ("kind", kind), ("known", string.Join(", ", Enum.GetNames<Kind>())));
        return await _audited.DoAsync<Done>(actor, draft, async (session, _) => await CatalogueStore.DetachAsync(session, Table(Enum.Parse<Kind>(word)), name)
            ? new Done()
            : Refusal.NotFound(draft.ObjectKind, name), cancellation);
    }

    private static CatalogueTable Table(Kind kind) => kind switch
    {
        Kind.Pool => CatalogueTable.Pools,
        Kind.Image => CatalogueTable.Images,
        Kind.Size => CatalogueTable.Sizes,
        Kind.Team => CatalogueTable.Teams,
        _ => CatalogueTable.Blueprints,
    };

    private static void Note(AuditDraft draft, Applied applied)
    {
        foreach (var (what, names) in ((string, IReadOnlyList<string>)[])[("created", applied.Created), ("changed", applied.Changed), ("pruned", applied.Pruned)])
        {
            if (names.Count > 0) draft.Detail[what] = string.Join(", ", names);
        }
    }

    private static async Task<IReadOnlyList<BlueprintView>> SeenAsync(Actor actor, Session session)
    {
        if (!May.Do(actor, Verb.SeeCatalogue)) return [];
        var teams = (await TeamStore.PageAsync(session, null, actor.Teams.Keys, actor.Teams.Count, null)).Select(team => team.Name).ToHashSet(StringComparer.Ordinal);
        var sizes = (await ImageStore.ListSizesAsync(session)).ToDictionary(size => size.Name, StringComparer.Ordinal);
        var views = (await BlueprintStore.ListAsync(session))
            .Where(blueprint => actor.IsAdmin || (!blueprint.Retired && (blueprint.Teams.Count == 0 || blueprint.Teams.Any(teams.Contains))))
            .Select(blueprint => View(blueprint, sizes)).ToList();
        var versions = (await ImageStore.ListAsync(session)).ToDictionary(image => image.Name, image => image.Version, StringComparer.Ordinal);
        var prices = await Placing.PricesAsync(session, [.. views.Select(view => (view.Blueprint.Placement,
            (IReadOnlyList<MachineNeed>)[.. view.Machines.Select(machine => new MachineNeed(machine.Image, versions.GetValueOrDefault(machine.Image, ""), machine.Cpu, machine.MemoryMiB, machine.DiskGiB))]))]);
        return [.. views.Zip(prices, (view, price) => view with { PricePerHour = price })];
    }

    private static BlueprintView View(Blueprint blueprint, Dictionary<string, Size> sizes)
    {
        var machines = blueprint.Machines.Select(machine =>
        {
            var size = machine.Size is { } name ? sizes.GetValueOrDefault(name) : null;
            return new MachineAmount(machine.Name, machine.Image, size?.Cpu ?? machine.Cpu ?? 0, size?.MemoryMiB ?? machine.MemoryMiB ?? 0, size?.DiskGiB ?? machine.DiskGiB ?? 0, machine.Cards);
        }).ToList();
        return new BlueprintView(blueprint, machines, machines.Sum(machine => machine.Cpu), machines.Sum(machine => machine.MemoryMiB), machines.Sum(machine => machine.DiskGiB));
    }

    private sealed class TakeBackException : Exception;
}
