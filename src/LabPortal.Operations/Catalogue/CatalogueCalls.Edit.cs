using LabPortal.Data;
using LabPortal.Data.Catalogue;
using LabPortal.Data.Blueprints;
using LabPortal.Data.Images;
using LabPortal.Domain;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Images;
using LabPortal.Domain.People;
using LabPortal.Operations.Audit;
using NodaTime;

namespace LabPortal.Operations.Catalogue;

/// <summary>A version of a blueprint, and the living labs that keep it.</summary>
public sealed record BlueprintVersionView(int Version, Instant At, bool Current, IReadOnlyList<BlueprintLabView> Labs);

public sealed record BlueprintLabView(LabId Id, string Name, string Team, string State);

public sealed record ImageVersionView(Image Image, Instant At, bool Current);

/// <summary>Sizes, images and blueprints one by one, as admins keep them. What is declared is changed where it is declared, or detached first.</summary>
public sealed partial class CatalogueCalls
{
    /// <summary>What a saved document would be refused for, with the place of each mistake; nothing changes.</summary>
    public async Task<IReadOnlyList<FieldError>> CheckAsync(Actor actor, CatalogueDocument document, CancellationToken cancellation)
    {
        if (!May.Do(actor, Verb.ApplyCatalogue)) return [];
        var (reading, declared) = Read(document);
        return CatalogueDocument.ByPlace(await database.ReadAsync(session => new CatalogueApply(session, reading, declared, false, time.Now(), time).CheckAsync(), cancellation));
    }

    /// <summary>
    /// Makes or changes what the document names. A blueprint gets a new version where its content is another; labs keep theirs. With
    /// <paramref name="basedOn"/>, refused where the current version is another by now. Saving the same again changes nothing.
    /// </summary>
    public async Task<Outcome<Applied>> SaveAsync(Actor actor, CatalogueDocument document, int? basedOn, CancellationToken cancellation)
    {
        var draft = new AuditDraft("save", document.Kind.ToLowerInvariant(), document.Name);
        if (!May.Do(actor, Verb.ApplyCatalogue)) return await _audited.RefuseAsync(actor, draft, Refusal.Forbidden(draft.Verb), cancellation);
        if (Own(document.Kind) is not { } kind) return UnknownKind(document.Kind);
        var (reading, declared) = Read(document);
        return await _audited.DoAsync(actor, draft, async (session, now) =>
        {
            await CatalogueStore.LockAsync(session);
            var there = await FindAsync(session, kind, document.Name);
            if (there is { Declared: true }) return Refusal.Conflict("object.declared", ("kind", draft.ObjectKind), ("name", document.Name));
            if (basedOn is not null && there?.Version != basedOn) return Refusal.Conflict("blueprint.changed-meanwhile", ("name", document.Name));
            var outcome = await new CatalogueApply(session, reading, declared, false, now, time).DoAsync();
            if (outcome.Refusal is { Errors: { } errors } refusal) return refusal with { Errors = CatalogueDocument.ByPlace(errors) };
            Note(draft, outcome.Value);
            if (kind == Kind.Blueprint) draft.Detail["version"] = $"{(await BlueprintStore.FindCurrentAsync(session, document.Name))!.Version}";
            return outcome;
        }, cancellation);
    }

    /// <summary>Takes it out of the catalogue, unless a lab lives on it or a blueprint names it. Versions stay for the labs that were made of them.</summary>
    public async Task<Outcome<Done>> DeleteAsync(Actor actor, string kind, string name, CancellationToken cancellation)
    {
        var draft = new AuditDraft("delete", kind.ToLowerInvariant(), name);
        if (!May.Do(actor, Verb.ApplyCatalogue)) return await _audited.RefuseAsync(actor, draft, Refusal.Forbidden(draft.Verb), cancellation);
        if (Own(kind) is not { } known) return UnknownKind(kind);
        return await _audited.DoAsync<Done>(actor, draft, async (session, now) =>
        {
            await CatalogueStore.LockAsync(session);
            if (await FindAsync(session, known, name) is not { } there) return Refusal.NotFound(draft.ObjectKind, name);
            if (there.Declared) return Refusal.Conflict("object.declared", ("kind", draft.ObjectKind), ("name", name));
            var outcome = await new CatalogueApply(session, new YamlReading(), [], false, now, time, (known, name)).DoAsync();
            return outcome.Refusal is { } no ? no with { Code = "object.in-use", Arguments = [("kind", draft.ObjectKind), ("name", name)] } : new Done();
        }, cancellation);
    }

    /// <summary>A retired blueprint makes no new labs; labs of it live on. Bringing it back ends that.</summary>
    public async Task<Outcome<Done>> SetRetiredAsync(Actor actor, string name, bool retired, CancellationToken cancellation)
    {
        var draft = new AuditDraft(retired ? "retire" : "bring-back", "blueprint", name);
        if (!May.Do(actor, Verb.ApplyCatalogue)) return await _audited.RefuseAsync(actor, draft, Refusal.Forbidden(draft.Verb), cancellation);
        return await _audited.DoAsync<Done>(actor, draft, async (session, _) =>
        {
            await CatalogueStore.LockAsync(session);
            if (await BlueprintStore.FindCurrentAsync(session, name) is not { } there) return Refusal.NotFound("blueprint", name);
            if (there.Declared) return Refusal.Conflict("object.declared", ("kind", "blueprint"), ("name", name));
            await BlueprintStore.SetRetiredAsync(session, name, retired);
            session.Raise(Signal.Operations, "");
            return new Done();
        }, cancellation);
    }

    /// <summary>Newest first.</summary>
    public async Task<Outcome<IReadOnlyList<BlueprintVersionView>>> VersionsAsync(Actor actor, string name, CancellationToken cancellation)
    {
        if (!May.Do(actor, Verb.ApplyCatalogue)) return Refusal.Forbidden(Verb.ApplyCatalogue.Word());
        return await database.ReadAsync<Outcome<IReadOnlyList<BlueprintVersionView>>>(async session =>
        {
            var versions = await BlueprintStore.ListVersionsAsync(session, name);
            if (versions.Count == 0) return Refusal.NotFound("blueprint", name);
            var labs = (await BlueprintStore.ListLabsAsync(session, name)).ToLookup(lab => lab.Version);
            return versions.Select(version => new BlueprintVersionView(
                version.Version, version.CreatedAt, version.Current, [.. labs[version.Version].Select(lab => new BlueprintLabView(lab.Id, lab.Name, lab.Team, lab.State))])).ToList();
        }, cancellation);
    }

    public async Task<Outcome<CatalogueDocument>> VersionAsync(Actor actor, string name, int version, CancellationToken cancellation)
    {
        if (!May.Do(actor, Verb.ApplyCatalogue)) return Refusal.Forbidden(Verb.ApplyCatalogue.Word());
        return await database.ReadAsync<Outcome<CatalogueDocument>>(async session => await BlueprintStore.FindAsync(session, name, version) is { } found
            ? YamlTree.Of(found with { Retired = false })
            : Refusal.NotFound("blueprint", $"{name}/{version}"), cancellation);
    }

    /// <summary>What differs between two versions, line by line of their documents.</summary>
    public async Task<Outcome<IReadOnlyList<DocumentLine>>> CompareAsync(Actor actor, string name, int from, int to, CancellationToken cancellation)
    {
        var (a, b) = (await VersionAsync(actor, name, from, cancellation), await VersionAsync(actor, name, to, cancellation));
        return (a.Refusal ?? b.Refusal) is { } refusal ? refusal : DocumentLine.Compare(a.Value.Write(), b.Value.Write());
    }

    /// <summary>Newest first.</summary>
    public async Task<Outcome<IReadOnlyList<ImageVersionView>>> ImageVersionsAsync(Actor actor, string name, CancellationToken cancellation)
    {
        if (!May.Do(actor, Verb.SeeCatalogue)) return Refusal.Forbidden(Verb.SeeCatalogue.Word());
        var versions = await database.ReadAsync(session => ImageStore.ListVersionsAsync(session, name), cancellation);
        return versions.Count == 0 ? Refusal.NotFound("image", name) : versions.Select(version => new ImageVersionView(version.Image, version.CreatedAt, version.Current)).ToList();
    }

    /// <summary>The kinds of provider that an image may be bound to, by name, with what a binding needs and may have.</summary>
    public IEnumerable<IProviderKind> BoundKinds => _kinds.Values.OrderBy(kind => kind.Name, StringComparer.Ordinal);

    /// <summary>Judges the text that people see, so that lines are theirs.</summary>
    private (YamlReading Reading, IReadOnlyList<Declaration> Declared) Read(CatalogueDocument document)
    {
        var reading = new YamlReading();
        return (reading, new Declarations(reading, _kinds, declared: false).Read(reading.Read(document.Write())));
    }

    private static Kind? Own(string word) => word.ToLowerInvariant() switch { "size" => Kind.Size, "image" => Kind.Image, "blueprint" => Kind.Blueprint, _ => null };

    private static Refusal UnknownKind(string kind) => Refusal.Invalid("kind", "yaml.unknown-kind", ("kind", kind), ("known", "Size, Image, Blueprint"));

    private static async Task<(bool Declared, int? Version)?> FindAsync(Session session, Kind kind, string name) => kind switch
    {
        Kind.Size => (await ImageStore.ListSizesAsync(session)).FirstOrDefault(size => size.Name == name) is { } size ? (size.Declared, null) : null,
        Kind.Image => await ImageStore.FindCurrentAsync(session, name) is { } image ? (image.Declared, null) : null,
        _ => await BlueprintStore.FindCurrentAsync(session, name) is { } blueprint ? (blueprint.Declared, blueprint.Version) : null,
    };
}
