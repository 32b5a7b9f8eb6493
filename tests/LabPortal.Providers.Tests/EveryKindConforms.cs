using System.Reflection;
using LabPortal.Domain.Pools;
using Xunit;

// Many of these wait for a guest, a lease or a process: more than one for each processor go on side by side, and the longest begin early.
[assembly: Xunit.v3.Parallelization(MaxThreads = 3)]

namespace LabPortal.Providers.Tests;

public sealed class EveryKindConforms
{
    private static readonly IReadOnlyList<Type> Kinds =
        [.. typeof(ProviderKinds).Assembly.GetTypes().Where(type => type is { IsClass: true, IsAbstract: false } && type.IsAssignableTo(typeof(IProviderKind)))];

    [Fact]
    public void Every_kind_of_provider_has_a_conformance_class()
    {
        var covered = typeof(EveryKindConforms).Assembly.GetTypes()
            .Where(type => type is { IsAbstract: false, IsPublic: true } && type.IsAssignableTo(typeof(ProviderConformance)))
            .SelectMany(type => type.GetCustomAttributes<ConformanceOfAttribute>())
            .Select(of => of.Kind);
        Assert.NotEmpty(Kinds);
        Assert.Empty(Kinds.Except(covered).Select(kind => kind.Name));
    }

    [Fact]
    public void Every_kind_is_registered_once_under_a_word_of_its_own()
    {
        Assert.Equal(Kinds.Select(kind => kind.Name).Order(), ProviderKinds.All.Select(kind => kind.GetType().Name).Order());
        Assert.Distinct(ProviderKinds.All.Select(kind => kind.Name));
        Assert.All(ProviderKinds.All, kind => Assert.Matches("^[a-z][a-z-]*$", kind.Name));
    }

    [Fact]
    public void Every_setting_explains_itself_and_has_a_default_that_passes_its_own_schema() => Assert.All(ProviderKinds.All, kind =>
    {
        Assert.Distinct(kind.Settings.Settings.Select(setting => setting.Name));
        Assert.All(kind.Settings.Settings, setting => Assert.True(setting.Title.Length > 2 && setting.Help.EndsWith('.'), setting.Name));
        var optional = new SettingsSchema([.. kind.Settings.Settings.Where(setting => !setting.Required)]);
        Assert.Empty(optional.Validate(optional.WithDefaults([])));
    });

    /// <summary>Stored pools and people's YAML lean on these: run once with <c>UPDATE_SNAPSHOTS=1</c> to accept a change.</summary>
    [Fact]
    public async Task Settings_change_only_on_purpose()
    {
        var promised = ProviderKinds.All.OrderBy(kind => kind.Name).SelectMany(kind => kind.Settings.Settings.SelectMany(setting => Lines($"{kind.Name}.{setting.Name}", setting)));
        var text = string.Join('\n', promised) + '\n';
        var file = Path.Combine(Folder(), "settings.snapshot.txt");
        if (Environment.GetEnvironmentVariable("UPDATE_SNAPSHOTS") == "1") await File.WriteAllTextAsync(file, text, TestContext.Current.CancellationToken);
        Assert.Equal(await File.ReadAllTextAsync(file, TestContext.Current.CancellationToken), text);
    }

    private static IEnumerable<string> Lines(string path, Setting setting) =>
    [
        $"{path}: {setting.Kind}{(setting.Required ? " required" : "")}{Bound("min", setting.Min)}{Bound("max", setting.Max)}"
            + (setting.OneOf is null ? "" : $" one of {string.Join(", ", setting.OneOf)}") + (setting.Default is null ? "" : $" default {setting.Default.ToJsonString()}"),
        .. (setting.Items ?? []).SelectMany(item => Lines($"{path}[].{item.Name}", item)),
    ];

    private static string Bound(string word, double? bound) => bound is null ? "" : string.Create(System.Globalization.CultureInfo.InvariantCulture, $" {word} {bound}");

    private static string Folder([System.Runtime.CompilerServices.CallerFilePath] string file = "") => Path.GetDirectoryName(file)!;
}
