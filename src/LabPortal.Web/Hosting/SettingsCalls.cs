using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using LabPortal.Domain;
using LabPortal.Domain.People;
using LabPortal.Operations;
using NodaTime;

namespace LabPortal.Web.Hosting;

/// <summary>
/// One thing that the installation is set to. <paramref name="Key"/> is where the configuration has it, if it can; <paramref name="Configured"/> tells
/// what somebody wrote there from what holds otherwise. A secret has no value here, whatever it is.
/// </summary>
public sealed record SettingView(string Group, string Name, string? Value, string? Key = null, bool Configured = false, bool Secret = false);

/// <summary>What this portal is set to, for admins and auditors.</summary>
internal sealed class SettingsCalls(PortalSettings settings, IConfiguration configuration, PortalIdentity identity)
{
    public Outcome<IReadOnlyList<SettingView>> List(Actor actor)
    {
        if (!May.Do(actor, Verb.SeeOperations)) return Refusal.Forbidden(Verb.SeeOperations.Word());
        return (List<SettingView>)
        [
            Set("reach", "public-address", "LabPortal:PublicAddress", settings.PublicAddress),
            Set("reach", "listens", "urls", configuration["urls"]),
            Set("reach", "trusted-proxies", "LabPortal:TrustedProxies", string.Join(", ", settings.TrustedProxies)),
            // A connection string has a password in it: only what kind of database it leads to is told.
            Set("data", "database", "LabPortal:Database", settings.IsShared ? "PostgreSQL" : $"SQLite, {settings.SqlitePath}"),
            Set("data", "data-folder", "LabPortal:DataFolder", settings.DataFolder),
            Set("data", "image-folders", "LabPortal:ImageFolders", string.Join(", ", settings.ImageFolders)),
            Set("data", "apply", "LabPortal:Apply", settings.Apply),
            Secret("sign-in", "admin-token", "LabPortal:Bootstrap:AdminToken"),
            Set("sign-in", "sign-ins", "LabPortal:Limits:SignInsPerMinute", Told(settings.SignInsPerMinute)),
            Set("limits", "calls", "LabPortal:Limits:CallsPerSecond", Told(settings.CallsPerSecond)),
            Set("limits", "console-idle", "LabPortal:Consoles:IdleMinutes", settings.ConsoleIdle.TotalMinutes.ToString(CultureInfo.InvariantCulture)),
            Set("limits", "webhook-hosts", "LabPortal:Webhooks:AllowedHosts", string.Join(", ", settings.WebhookHosts)),
            Set("observability", "metrics-networks", "LabPortal:Metrics:AllowedNetworks", string.Join(", ", settings.MetricsNetworks)),
            Secret("observability", "metrics-token", "LabPortal:Metrics:Token"),
            Set("observability", "traces", "OTEL_EXPORTER_OTLP_ENDPOINT", Uri.TryCreate(configuration["OTEL_EXPORTER_OTLP_ENDPOINT"], UriKind.Absolute, out var traces) ? $"{traces.Scheme}://{traces.Authority}" : null),
            new("versions", "installation", identity.Installation.ToString()),
            new("versions", "portal", typeof(SettingsCalls).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion),
            new("versions", "runtime", $"{RuntimeInformation.FrameworkDescription}, {RuntimeInformation.OSDescription}"),
            new("versions", "zones", DateTimeZoneProviders.Tzdb.VersionId),
        ];
    }

    private SettingView Set(string group, string name, string key, string? value) => new(group, name, value, key, configuration.GetSection(key).Exists());

    private SettingView Secret(string group, string name, string key) => new(group, name, null, key, !string.IsNullOrEmpty(configuration[key]), Secret: true);

    private static string Told(int number) => number.ToString(CultureInfo.InvariantCulture);
}
