using System.Globalization;
using System.Text.Json;
using LabPortal.Data;
using LabPortal.Domain;
using LabPortal.Domain.Blueprints;
using LabPortal.Domain.Images;
using LabPortal.Domain.Leases;
using LabPortal.Domain.Pools;
using NodaTime;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace LabPortal.Operations.Catalogue;

/// <summary>Catalogue entries as documents, and documents as text: what <see cref="Declarations"/> reads back as the same.</summary>
internal static class YamlTree
{
    public static CatalogueDocument Of(Size size) => CatalogueDocument.New("Size", size.Name)
        .With("cpu", $"{size.Cpu}", plain: true).With("memoryMiB", $"{size.MemoryMiB}", plain: true).With("diskGiB", $"{size.DiskGiB}", plain: true);

    public static CatalogueDocument Of(Image image) => CatalogueDocument.Of(Map(
        ("kind", Text("Image")), ("name", Text(image.Name)), ("version", Text(image.Version)), ("os", Text(image.Os)), ("user", Text(image.User)), ("warm", image.Warm ? new YamlScalar(0, "true", true) : null),
        ("bindings", Map([.. image.Bindings.Select(binding => (binding.Key, (YamlNode?)Map([.. binding.Value.Select(pair => (pair.Key, (YamlNode?)Text(pair.Value)))])))]))));

    /// <summary>
    /// From the stored form, whose keys are the document's: a field that a blueprint gets later is in its document without a word here. Only lengths
    /// and times of day are written in another way.
    /// </summary>
    public static CatalogueDocument Of(Blueprint blueprint)
    {
        using var stored = JsonDocument.Parse(StoredJson.Write(blueprint));
        var root = (YamlMap)OfJson(stored.RootElement, "", []);
        return CatalogueDocument.Of(Map(
        [
            ("kind", Text("Blueprint")),
            .. root.Entries.Where(entry => entry.Key is not ("version" or "declared") && (entry.Key != "retired" || blueprint.Retired))
                .Select(entry => (entry.Key, entry.Key switch
                {
                    "lease" => Of(blueprint.Lease),
                    // Without rules nothing passes; without a firewall everything does.
                    "firewall" => Lean(entry.Value) ?? entry.Value,
                    _ => Lean(entry.Value),
                })),
        ]));
    }

    public static CatalogueDocument Of(DeclaredTeam team) => CatalogueDocument.Of(Map(
        ("kind", Text("Team")), ("name", Text(team.Name)), ("zone", Text(team.Zone)),
        ("members", team.Members.Count == 0 ? null : new YamlList(0, [.. team.Members.OrderBy(member => member.Key, StringComparer.Ordinal).Select(member => Map(("person", Text(member.Key)), ("role", Text(member.Value.Word()))))])),
        ("quota", Limits(team.Quota)), ("personQuota", Limits(team.PersonQuota))));

    /// <summary>Settings stand as they are stored: whoever asks takes out of them what nobody may see.</summary>
    public static CatalogueDocument Of(Pool pool)
    {
        var settings = (YamlMap)OfJson(JsonSerializer.SerializeToElement(pool.Settings), "", []);
        return CatalogueDocument.Of(Map(
            ("kind", Text("Pool")), ("name", Text(pool.Name)), ("provider", Text(pool.Provider)),
            ("labels", pool.Labels.Count == 0 ? null : new YamlList(0, [.. pool.Labels.Select(Text)])),
            ("settings", settings.Entries.Count == 0 ? null : settings),
            ("limits", Map(("operationsAtOnce", Plain(pool.Limits.OperationsAtOnce)), ("bootsAtOnce", Plain(pool.Limits.BootsAtOnce)), ("orphanDeletionsPerPass", Plain(pool.Limits.OrphanDeletionsPerPass)),
                ("operationsPerHost", Plain(pool.Limits.OperationsPerHost)), ("operationsPerMinute", Plain(pool.Limits.OperationsPerMinute)))),
            ("overcommit", Map(("cpu", Plain(pool.Overcommit.Cpu)), ("memory", Plain(pool.Overcommit.Memory)))),
            ("prices", pool.Prices is not { } prices ? null : Map(
                ("currency", Text(prices.Currency)), ("running", Map(("cpuHour", Plain(prices.CpuHour)), ("memoryGiBHour", Plain(prices.MemoryGiBHour)))), ("diskGiBHour", Plain(prices.DiskGiBHour)),
                ("sizes", prices.Sizes.Count == 0 ? null : new YamlList(0, [.. prices.Sizes.Select(size => Map(
                    ("size", Text(size.Size)), ("cpu", Plain(size.Cpu)), ("memoryMiB", Plain(size.MemoryMiB)), ("runningHour", Plain(size.RunningHour)), ("stoppedHour", Plain(size.StoppedHour))))]))))));
    }

    public static string Write(YamlMap root)
    {
        using var text = new StringWriter { NewLine = "\n" };
        var emitter = new Emitter(text, new EmitterSettings(2, int.MaxValue, false, 1024).WithNewLine("\n").WithIndentedSequences());
        emitter.Emit(new StreamStart());
        emitter.Emit(new DocumentStart(null, null, true));
        Emit(emitter, root);
        emitter.Emit(new DocumentEnd(true));
        emitter.Emit(new StreamEnd());
        return text.ToString();
    }

    public static YamlNode OfJson(JsonElement json, string path, List<FieldError> errors)
    {
        switch (json.ValueKind)
        {
            case JsonValueKind.Object:
                var entries = new List<(string, int, YamlNode)>();
                var keys = new HashSet<string>(StringComparer.Ordinal);
                foreach (var property in json.EnumerateObject())
                {
                    var inner = YamlReading.Join(path, property.Name);
                    if (!keys.Add(property.Name)) errors.Add(new FieldError(inner, "yaml.key-twice", [("key", property.Name)]));
                    else entries.Add((property.Name, 0, OfJson(property.Value, inner, errors)));
                }

                return new YamlMap(0, entries);
            case JsonValueKind.Array:
                return new YamlList(0, [.. json.EnumerateArray().Select((item, i) => OfJson(item, $"{path}[{i}]", errors))]);
            case JsonValueKind.String:
                return new YamlScalar(0, json.GetString()!, false);
            default:
                return new YamlScalar(0, json.GetRawText(), true);
        }
    }

    private static YamlMap Of(LeaseRules lease) => Map(
        ("default", Length(lease.Default)), ("max", Length(lease.Max)), ("grace", Length(lease.Grace)),
        ("daily", lease.Daily is not { } daily ? null : Map(
            ("start", Text(daily.Start.ToString("HH:mm", null))), ("stop", Text(daily.Stop.ToString("HH:mm", null))),
            ("days", daily.Days.Count == 0 ? null : new YamlList(0, [.. daily.Days.Select(day => Text(day.Word()[..3]))])))));

    /// <summary>In the largest unit that is exact; every length that a document can name is a multiple of 60 µs.</summary>
    private static YamlScalar Length(Duration length)
    {
        var (amount, unit) = length switch
        {
            _ when length == Duration.Zero => (0m, ""),
            { TotalDays: >= 2, Hours: 0, Minutes: 0, SubsecondNanoseconds: 0, Seconds: 0 } => (length.Days, "d"),
            { Minutes: 0, SubsecondNanoseconds: 0, Seconds: 0 } => ((decimal)length.TotalHours, "h"),
            _ => (length.BclCompatibleTicks / (decimal)NodaConstants.TicksPerMinute, "m"),
        };
        return new YamlScalar(0, FormattableString.Invariant($"{amount:0.######}{unit}"), true);
    }

    /// <summary>Without what is empty, which means the same as what is absent. An empty default is a default, and a guest's user data is its own.</summary>
    private static YamlNode? Lean(YamlNode? node) => node switch
    {
        YamlScalar { Plain: false, Text: "" } => null,
        YamlList { Items.Count: 0 } => null,
        YamlList list => new YamlList(0, [.. list.Items.Select(item => Lean(item) ?? item)]),
        YamlMap map => Map([.. map.Entries.Select(entry => (entry.Key, entry.Key is "default" or "userData" && entry.Value is not YamlMap { Entries.Count: 0 } ? entry.Value : Lean(entry.Value)))]) is
            { Entries.Count: > 0 } lean ? lean : null,
        _ => node,
    };

    private static YamlMap Map(params IEnumerable<(string Key, YamlNode? Value)> entries) => new(0, [.. entries.Where(entry => entry.Value is not null).Select(entry => (entry.Key, 0, entry.Value!))]);

    private static YamlMap? Limits(IReadOnlyDictionary<string, long> limits)
        => limits.Count == 0 ? null : Map([.. limits.OrderBy(limit => limit.Key, StringComparer.Ordinal).Select(limit => (limit.Key, (YamlNode?)Plain(limit.Value)))]);

    private static YamlScalar Plain(IFormattable number) => new(0, number.ToString(null, CultureInfo.InvariantCulture), true);

    private static YamlScalar Text(string text) => new(0, text, false);

    private static void Emit(Emitter emitter, YamlNode node)
    {
        switch (node)
        {
            case YamlMap map:
                emitter.Emit(new MappingStart(AnchorName.Empty, TagName.Empty, true, MappingStyle.Block));
                foreach (var (key, _, value) in map.Entries)
                {
                    Emit(emitter, Text(key));
                    Emit(emitter, value);
                }

                emitter.Emit(new MappingEnd());
                break;
            case YamlList list:
                emitter.Emit(new SequenceStart(AnchorName.Empty, TagName.Empty, true, SequenceStyle.Block));
                foreach (var item in list.Items) Emit(emitter, item);
                emitter.Emit(new SequenceEnd());
                break;
            case YamlScalar scalar:
                emitter.Emit(new Scalar(AnchorName.Empty, TagName.Empty, scalar.Text, Style(scalar), true, true));
                break;
        }
    }

    /// <summary>Text that would be read as another thing stands in quotes.</summary>
    private static ScalarStyle Style(YamlScalar scalar) => scalar switch
    {
        { Plain: true } => ScalarStyle.Plain,
        { Text: var text } when new YamlScalar(0, text, true) is { IsNull: true } or { Boolean: not null } or { Number: not null } or { Integer: not null } => ScalarStyle.DoubleQuoted,
        { Text: var text } when text.Contains('\n') => ScalarStyle.Literal,
        _ => ScalarStyle.Any,
    };
}
