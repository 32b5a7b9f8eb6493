using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using LabPortal.Domain;
using LabPortal.Domain.People;
using LabPortal.Operations;
using LabPortal.Operations.Settings;
using NodaTime;

namespace LabPortal.Web.Hosting;

/// <summary>
/// One thing that the installation is set to. <paramref name="Key"/> is where the configuration has it, if it can. <paramref name="Source"/>:
/// <c>configuration</c>, which wins, <c>portal</c> where admins set it, else <c>default</c>. <paramref name="Settable"/>: admins may set it here now.
/// A secret has no value here, whatever it is.
/// </summary>
public sealed record SettingView(string Group, string Name, string? Value, string? Key = null, string Source = SettingView.Default, bool Settable = false, bool Secret = false)
{
    public const string Configuration = "configuration";
    public const string Portal = "portal";
    public const string Default = "default";
}

/// <summary>What this portal is set to, for admins and auditors; what is decided while it runs, by admins.</summary>
internal sealed class SettingsCalls(PortalSettings settings, LiveSettings live, SettingsChange change, IConfiguration configuration, PortalIdentity identity)
{
    public Outcome<IReadOnlyList<SettingView>> List(Actor actor)
    {
        if (!May.Do(actor, Verb.SeeOperations)) return Refusal.Forbidden(Verb.SeeOperations.Word());
        var set = live.Set;
        return (List<SettingView>)
        [
            Set("reach", "public-address", "LabPortal:PublicAddress", settings.PublicAddress),
            Set("reach", "listens", "urls", configuration["urls"]),
            Set("reach", "trusted-proxies", "LabPortal:TrustedProxies", string.Join(", ", settings.TrustedProxies)),
            Set("reach", "node-address", "LabPortal:NodeAddress", settings.NodeAddress),
            // A connection string has a password in it: only what kind of database it leads to is told.
            Set("data", "database", "LabPortal:Database", settings.IsShared ? "PostgreSQL" : $"SQLite, {settings.SqlitePath}"),
            Set("data", "data-folder", "LabPortal:DataFolder", settings.DataFolder),
            Set("data", "image-folders", "LabPortal:ImageFolders", string.Join(", ", settings.ImageFolders)),
            Set("data", "apply", "LabPortal:Apply", settings.Apply),
            Secret("sign-in", "admin-token", "LabPortal:Bootstrap:AdminToken"),
            Secret("observability", "metrics-token", "LabPortal:Metrics:Token"),
            Set("observability", "traces", "OTEL_EXPORTER_OTLP_ENDPOINT", Uri.TryCreate(configuration["OTEL_EXPORTER_OTLP_ENDPOINT"], UriKind.Absolute, out var traces) ? $"{traces.Scheme}://{traces.Authority}" : null),
            .. InstallationSettings.All.Select(setting => Decided(setting, set)),
            new("versions", "installation", identity.Installation.ToString()),
            new("versions", "portal", typeof(SettingsCalls).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion),
            new("versions", "runtime", $"{RuntimeInformation.FrameworkDescription}, {RuntimeInformation.OSDescription}"),
            new("versions", "zones", DateTimeZoneProviders.Tzdb.VersionId),
        ];
    }

    /// <summary>What admins set, by name; what is not there has its default. A form begins with it, and names it as what was seen.</summary>
    public Outcome<JsonObject> Set(Actor actor) => May.Do(actor, Verb.AdministerSettings) ? live.Set : Refusal.Forbidden(Verb.AdministerSettings.Word());

    /// <summary><inheritdoc cref="SettingsChange.SetAsync"/></summary>
    public async Task<Outcome<IReadOnlyList<SettingView>>> SetAsync(Actor actor, JsonObject changes, JsonObject? seen, CancellationToken cancellation)
        => await change.SetAsync(actor, changes, seen, cancellation) is { Ok: false } refused ? refused.Refusal! : List(actor);

    private SettingView Decided(InstallationSetting setting, JsonObject set) => live.Configured[setting.Name] is { } configured
        ? new(setting.Group, setting.Name, InstallationSettings.Told(configured), setting.Key, SettingView.Configuration)
        : new(setting.Group, setting.Name, InstallationSettings.Told(set[setting.Name] ?? setting.Form.Default), setting.Key, set[setting.Name] is null ? SettingView.Default : SettingView.Portal, Settable: true);

    private SettingView Set(string group, string name, string key, string? value) => new(group, name, value, key, configuration.GetSection(key).Exists() ? SettingView.Configuration : SettingView.Default);

    private SettingView Secret(string group, string name, string key) => new(group, name, null, key, string.IsNullOrEmpty(configuration[key]) ? SettingView.Default : SettingView.Configuration, Secret: true);
}
