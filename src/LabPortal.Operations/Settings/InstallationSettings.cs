using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using LabPortal.Domain;
using LabPortal.Domain.Pools;
using NodaTime;

namespace LabPortal.Operations.Settings;

/// <summary>What admins decide for the whole installation. Everything here may change while the portal runs.</summary>
public sealed record InstallationSettings
{
    /// <summary>
    /// The decisions, each with its default, its limits and the configuration's key that takes it out of the portal's hands. Titles are the pages' own.
    /// </summary>
    public static readonly IReadOnlyList<InstallationSetting> All =
    [
        Number("sign-ins", "sign-in", "LabPortal:Limits:SignInsPerMinute", SettingKind.Integer, 20, 1, 100_000),
        Number("invitation-days", "sign-in", "LabPortal:Invitations:Days", SettingKind.Number, 7, 0.01, 365),
        Number("calls", "limits", "LabPortal:Limits:CallsPerSecond", SettingKind.Integer, 500, 1, 1_000_000),
        Number("console-idle", "limits", "LabPortal:Consoles:IdleMinutes", SettingKind.Number, 30, 0.001, 10_080),
        Number("consoles-per-person", "limits", "LabPortal:Consoles:PerPerson", SettingKind.Integer, 20, 1, 10_000),
        Texts("webhook-hosts", "limits", "LabPortal:Webhooks:AllowedHosts", "", host => Uri.CheckHostName(host) != UriHostNameType.Unknown, "setting.not-a-host"),
        Texts("metrics-networks", "observability", "LabPortal:Metrics:AllowedNetworks", "127.0.0.0/8, ::1/128", text => Network(text) is not null, "setting.not-a-network"),
    ];

    private static readonly SettingsSchema s_schema = new([.. All.Select(setting => setting.Form)]);

    /// <summary>Password and link tries from one address.</summary>
    public int SignInsPerMinute { get; init; } = 20;

    public Duration InvitationLife { get; init; } = Duration.FromDays(7);

    /// <summary>Calls of one caller; twice as many at once.</summary>
    public int CallsPerSecond { get; init; } = 500;

    /// <summary>How long somebody may do nothing on a console.</summary>
    public TimeSpan ConsoleIdle { get; init; } = TimeSpan.FromMinutes(30);

    /// <summary>How many consoles one person may have open at one node.</summary>
    public int ConsolesPerPerson { get; init; } = 20;

    /// <summary>Hosts inside, by name or address, that teams' webhooks may reach, also without TLS.</summary>
    public IReadOnlyList<string> WebhookHosts { get; init; } = [];

    /// <summary>Who reads <c>/metrics</c> without a token.</summary>
    public IReadOnlyList<IPNetwork> MetricsNetworks { get; init; } = [IPNetwork.Parse("127.0.0.0/8"), IPNetwork.Parse("::1/128")];

    /// <summary>Every mistake at once, at the setting's name below <paramref name="path"/>.</summary>
    public static IReadOnlyList<FieldError> Check(JsonObject values, string path) =>
    [
        .. s_schema.Validate(values, path),
        .. All.Where(setting => setting.IsGood is not null && values[setting.Name] is JsonValue value && value.GetValueKind() == JsonValueKind.String)
            .SelectMany(setting => Parts(values[setting.Name]!).Where(part => !setting.IsGood!(part)).Take(1)
                .Select(part => new FieldError($"{path}.{setting.Name}", setting.Mistake!, [("text", part)]))),
    ];

    /// <summary>Of values that were checked; what is absent has its default.</summary>
    public static InstallationSettings Of(JsonObject values)
    {
        var whole = s_schema.WithDefaults(values);
        return new InstallationSettings
        {
            SignInsPerMinute = (int)Amount("sign-ins"),
            InvitationLife = Duration.FromDays(Amount("invitation-days")),
            CallsPerSecond = (int)Amount("calls"),
            ConsoleIdle = TimeSpan.FromMinutes(Amount("console-idle")),
            ConsolesPerPerson = (int)Amount("consoles-per-person"),
            WebhookHosts = Parts(whole["webhook-hosts"]!),
            MetricsNetworks = [.. Parts(whole["metrics-networks"]!).Select(text => Network(text)!.Value)],
        };

        double Amount(string name) => double.Parse(whole[name]!.ToJsonString(), System.Globalization.CultureInfo.InvariantCulture);
    }

    /// <summary>A value as people read it.</summary>
    public static string Told(JsonNode? value) => value switch
    {
        null => "",
        JsonValue text when text.GetValueKind() == JsonValueKind.String => text.GetValue<string>(),
        _ => value.ToJsonString(),
    };

    private static string[] Parts(JsonNode list) => list.GetValue<string>().Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);

    private static IPNetwork? Network(string text)
        => IPAddress.TryParse(text, out var address) ? new IPNetwork(address, address.GetAddressBytes().Length * 8) : IPNetwork.TryParse(text, out var network) ? network : null;

    private static InstallationSetting Number(string name, string group, string key, SettingKind kind, double normal, double min, double max)
        => new(name, group, key, new Setting(name, kind, name, "", Default: normal, Min: min, Max: max), null, null);

    private static InstallationSetting Texts(string name, string group, string key, string normal, Func<string, bool> isGood, string mistake)
        => new(name, group, key, new Setting(name, SettingKind.Text, name, "", Default: normal, HasParts: true), isGood, mistake);
}

/// <summary>One decision. <paramref name="IsGood"/> looks at each part of a list; <paramref name="Mistake"/> is the code of what it does not let through.</summary>
public sealed record InstallationSetting(string Name, string Group, string Key, Setting Form, Func<string, bool>? IsGood, string? Mistake);
