using System.Net;

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

    /// <summary><c>LabPortal:Webhooks:AllowedHosts</c>: hosts inside, by name or address, that teams' webhooks may reach, also without TLS.</summary>
    public IReadOnlyList<string> WebhookHosts { get; init; } = [];

    /// <summary><c>LabPortal:Limits:CallsPerSecond</c> of one caller; twice as many at once.</summary>
    public int CallsPerSecond { get; init; } = 500;

    /// <summary><c>LabPortal:Limits:SignInsPerMinute</c> from one address.</summary>
    public int SignInsPerMinute { get; init; } = 20;

    /// <summary><c>LabPortal:Metrics:AllowedNetworks</c>: who reads <c>/metrics</c> without a token, as addresses or <c>ADDRESS/BITS</c>.</summary>
    public IReadOnlyList<IPNetwork> MetricsNetworks { get; init; } = s_loopback;

    /// <summary><c>LabPortal:Metrics:Token</c>: who has it reads <c>/metrics</c> from anywhere, and nothing else.</summary>
    public string? MetricsToken { get; init; }

    /// <summary><c>LabPortal:Consoles:IdleMinutes</c>: how long somebody may do nothing on a console.</summary>
    public TimeSpan ConsoleIdle { get; init; } = TimeSpan.FromMinutes(30);

    /// <summary><c>LabPortal:ImageFolders</c>: folders from which images may be imported; <c>images</c> in the data folder, where empty.</summary>
    public IReadOnlyList<string> ImageFolders { get; init; } = [];

    /// <summary><c>LabPortal:NodeAddress</c>: how other nodes on the same database reach this one, where that is not what it listens on.</summary>
    public string? NodeAddress { get; init; }

    /// <summary><c>LabPortal:Consoles:PerPerson</c>: how many consoles one person may have open at one node.</summary>
    public int ConsolesPerPerson { get; init; } = 20;

    private static readonly IPNetwork[] s_loopback = [IPNetwork.Parse("127.0.0.0/8"), IPNetwork.Parse("::1/128")];

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
            WebhookHosts = portal.GetSection("Webhooks:AllowedHosts").Get<string[]>() ?? [],
            CallsPerSecond = portal.GetValue("Limits:CallsPerSecond", 500),
            MetricsNetworks = portal.GetSection("Metrics:AllowedNetworks").Get<string[]>()?.Select(Network).ToArray() ?? s_loopback,
            MetricsToken = Text(portal, "Metrics:Token"),
            SignInsPerMinute = portal.GetValue("Limits:SignInsPerMinute", 20),
            ConsoleIdle = TimeSpan.FromMinutes(portal.GetValue("Consoles:IdleMinutes", 30.0)),
            ImageFolders = portal.GetSection("ImageFolders").Get<string[]>() is { Length: > 0 } folders ? [.. folders.Select(Path.GetFullPath)] : [Path.Combine(folder, "images")],
            ConsolesPerPerson = portal.GetValue("Consoles:PerPerson", 20),
        };
    }

    private static IPNetwork Network(string text)
        => IPAddress.TryParse(text, out var address) ? new IPNetwork(address, address.GetAddressBytes().Length * 8) : IPNetwork.Parse(text);

    private static string? Text(IConfigurationSection section, string key) => section[key] is { Length: > 0 } text ? text : null;

    // The XDG base directory specification; .NET reads XDG_DATA_HOME for LocalApplicationData.
    private static string DefaultFolder()
        => Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify), "labportal");
}
