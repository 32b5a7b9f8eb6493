using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Settings;
using LabPortal.Web.Texts;

namespace LabPortal.Web.Hosting;

/// <summary>What the configuration says, in the framework's own keys (<c>appsettings.json</c>, environment with <c>__</c>).</summary>
internal sealed record PortalSettings
{
    /// <summary><c>LabPortal:Database</c>: <c>sqlite:PATH</c>, or a PostgreSQL connection string.</summary>
    public required string Database { get; init; }

    /// <summary><c>LabPortal:DataFolder</c>: keys, known hosts, serial logs. Nodes on one database share it, or at least its <c>keys</c>.</summary>
    public required string DataFolder { get; init; }

    /// <summary><c>LabPortal:Bootstrap:AdminToken</c>: an API token with admin rights, valid only while configured.</summary>
    public string? AdminToken { get; init; }

    /// <summary><c>LabPortal:Apply</c>: a YAML file applied at each start.</summary>
    public string? Apply { get; init; }

    /// <summary><c>LabPortal:PublicAddress</c>: how people reach the portal, where that is not the address it listens on.</summary>
    public string? PublicAddress { get; init; }

    /// <summary>The path of <see cref="PublicAddress"/>, where it has one.</summary>
    public PathString? PublicPath => Uri.TryCreate(PublicAddress, UriKind.Absolute, out var address) && address.AbsolutePath.Length > 1 ? PathString.FromUriComponent(address.AbsolutePath) : null;

    /// <summary><c>LabPortal:TrustedProxies</c>: addresses whose <c>X-Forwarded-*</c> are believed; nobody's, where empty.</summary>
    public IReadOnlyList<IPAddress> TrustedProxies { get; init; } = [];

    /// <summary>Of what admins decide in the portal (<see cref="InstallationSettings"/>), what the configuration says: that wins.</summary>
    public JsonObject Decided { get; init; } = [];

    /// <summary><c>LabPortal:Metrics:Token</c>: who has it reads <c>/metrics</c> from anywhere, and nothing else.</summary>
    public string? MetricsToken { get; init; }

    /// <summary><c>LabPortal:ImageFolders</c>: folders from which images may be imported; <c>images</c> in the data folder, where empty.</summary>
    public IReadOnlyList<string> ImageFolders { get; init; } = [];

    /// <summary><c>LabPortal:NodeAddress</c>: how other nodes on the same database reach this one, where that is not what it listens on.</summary>
    public string? NodeAddress { get; init; }

    public const int MaxBodyBytes = 1 << 20;

    public bool IsShared => !Database.StartsWith("sqlite:", StringComparison.OrdinalIgnoreCase);

    /// <summary>The file of an embedded database.</summary>
    public string SqlitePath => Path.GetFullPath(Database["sqlite:".Length..]);

    public static PortalSettings Read(IConfiguration configuration)
    {
        var portal = configuration.GetSection("LabPortal");
        var folder = Path.GetFullPath(Text(portal, "DataFolder") ?? DefaultFolder());
        return new PortalSettings
        {
            DataFolder = folder,
            Database = Text(portal, "Database") ?? $"sqlite:{Path.Combine(folder, "portal.db")}",
            AdminToken = Text(portal, "Bootstrap:AdminToken"),
            Apply = Text(portal, "Apply"),
            PublicAddress = Text(portal, "PublicAddress")?.TrimEnd('/'),
            NodeAddress = Text(portal, "NodeAddress")?.TrimEnd('/'),
            TrustedProxies = [.. (portal.GetSection("TrustedProxies").Get<string[]>() ?? []).Select(IPAddress.Parse)],
            Decided = Decisions(configuration),
            MetricsToken = Text(portal, "Metrics:Token"),
            ImageFolders = portal.GetSection("ImageFolders").Get<string[]>() is { Length: > 0 } folders ? [.. folders.Select(Path.GetFullPath)] : [Path.Combine(folder, "images")],
        };
    }

    private static JsonObject Decisions(IConfiguration configuration)
    {
        var decided = new JsonObject();
        foreach (var setting in InstallationSettings.All)
        {
            var section = configuration.GetSection(setting.Key);
            // A list is one text with commas, or an element each.
            if ((section.GetChildren().ToList() is { Count: > 0 } parts ? string.Join(", ", parts.Select(part => part.Value)) : section.Value) is not { } text) continue;
            decided[setting.Name] = setting.Form.Kind == SettingKind.Text ? text : decimal.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) ? number : text;
        }

        var mistakes = InstallationSettings.Check(decided, "").Select(error => $"{InstallationSettings.All.Single(setting => error.Field == $".{setting.Name}").Key}: {Sentences.Of(error)}").ToList();
        return mistakes.Count == 0 ? decided : throw new InvalidOperationException(string.Join(Environment.NewLine, mistakes));
    }

    private static string? Text(IConfigurationSection section, string key) => section[key] is { Length: > 0 } text ? text : null;

    // The XDG base directory specification; .NET reads XDG_DATA_HOME for LocalApplicationData.
    private static string DefaultFolder()
        => Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify), "labportal");
}
