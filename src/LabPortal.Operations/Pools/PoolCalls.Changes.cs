using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using LabPortal.Data;
using LabPortal.Data.Catalogue;
using LabPortal.Data.People;
using LabPortal.Data.Pools;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.People;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Audit;
using LabPortal.Operations.Catalogue;
using LabPortal.Operations.Costs;
using LabPortal.Operations.People;
using NodaTime;

namespace LabPortal.Operations.Pools;

/// <summary>What admins decide about a pool: that it is there, how it is reached, what it may do, what it costs.</summary>
public sealed partial class PoolCalls
{
    private const string Prices = "prices";

    private readonly Dictionary<string, IProviderKind> _kinds = kinds.ToDictionary(kind => kind.Name, StringComparer.Ordinal);

    /// <summary>The kinds of pools that this portal knows, each with what it can be told.</summary>
    public Outcome<IReadOnlyList<PoolKindView>> Kinds(Actor actor) => May.Do(actor, Verb.SeeOperations)
        ? Outcome.Of<IReadOnlyList<PoolKindView>>([.. _kinds.Values.OrderBy(kind => kind.Name, StringComparer.Ordinal).Select(kind => new PoolKindView(kind.Name, kind.ImageKeys, kind.OptionalImageKeys, kind.Settings.Settings))])
        : Refusal.Forbidden(Verb.SeeOperations.Word());

    /// <summary>The pool as it was told: what <see cref="SaveAsync"/> takes. Secrets are the names of where they are.</summary>
    public async Task<Outcome<PoolDraft>> DraftAsync(Actor actor, string name, CancellationToken cancellation)
    {
        if (!May.Do(actor, Verb.SeeOperations)) return Refusal.Forbidden(Verb.SeeOperations.Word());
        if (await database.ReadAsync(session => PoolStore.FindAsync(session, name), cancellation) is not { } pool) return Refusal.NotFound("pool", name);
        var settings = (JsonObject)pool.Settings.DeepClone();
        // Whatever came to be stored as text is not given back.
        if (_kinds.TryGetValue(pool.Provider, out var kind)) Secrets(kind.Settings.Settings, settings, "settings", (owner, setting, _) => { if (owner[setting.Name] is JsonValue) owner.Remove(setting.Name); });
        return new PoolDraft(pool.Provider, pool.Labels, settings, pool.Limits, pool.Overcommit, pool.Prices);
    }

    /// <summary>
    /// Makes the pool, or changes the one of this name; all mistakes at once. A secret is a text (kept by the portal from then on, and never given back), where it is
    /// (<c>{env: NAME}</c>, <c>{file: PATH}</c>), or what <see cref="DraftAsync"/> said. What is declared is refused.
    /// </summary>
    public async Task<Outcome<PoolView>> SaveAsync(Actor actor, string name, PoolDraft draft, CancellationToken cancellation)
    {
        var audit = new AuditDraft(Verb.AdministerPools.Word(), "pool", name);
        if (!May.Do(actor, Verb.AdministerPools)) return await _audited.RefuseAsync(actor, audit, Refusal.Forbidden(Verb.AdministerPools.Word()), cancellation);
        return await _audited.DoAsync<PoolView>(actor, audit, async (session, now) =>
        {
            await CatalogueStore.LockAsync(session);
            var there = await PoolStore.FindAsync(session, name);
            if (there is { Declared: true }) return Refusal.Conflict("object.declared", ("kind", "pool"), ("name", name));
            var errors = Mistakes(name, draft, there);
            if (there is not null && there.Provider != draft.Provider && await CatalogueStore.LeftOnPoolAsync(session, there.Id) > 0)
                errors.Add(new FieldError("provider", "pool.provider-in-use", [("provider", there.Provider)]));
            if (errors.Count > 0) return Refusal.Invalid(errors);

            var id = there?.Id ?? new PoolId(Ids.New(time));
            var settings = await KeepSecretsAsync(session, id, there, draft, now);
            await PoolStore.SaveAsync(session, new Pool
            {
                Id = id, Name = name, Provider = draft.Provider, Labels = draft.Labels, Settings = settings, Limits = draft.Limits, Overcommit = draft.Overcommit, Prices = draft.Prices,
                Account = _kinds[draft.Provider].AccountOf(draft.Settings), Mode = there?.Mode ?? PoolMode.Open,
            });
            if (there is not null) SlotStore.Widen(session, id, there.Limits, draft.Limits, now);
            audit.Detail[there is null ? "created" : "changed"] = draft.Provider;
            return await ViewAsync(session, name);
        }, cancellation);
    }

    /// <summary>Whom it concerns when the pool takes no machines any more: every lab that has some there.</summary>
    public async Task<Outcome<IReadOnlyList<AffectedLabView>>> AffectedAsync(Actor actor, string name, CancellationToken cancellation)
    {
        if (!May.Do(actor, Verb.SeeOperations)) return Refusal.Forbidden(Verb.SeeOperations.Word());
        return await database.ReadAsync<Outcome<IReadOnlyList<AffectedLabView>>>(async session =>
        {
            if (await PoolStore.FindAsync(session, name) is not { } pool) return Refusal.NotFound("pool", name);
            return Outcome.Of<IReadOnlyList<AffectedLabView>>([.. (await PoolStore.MachinesOnAsync(session, pool.Id)).GroupBy(machine => machine.Lab).Select(lab => new AffectedLabView(
                lab.Key, lab.First().LabName, lab.First().LabState, lab.First().Team, lab.First().Owner, lab.First().LeaseEnd,
                [.. lab.Select(machine => new AffectedMachineView(machine.Machine, machine.State, machine.Host))]))]);
        }, cancellation);
    }

    private List<FieldError> Mistakes(string name, PoolDraft draft, Pool? there)
    {
        var errors = new List<FieldError>();
        if (!CatalogueRules.IsName(name)) errors.Add(new FieldError("name", "name.form"));
        foreach (var (label, i) in draft.Labels.Select((label, i) => (label, i)))
        {
            if (!CatalogueRules.IsName(label)) errors.Add(new FieldError($"labels[{i}]", "name.form"));
        }

        Range("limits.operationsAtOnce", draft.Limits.OperationsAtOnce, 1, 1000);
        Range("limits.bootsAtOnce", draft.Limits.BootsAtOnce, 1, 1000);
        Range("limits.orphanDeletionsPerPass", draft.Limits.OrphanDeletionsPerPass, 0, 1000);
        Range("limits.operationsPerHost", draft.Limits.OperationsPerHost, 0, 1000);
        Range("limits.operationsPerMinute", draft.Limits.OperationsPerMinute, 0, 100_000);
        Range("overcommit.cpu", draft.Overcommit.Cpu, 0.1, 100);
        Range("overcommit.memory", draft.Overcommit.Memory, 0.1, 100);
        if (draft.Prices is { } prices)
        {
            if (!CurrencyForm().IsMatch(prices.Currency)) errors.Add(new FieldError($"{Prices}.currency", "currency.form"));
            Range("prices.running.cpuHour", (double)prices.CpuHour, 0, 1_000_000);
            Range("prices.running.memoryGiBHour", (double)prices.MemoryGiBHour, 0, 1_000_000);
            Range("prices.diskGiBHour", (double)prices.DiskGiBHour, 0, 1_000_000);
            if (prices.Sizes.Count > PriceCsv.MostSizes) errors.Add(new FieldError($"{Prices}.sizes", "csv.too-many", [("most", PriceCsv.MostSizes)]));
            foreach (var (size, i) in prices.Sizes.Select((size, i) => (size, i)))
            {
                if (size.Size.Length is 0 or > 100) errors.Add(new FieldError($"prices.sizes[{i}].size", "field.range", [("min", 1), ("max", 100)]));
                Range($"prices.sizes[{i}].cpu", size.Cpu, 1, 1_000_000);
                Range($"prices.sizes[{i}].memoryMiB", size.MemoryMiB, 1, 1_000_000_000);
                Range($"prices.sizes[{i}].runningHour", (double)size.RunningHour, 0, 1_000_000);
                Range($"prices.sizes[{i}].stoppedHour", (double)size.StoppedHour, 0, 1_000_000);
            }
        }

        if (!_kinds.TryGetValue(draft.Provider, out var kind))
        {
            errors.Add(new FieldError("provider", "provider.unknown", [("provider", draft.Provider), ("known", string.Join(", ", _kinds.Keys.Order(StringComparer.Ordinal)))]));
            return errors;
        }

        errors.AddRange(kind.Settings.Validate(draft.Settings));
        var mine = StoredSecrets.Names(there?.Settings).ToHashSet();
        // A name that this pool did not get from us would open somebody else's secret.
        Secrets(kind.Settings.Settings, draft.Settings, "settings", (owner, setting, field) =>
        {
            if (StoredSecrets.NameIn(owner[setting.Name]) is { } stored && !mine.Contains(stored)) errors.Add(new FieldError(field, "setting.not-a-secret"));
        });
        return errors;

        void Range(string field, double value, double min, double max)
        {
            if (!(value >= min && value <= max)) errors.Add(new FieldError(field, "field.range", [("min", min), ("max", max)]));
        }
    }

    /// <summary>Texts go to the secret store, under names of their own; what no setting names any more is forgotten.</summary>
    private async Task<JsonObject> KeepSecretsAsync(Session session, PoolId id, Pool? there, PoolDraft draft, Instant now)
    {
        var settings = (JsonObject)draft.Settings.DeepClone();
        var texts = new List<(string Name, string Text)>();
        var kind = _kinds[draft.Provider];
        Secrets(kind.Settings.Settings, settings, "settings", (owner, setting, _) =>
        {
            if (owner[setting.Name] is not JsonValue text) return;
            var name = $"pool/{id}/{Ids.Canonical(Ids.New(time))}";
            texts.Add((name, text.GetValue<string>()));
            owner[setting.Name] = new JsonObject { ["secret"] = name };
        });
        foreach (var (name, text) in texts) await secrets.SaveAsync(session, name, text, now);
        foreach (var forgotten in StoredSecrets.Names(there?.Settings).Except(StoredSecrets.Names(settings))) await SecretStore.DeleteAsync(session, forgotten);
        return settings;
    }

    /// <summary>Each setting that is a secret and is there, with the object that has it.</summary>
    private static void Secrets(IReadOnlyList<Setting> schema, JsonObject value, string path, Action<JsonObject, Setting, string> each)
    {
        foreach (var setting in schema)
        {
            if (setting.Kind == SettingKind.Secret && value[setting.Name] is not null) each(value, setting, $"{path}.{setting.Name}");
            if (setting.Kind != SettingKind.List || value[setting.Name] is not JsonArray items) continue;
            for (var i = 0; i < items.Count; i++)
            {
                if (items[i] is JsonObject item) Secrets(setting.Items ?? [], item, $"{path}.{setting.Name}[{i}]", each);
            }
        }
    }

    [GeneratedRegex(@"^[A-Z]{3}\z", RegexOptions.CultureInvariant)]
    private static partial Regex CurrencyForm();
}
