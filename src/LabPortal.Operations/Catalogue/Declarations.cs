using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Costs;
using LabPortal.Domain.Images;
using LabPortal.Domain.Leases;
using LabPortal.Domain.People;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Quotas;
using LabPortal.Operations.People;
using NodaTime;

namespace LabPortal.Operations.Catalogue;

/// <summary>The kinds of documents, in the order in which they are applied: what is referred to comes first.</summary>
internal enum Kind
{
    Size,
    Image,
    Team,
    Pool,
    Blueprint,
}

/// <summary>A team as a document says it: the whole of it, so members and limits that are not there are not there.</summary>
internal sealed record DeclaredTeam(
    string Name, string Zone, IReadOnlyDictionary<string, TeamRole> Members, IReadOnlyDictionary<string, long> Quota, IReadOnlyDictionary<string, long> PersonQuota);

/// <summary>One good document: what it declares, and where, for mistakes that show only beside others.</summary>
internal sealed record Declaration(Kind Kind, string Name, object Value, YamlDocument Document);

/// <summary>Reads each kind of document. Every mistake is told; a document with a mistake of its own still counts as declaring its name.</summary>
internal sealed partial class Declarations(YamlReading reading, IReadOnlyDictionary<string, IProviderKind> kinds, bool declared = true)
{
    private const int MostCpu = 1024;
    private const int MostMemoryMiB = 16 * 1024 * 1024;
    private const int MostDiskGiB = 64 * 1024;
    private const int MostMachines = 200;
    private const long MostQuota = 1_000_000_000_000;

    private static readonly Dictionary<string, IsoDayOfWeek> s_days = new(StringComparer.Ordinal)
    {
        ["mon"] = IsoDayOfWeek.Monday, ["tue"] = IsoDayOfWeek.Tuesday, ["wed"] = IsoDayOfWeek.Wednesday, ["thu"] = IsoDayOfWeek.Thursday,
        ["fri"] = IsoDayOfWeek.Friday, ["sat"] = IsoDayOfWeek.Saturday, ["sun"] = IsoDayOfWeek.Sunday,
    };

    public IReadOnlyList<Declaration> Read(IReadOnlyList<YamlDocument> documents)
    {
        var found = new List<Declaration>();
        foreach (var document in documents)
        {
            var fields = new YamlFields(reading, document, document.Root, "");
            var word = fields.Text("kind", required: true);
            var name = fields.Name("name");
            if (word is null) continue;
            if (!Enum.GetNames<Kind>().Contains(word))
            {
                fields.Tell("kind", "yaml.unknown-kind", ("kind", word), ("known", string.Join(", ", Enum.GetNames<Kind>().Order(StringComparer.Ordinal))));
                continue;
            }

            var kind = Enum.Parse<Kind>(word);
            object value = kind switch
            {
                Kind.Size => ReadSize(fields),
                Kind.Image => ReadImage(fields),
                Kind.Team => ReadTeam(fields),
                Kind.Pool => ReadPool(fields),
                _ => ReadBlueprint(fields),
            };
            fields.Close();
            if (name is null) continue;
            if (found.Any(other => other.Kind == kind && other.Name == name)) fields.Tell("name", "yaml.declared-twice", ("kind", word), ("name", name));
            else found.Add(new Declaration(kind, name, value, document));
        }

        return found;
    }

    private Size ReadSize(YamlFields fields) => new(
        fields.Document.Name,
        (int?)fields.Integer("cpu", 1, MostCpu, required: true) ?? 1,
        (int?)fields.Integer("memoryMiB", 1, MostMemoryMiB, required: true) ?? 1,
        (int?)fields.Integer("diskGiB", 1, MostDiskGiB, required: true) ?? 1,
        Declared: declared);

    private Image ReadImage(YamlFields fields)
    {
        var version = fields.Text("version", longest: 64) ?? "1";
        if (!VersionForm().IsMatch(version)) fields.Tell("version", "image.version-form");
        var os = fields.Text("os") ?? "linux";
        if (os is not ("linux" or "windows" or "other")) fields.Tell("os", "yaml.one-of", ("allowed", "linux, windows, other"));
        var user = fields.Text("user") ?? "root";
        if (!UserForm().IsMatch(user)) fields.Tell("user", "image.user-form");
        var warm = fields.Boolean("warm");
        var bindings = new Dictionary<string, IReadOnlyDictionary<string, string>>(StringComparer.Ordinal);
        if (fields.Map("bindings", required: true) is { } all)
        {
            foreach (var (provider, _) in all.Entries)
            {
                if (!kinds.TryGetValue(provider, out var kind))
                {
                    all.Tell(provider, "provider.unknown", ("provider", provider), ("known", KnownKinds));
                    continue;
                }

                if (all.Map(provider) is not { } binding) continue;
                bindings[provider] = kind.ImageKeys.Select(key => (Key: key, Required: true)).Concat(kind.OptionalImageKeys.Select(key => (Key: key, Required: false)))
                    .Select(key => (key.Key, Value: binding.Text(key.Key, required: key.Required)))
                    .Where(pair => pair.Value is not null)
                    .ToDictionary(pair => pair.Key, pair => pair.Value!, StringComparer.Ordinal);
                if (bindings[provider].TryGetValue(ImageBinding.DigestKey, out var digest) && !DigestForm().IsMatch(digest)) binding.Tell(ImageBinding.DigestKey, "image.digest-form");
                binding.Close();
            }
        }

        return new Image { Name = fields.Document.Name, Version = version, Os = os, User = user, Warm = warm, Bindings = bindings, Declared = declared };
    }

    private static DeclaredTeam ReadTeam(YamlFields fields)
    {
        var zone = fields.Text("zone") ?? "UTC";
        if (!CatalogueRules.IsZone(zone)) fields.Tell("zone", "zone.unknown", ("zone", zone));
        var members = new Dictionary<string, TeamRole>(StringComparer.Ordinal);
        foreach (var member in fields.Maps("members"))
        {
            var email = PersonRules.Email(member.Text("person", required: true));
            var role = member.Word<TeamRole>("role", required: true) ?? TeamRole.Requester;
            if (email.Length > 0 && !PersonRules.IsEmail(email)) member.Tell("person", "email.form");
            else if (email.Length > 0 && !members.TryAdd(email, role)) member.Tell("person", "yaml.twice");
            member.Close();
        }

        return new DeclaredTeam(fields.Document.Name, zone, members, ReadLimits(fields, "quota"), ReadLimits(fields, "personQuota"));
    }

    private static Dictionary<string, long> ReadLimits(YamlFields fields, string key)
    {
        var limits = new Dictionary<string, long>(StringComparer.Ordinal);
        if (fields.Map(key) is not { } quota) return limits;
        foreach (var dimension in Enum.GetValues<Dimension>().Select(dimension => dimension.Name()))
        {
            if (quota.Integer(dimension, 0, MostQuota) is { } amount) limits[dimension] = amount;
        }

        quota.Close();
        return limits;
    }

    private Pool ReadPool(YamlFields fields)
    {
        var provider = fields.Text("provider", required: true);
        IProviderKind? kind = null;
        if (provider is not null && !kinds.TryGetValue(provider, out kind)) fields.Tell("provider", "provider.unknown", ("provider", provider), ("known", KnownKinds));
        var labels = fields.Texts("labels", label => CatalogueRules.IsName(label) ? null : "name.form");
        var settings = fields.Map("settings") is null ? [] : (JsonObject)YamlData.ToJson(fields.Node("settings")!)!;
        if (kind is not null)
        {
            foreach (var error in kind.Settings.Validate(settings).Concat(SecretsAsText(kind.Settings.Settings, settings, "settings")))
                reading.Tell(fields.Document, YamlData.LineOf(fields.Document.Root, error.Field), error.Field, error.Code, [.. error.Arguments ?? []]);
        }

        var limits = new PoolLimits();
        if (fields.Map("limits") is { } limit)
        {
            limits = new PoolLimits(
                (int?)limit.Integer("operationsAtOnce", 1, 1000) ?? limits.OperationsAtOnce, (int?)limit.Integer("bootsAtOnce", 1, 1000) ?? limits.BootsAtOnce,
                (int?)limit.Integer("orphanDeletionsPerPass", 0, 1000) ?? limits.OrphanDeletionsPerPass,
                (int?)limit.Integer("operationsPerHost", 0, 1000) ?? limits.OperationsPerHost, (int?)limit.Integer("operationsPerMinute", 0, 100_000) ?? limits.OperationsPerMinute);
            limit.Close();
        }

        var overcommit = new Overcommit();
        if (fields.Map("overcommit") is { } over)
        {
            overcommit = new Overcommit((double?)over.Number("cpu", 0.1m, 100) ?? overcommit.Cpu, (double?)over.Number("memory", 0.1m, 100) ?? overcommit.Memory);
            over.Close();
        }

        return new Pool
        {
            Id = default,
            Name = fields.Document.Name,
            Provider = provider ?? "",
            Labels = labels,
            Settings = settings,
            Limits = limits,
            Overcommit = overcommit,
            Prices = ReadPrices(fields),
            Account = kind?.AccountOf(settings),
            Declared = true,
        };
    }

    private static PriceList? ReadPrices(YamlFields fields)
    {
        const decimal Most = 1_000_000;
        if (fields.Map("prices") is not { } prices) return null;
        var currency = prices.Text("currency", required: true);
        if (currency is not null && !CurrencyForm().IsMatch(currency)) prices.Tell("currency", "currency.form");
        var running = prices.Map("running");
        var list = new PriceList(currency ?? "", running?.Number("cpuHour", 0, Most) ?? 0, running?.Number("memoryGiBHour", 0, Most) ?? 0, prices.Number("diskGiBHour", 0, Most) ?? 0)
        {
            Sizes = [.. prices.Maps("sizes").Select(ReadSizePrice)],
        };
        running?.Close();
        prices.Close();
        return list;
    }

    private static SizePrice ReadSizePrice(YamlFields size)
    {
        const decimal Most = 1_000_000;
        var read = new SizePrice(
            size.Text("size", required: true, longest: 100) ?? "", (int?)size.Integer("cpu", 1, 1_000_000, required: true) ?? 1, (int?)size.Integer("memoryMiB", 1, 1_000_000_000, required: true) ?? 1,
            size.Number("runningHour", 0, Most) ?? 0, size.Number("stoppedHour", 0, Most) ?? 0);
        size.Close();
        return read;
    }

    /// <summary>A document is kept in repositories and mails: a secret in it is named by where it is, never written out.</summary>
    private static IEnumerable<FieldError> SecretsAsText(IReadOnlyList<Setting> schema, JsonObject value, string path)
    {
        foreach (var setting in schema)
        {
            if (setting.Kind == SettingKind.Secret && value[setting.Name] is JsonValue) yield return new FieldError($"{path}.{setting.Name}", "secret.as-text");
            if (setting.Kind != SettingKind.List || value[setting.Name] is not JsonArray items) continue;
            foreach (var error in items.SelectMany((item, i) => item is JsonObject inner ? SecretsAsText(setting.Items ?? [], inner, $"{path}.{setting.Name}[{i}]") : []))
                yield return error;
        }
    }

    private Blueprint ReadBlueprint(YamlFields fields)
    {
        var title = fields.Text("title", required: true, longest: 200) ?? "";
        var description = fields.Text("description") ?? "";
        var teams = fields.Texts("teams");
        var parameters = fields.Maps("parameters").Select(ReadParameter).ToList();
        foreach (var twice in parameters.GroupBy(parameter => parameter.Name).Where(group => group.Key.Length > 0 && group.Count() > 1))
            fields.Tell("parameters", "parameter.twice", ("name", twice.Key));
        var networks = ReadNetworks(fields);
        var machines = fields.Maps("machines", required: true).Select(ReadMachine).ToList();
        if (fields.Node("machines") is YamlList { Items.Count: 0 or > MostMachines }) fields.Tell("machines", "yaml.length", ("min", 1), ("max", MostMachines));
        var placement = new PlacementRules([], []);
        if (fields.Map("placement") is { } rules)
        {
            placement = new PlacementRules(rules.Texts("require"), rules.Texts("prefer")) { Policy = rules.Word<PlacementPolicy>("policy") };
            rules.Close();
        }

        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (var (machine, i) in machines.Select((machine, i) => (machine, i)))
        {
            if (machine.Name.Length > 0 && !names.Add(machine.Name))
                fields.Reading.Tell(fields.Document, YamlData.LineOf(fields.Document.Root, $"machines[{i}].name"), $"machines[{i}].name", "machine.twice", ("name", machine.Name));
        }

        CheckCards(fields, networks, machines);
        return new Blueprint
        {
            Name = fields.Document.Name,
            Title = title,
            Description = description,
            Teams = teams,
            Parameters = parameters,
            Machines = machines,
            Networks = networks,
            Firewall = ReadFirewall(fields, machines),
            Placement = placement,
            Lease = ReadLease(fields),
            SnapshotAtReady = fields.Boolean("snapshotAtReady"),
            Retired = fields.Boolean("retired"),
            Declared = declared,
        };
    }

    private static Parameter ReadParameter(YamlFields fields)
    {
        var name = fields.Text("name", required: true);
        if (name is not null && !ParameterForm().IsMatch(name)) fields.Tell("name", "parameter.name-form");
        var type = fields.Word<ParameterType>("type", required: true);
        var choices = fields.Texts("choices");
        var parameter = new Parameter
        {
            Name = name ?? "",
            Type = type ?? ParameterType.String,
            Title = fields.Text("title", longest: 200) ?? "",
            Help = fields.Text("help") ?? "",
            Default = fields.Text("default"),
            MinLength = (int?)fields.Integer("minLength", 0, 4096),
            MaxLength = (int?)fields.Integer("maxLength", 0, 4096),
            Min = fields.Integer("min", long.MinValue, long.MaxValue),
            Max = fields.Integer("max", long.MinValue, long.MaxValue),
            Pattern = fields.Text("pattern", longest: 200),
            Choices = choices,
        };
        fields.Close();
        if (parameter.MinLength > parameter.MaxLength) fields.Tell("minLength", "parameter.limits-crossed");
        if (parameter.Min > parameter.Max) fields.Tell("min", "parameter.limits-crossed");
        if (type == ParameterType.Choice && choices.Count == 0) fields.Tell("choices", "yaml.required");
        if (parameter.Pattern is { } pattern && !IsPattern(pattern)) fields.Tell("pattern", "parameter.pattern-broken");
        else if (type is not null && parameter.Default is { } given && parameter.Check(given) is { } mistake) fields.Tell("default", mistake.Code, [.. mistake.Arguments ?? []]);
        return parameter;
    }

    private static bool IsPattern(string pattern)
    {
        try
        {
            _ = new Regex($"^(?:{pattern})$", RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
            return true;
        }
        catch (Exception fault) when (fault is ArgumentException or NotSupportedException)
        {
            return false;
        }
    }

    private static MachineTemplate ReadMachine(YamlFields fields)
    {
        var name = fields.Text("name", required: true);
        if (name is not null && !CatalogueRules.IsHostName(name)) fields.Tell("name", "machine.name-form");
        var image = fields.Text("image", required: true);
        var size = fields.Text("size");
        var cpu = (int?)fields.Integer("cpu", 1, MostCpu);
        var memory = (int?)fields.Integer("memoryMiB", 1, MostMemoryMiB);
        var disk = (int?)fields.Integer("diskGiB", 1, MostDiskGiB);
        foreach (var own in (string[])["cpu", "memoryMiB", "diskGiB"])
        {
            if (fields.Has("size") == fields.Has(own)) fields.Tell(own, fields.Has("size") ? "machine.size-and-amounts" : "machine.size-or-amounts");
        }

        var cards = ReadCards(fields);
        var data = fields.Map("userData") is null ? [] : (Dictionary<string, object>)YamlData.ToPlain(fields.Node("userData")!);
        var warmStart = fields.Boolean("warmStart");
        fields.Close();
        return new MachineTemplate { Name = name ?? "", Image = image ?? "", Size = size, Cpu = cpu, MemoryMiB = memory, DiskGiB = disk, Cards = cards, WarmStart = warmStart, UserData = data };
    }

    private static LeaseRules ReadLease(YamlFields fields)
    {
        var fallback = new LeaseRules(Duration.FromHours(4), Duration.FromDays(3), Duration.FromDays(1));
        if (fields.Map("lease", required: true) is not { } lease) return fallback;
        var (length, most) = (lease.Length("default", required: true), lease.Length("max", required: true));
        if (length < LeaseRules.Shortest) lease.Tell("default", "lease.too-short", ("minutes", 1));
        if (length > most) lease.Tell("default", "lease.default-over-max");
        var rules = new LeaseRules(length ?? fallback.Default, most ?? fallback.Max, lease.Length("grace") ?? fallback.Grace);
        if (lease.Map("daily") is { } daily)
        {
            var (start, stop) = (daily.TimeOfDay("start"), daily.TimeOfDay("stop"));
            if (start is not null && start == stop) daily.Tell("stop", "lease.daily-empty");
            var days = daily.Texts("days", day => s_days.ContainsKey(day) ? null : "lease.day-unknown");
            daily.Close();
            if (start is { } from && stop is { } to) rules = rules with { Daily = new DailyHours(from, to, [.. days.Select(day => s_days[day]).Order()]) };
        }

        lease.Close();
        return rules;
    }

    private string KnownKinds => string.Join(", ", kinds.Keys.Order(StringComparer.Ordinal));

    [GeneratedRegex(@"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}\z", RegexOptions.CultureInvariant)]
    private static partial Regex VersionForm();

    [GeneratedRegex(@"^sha256:[0-9a-f]{64}\z", RegexOptions.CultureInvariant)]
    private static partial Regex DigestForm();

    // What useradd(8) takes on Debian, and Windows account names that are as plain.
    [GeneratedRegex(@"^[A-Za-z_][A-Za-z0-9_-]{0,31}\z", RegexOptions.CultureInvariant)]
    private static partial Regex UserForm();

    [GeneratedRegex(@"^[A-Z]{3}\z", RegexOptions.CultureInvariant)]
    private static partial Regex CurrencyForm();

    [GeneratedRegex(@"^[A-Za-z][A-Za-z0-9_-]{0,62}\z", RegexOptions.CultureInvariant)]
    private static partial Regex ParameterForm();
}
