using System.Text.Json.Nodes;
using LabPortal.Data;
using LabPortal.Data.Blueprints;
using LabPortal.Data.Catalogue;
using LabPortal.Data.Images;
using LabPortal.Data.People;
using LabPortal.Data.Pools;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Images;
using LabPortal.Domain.People;
using LabPortal.Domain.Pools;
using LabPortal.Operations.People;
using LabPortal.Operations.Pools;
using NodaTime;

namespace LabPortal.Operations.Catalogue;

/// <summary>
/// One apply, inside one transaction: look at what is there; check what refers to what; check that nobody lives on what goes; write what
/// differs; take away what goes: by <paramref name="prune"/> whatever was declared and is not any more, or the one that is <paramref name="going"/>. Any
/// mistake refuses the whole, and the caller's transaction is rolled back.
/// </summary>
internal sealed class CatalogueApply(
    Session session, YamlReading reading, IReadOnlyList<Declaration> declared, bool prune, Instant now, TimeProvider time, (Kind Kind, string Name)? going = null)
{
    private readonly List<string> _created = [];
    private readonly List<string> _changed = [];
    private readonly List<string> _unchanged = [];
    private readonly List<string> _pruned = [];

    private IReadOnlyList<Size> _sizes = [];
    private IReadOnlyList<Image> _images = [];
    private IReadOnlyList<Team> _teams = [];
    private IReadOnlyList<Pool> _pools = [];
    private IReadOnlyList<Blueprint> _blueprints = [];

    /// <summary>Every mistake of what was read, also those that show only beside what is there. Changes nothing.</summary>
    public async Task<IReadOnlyList<FieldError>> CheckAsync()
    {
        await LoadAsync();
        CheckReferences();
        return reading.Mistakes;
    }

    public async Task<Outcome<Applied>> DoAsync()
    {
        await CatalogueStore.LockAsync(session);
        await LoadAsync();
        await LockAsync();
        CheckReferences();
        await CheckPoolsStayAsync();
        CheckSecrets();
        if (reading.Mistakes.Count > 0) return Refusal.Invalid(reading.Mistakes);
        if (await FindLivingAsync() is { Count: > 0 } living) return new Refusal(RefusalKind.Conflict, "prune.in-use", [("count", living.Count)], living);
        foreach (var declaration in declared.OrderBy(declaration => declaration.Kind)) await SaveAsync(declaration);
        foreach (var (kind, name) in Going.OrderByDescending(going => going.Kind)) await TakeAwayAsync(kind, name);
        // Lists of what people may request, and of what admins keep, are worth reading again.
        if (_created.Count + _changed.Count + _pruned.Count > 0) session.Raise(Signal.Operations, "");
        return new Applied(_created, _changed, _unchanged, _pruned);
    }

    private async Task LoadAsync()
    {
        _sizes = await ImageStore.ListSizesAsync(session);
        _images = await ImageStore.ListAsync(session);
        _teams = await TeamStore.ListAsync(session);
        _pools = await PoolStore.ListAsync(session);
        _blueprints = await BlueprintStore.ListAsync(session);
    }

    /// <summary>
    /// Teams before pools, as whoever decides on a quota and then on room does: locked one by one as they are written, two would wait for each other in a
    /// circle. What is locked is read anew.
    /// </summary>
    private async Task LockAsync()
    {
        var touched = Going.Concat(declared.Select(declaration => (declaration.Kind, declaration.Name))).ToHashSet();
        await TeamStore.LockAsync(session, _teams.Where(team => touched.Contains((Kind.Team, team.Name))).Select(team => team.Id));
        await CapacityStore.LockPoolsAsync(session, _pools.Where(pool => touched.Contains((Kind.Pool, pool.Name))).Select(pool => pool.Id));
        (_teams, _pools) = (await TeamStore.ListAsync(session), await PoolStore.ListAsync(session));
    }

    /// <summary>Everything that is there, and whether a document declared it.</summary>
    private IEnumerable<(Kind Kind, string Name, bool Declared)> There =>
    [
        .. _sizes.Select(size => (Kind.Size, size.Name, size.Declared)),
        .. _images.Select(image => (Kind.Image, image.Name, image.Declared)),
        .. _teams.Select(team => (Kind.Team, team.Name, team.Declared)),
        .. _pools.Select(pool => (Kind.Pool, pool.Name, pool.Declared)),
        .. _blueprints.Select(blueprint => (Kind.Blueprint, blueprint.Name, blueprint.Declared)),
    ];

    private IEnumerable<(Kind Kind, string Name)> Going => prune
        ? There.Where(there => there.Declared && !IsDeclared(there.Kind, there.Name)).Select(there => (there.Kind, there.Name))
        : going is { } one ? [one] : [];

    private bool IsDeclared(Kind kind, string name) => declared.Any(declaration => declaration.Kind == kind && declaration.Name == name);

    private bool Exists(Kind kind, string name)
        => IsDeclared(kind, name) || (There.Any(there => there.Kind == kind && there.Name == name) && !Going.Contains((kind, name)));

    private void CheckReferences()
    {
        foreach (var (document, blueprint) in declared.Where(declaration => declaration.Kind == Kind.Blueprint).Select(declaration => (declaration.Document, (Blueprint)declaration.Value)))
        {
            foreach (var (machine, i) in blueprint.Machines.Select((machine, i) => (machine, i)))
            {
                Refer(document, $"machines[{i}].image", Kind.Image, machine.Image);
                Refer(document, $"machines[{i}].size", Kind.Size, machine.Size);
                if (machine.WarmStart && FindImage(machine.Image) is { Warm: false })
                {
                    var path = $"machines[{i}].warmStart";
                    reading.Tell(document, YamlData.LineOf(document.Root, path), path, "machine.image-not-warm", ("image", machine.Image));
                }
            }

            foreach (var team in blueprint.Teams) Refer(document, "teams", Kind.Team, team);
        }
    }

    private Image? FindImage(string name) => declared.Where(declaration => declaration.Kind == Kind.Image && declaration.Name == name).Select(declaration => (Image)declaration.Value).FirstOrDefault()
        ?? _images.FirstOrDefault(image => image.Name == name);

    private void Refer(YamlDocument document, string path, Kind kind, string? name)
    {
        // What is empty was told of as missing.
        if (!string.IsNullOrEmpty(name) && !Exists(kind, name))
            reading.Tell(document, YamlData.LineOf(document.Root, path), path, "reference.unknown", ("kind", kind.ToString()), ("name", name));
    }

    /// <summary>A pool's machines are known to the provider that made them: a pool never changes its kind while it has any.</summary>
    private async Task CheckPoolsStayAsync()
    {
        foreach (var (document, pool) in declared.Where(declaration => declaration.Kind == Kind.Pool).Select(declaration => (declaration.Document, (Pool)declaration.Value)))
        {
            if (_pools.FirstOrDefault(there => there.Name == pool.Name) is { } there && there.Provider != pool.Provider && await CatalogueStore.LeftOnPoolAsync(session, there.Id) > 0)
                reading.Tell(document, YamlData.LineOf(document.Root, "provider"), "provider", "pool.provider-in-use", ("provider", there.Provider));
        }
    }

    /// <summary>A secret that the portal keeps is for the pool that it was given to: another name would open somebody else's.</summary>
    private void CheckSecrets()
    {
        foreach (var (document, pool) in declared.Where(declaration => declaration.Kind == Kind.Pool).Select(declaration => (declaration.Document, (Pool)declaration.Value)))
        {
            var own = StoredSecrets.Names(_pools.FirstOrDefault(there => there.Name == pool.Name)?.Settings).ToHashSet();
            foreach (var (field, _) in StoredSecrets.In(pool.Settings).Where(secret => !own.Contains(secret.Name)))
                reading.Tell(document, YamlData.LineOf(document.Root, field), field, "setting.not-a-secret");
        }
    }

    /// <summary>Why what goes cannot go: labs that live on it, blueprints that stay and name it.</summary>
    private async Task<IReadOnlyList<FieldError>> FindLivingAsync()
    {
        var errors = new List<FieldError>();
        var staying = _blueprints.Where(blueprint => !IsDeclared(Kind.Blueprint, blueprint.Name) && !Going.Contains((Kind.Blueprint, blueprint.Name))).ToList();
        foreach (var (kind, name) in Going)
        {
            var labs = kind switch
            {
                Kind.Image => await CatalogueStore.LabsOnImageAsync(session, name),
                Kind.Team => await CatalogueStore.LabsOnTeamAsync(session, Team(name).Id),
                Kind.Pool => await CatalogueStore.LabsOnPoolAsync(session, Pool(name).Id),
                Kind.Blueprint => await CatalogueStore.LabsOnBlueprintAsync(session, name),
                // A lab keeps the amounts that it was requested with.
                _ => [],
            };
            if (labs.Count > 0) errors.Add(new FieldError($"{kind}/{name}", "prune.labs", [("labs", string.Join(", ", labs.Select(lab => lab.Lab)))]));
            else if (kind == Kind.Pool && await CatalogueStore.LeftOnPoolAsync(session, Pool(name).Id) is > 0 and var left) errors.Add(new FieldError($"{kind}/{name}", "prune.leftovers", [("count", left)]));
            else if (kind == Kind.Pool && await WarmStore.HeldAsync(session, Pool(name).Id) is { Count: > 0 } warm) errors.Add(new FieldError($"{kind}/{name}", "prune.warm-states", [("count", warm.Count)]));
            var users = staying.Where(blueprint => kind switch
            {
                Kind.Image => blueprint.Machines.Any(machine => machine.Image == name),
                Kind.Size => blueprint.Machines.Any(machine => machine.Size == name),
                Kind.Team => blueprint.Teams.Contains(name),
                _ => false,
            }).Select(blueprint => blueprint.Name).ToList();
            if (users.Count > 0) errors.Add(new FieldError($"{kind}/{name}", "prune.blueprints", [("blueprints", string.Join(", ", users))]));
        }

        return errors;
    }

    private Task SaveAsync(Declaration declaration) => declaration.Value switch
    {
        Size size => SaveAsync(declaration, _sizes.FirstOrDefault(there => there.Name == size.Name), there => there == size, () => ImageStore.SaveSizeAsync(session, size)),
        Image image => SaveAsync(declaration, _images.FirstOrDefault(there => there.Name == image.Name), there => Same(there, image), () => ImageStore.SaveAsync(session, image, now)),
        DeclaredTeam team => SaveTeamAsync(declaration, team),
        Pool pool => SavePoolAsync(declaration, pool),
        Blueprint blueprint => SaveBlueprintAsync(declaration, blueprint),
        _ => throw new InvalidOperationException($"No such kind: {declaration.Kind}."),
    };

    private async Task SaveAsync<T>(Declaration declaration, T? there, Func<T, bool> same, Func<Task> save) where T : class
    {
        var said = $"{declaration.Kind}/{declaration.Name}";
        if (there is not null && same(there))
        {
            _unchanged.Add(said);
            return;
        }

        await save();
        (there is null ? _created : _changed).Add(said);
    }

    private Task SavePoolAsync(Declaration declaration, Pool pool)
    {
        var there = _pools.FirstOrDefault(candidate => candidate.Name == pool.Name);
        // Whether a pool is in maintenance is the admin's doing of the day, not the document's.
        var wanted = pool with { Id = there?.Id ?? new PoolId(Ids.New(time)), Mode = there?.Mode ?? PoolMode.Open };
        return SaveAsync(declaration, there, current => Same(current, wanted), async () =>
        {
            await PoolStore.SaveAsync(session, wanted);
            if (there is not null) SlotStore.Widen(session, wanted.Id, there.Limits, wanted.Limits, now);
            await ForgetAsync(StoredSecrets.Names(there?.Settings).Except(StoredSecrets.Names(wanted.Settings)));
        });
    }

    /// <summary>A new version only where the content is another; being declared or retired is no content.</summary>
    private Task SaveBlueprintAsync(Declaration declaration, Blueprint blueprint)
    {
        var there = _blueprints.FirstOrDefault(candidate => candidate.Name == blueprint.Name);
        return SaveAsync(declaration, there, current => SameContent(current, blueprint) && current.Declared == blueprint.Declared && current.Retired == blueprint.Retired, async () =>
        {
            if (there is null || !SameContent(there, blueprint)) await BlueprintStore.AddVersionAsync(session, blueprint, now);
            await BlueprintStore.SetDeclaredAsync(session, blueprint.Name, blueprint.Declared);
            await BlueprintStore.SetRetiredAsync(session, blueprint.Name, blueprint.Retired);
        });
    }

    private async Task SaveTeamAsync(Declaration declaration, DeclaredTeam team)
    {
        var there = _teams.FirstOrDefault(candidate => candidate.Name == team.Name);
        var same = there is { Declared: true } && there.Zone == team.Zone && await SameInsideAsync(there.Id, team);
        await SaveAsync(declaration, there, _ => same, async () =>
        {
            var saved = new Team { Id = there?.Id ?? new TeamId(Ids.New(time)), Name = team.Name, Zone = team.Zone, Declared = true };
            await TeamStore.SaveAsync(session, saved, now);
            await TeamStore.SetLimitsAsync(session, saved.Id, "team", team.Quota);
            await TeamStore.SetLimitsAsync(session, saved.Id, "person", team.PersonQuota);
            var people = new Dictionary<PersonId, TeamRole>();
            foreach (var (email, role) in team.Members) people[(await EnsurePersonAsync(email)).Id] = role;
            foreach (var gone in (await TeamStore.MembershipsAsync(session, saved.Id)).Where(member => !people.ContainsKey(member.Person)))
                await TeamStore.RemoveMemberAsync(session, saved.Id, gone.Person);
            foreach (var (person, role) in people) await TeamStore.SetMemberAsync(session, new Membership(saved.Id, person, role));
        });
    }

    private async Task<bool> SameInsideAsync(TeamId id, DeclaredTeam team)
    {
        var members = new Dictionary<string, TeamRole>(StringComparer.Ordinal);
        foreach (var membership in await TeamStore.MembershipsAsync(session, id)) members[(await PersonStore.FindAsync(session, membership.Person))!.Email] = membership.Role;
        return SameEntries(members, team.Members)
            && SameEntries(await TeamStore.LimitsAsync(session, id, "team"), team.Quota)
            && SameEntries(await TeamStore.LimitsAsync(session, id, "person"), team.PersonQuota);
    }

    /// <summary>Somebody who is named before they ever signed in: they exist, without a way to sign in until they are invited.</summary>
    private async Task<Person> EnsurePersonAsync(string email)
    {
        if (await PersonStore.FindByEmailAsync(session, email) is { } there) return there;
        var person = new Person { Id = new(Ids.New(time)), Name = email.Split('@')[0], Email = email, CreatedAt = now };
        await PersonStore.AddAsync(session, person);
        return person;
    }

    private async Task TakeAwayAsync(Kind kind, string name)
    {
        switch (kind)
        {
            case Kind.Size:
                await ImageStore.DeleteSizeAsync(session, name);
                break;
            case Kind.Image:
                await CatalogueStore.WithdrawImageAsync(session, name);
                break;
            case Kind.Pool:
                await PoolStore.LockAsync(session, Pool(name).Id);
                await CatalogueStore.DeletePoolAsync(session, Pool(name).Id);
                await ForgetAsync(StoredSecrets.Names(Pool(name).Settings));
                break;
            case Kind.Team:
                await TakeTeamAwayAsync(Team(name));
                break;
            default:
                await CatalogueStore.WithdrawBlueprintAsync(session, name);
                break;
        }

        _pruned.Add($"{kind}/{name}");
    }

    /// <summary>A team that ever had labs stays for their records: without members, so that nobody requests anything in it.</summary>
    private async Task TakeTeamAwayAsync(Team team)
    {
        if (!await CatalogueStore.HasHistoryAsync(session, team.Id))
        {
            await TeamStore.DeleteAsync(session, team.Id);
            return;
        }

        foreach (var member in await TeamStore.MembershipsAsync(session, team.Id)) await TeamStore.RemoveMemberAsync(session, team.Id, member.Person);
        await TeamStore.SaveAsync(session, team with { Declared = false }, now);
    }

    private async Task ForgetAsync(IEnumerable<string> secrets)
    {
        foreach (var secret in secrets) await SecretStore.DeleteAsync(session, secret);
    }

    private Team Team(string name) => _teams.Single(team => team.Name == name);

    private Pool Pool(string name) => _pools.Single(pool => pool.Name == name);

    // Stored forms compare what lists and maps of records do not.
    private static bool SameContent(Blueprint a, Blueprint b) => Content(a) == Content(b);

    private static string Content(Blueprint blueprint) => StoredJson.Write(blueprint with { Version = 0, Declared = false, Retired = false });

    private static bool Same(Image a, Image b) => (a.Version, a.Os, a.User, a.Declared) == (b.Version, b.Os, b.User, b.Declared)
        && a.Bindings.Count == b.Bindings.Count
        && a.Bindings.All(binding => b.Bindings.TryGetValue(binding.Key, out var other) && SameEntries(binding.Value, other));

    private static bool Same(Pool a, Pool b) => (a.Provider, a.Limits, a.Overcommit, a.Prices, a.Declared) == (b.Provider, b.Limits, b.Overcommit, b.Prices, b.Declared)
        && a.Labels.SequenceEqual(b.Labels) && JsonNode.DeepEquals(a.Settings, b.Settings);

    private static bool SameEntries<T>(IReadOnlyDictionary<string, T> a, IReadOnlyDictionary<string, T> b) where T : notnull
        => a.Count == b.Count && a.All(entry => b.TryGetValue(entry.Key, out var other) && other.Equals(entry.Value));
}
